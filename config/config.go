// Package config reads ippwatch.yaml, the file that says how ippwatch works
// unattended; what each section means is known where the section is used.
package config

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"ippwatch/alarm"
	"ippwatch/gate"
	"ippwatch/notify"
	"ippwatch/outreach"
	"ippwatch/pulse"
	"ippwatch/retention"
	"ippwatch/schedule"
	"ippwatch/track"
)

// File is the usual name of the file.
const File = "ippwatch.yaml"

// Reference is the commented file that has every key with its default.
//
//go:embed reference.yaml
var Reference []byte

// A Config is the whole file. A section whose type lives elsewhere is a line
// here, one in [Default] and its part of reference.yaml, which a test compares
// with the types. It may have a method Check; see [checker].
type Config struct {
	Data    string `yaml:"data" config:"path"`
	Scope   string `yaml:"scope" config:"path"`
	Vantage string `yaml:"vantage"`
	// Policy is that of the filters, which the pages render and prove.
	Policy string `yaml:"policy" config:"path"`

	Scan      Scan             `yaml:"scan"`
	Report    Report           `yaml:"report"`
	Backup    Backup           `yaml:"backup"`
	Schedule  schedule.Config  `yaml:"schedule"`
	Retention retention.Policy `yaml:"retention"`
	Alerts    alarm.Config     `yaml:"alerts"`
	Metrics   pulse.Config     `yaml:"metrics"`
	Log       Log              `yaml:"log"`
	Web       gate.Config      `yaml:"web"`

	Feeds    Feeds             `yaml:"feeds"`
	Verify   Verify            `yaml:"verify"`
	Mail     notify.MailConfig `yaml:"mail"`
	Outreach outreach.Rules    `yaml:"outreach"`
	// Replies is a Maildir or mbox with what comes back: bounces, answers,
	// opt-outs.
	Replies string `yaml:"replies" config:"path"`
	// Lines is a file to which what became of cases is appended.
	Lines string `yaml:"lines" config:"path"`
}

// Feeds are where the scheduled ingest looks.
type Feeds struct {
	Shadowserver Shadowserver `yaml:"shadowserver"`
}

// Shadowserver says where its reports are: in the API, in a mailbox, in a
// directory, in any of them.
type Shadowserver struct {
	API         bool     `yaml:"api"`
	Credentials string   `yaml:"credentials" config:"path"` // the file of Shadowserver's own tools
	Lists       []string `yaml:"lists"`
	Types       []string `yaml:"types"`
	Mail        string   `yaml:"mail" config:"path"`
	Dir         string   `yaml:"dir" config:"path"`
}

// On reports whether there is anywhere to look.
func (s Shadowserver) On() bool { return s.API || s.Mail != "" || s.Dir != "" }

// Verify is how cases are looked at again.
type Verify struct {
	After    time.Duration `yaml:"after"`
	Controls []string      `yaml:"controls"`
}

// Check complains about what cannot be, by key.
func (v *Verify) Check(complain func(key string, err error)) {
	if v.After < time.Hour {
		complain("after", fmt.Errorf("%s: want an hour or more: a host that restarts is not repaired", v.After))
	}
}

// Scan is how the scheduled scan asks, and the default of ippwatch scan.
type Scan struct {
	Ports       []uint16      `yaml:"ports"`
	UDP         bool          `yaml:"udp"`
	UDPPort     uint16        `yaml:"udp_port"`
	Callback    string        `yaml:"callback"`
	Grace       time.Duration `yaml:"grace"`
	Rate        int           `yaml:"rate"`
	PerNetwork  int           `yaml:"per_network"`
	Concurrency int           `yaml:"concurrency"`
	Timeout     time.Duration `yaml:"timeout"`
	Admin       bool          `yaml:"admin"`
	Jobs        bool          `yaml:"jobs"`
	MMDB        []string      `yaml:"mmdb" config:"path"`
	ASN         string        `yaml:"asn" config:"path"`
	RDNS        bool          `yaml:"rdns"`
	Out         string        `yaml:"out" config:"path"`
}

// Report is what the scheduled report writes, and where.
type Report struct {
	Out          string   `yaml:"out" config:"path"`
	Type         string   `yaml:"type"`
	Formats      []string `yaml:"formats"`
	Constituents string   `yaml:"constituents" config:"path"`
}

// Backup is where the scheduled backup goes, and how many are kept.
type Backup struct {
	Dir  string `yaml:"dir" config:"path"`
	Keep int    `yaml:"keep"`
}

// Log is how the daemon logs.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // json or text
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Scan: Scan{
			Ports: []uint16{631}, UDPPort: 631, Grace: 15 * time.Second,
			Rate: 100, PerNetwork: 10, Concurrency: 200, Timeout: 15 * time.Second,
		},
		Report: Report{Type: "all", Formats: []string{"csv", "html"}},
		Backup: Backup{Keep: 7},

		Schedule: schedule.Default(), Retention: retention.Default(), Alerts: alarm.Default(), Metrics: pulse.Default(),
		Log: Log{Level: slog.LevelInfo, Format: "json"}, Web: gate.Default(),

		Verify: Verify{After: track.VerifyAfter}, Outreach: outreach.DefaultRules(),
	}
}

// Parse reads a configuration: YAML, strict. An error names the text, line and
// column, and there is one for each mistake, up to twenty. Relative paths are
// relative to the directory of the file.
func Parse(name string, text []byte) (Config, error) {
	c := Default()
	if err := Decode(name, text, &c); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Load reads a file.
func Load(path string) (Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxFile {
		return Config{}, fmt.Errorf("read configuration: %s has %d bytes: the limit is %d", path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Show writes the configuration as it is in force.
func (c *Config) Show() ([]byte, error) {
	shown := *c
	if shown.Alerts.Webhook.URL != "" {
		shown.Alerts.Webhook.URL = origin(shown.Alerts.Webhook.URL)
	}
	return yaml.MarshalWithOptions(&shown, yaml.IndentSequence(true))
}

// origin is a URL without its path, which chat programs use as a password.
func origin(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	host, _, more := strings.Cut(rest, "/")
	if more {
		host += "/…"
	}
	return scheme + "://" + host
}

// Check complains about what cannot be, by key.
func (s *Scan) Check(complain func(key string, err error)) {
	if len(s.Ports) == 0 {
		complain("ports", errors.New("no port to ask"))
	}
	for i, p := range s.Ports {
		if p == 0 {
			complain(fmt.Sprintf("ports.%d", i), errors.New("0: want 1 to 65535"))
		}
	}
	if s.UDPPort == 0 {
		complain("udp_port", errors.New("0: want 1 to 65535"))
	}
	if s.Callback != "" {
		if at, err := netip.ParseAddrPort(s.Callback); err != nil || !at.Addr().Is4() {
			complain("callback", fmt.Errorf("%q: want an IPv4 address and a port, such as 198.51.100.7:6310", s.Callback))
		}
	}
	for key, n := range map[string]int{"rate": s.Rate, "per_network": s.PerNetwork, "concurrency": s.Concurrency} {
		if n < 1 {
			complain(key, fmt.Errorf("%d: want a number above 0", n))
		}
	}
	if s.Timeout <= 0 {
		complain("timeout", fmt.Errorf("%s: want a time above 0", s.Timeout))
	}
	if s.Grace < 0 {
		complain("grace", fmt.Errorf("%s: want a time, or 0 for no waiting", s.Grace))
	}
}

// Check complains about what cannot be, by key.
func (r *Report) Check(complain func(key string, err error)) {
	if len(r.Formats) == 0 {
		complain("formats", errors.New("no format to write"))
	}
	for i, f := range r.Formats {
		if !slices.Contains([]string{"csv", "ndjson", "html"}, f) {
			complain(fmt.Sprintf("formats.%d", i), fmt.Errorf("%q: want csv, ndjson or html", f))
		}
	}
	if types := []string{"all", "scan_ipp", "scan6_ipp", "special", "scan_cups_browsed"}; !slices.Contains(types, r.Type) {
		complain("type", fmt.Errorf("%q: want %s", r.Type, strings.Join(types, ", ")))
	}
}

// Check complains about what cannot be, by key.
func (b *Backup) Check(complain func(key string, err error)) {
	if b.Keep < 1 {
		complain("keep", fmt.Errorf("%d: want a number above 0", b.Keep))
	}
}

// Check complains about what cannot be, by key.
func (l *Log) Check(complain func(key string, err error)) {
	if l.Format != "json" && l.Format != "text" {
		complain("format", fmt.Errorf("%q: want json or text", l.Format))
	}
}

// Letters is how mail leaves: who serves pages takes the one click of an opt-out,
// too, unless the file says that somebody else does.
func (c *Config) Letters() notify.MailConfig {
	m := c.Mail
	if m.Unsubscribe.URL == "" && strings.HasPrefix(c.Web.URL, "https://") {
		m.Unsubscribe.URL = strings.TrimRight(c.Web.URL, "/") + "/unsubscribe"
	}
	return m
}

// Check complains about what needs another section.
func (c *Config) Check(complain func(key string, err error)) {
	jobs := &c.Schedule.Jobs
	if jobs.Scan.Cron != "" && c.Scope == "" {
		complain("schedule.jobs.scan", errors.New("a scan needs a scope: write scope: FILE at the top"))
	}
	if jobs.Report.Cron != "" && c.Report.Out == "" {
		complain("schedule.jobs.report", errors.New("a report needs a directory: report.out"))
	}
	if jobs.Ingest.Cron != "" && !c.Feeds.Shadowserver.On() {
		complain("schedule.jobs.ingest", errors.New("nothing to take in: feeds.shadowserver says where reports are (api, mail, dir)"))
	}
	if jobs.Verify.Cron != "" && c.Scope == "" {
		complain("schedule.jobs.verify", errors.New("a verification needs a scope: write scope: FILE at the top"))
	}
	if c.Mail.Host != "" || jobs.Notify.Cron != "" {
		if err := c.Letters().Check(); err != nil {
			for _, one := range lines(err) {
				complain("mail", one)
			}
		}
	}
	if jobs.Notify.Cron != "" && len(c.Outreach.Rules) == 0 {
		complain("schedule.jobs.notify", errors.New("nobody would be told: outreach.rules says who is"))
	}
	if jobs.Backup.Cron != "" && c.Backup.Dir == "" {
		complain("schedule.jobs.backup", errors.New("a backup needs a directory: backup.dir"))
	}
}

// lines parts an error of many lines.
func lines(err error) []error {
	var all []error
	for line := range strings.Lines(err.Error()) {
		all = append(all, errors.New(strings.TrimSpace(line)))
	}
	return all
}

// Secret reads a secret from a file, which others must not read, or from the
// environment, whichever is named.
func Secret(file, env string) ([]byte, error) {
	if file == "" {
		text, ok := os.LookupEnv(env)
		if text = strings.TrimSpace(text); !ok || text == "" {
			return nil, fmt.Errorf("read secret: the environment has no %s", env)
		}
		return []byte(text), nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	// What systemd hands to a service is its alone, by an access list that looks
	// like the mode of a group.
	given := filepath.Dir(file) == os.Getenv("CREDENTIALS_DIRECTORY")
	if mode := info.Mode().Perm(); mode&0o077 != 0 && !given && filepath.Separator == '/' {
		return nil, fmt.Errorf("read secret: %s: mode %04o lets others read it: want 0600", file, mode)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return nil, fmt.Errorf("read secret: %s is empty", file)
	}
	return []byte(secret), nil
}
