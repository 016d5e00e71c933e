package store

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
)

// TestAnOrderBindsARunningScan gives orders through one handle and reads them
// through another, as a scan in another process does.
func TestAnOrderBindsARunningScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	cli, scan := open0(t, dir), open0(t, dir)
	ctx := t.Context()
	generation := int64(-1)
	check := func(name string, paused bool, excluded ...string) {
		t.Helper()
		for range 2 { // the second time from memory
			c, err := scan.Control(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range c.Excluded {
				got = append(got, p.String())
			}
			if d := cmp.Diff(excluded, got, equateEmpty); d != "" || c.Paused != paused {
				t.Errorf("%s: paused %v, want %v; excluded (-want +got):\n%s", name, c.Paused, paused, d)
			}
			generation = max(generation, c.Generation)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("at first", false)
	must(cli.Exclude(ctx, netip.MustParsePrefix("198.51.100.9/24"), "asked by mail", "ann", noon))
	check("an exclusion", false, "198.51.100.0/24")
	was := generation
	must(cli.Exclude(ctx, netip.MustParsePrefix("2001:db8::/32"), "", "ann", noon))
	must(cli.Exclude(ctx, netip.MustParsePrefix("192.0.2.0/24"), "", "ann", noon.Add(time.Second)))
	must(cli.Exclude(ctx, netip.MustParsePrefix("192.0.2.0/24"), "again", "bob", noon.Add(time.Minute)))
	check("several, in order", false, "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32")
	if generation != was+3 {
		t.Errorf("generation = %d after three more orders, want %d", generation, was+3)
	}
	must(cli.Pause(ctx, "ann", "complaint", noon))
	check("a pause", true, "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32")
	if p, ok, err := scan.Paused(ctx); !ok || err != nil || p != (Pause{"ann", "complaint", noon}) {
		t.Errorf("Paused = %+v, %v, %v", p, ok, err)
	}
	must(cli.Resume(ctx, "ann", noon))
	if ok, err := cli.Unexclude(ctx, netip.MustParsePrefix("198.51.100.0/24"), "ann", noon); !ok || err != nil {
		t.Errorf("Unexclude = %v, %v, want true", ok, err)
	}
	check("lifted", false, "192.0.2.0/24", "2001:db8::/32")
	if _, ok, err := scan.Paused(ctx); ok || err != nil {
		t.Errorf("Paused = %v, %v after Resume", ok, err)
	}
	was = generation
	if ok, err := cli.Unexclude(ctx, netip.MustParsePrefix("192.0.2.0/25"), "ann", noon); ok || err != nil {
		t.Errorf("Unexclude of a part = %v, %v, want false", ok, err)
	}
	if err := cli.Exclude(ctx, netip.Prefix{}, "", "ann", noon); err == nil {
		t.Error("the zero prefix is excluded")
	}
	check("orders that failed", false, "192.0.2.0/24", "2001:db8::/32")
	if generation != was {
		t.Error("an order that failed raises the generation")
	}

	acts, err := scan.Audit(ctx, operator(), time.Time{}, 100)
	must(err)
	var whats []string
	for _, a := range acts {
		whats = append(whats, a.Who+" "+a.What)
	}
	want := []string{"ann unexclude", "ann resume", "ann pause", "bob exclude", "ann exclude", "ann exclude", "ann exclude"}
	if d := cmp.Diff(want, whats); d != "" {
		t.Errorf("the audit log differs (-want +got):\n%s", d)
	}
	if last := acts[len(acts)-1]; last != (Action{noon, "ann", "exclude", "198.51.100.0/24: asked by mail"}) {
		t.Errorf("the first action = %+v", last)
	}
	must(scan.Record(ctx, Action{At: noon.Add(time.Hour), Who: "ann", What: "restore", Detail: "x"}))
	if acts, err := scan.Audit(ctx, operator(), noon.Add(time.Hour), 100); err != nil || len(acts) != 1 {
		t.Errorf("Audit since later = %v, %v, want one", acts, err)
	}
}

func TestExclusionsAreSeenByWhomTheyConcern(t *testing.T) {
	s := fresh(t)
	for _, p := range []string{"192.0.2.0/24", "198.51.100.128/25", "2001:db8::/32"} {
		if err := s.Exclude(t.Context(), netip.MustParsePrefix(p), "why", "ann", noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		view access.View
		want int
	}{
		{"an operator sees all", operator(), 3},
		{"a constituent sees those that touch its networks", access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.0.0/16")}}, 1},
		{"a constituent elsewhere sees none", access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, 0},
		{"the public sees none", access.View{}, 0},
	} {
		got, err := s.Exclusions(t.Context(), c.view)
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %v, %v, want %d", c.name, got, err, c.want)
		}
	}
	if acts, err := s.Audit(t.Context(), access.View{Tier: access.Constituent}, time.Time{}, 10); err != nil || len(acts) != 0 {
		t.Errorf("a constituent sees the audit log: %v, %v", acts, err)
	}
}

func BenchmarkControl(b *testing.B) {
	s := fresh(b)
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		if err := s.Exclude(b.Context(), p, "", "ann", noon); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := s.Control(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
