package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/outreach"
	"ippwatch/retention"
)

// equate compares configurations: an empty list is as good as none.
var equate = []cmp.Option{cmpopts.EquateEmpty(), cmpopts.EquateComparable(outreach.Hours{})}

// TestReference holds what the reference promises: every key is in it, there is
// no other, and each has its default.
func TestReference(t *testing.T) {
	c, err := Parse(File, Reference)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if diff := cmp.Diff(want, c, equate...); diff != "" {
		t.Errorf("reference.yaml differs from the defaults (-default +reference):\n%s", diff)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(Reference, &tree); err != nil {
		t.Fatal(err)
	}
	compare(t, "", reflect.TypeFor[Config](), tree)
}

// compare complains about keys that only the type or only the file has.
func compare(t *testing.T, path string, typ reflect.Type, tree map[string]any) {
	t.Helper()
	var known []string
	for _, f := range Fields(typ) {
		known = append(known, f.Key)
		got, ok := tree[f.Key]
		if !ok {
			t.Errorf("reference.yaml has no %s", join(path, f.Key))
			continue
		}
		if inner, ok := got.(map[string]any); ok {
			compare(t, join(path, f.Key), typ.FieldByIndex(f.index).Type, inner)
		}
	}
	for key := range tree {
		if !slices.Contains(known, key) {
			t.Errorf("no type has %s of reference.yaml", join(path, key))
		}
	}
}

func TestParse(t *testing.T) {
	text := `
scope: scope.yaml
vantage: edge-1
scan:
  ports: [631, 8631]
  udp: true
  grace: 30s
  mmdb: [/usr/share/a.mmdb, b.mmdb]
schedule:
  zone: Europe/Berlin
  jobs:
    scan:
      cron: "30 3 * * *"
      jitter: 10m
    prune: {cron: "@weekly", zone: UTC, catch_up: false}
retention:
  observations: 30d
  cases: forever
  transitions: forever
alerts:
log:
  level: debug
`
	got, err := Parse("/etc/ippwatch/ippwatch.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Scope, want.Vantage = "/etc/ippwatch/scope.yaml", "edge-1"
	want.Scan.Ports, want.Scan.UDP, want.Scan.Grace = []uint16{631, 8631}, true, 30*time.Second
	want.Scan.MMDB = []string{"/usr/share/a.mmdb", "/etc/ippwatch/b.mmdb"}
	want.Schedule.Zone = "Europe/Berlin"
	want.Schedule.Jobs.Scan.Cron, want.Schedule.Jobs.Scan.Jitter = "30 3 * * *", 10*time.Minute
	want.Schedule.Jobs.Prune.Cron, want.Schedule.Jobs.Prune.Zone, want.Schedule.Jobs.Prune.CatchUp = "@weekly", "UTC", false
	want.Retention = retention.Default()
	want.Retention.Observations, want.Retention.Cases, want.Retention.Transitions = 30, 0, 0
	want.Log.Level = -4
	if diff := cmp.Diff(want, got, equate...); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseComplains(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a key that is nearly right", "scpe: a.yaml", "f.yaml:1:1: unknown key \"scpe\": did you mean scope?"},
		{"a key of another section", "scan:\n  rate: 10\n  cron: x", "f.yaml:3:3: unknown key \"cron\": the keys are ports, udp, udp_port, callback, grace, rate, per_network, concurrency, timeout, admin, jobs, mmdb, asn, rdns, out"},
		{"a job that is nearly right", "schedule:\n  jobs:\n    scans:\n      cron: x", `f.yaml:3:5: unknown key "scans": did you mean scan?`},
		{"a secret", "alerts:\n  webhook:\n    secret: hunter2", `f.yaml:3:5: unknown key "secret": secrets do not stand in this file: name the file that has it with secret_file`},
		{"a number for a text", "vantage: 12", "f.yaml:1:10: vantage: want text, not a number: put it in quotes"},
		{"text for a number", "scan:\n  rate: fast", `f.yaml:2:9: rate: "fast": want a number`},
		{"a port that is none", "scan:\n  ports: [631, 70000]", `f.yaml:2:16: 1: "70000": want a number from 0 to 65535`},
		{"a word for a switch", "scan:\n  udp: yes", "f.yaml:2:8: udp: want true or false"},
		{"a time without a unit", "scan:\n  grace: 30", `f.yaml:2:10: grace: "30": want a time such as 15s, 30m or 6h`},
		{"weeks of retention", "retention:\n  runs: 3w", `f.yaml:2:9: runs: "3w": want a number of days such as 400d, or forever`},
		{"a list for a section", "scan:\n  - ports", "f.yaml:2:3: scan: want keys and values, such as ports: ..., not a list"},
		{"one value for a list", "scan:\n  ports: 631", "f.yaml:2:10: ports: want a list, such as [a, b], not a number"},
		{"an hour that no clock has", "scope: a\nschedule:\n  jobs:\n    scan:\n      cron: 0 25 * * *", `f.yaml:5:13: schedule.jobs.scan.cron: "0 25 * * *": end of range (25) above maximum (23): 25`},
		{"a zone that is none", "schedule:\n  zone: Berlin", `f.yaml:2:9: schedule.zone: "Berlin": want a time zone such as "Europe/Berlin" or "UTC"`},
		{"a jitter beyond the next time", "schedule:\n  jobs:\n    prune:\n      cron: '0 * * * *'\n      jitter: 2h", "f.yaml:5:15: schedule.jobs.prune.jitter: 2h0m0s: the next time may come after 1h0m0s: want less"},
		{"a scan of nothing", "schedule:\n  jobs:\n    scan:\n      cron: '0 3 * * *'", "f.yaml:3:5: schedule.jobs.scan: a scan needs a scope: write scope: FILE at the top"},
		{"a public address that nobody allowed", "metrics:\n  listen: 0.0.0.0:9631", "f.yaml:2:11: metrics.listen: 0.0.0.0:9631: others can read there who is exposed; if they may, write public: true beside it"},
		{"a history that ends before its case", "retention:\n  transitions: 10d", "f.yaml:2:16: retention.transitions: 10d: shorter than cases, 730d: a case would outlive its history"},
		{"a webhook without a secret", "alerts:\n  webhook:\n    url: https://a.example.net/x", "f.yaml:2:3: alerts.webhook: want secret_file or secret_env: what is posted is signed"},
		{"a webhook in the clear", "alerts:\n  webhook:\n    url: http://a.example.net/x\n    secret_env: X", "f.yaml:3:10: alerts.webhook.url: http://a.example.net: want https"},
		{"two documents", "data: a\n---\ndata: b", "f.yaml:2:1: a second document: one file is one document"},
		{"a key twice", "data: a\ndata: b", "f.yaml:2:1: mapping key \"data\" already defined at [1:1]"},
		{"an alias", "scan: &a\n  rate: 1\nreport: *a", "f.yaml:1:7: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"two mistakes, in the order of the file", "log:\n  level: loud\n  format: xml\nvantage: []", "f.yaml:2:10: level: slog: level string \"loud\": unknown name\nf.yaml:4:10: vantage: want text, not a list: put it in quotes"},
		{"no YAML", "scan: [", "f.yaml:1:7: sequence end token ']' not found"},
		{"bytes", "\xff", "f.yaml:1:1: the text is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("Parse says\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "---\n", "\ufeff"} {
		got, err := Parse("f.yaml", []byte(text))
		if diff := cmp.Diff(Default(), got, equate...); err != nil || diff != "" {
			t.Errorf("Parse(%q): %v\n%s", text, err, diff)
		}
	}
}

func TestShowIsReadAgain(t *testing.T) {
	c := Default()
	c.Schedule.Jobs.Scan.Cron, c.Scope = "30 3 * * *", "/etc/scope.yaml"
	text, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("f.yaml", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(again.Scan.MMDB) == 0 {
		again.Scan.MMDB = nil
	}
	if diff := cmp.Diff(c, again, equate...); diff != "" {
		t.Errorf("read again (-want +got):\n%s", diff)
	}
	c.Alerts.Webhook.URL = "https://hooks.example.net/services/T0/B0/XYZ"
	if text, _ = c.Show(); bytes.Contains(text, []byte("XYZ")) || !bytes.Contains(text, []byte("https://hooks.example.net/…")) {
		t.Errorf("the path of a webhook is shown:\n%s", text)
	}
}

// A section of somebody else, as those that will come.
type section struct {
	Name  string            `yaml:"name"`
	Rules []rule            `yaml:"rules"`
	By    map[string]rule   `yaml:"by"`
	Maybe *rule             `yaml:"maybe"`
	Other map[string]string `yaml:"other"`
	rule  `yaml:",inline"`
}

type rule struct {
	After time.Duration `yaml:"after"`
	Share float64       `yaml:"share"`
}

func (r *rule) Check(complain func(string, error)) {
	if r.After < 0 {
		complain("after", os.ErrInvalid)
	}
}

func TestDecodeOtherSections(t *testing.T) {
	var s struct {
		Outreach section `yaml:"outreach"`
	}
	text := "outreach:\n  name: x\n  rules:\n    - after: 1h\n    - {after: 2h, share: 0.5}\n  by:\n    a: {after: 3h}\n  maybe:\n    after: 4h\n  other: {k: v}\n"
	if err := Decode("f.yaml", []byte(text), &s); err != nil {
		t.Fatal(err)
	}
	o := s.Outreach
	if len(o.Rules) != 2 || o.Rules[1].Share != 0.5 || o.By["a"].After != 3*time.Hour || o.Maybe.After != 4*time.Hour || o.Other["k"] != "v" {
		t.Errorf("Decode = %+v", o)
	}
	bad := "outreach:\n  rules:\n    - after: 1h\n    - after: -2h\n  by:\n    a: {after: -3h}\n"
	want := "f.yaml:4:14: outreach.rules.1.after: invalid argument\nf.yaml:6:16: outreach.by.a.after: invalid argument"
	if err := Decode("f.yaml", []byte(bad), &s); err == nil || err.Error() != want {
		t.Errorf("Decode says\n%v\nwant\n%s", err, want)
	}
}

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(" hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Secret(file, ""); err != nil || string(got) != "hunter2" {
		t.Errorf("Secret = %q, %v", got, err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Secret(file, ""); err == nil || !strings.Contains(err.Error(), "lets others read it") {
		t.Errorf("Secret of a file for all: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(file))
	if got, err := Secret(file, ""); err != nil || string(got) != "hunter2" {
		t.Errorf("Secret that systemd hands over = %q, %v", got, err)
	}
	t.Setenv("IPPWATCH_TEST_SECRET", "hunter3")
	if got, err := Secret("", "IPPWATCH_TEST_SECRET"); err != nil || string(got) != "hunter3" {
		t.Errorf("Secret = %q, %v", got, err)
	}
	if _, err := Secret("", "IPPWATCH_TEST_NOTHING"); err == nil {
		t.Error("Secret of nothing")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Reference)
	f.Add([]byte("scan:\n  ports: [631, 1]\n  rate: fast\n? [a]\n: b"))
	f.Add([]byte("a: &x {b: *x}"))
	f.Add([]byte("schedule: {jobs: {scan: {cron: '0 3 * * *'}}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f.yaml", text)
		if err != nil {
			return
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatalf("Show: %v", err)
		}
		if c.Alerts.Webhook.URL != "" {
			return // it is shown in part
		}
		if _, err := Parse("f.yaml", shown); err != nil {
			t.Fatalf("what Show wrote is refused: %v\n%s", err, shown)
		}
	})
}
