package schedule

import (
	"errors"
	"fmt"
	"time"
)

// Config is the section "schedule" of the configuration.
type Config struct {
	Zone  string        `yaml:"zone"`
	Lease time.Duration `yaml:"lease"`
	Jobs  Jobs          `yaml:"jobs"`
}

// Jobs are the kinds that may be planned, in the order of a day.
type Jobs struct {
	Scan   Times `yaml:"scan"`
	Ingest Times `yaml:"ingest"`
	Verify Times `yaml:"verify"`
	Notify Times `yaml:"notify"`
	Report Times `yaml:"report"`
	Backup Times `yaml:"backup"`
	Prune  Times `yaml:"prune"`
}

// Times say when a kind of job runs.
type Times struct {
	Cron    string        `yaml:"cron"` // empty: never
	Zone    string        `yaml:"zone"` // empty: that of the schedule
	CatchUp bool          `yaml:"catch_up"`
	Jitter  time.Duration `yaml:"jitter"`
	Limit   time.Duration `yaml:"limit"`
}

// Default plans nothing.
func Default() Config {
	day := Times{CatchUp: true, Limit: 6 * time.Hour}
	scan := Times{CatchUp: true, Limit: 22 * time.Hour}
	return Config{
		Zone: "UTC", Lease: DefaultLease,
		Jobs: Jobs{Scan: scan, Ingest: day, Verify: day, Notify: day, Report: day, Backup: day, Prune: day},
	}
}

// Kinds returns the times by kind, in the order of a day.
func (j *Jobs) Kinds() []Named {
	return []Named{
		{"scan", &j.Scan},
		{"ingest", &j.Ingest},
		{"verify", &j.Verify},
		{"notify", &j.Notify},
		{"report", &j.Report},
		{"backup", &j.Backup},
		{"prune", &j.Prune},
	}
}

// A Named is a kind with its times.
type Named struct {
	Kind  string
	Times *Times
}

// Plan returns the plan of the times. There is none where Cron is empty.
func (c *Config) Plan(t *Times) (Plan, error) {
	name := t.Zone
	if name == "" {
		name = c.Zone
	}
	zone, err := loadZone(name)
	if err != nil {
		return Plan{}, err
	}
	return ParsePlan(t.Cron, zone)
}

func loadZone(name string) (*time.Location, error) {
	// "Local" would mean another time on another machine.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf(`%q: want a time zone such as "Europe/Berlin" or "UTC"`, name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf(`%q: want a time zone such as "Europe/Berlin" or "UTC"`, name)
	}
	return zone, nil
}

// Check complains about what cannot be, by key.
func (c *Config) Check(complain func(key string, err error)) {
	if _, err := loadZone(c.Zone); err != nil {
		complain("zone", err)
		return // every plan would say so again
	}
	if c.Lease < time.Second || c.Lease > time.Hour {
		complain("lease", fmt.Errorf("%s: want 1s to 1h", c.Lease))
	}
	for _, n := range c.Jobs.Kinds() {
		at := func(key string, err error) { complain("jobs."+n.Kind+"."+key, err) }
		t := n.Times
		if t.Zone != "" {
			if _, err := loadZone(t.Zone); err != nil {
				at("zone", err)
				continue
			}
		}
		if t.Limit < 0 {
			at("limit", fmt.Errorf("%s: want a time, or 0 for none", t.Limit))
		}
		if t.Cron == "" {
			continue
		}
		p, err := c.Plan(t)
		if err != nil {
			at("cron", err)
			continue
		}
		if t.Jitter < 0 {
			at("jitter", fmt.Errorf("%s: want a time, or 0 for none", t.Jitter))
		} else if gap := p.gap(); t.Jitter >= gap {
			at("jitter", fmt.Errorf("%s: the next time may come after %s: want less", t.Jitter, gap))
		}
	}
}

// ErrNoKind says that a job is planned that this program does not know.
var ErrNoKind = errors.New("this ippwatch has no such job")

// gap is the least time between two runs, as far as a few of them tell.
func (p Plan) gap() time.Duration {
	at := p.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	least := time.Duration(1<<63 - 1)
	for range 50 {
		next := p.Next(at)
		if next.IsZero() {
			break
		}
		least, at = min(least, next.Sub(at)), next
	}
	return least
}
