package acl_test

import (
	"errors"
	"testing"
	"time"

	"ippwatch/acl"
	"ippwatch/filter"
)

// Whatever is written in a policy file: if it is accepted, the filter is proven
// or refused with a reason.
func FuzzParsePolicy(f *testing.F) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	f.Add([]byte(acl.Example(now)))
	f.Add([]byte("profile: host\nowner: a\ncontact: b\nreview: 2027-01-01\nnetworks: [10.0.0.0/8]\none_family: x\ntcp: syn-only\nunknown_upper_layer: drop\nlog: none\nports: [1, 65535]\n"))
	f.Add([]byte("exceptions:\n  - to: [\"::/0\"]\n    from: [2001:db8::]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 10_000 {
			return
		}
		p, err := acl.ParsePolicy("p.yaml", text)
		if err != nil {
			return
		}
		_ = p.Lint(now)
		for _, platform := range []string{"nftables", "iptables", "pf"} {
			if _, err := filter.Render(platform, p.Form(now, false)); err != nil && !errors.Is(err, acl.ErrCannot) {
				t.Fatal(err)
			}
		}
	})
}
