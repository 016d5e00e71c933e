package config

import (
	"strings"
	"testing"
)

func TestValuesSayWhereTheyStand(t *testing.T) {
	const text = `# ours
scope: scope.yaml
scan:
  rate: 50
  ports: [631, 8631]
alerts:
  webhook:
    url: https://chat.example.net/hooks/T0PSECRET
    secret_file: s
schedule:
  jobs:
    scan: {cron: "30 3 * * *"}
outreach:
  holdout: {percent: 10%, salt: autumn}
  webhooks:
    - {url: "https://tickets.example.org/in/T0PSECRET", secret_file: s}
`
	c, err := Parse("/etc/ippwatch/ippwatch.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Values([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Value)
	for _, v := range all {
		got[v.Key] = v
		if strings.Contains(v.Text, "T0PSECRET") || strings.Contains(v.Text, "autumn") {
			t.Errorf("a secret is shown: %+v", v)
		}
	}
	for _, want := range []Value{
		{"scope", "/etc/ippwatch/scope.yaml", 2},
		{"scan.rate", "50", 4},
		{"scan.ports", "631, 8631", 5},
		{"scan.udp", "false", 0},
		{"schedule.jobs.scan.cron", "30 3 * * *", 12},
		{"alerts.webhook.url", "https://chat.example.net/…", 8},
		{"outreach.holdout.salt", masked, 14},
	} {
		if got[want.Key] != want {
			t.Errorf("%s = %+v, want %+v", want.Key, got[want.Key], want)
		}
	}
	if v := got["outreach.webhooks.0.url"]; v.Text != "https://tickets.example.org/…" || v.Line != 16 {
		t.Errorf("the webhook is %+v", v)
	}
}
