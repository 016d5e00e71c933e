package acl

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// head is a policy without exceptions, to which cases append.
const head = `profile: edge
interfaces: [wan]
owner: noc@example.net
contact: https://www.example.net/filters
review: 2027-05-31
networks: [198.51.100.0/24, "2001:db8:100::/48"]
`

func TestExampleIsAPolicy(t *testing.T) {
	now := day("2026-11-26")
	p, err := ParsePolicy("policy.yaml", []byte(Example(now)))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Exceptions) != 2 || !p.Legs.InTCP || !p.Legs.InUDP || !p.Legs.OutUDP || p.Legs.OutTCP {
		t.Errorf("policy %+v", p)
	}
	for _, r := range p.Lint(now) {
		if !strings.Contains(r.Risk, "every segment") {
			t.Errorf("the example has a risk: %+v", r)
		}
	}
	// The keys in the example are all that there are.
	for _, k := range (&policyFile{}).keys() {
		if k.Name != "one_family" && !strings.Contains(example, "\n"+k.Name+":") {
			t.Errorf("the example lacks %s", k.Name)
		}
	}
}

func TestBadPolicies(t *testing.T) {
	exception := "exceptions:\n  - to: [198.51.100.16/28]\n    kind: print-server\n    owner: a\n    ticket: T-1\n    expires: 2027-01-01\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "p.yaml:1:1: the policy is empty"},
		{"a list", "- a\n", "p.yaml:1:1: the policy: want keys and values, such as name: ..., not a list"},
		{"no UTF-8", "name: \xff\n", "p.yaml:1:1: the text is not UTF-8"},
		{"broken YAML", head + "legs: [\n", "p.yaml:7:7:"},
		{"a key that is not there", head + "port: 631\n", `p.yaml:7:1: unknown key "port": did you mean ports?`},
		{"nobody answers", strings.Replace(head, "owner: noc@example.net\n", "", 1), "p.yaml:1:1: the policy: owner is missing"},
		{"an empty list of networks", strings.Replace(head, `[198.51.100.0/24, "2001:db8:100::/48"]`, "[]", 1), "p.yaml:6:11: networks: the list is empty"},
		{"networks without a value", strings.Replace(head, ` [198.51.100.0/24, "2001:db8:100::/48"]`, "", 1), "p.yaml:6:1: networks is empty"},
		{"host bits", strings.Replace(head, "198.51.100.0/24", "198.51.100.7/24", 1), "p.yaml:6:12: networks: \"198.51.100.7/24\": bits are set after the prefix length: write 198.51.100.0/24 for the network or 198.51.100.7 for the address"},
		{"an IPv4-mapped network", strings.Replace(head, "2001:db8:100::/48", "::ffff:198.51.100.0/120", 1), "an IPv4-mapped address"},
		{"one family", strings.Replace(head, `, "2001:db8:100::/48"`, "", 1), "p.yaml:6:11: networks: IPv4 only: the other family would stay open"},
		{"one family that are two", head + "one_family: x\n", "p.yaml:7:13: one_family: networks has both"},
		{"a name that is a keyword", head + "name: fwd\n", `p.yaml:7:7: name: "fwd": want epf and then small letters`},
		{"a name that is a command", head + "name: epf631; reboot\n", "want epf and then small letters"},
		{"an interface that is a command", strings.Replace(head, "[wan]", `["wan; reboot"]`, 1), `p.yaml:2:14: interfaces: "wan; reboot"`},
		{"no interface", strings.Replace(head, "interfaces: [wan]\n", "", 1), "interfaces is missing: a filter of the profile edge"},
		{"port 0", head + "ports: [0]\n", "p.yaml:7:9: ports: \"0\": want a number from 1 to 65535"},
		{"port 70000", head + "ports: [70000]\n", "want a number from 1 to 65535"},
		{"no ports", head + "ports: []\n", "p.yaml:7:8: ports: the list is empty"},
		{"a log without bound", head + "log: all\n", "a log without bound falls over"},
		{"a log of too much", head + "log: 100000/second\n", "at most 1000/second"},
		{"a leg that is not there", head + "legs:\n  in_sctp: drop\n", `unknown key "in_sctp"`},
		{"a leg that is neither", head + "legs:\n  in_tcp: maybe\n", "want drop, permit"},
		{"a policy that does nothing", head + "legs:\n  in_tcp: permit\n  in_udp: permit\n  out_udp: permit\n", "legs: nothing is dropped"},
		{"no such day", head + strings.Replace(exception, "2027-01-01", "2027-02-30", 1), "p.yaml:12:14: expires: \"2027-02-30\": want a day"},
		{"an exception without end", head + strings.Replace(exception, "    expires: 2027-01-01\n", "", 1), "the exception: expires is missing"},
		{"an exception without owner", head + strings.Replace(exception, "    owner: a\n", "", 1), "the exception: owner is missing"},
		{"an exception for everything", head + strings.Replace(exception, "- to: [198.51.100.16/28]\n    kind", "- kind", 1), "it has neither to nor from"},
		{"an exception of mixed families", head + strings.Replace(exception, "kind:", "from: [\"2001:db8:ffff::/48\"]\n    kind:", 1), "to has IPv4 and from has IPv6"},
		{"half of an exception of mixed families", head + strings.Replace(exception, "kind:", "from: [\"2001:db8:ffff::/48\", 192.0.2.1]\n    kind:", 1), "to has IPv4 and from has IPv4 and IPv6"},
		{"exceptions that contradict each other", head + exception + strings.Replace(strings.TrimPrefix(exception, "exceptions:\n"), "2027-01-01", "2027-06-01", 1), "p.yaml:13:1: the exceptions in lines 8 and 13 are for the same packets and end at different times"},
		{"an owner of two lines", head + strings.Replace(exception, "owner: a", `owner: "a\nno access-list"`, 1), "has a character that does not print"},
		{"a second document", head + "---\n" + head, "a second document"},
		{"brackets in brackets", head + "ports: " + strings.Repeat("[", 100000), "too many brackets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePolicy("p.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParsePolicy = %v, want %q", err, c.want)
			}
		})
	}
}

func TestLint(t *testing.T) {
	text := `profile: edge
interfaces: [wan]
owner: noc@example.net
contact: https://www.example.net/filters
review: 2026-01-01
one_family: no IPv6 here
networks: [198.51.100.0/24, 198.51.100.128/25, 0.0.0.0/0]
ports: [631, 9100]
legs: 
  in_udp: permit
  in_tcp: permit
  out_tcp: drop
log: 500/second
exceptions:
  - to: [198.51.100.16/28]
    kind: print-server
    owner: a
    ticket: OLD
    expires: 2026-06-30
  - to: [198.51.100.32/28]
    kind: print-server
    owner: a
    ticket: SOON
    expires: 2026-12-01
  - to: [198.51.100.33]
    kind: print-server
    owner: a
    ticket: WITHIN
    expires: 2030-01-01
  - to: [203.0.113.7]
    legs: [in_tcp, out_udp]
    kind: other
    owner: a
    ticket: ANYWAY
    expires: 2027-06-01
`
	p, err := ParsePolicy("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range p.Lint(day("2026-11-26")) {
		fmt.Fprintf(&b, "%d %s: %s\n    %s\n", r.Line, r.About, r.Risk, r.Advice)
	}
	golden(t, "lint", b.String())

	// A strict policy without a scanner, and one that opens everything.
	for _, c := range []struct{ exceptions, want string }{
		{"", "no exception lets a scanner through on in_tcp"},
		{"exceptions:\n  - to: [198.51.100.0/24, \"2001:db8:100::/48\"]\n    kind: other\n    owner: a\n    ticket: T\n    expires: 2027-01-01\n", "opens all of the networks"},
		{"exceptions:\n  - to: [203.0.113.0/24]\n    kind: other\n    owner: a\n    ticket: T\n    expires: 2027-01-01\n", "is to none of the networks"},
	} {
		p, err := ParsePolicy("p.yaml", []byte(head+c.exceptions))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Lint(day("2026-11-26"))); !strings.Contains(got, c.want) {
			t.Errorf("Lint = %s, want %s", got, c.want)
		}
	}
}

func TestExpiredExceptionsAreLeftOut(t *testing.T) {
	p, err := ParsePolicy("p.yaml", []byte(head+"exceptions:\n  - to: [198.51.100.16/28]\n    kind: other\n    owner: a\n    ticket: T\n    expires: 2027-01-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	// A day is until its end, in UTC.
	for at, want := range map[string]int{"2027-01-01T23:59:59Z": 4, "2027-01-02T00:00:00Z": 3} {
		now, _ := time.Parse(time.RFC3339, at)
		if got := len(p.Form(now, false).Rules); got != want {
			t.Errorf("at %s: %d rules, want %d", at, got, want)
		}
	}
}

// A hundred thousand exceptions with owners and tickets are read in a time that
// somebody waits for, and joined.
func TestManyExceptions(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "exceptions:\n")
	const n = 100_000
	for i := range n {
		fmt.Fprintf(&b, "  - to: [198.%d.%d.%d]\n    kind: print-server\n    owner: customer %d\n    ticket: T-%d\n    expires: 2027-01-01\n", 18+i>>16, i>>8&255, i&255, i, i)
	}
	begun := time.Now()
	p, err := ParsePolicy("p.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	form := p.Form(day("2026-11-26"), false)
	// A busy machine has taken two minutes.
	if took := time.Since(begun); took > 5*time.Minute {
		t.Errorf("took %s", took)
	}
	if len(p.Exceptions) != n || len(form.Rules) != 4 {
		t.Errorf("%d exceptions, %d rules", len(p.Exceptions), len(form.Rules))
	}
	if got := len(form.Rules[0].Match.Dst.Prefixes(V4)); got > 20 {
		t.Errorf("%d prefixes: neighbours are not joined", got)
	}
	_ = p.Lint(day("2026-11-26"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
	}
}
