package filter

import (
	"net/netip"
	"strings"
	"testing"

	"ippwatch/acl"
	"ippwatch/exposure"
)

func TestCovers(t *testing.T) {
	p := policy()
	p.Torn = false
	form := p.Form(now, false)
	proven := proven(t, "nftables", form)
	read := func(change func(string) string) []Seen {
		seen, err := Read("nftables", []acl.Text{{Name: "x", Body: change(proven.Texts[0].Body)}}, form.At)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	same := func(s string) string { return s }
	for _, c := range []struct {
		name   string
		change func(string) string
		addr   string
		port   uint16
		tr     exposure.Transport
		want   string
	}{
		{"a host of the networks", same, "198.51.100.7", 631, exposure.TCP, "epf631_in_tcp"},
		{"over UDP", same, "2001:db8:100::7", 631, exposure.UDP, "epf631_in_udp"},
		{"a print server that is excepted over TCP", same, "198.51.100.17", 631, exposure.TCP, ""},
		{"the same over UDP", same, "198.51.100.17", 631, exposure.UDP, "epf631_in_udp"},
		{"another port", same, "198.51.100.7", 632, exposure.TCP, ""},
		{"somebody else's host", same, "192.0.2.7", 631, exposure.TCP, ""},
		{"a filter that counts", func(s string) string { return strings.ReplaceAll(s, "drop", "accept") }, "198.51.100.7", 631, exposure.TCP, ""},
		{"a filter that looks at the next header", func(s string) string {
			return strings.ReplaceAll(s, "meta l4proto udp th dport", "ip6 nexthdr udp udp dport")
		}, "2001:db8:100::7", 631, exposure.UDP, ""},
		{"a line that is not understood", func(s string) string {
			return strings.Replace(s, "policy accept;", "policy accept;\n\t\tfrobnicate", 1)
		}, "198.51.100.7", 631, exposure.TCP, ""},
		{"no filter", func(string) string { return "" }, "198.51.100.7", 631, exposure.TCP, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule, ok := Covers(form, read(c.change), netip.MustParseAddr(c.addr), c.port, c.tr)
			if rule != c.want && ok || ok != (c.want != "") {
				t.Errorf("Covers = %q, %v, want %q", rule, ok, c.want)
			}
		})
	}
}

func TestOutside(t *testing.T) {
	p := policy()
	p.Networks = prefixes("198.51.100.0/24", "2001:db8:100::/48")
	v := &Outside{Policy: p, Form: p.Form(now, false), UDP: true, From: map[acl.Family]netip.Addr{
		acl.V4: netip.MustParseAddr("203.0.113.200"), acl.V6: netip.MustParseAddr("2001:db8:fffe::1"),
	}}
	if rule, _ := v.Excepted(); rule != "" {
		t.Fatalf("excepted by %s", rule)
	}
	hear := func(addr string, tr exposure.Transport, verdict exposure.Verdict) {
		v.Hear(exposure.Observation{Addr: netip.MustParseAddr(addr), Port: 631, Transport: tr, Verdict: verdict})
	}
	verdicts := func() string {
		ways, leaks := v.Judge()
		var words []string
		for _, w := range ways {
			words = append(words, w.Verdict)
		}
		for _, l := range leaks {
			words = append(words, l.Addr.String()+" past "+l.Rule)
		}
		return strings.Join(words, ", ")
	}
	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"nothing was asked", func() {}, "not asked, not asked, not asked, not applicable"},
		{"silence alone", func() { hear("198.51.100.7", exposure.TCP, exposure.NoAnswer) }, "unproven, not asked, not asked, not applicable"},
		{"the print server answers, as it may", func() { hear("198.51.100.17", exposure.TCP, exposure.Answered) }, "holds, not asked, not asked, not applicable"},
		{"errors prove nothing", func() { hear("2001:db8:100::7", exposure.TCP, exposure.Unreachable) }, "holds, not asked, unproven, not applicable"},
		{"UDP is silent", func() {
			hear("198.51.100.7", exposure.UDP, exposure.NoCallback)
			hear("2001:db8:100::7", exposure.UDP, exposure.NotApplicable)
		}, "holds, holds, unproven, not applicable"},
		{"a refusal came through", func() { hear("198.51.100.8", exposure.TCP, exposure.Closed) }, "leaks, holds, unproven, not applicable, 198.51.100.8 past epf631_in_tcp"},
		{"a call-back", func() { hear("198.51.100.17", exposure.UDP, exposure.CalledBack) }, "leaks, leaks, unproven, not applicable, 198.51.100.8 past epf631_in_tcp, 198.51.100.17 past epf631_in_udp"},
		{"what answered once came through", func() { hear("198.51.100.17", exposure.UDP, exposure.NoCallback) }, "leaks, leaks, unproven, not applicable, 198.51.100.8 past epf631_in_tcp, 198.51.100.17 past epf631_in_udp"},
	}
	for _, s := range steps {
		s.do()
		if got := verdicts(); got != s.want {
			t.Errorf("%s: %s, want %s", s.name, got, s.want)
		}
	}
	v.From[acl.V4] = netip.MustParseAddr("192.0.2.10")
	if rule, from := v.Excepted(); rule != "epf631_x3" || from != v.From[acl.V4] {
		t.Errorf("excepted by %q (%s)", rule, from)
	}
}

func TestCustomerPolicyIsRead(t *testing.T) {
	text := CustomerPolicy(Customer{
		Name: "a\"\n  evil: true # \\", Hosts: []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:100::7")},
		Interfaces: []string{"cust0"}, Owner: "Ms Ö: \"x\"", Contact: "https://www.example.net/?a=b#c",
	}, now)
	p, err := acl.ParsePolicy("p.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(p.Networks) != 2 || p.Profile != acl.CustomerEdge || p.Owner != "Ms Ö: \"x\"" || p.Contact != "https://www.example.net/?a=b#c" {
		t.Errorf("%+v", p)
	}
}
