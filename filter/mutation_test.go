package filter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
	"ippwatch/acl/render"
)

func prefixes(words ...string) (ps []netip.Prefix) {
	for _, w := range words {
		ps = append(ps, netip.MustParsePrefix(w))
	}
	return ps
}

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// policy is one that uses what there is.
func policy() acl.Policy {
	return acl.Policy{
		Name: "epf631", Profile: acl.Edge, Interfaces: []string{"wan"},
		Networks: prefixes("198.51.100.0/24", "203.0.113.0/25", "2001:db8:100::/48", "2001:db8:203::/48"), Ports: []uint16{631},
		Legs: acl.Legs{InTCP: true, InUDP: true, OutUDP: true}, TCP: acl.AllSegments, Log: acl.Rate{N: 5, Per: "second"}, Torn: true,
		Exceptions: []acl.Exception{
			{To: prefixes("198.51.100.16/28", "2001:db8:100:16::/64"), Legs: []string{"in_tcp"}, Kind: "print-server", Owner: "a", Ticket: "T-1"},
			{To: prefixes("198.51.100.64/32"), Kind: "print-server", Owner: "b", Ticket: "T-2"},
			{From: prefixes("192.0.2.10/32", "2001:db8:ffff::10/128"), Kind: "scanner", Owner: "c", Ticket: "T-3"},
			{From: prefixes("192.0.2.64/26"), To: prefixes("203.0.113.7/32"), Kind: "partner", Owner: "d", Ticket: "T-4"},
			{From: prefixes("198.51.100.9/32"), Legs: []string{"out_udp"}, Kind: "other", Owner: "e", Ticket: "T-5"},
		},
	}
}

// forms are filters that a platform may be asked for.
func forms() map[string]acl.Form {
	p := policy()
	inner := policy()
	inner.Profile, inner.Interfaces, inner.Legs.OutTCP = acl.CustomerEdge, []string{"cust0"}, true
	syn := policy()
	syn.TCP, syn.Log = acl.SynOnly, acl.Rate{}
	two := policy()
	two.Interfaces, two.Ports = []string{"wan0", "wan1"}, []uint16{631, 9100}
	host := policy()
	host.Profile, host.Interfaces = acl.Host, nil
	v6 := policy()
	v6.OneFamily, v6.Networks = "no IPv4 here", prefixes("2001:db8:100::/48")
	return map[string]acl.Form{
		"enforce": p.Form(now, false), "count only": p.Form(now, true), "customer edge": inner.Form(now, false),
		"syn only": syn.Form(now, false), "two interfaces, two ports": two.Form(now, false), "host": host.Form(now, false), "IPv6 alone": v6.Form(now, false),
	}
}

// proven renders a form, or skips what the platform says it cannot do.
func proven(t *testing.T, platform string, form acl.Form) Rendered {
	t.Helper()
	r, err := Render(platform, form)
	if errors.Is(err, acl.ErrCannot) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryPlatformIsProven(t *testing.T) {
	for _, p := range render.All {
		for name, form := range forms() {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				r := proven(t, p.Name, form)
				if len(r.Rollback) == 0 || len(r.Load) == 0 || len(r.Undo) == 0 || len(r.Counters) == 0 || len(r.Confirm) == 0 {
					t.Error("no rollback, or nothing about loading, counters or confirming")
				}
				for _, text := range r.Texts {
					if strings.Contains(text.Body, Unverified) != (p.Proven == "") {
						t.Errorf("%s says or does not say that it is %s", text.Name, Unverified)
					}
				}
				for _, text := range slices.Concat(r.Texts, r.Rollback) {
					if text.Name == "" || text.Body == "" || !strings.Contains(text.Body, "epf") {
						t.Errorf("a text without name, body or prefix: %q", text)
					}
				}
			})
		}
	}
}

// comment marks what no device reads.
var comment = regexp.MustCompile(`^\s*(#|!|//|$)`)

// A mutant is a text with one mistake in it.
type mutant struct {
	what  string
	texts []acl.Text
	swap  bool
}

func mutants(texts []acl.Text) []mutant {
	var all []mutant
	for i, text := range texts {
		lines := strings.Split(strings.TrimSuffix(text.Body, "\n"), "\n")
		add := func(what string, swap bool, lines []string) {
			other := slices.Clone(texts)
			other[i].Body = strings.Join(lines, "\n") + "\n"
			all = append(all, mutant{fmt.Sprintf("%s: %s", text.Name, what), other, swap})
		}
		var effective []int
		for n, line := range lines {
			if !comment.MatchString(line) {
				effective = append(effective, n)
			}
		}
		for k, n := range effective {
			add(fmt.Sprintf("without line %d: %s", n+1, lines[n]), false, slices.Delete(slices.Clone(lines), n, n+1))
			for what, line := range altered(lines[n]) {
				other := slices.Clone(lines)
				other[n] = line
				add(fmt.Sprintf("line %d: %s: %s", n+1, what, line), false, other)
			}
			for _, far := range []int{1, 2, 5} {
				if k+far < len(effective) {
					m := effective[k+far]
					other := slices.Clone(lines)
					other[n], other[m] = other[m], other[n]
					add(fmt.Sprintf("lines %d and %d swapped: %s / %s", n+1, m+1, lines[n], lines[m]), true, other)
				}
			}
		}
	}
	return all
}

// alterations are words that stand for others, on any platform.
var alterations = [][2]string{
	{"accept", "drop"},
	{"permit", "deny"},
	{"pass", "block drop"},
	{"RETURN", "DROP"},
	{"discard", "accept"},
	{"ACCEPT", "DROP"},
	{"tcp", "udp"},
	{"ingress", "egress"},
	{"inbound", "outbound"},
	{"input", "output"},
	{"iifname", "oifname"},
	{"-i", "-o"},
	{"in", "out"},
	{"dport", "sport"},
	{"daddr", "saddr"},
	{"-d", "-s"},
	{"destination-port", "source-port"},
	{"dst-port", "src-port"},
	{"dst-address", "src-address"},
	{"dst-ip", "src-ip"},
	{"destination-prefix-list", "source-prefix-list"},
	{"from", "to"},
}

var number = regexp.MustCompile(`(^|[ =:\[({,/"])(\d+)($|[ ;\])},/"])`)

// altered are the line with one word or number changed, in each way there is.
func altered(line string) map[string]string {
	all := make(map[string]string)
	for _, pair := range alterations {
		for k := range 2 {
			a, b := pair[k], pair[1-k]
			word := regexp.MustCompile(`(^|[ =\[({,;])` + regexp.QuoteMeta(a) + `($|[ =\])},;])`)
			if other := word.ReplaceAllString(line, "${1}"+b+"${2}"); other != line {
				all[a+" for "+b] = other
			}
		}
	}
	for n, at := range number.FindAllStringSubmatchIndex(line, -1) {
		old := line[at[4]:at[5]]
		var v int
		if _, err := fmt.Sscan(old, &v); err != nil || v > 65535 {
			continue
		}
		other := v + 1
		if v == 32 || v == 128 || v == 64 || v == 48 || v == 24 || v == 25 || v == 28 {
			other = v - 1
		}
		all[fmt.Sprintf("number %d", n)] = line[:at[4]] + fmt.Sprint(other) + line[at[5]:]
	}
	return all
}

// harmless says of an altered line that no packet and no counter is treated
// otherwise; the reason has to be one that a reader of the manual would give.
func harmless(platform, what string) bool {
	for _, one := range []struct{ platform, pattern string }{
		{"nftables", `line \d+: number \d+: \t\ttype filter hook \w+ priority -\d+; policy accept;`}, // its place among chains that all have to pass
		{"iptables", `line 6: number 0: -I FORWARD 2 -i wan -j epf631_in`},                           // behind the other jump, which is for other packets
		{"iptables", `line \d+: number \d+: :epf631_(in|out) - \[[01]:[01]\]`},                       // where a counter begins
		{"ios-xe|ios-xr|eos", `line \d+: number 0: +(sequence )?\d+ (permit|deny|remark) `},          // its place stays between those of its neighbours
		{"ios-xe|ios-xr|eos", `line \d+: (from for to|number \d+): +(\d+ )?remark epf631_\w+: `},     // a word of the reason behind the name
		{"ios-xe|ios-xr|eos", `line \d+: number 1: .*permit tcp any \S+/\d+ eq 631 ack`},             // lets pass what passes
		{"junos", `without line \d+: .* term epf631\w+ then accept`},                                 // a term that counts and says nothing else accepts
	} {
		if slices.Contains(strings.Split(one.platform, "|"), platform) && regexp.MustCompile(one.pattern).MatchString(what) {
			return true
		}
	}
	return false
}

// TestEveryMutantIsFound makes mistakes in the output of every platform. A
// line that is missing or altered has to be found; lines that changed places
// may mean the same, and then every packet has to be treated the same.
func TestEveryMutantIsFound(t *testing.T) {
	for _, p := range render.All {
		for _, name := range []string{"enforce", "count only", "syn only"} {
			t.Run(p.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				form := forms()[name]
				r := proven(t, p.Name, form)
				found, same := 0, 0
				for _, m := range mutants(r.Texts) {
					seen, err := Read(p.Name, m.texts, r.Form.At)
					if err != nil {
						found++
						continue
					}
					ok := true
					for _, one := range seen {
						ok = ok && acl.Prove(r.Form, one.Filter).Proven()
					}
					switch {
					case !ok:
						found++
					case m.swap:
						same++
						sample(t, r.Form.Filter(), seen[0].Filter, m.what)
					case harmless(p.Name, m.what):
						same++
					default:
						t.Errorf("not found: %s", m.what)
					}
				}
				t.Logf("%d found, %d mean the same", found, same)
				if found < 50 {
					t.Errorf("only %d mutants", found+same)
				}
			})
		}
	}
}

// sample compares two filters packet by packet, without diagrams.
func sample(t *testing.T, a, b acl.Filter, what string) {
	t.Helper()
	d := rand.New(rand.NewPCG(1, uint64(len(what))))
	pick := func(words ...string) netip.Addr { return netip.MustParseAddr(words[d.IntN(len(words))]) }
	for range 300 {
		p := acl.Packet{
			Dir: acl.Direction(1 << d.IntN(2)), Proto: []uint8{6, 6, 17, 17, 1}[d.IntN(5)], Frag: acl.Frag(1 << d.IntN(3)),
			SPort: []uint16{40000, 631}[d.IntN(2)], DPort: []uint16{630, 631, 631, 632}[d.IntN(4)], Flags: []acl.Flags{acl.SYN, acl.ACK, acl.SYN | acl.ACK}[d.IntN(3)],
		}
		if d.IntN(2) == 0 {
			p.Src = pick("192.0.2.1", "192.0.2.10", "192.0.2.65", "198.51.100.9", "198.51.100.10")
			p.Dst = pick("198.51.100.15", "198.51.100.16", "198.51.100.31", "198.51.100.64", "203.0.113.7", "203.0.113.127", "203.0.113.128", "192.0.2.9")
		} else {
			p.Src = pick("2001:db8:ffff::10", "2001:db8:ffff::11", "2001:db8:100::1")
			p.Dst = pick("2001:db8:100:16::1", "2001:db8:100:15:ffff::", "2001:db8:203::", "2001:db8:204::", "2001:db8:ffff::1")
			p.Ext = p.Frag != acl.Whole || d.IntN(2) == 0
		}
		if p.Frag == acl.Later || p.Proto == 1 {
			p.SPort, p.DPort = 0, 0
		}
		if p.Proto != 6 || p.Frag == acl.Later {
			p.Flags = 0
		}
		was, _ := a.Walk(p)
		is, _ := b.Walk(p)
		if was != is {
			t.Fatalf("%s: proven, and %s is %s and %s", what, p, was, is)
		}
	}
}
