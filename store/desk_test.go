package store

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// aTown is some cases of every kind.
func aTown(t *testing.T, s *Store, n int) []exposure.Exposure {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var all []exposure.Exposure
	var doors []netip.AddrPort
	for i := range n {
		e := sample(fmt.Sprintf("10.0.%d.%d", i%7, i%251), []string{"open-ipp", "open-cups", "no-tls"}[i%3])
		if i%5 == 0 {
			e.Addr = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i))
		}
		if slices.ContainsFunc(all, func(o exposure.Exposure) bool { return o.Key == e.Key }) {
			continue
		}
		e.Severity = exposure.Severities[r.IntN(len(exposure.Severities))]
		e.Condition = conditions[r.IntN(len(conditions))]
		e.Contact = contacts[r.IntN(len(contacts))]
		e.Ruling = rulings[r.IntN(len(rulings))]
		e.Where.Country, e.Where.ASN = []string{"DE", "FR", ""}[r.IntN(3)], []uint32{64496, 64497, 0}[r.IntN(3)]
		e.FirstSeen = time.Date(2026, 11, 1+r.IntN(20), 0, 0, 0, 0, time.UTC)
		e.LastSeen = time.Date(2026, 11, 21, r.IntN(24), 0, 0, 0, time.UTC)
		e.Assignee = []string{"", "", "m.roe"}[r.IntN(3)]
		all, doors = append(all, e), append(doors, netip.AddrPortFrom(e.Addr, e.Port))
	}
	if err := s.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return all, nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDesk compares pages with what a plain loop finds, along every way that
// there is.
func TestDesk(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := aTown(t, s, 200)
	net := netip.MustParsePrefix("10.0.2.0/23")
	filters := map[string]struct {
		desk  Desk
		takes func(e exposure.Exposure) bool
	}{
		"all":      {Desk{}, func(exposure.Exposure) bool { return true }},
		"severity": {Desk{Severities: []exposure.Severity{exposure.High, exposure.Low}}, func(e exposure.Exposure) bool { return e.Severity == exposure.High || e.Severity == exposure.Low }},
		"worse":    {Desk{Filter: Filter{MinSeverity: exposure.High}}, func(e exposure.Exposure) bool { return e.Severity.AtLeast(exposure.High) }},
		"fixed":    {Desk{Filter: Filter{Conditions: []exposure.Condition{exposure.Fixed}}}, func(e exposure.Exposure) bool { return e.Condition == exposure.Fixed }},
		"work": {Desk{Filter: Work()}, func(e exposure.Exposure) bool {
			return slices.Contains(Work().Conditions, e.Condition) && e.Ruling == exposure.NoRuling
		}},
		"claimed":    {Desk{Filter: Filter{Contacts: []exposure.Contact{exposure.Claimed}}}, func(e exposure.Exposure) bool { return e.Contact == exposure.Claimed }},
		"accepted":   {Desk{Filter: Filter{Rulings: []exposure.Ruling{exposure.Accepted}}}, func(e exposure.Exposure) bool { return e.Ruling == exposure.Accepted }},
		"rule":       {Desk{Filter: Filter{Rules: []string{"no-tls", "open-ipp"}}}, func(e exposure.Exposure) bool { return e.Rule != "open-cups" }},
		"network":    {Desk{Filter: Filter{Prefix: net}}, func(e exposure.Exposure) bool { return net.Contains(e.Addr) }},
		"assignee":   {Desk{Filter: Filter{Assignee: "m.roe"}}, func(e exposure.Exposure) bool { return e.Assignee == "m.roe" }},
		"country":    {Desk{Country: "DE"}, func(e exposure.Exposure) bool { return e.Where.Country == "DE" }},
		"AS":         {Desk{ASN: 64496}, func(e exposure.Exposure) bool { return e.Where.ASN == 64496 }},
		"AS country": {Desk{ASN: 64496, Country: "FR"}, func(e exposure.Exposure) bool { return e.Where.ASN == 64496 && e.Where.Country == "FR" }},
		"constituent": {
			Desk{Filter: Filter{Of: Part{Networks: []netip.Prefix{net}, ASNs: []uint32{64496}, Countries: []string{"FR"}}}},
			func(e exposure.Exposure) bool {
				return net.Contains(e.Addr) || e.Where.ASN == 64496 || e.Where.Country == "FR"
			},
		},
		"age": {
			Desk{FirstSince: time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC), FirstBefore: time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC)},
			func(e exposure.Exposure) bool { return e.FirstSeen.Day() >= 5 && e.FirstSeen.Day() < 9 },
		},
		"seen": {
			Desk{Filter: Filter{Since: time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC), Before: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}},
			func(e exposure.Exposure) bool { return e.LastSeen.Hour() >= 5 && e.LastSeen.Hour() < 9 },
		},
	}
	wasFew := few
	defer func() { few = wasFew }()
	owner := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for name, f := range filters {
		for _, order := range []CaseOrder{CasesBySeen, CasesBySeverity, CasesByAddr} {
			for _, down := range []bool{false, true} {
				for view, v := range map[string]access.View{"few": access.CLI(time.Time{}), "many": access.CLI(time.Time{}), "own": owner} {
					few = 1000
					if view == "many" {
						few = 0
					}
					d := f.desk
					d.Order, d.Down = order, down
					var want []exposure.Exposure
					for _, e := range all {
						if f.takes(e) && (view != "own" || owner.Sees(e.Addr, e.LastSeen)) {
							want = append(want, e)
						}
					}
					slices.SortFunc(want, func(a, b exposure.Exposure) int { return d.compare(&a, &b) })
					for _, size := range []int{0, 7} {
						d.Size, d.Behind = size, ""
						what := fmt.Sprintf("%s by %s, down %v, %s, size %d", name, order, down, view, size)
						got := paging(t, s, v, d)
						if strings.Join(got, " ") != strings.Join(marks(want), " ") {
							t.Fatalf("%s: %d cases in their order, want %d:\n%s\n%s", what, len(got), len(want), strings.Join(got, "\n"), strings.Join(marks(want), "\n"))
						}
					}
				}
			}
		}
	}
	for _, err := range s.Cases(t.Context(), access.View{}, Desk{Order: CasesBySeen}) {
		t.Errorf("the public sees a case, or %v", err)
	}
}

// paging reads page after page to the end.
func paging(t *testing.T, s *Store, v access.View, d Desk) []string {
	t.Helper()
	var got []string
	for {
		n := 0
		for e, err := range s.Cases(t.Context(), v, d) {
			if err != nil {
				t.Fatal(err)
			}
			got, n = append(got, CaseMark(&e)), n+1
		}
		if d.Size == 0 || n < d.Size {
			return got
		}
		d.Behind = got[len(got)-1]
	}
}

func marks(es []exposure.Exposure) []string {
	var all []string
	for i := range es {
		all = append(all, CaseMark(&es[i]))
	}
	return all
}

func TestCaseMark(t *testing.T) {
	for _, bad := range []string{"", "x", "high|x|10.0.0.1|tcp|631|r", "high|1|x|tcp|631|r", "high|1|10.0.0.1|tcp|99999|r"} {
		if IsCaseMark(bad) {
			t.Errorf("%q is a mark", bad)
		}
	}
}

// BenchmarkDesk is the first page of a desk's listing among a million cases, in
// each order, for filters that are met often and for such that are met seldom.
func BenchmarkDesk(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	// Written in one statement: what is measured is reading.
	_, err = s.writes.ExecContext(b.Context(), `WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < 999999)
		INSERT INTO exposures (addr, transport, port, rule, name, severity, condition, since, contact, ruling, cycle, first_seen, last_seen, times_seen,
			evidence, last, country, region, city, asn, as_name, hostname, simulated, ruled_until, assignee)
		SELECT unhex(printf('04%08x', 167772160 + x / 7 * 97)), 'tcp', 631,
			json_extract('["open-ipp","open-cups","anonymous-print","no-tls","leaks-internal-address","leaks-people","reported-cups-version"]', '$[' || (x % 7) || ']'),
			printf('%012X', x), CASE WHEN x % 2000 = 0 THEN 'critical' ELSE json_extract('["high","medium","medium","low","info"]', '$[' || (x * 7919 % 5) || ']') END,
			CASE WHEN x % 5 = 3 THEN 'fixed' ELSE 'confirmed' END, 1, CASE WHEN x % 2000 = 1 THEN 'claimed' ELSE 'none' END,
			CASE WHEN x % 2000 = 0 THEN 'accepted' ELSE 'none' END, 1, ?1 - x * 2000000000, ?1 - (x * 104729 % 2592000) * 1000000000, 3,
			'it answered CUPS-Get-Printers with 1 queue: printer-of-the-third-floor', 'x', json_extract('["US","DE","DE","FR"]', '$[' || (x / 7 % 4) || ']'), '', '',
			64500 + x / 7 % 200, 'Example Net', '', 0, CASE WHEN x % 2000 = 0 THEN ?1 + 1 ELSE 0 END, CASE WHEN x % 2000 = 1 THEN 'm.roe' ELSE '' END
		FROM n`, at.UnixNano())
	if err != nil {
		b.Fatal(err)
	}
	filtered := func(change func(*Desk)) Desk {
		d := Desk{Filter: Work(), Order: CasesBySeverity, Down: true}
		change(&d)
		return d
	}
	for name, d := range map[string]Desk{
		"work":     filtered(func(*Desk) {}),
		"seen":     filtered(func(d *Desk) { d.Order = CasesBySeen }),
		"unseen":   filtered(func(d *Desk) { d.Order, d.Down = CasesBySeen, false }),
		"address":  filtered(func(d *Desk) { d.Order, d.Down = CasesByAddr, false }),
		"country":  filtered(func(d *Desk) { d.Country = "FR" }),
		"nowhere":  filtered(func(d *Desk) { d.Country = "XX" }),
		"AS":       filtered(func(d *Desk) { d.ASN = 64577 }),
		"critical": filtered(func(d *Desk) { d.Severities = []exposure.Severity{exposure.Critical}; d.Rulings = nil }),
		"fixed":    filtered(func(d *Desk) { d.Conditions = []exposure.Condition{exposure.Fixed} }),
		"accepted": filtered(func(d *Desk) { d.Rulings = []exposure.Ruling{exposure.Accepted} }),
		"claimed":  filtered(func(d *Desk) { d.Contacts = []exposure.Contact{exposure.Claimed} }),
		"assignee": filtered(func(d *Desk) { d.Assignee = "m.roe" }),
		"network":  filtered(func(d *Desk) { d.Prefix = netip.MustParsePrefix("10.7.0.0/24") }),
		"rule":     filtered(func(d *Desk) { d.Rules = []string{"no-tls"} }),
		"owner": filtered(func(d *Desk) {
			d.Of = Part{ASNs: []uint32{64577}, Networks: []netip.Prefix{netip.MustParsePrefix("10.78.0.0/16")}}
		}),
		"page 1000": filtered(func(d *Desk) {
			d.Order, d.Down, d.Behind = CasesByAddr, false, "high|1|10.100.0.7|tcp|631|no-tls"
		}),
	} {
		d.Size = 51
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				for _, err := range s.Cases(b.Context(), access.CLI(at), d) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n), "cases")
		})
	}
}
