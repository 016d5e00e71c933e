package config

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"ippwatch/outreach"
)

// readRules reads a file of its own with what stands below "outreach:".
func readRules(name, text string) (outreach.Rules, error) {
	r := outreach.DefaultRules()
	err := Decode(name, []byte(text), &r)
	return r, err
}

func TestRules(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an empty file has the defaults", "", ""},
		{"a rule needs its name only", "rules:\n  - name: all\n", ""},
		{"every length of time", "interval: 36h\npatience: 7d\ngive_up: 90m\nrules: []\n", ""},
		{"an unknown key", "rules:\n  - name: all\n    severty: high\n", `rules.yaml:3:5: unknown key "severty": did you mean severity?`},
		{"a severity that is none", "rules:\n  - name: all\n    severity: dire\n", `rules.yaml:3:15: rules.0.severity: "dire": want critical, high, medium, low, info`},
		{"a finding that is none", "rules:\n  - name: all\n    findings: [open-ipp, opn]\n", `rules.yaml:3:26: rules.0.findings.1: "opn": no such rule; ippwatch rules lists them`},
		{"hours that end before they begin", "hours: 18:00-08:00\n", `rules.yaml:1:8: hours: "18:00-08:00": want hours such as 08:00-18:00`},
		{"a fourth mail", "max_mails: 4\n", "rules.yaml:1:12: max_mails: 4: want 1 to 3; more than three mails were never shown to help"},
		{"a ladder that goes down", "ladder:\n  - {after: 0d, roles: [other]}\n  - {after: 0d, roles: [other]}\n", "rules.yaml:3:13: ladder.1.after: want a later day than that of the rung before"},
		{"two rules of one name", "rules:\n  - name: a\n  - name: a\n", `rules.yaml:3:11: rules.1.name: "a": another rule has that name`},
		{"a source that is none", "sources: [own, whois]\n", `rules.yaml:1:16: sources.1: "whois": want own, import, security.txt, rdap, cert`},
		{"a group without salt", "holdout:\n  percent: 10%\n", "rules.yaml:1:1: holdout.salt: missing: any words; other words draw another group"},
		{"a zone that is nowhere", "zone: Mars/Olympus\n", `rules.yaml:1:7: zone: "Mars/Olympus": want a zone such as Europe/Berlin`},
		{"a password in a URL", "webhooks:\n  - url: https://u:p@tickets.example.org/\n    secret_file: s\n", "rules.yaml:2:5: webhooks.0: url: a password has no place here: the signature proves who sends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readRules("rules.yaml", c.text)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("Parse(%q) = %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func FuzzRules(f *testing.F) {
	f.Add("rules:\n  - name: all\n    severity: high\n    ladder:\n      - {after: 0d, roles: [other]}\n")
	f.Add("hours: 08:00-18:00\nholidays: [2026-12-25]\nholdout: {percent: 10%, salt: a}\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := readRules("x", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x:") {
				t.Errorf("Parse(%q): %v: no place", text, err)
			}
			return
		}
		written, err := yaml.Marshal(&r)
		if err != nil {
			t.Fatalf("write what %q says: %v", text, err)
		}
		if again, err := readRules("x", string(written)); err != nil {
			t.Errorf("%q is written as %q, and that: %v", text, written, err)
		} else if diff := cmp.Diff(r, again, equate...); diff != "" {
			t.Errorf("%q is written and read as another (-first +again):\n%s", text, diff)
		}
	})
}

// TestExample reads the file of docs/outreach.md. What it says are defaults are.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../cmd/ippwatch/testdata/docs/outreach.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := readRules("outreach.yaml", string(text))
	if err != nil {
		t.Fatal(err)
	}
	want := outreach.DefaultRules()
	for what, pair := range map[string][2]any{
		"interval": {r.Interval, want.Interval}, "max_mails": {r.MaxMails, want.MaxMails}, "patience": {r.Patience, want.Patience},
		"give_up": {r.GiveUp, want.GiveUp}, "ladder": {r.Ladder, want.Ladder}, "sources": {r.Sources, want.Sources}, "media": {r.Media, want.Media},
		"formats": {r.Forms, want.Forms}, "limits": {r.Limits, want.Limits}, "resend_uncertain": {r.ResendUncertain, want.ResendUncertain},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, and the default is %v", what, pair[0], pair[1])
		}
	}
	if len(r.Rules) != 2 {
		t.Errorf("%d rules", len(r.Rules))
	}
}
