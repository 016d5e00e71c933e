package store

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go4.org/netipx"

	"ippwatch/access"
	"ippwatch/exposure"
)

var equatePeople = gocmp.Options{
	equateEmpty, cmpopts.EquateComparable(netip.Prefix{}), gocmp.Comparer(func(a, b netipx.IPRange) bool { return a == b }),
}

func TestPeopleComeBackAsTheyWereKept(t *testing.T) {
	s := fresh(t)
	want := People{
		Generation: 1,
		Imports:    []Import{{Kind: ImportConstituents, Source: "crm", File: "f.yaml", Who: "j.doe", At: noon, Done: true}},
		Layers: []Layer{{Source: "crm", Constituent: exposure.Constituent{
			Name: "a", Title: "A", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			ASNs: []uint32{4200000000}, Countries: []string{"DE"}, Language: "de",
			Contacts: []exposure.Recipient{{
				Name: "N", Role: "abuse", Language: "de", Medium: exposure.ByMail, Address: "a@example.net", Format: []exposure.Form{exposure.FormXARF},
				PGPKey: "ABCD", Interval: time.Hour, BusinessDays: true, OptOut: true, Source: "import crm", Found: noon,
			}},
		}}},
		Edits:    []Edit{{Name: "a", Field: "language", Value: "en", Who: "j.doe", At: noon}},
		Statuses: []Status{{Contact: "mail:a@example.net", Status: OptOut, Reason: "asked", Source: "by hand", Who: "j.doe", At: noon}},
	}
	change := PeopleChange{Import: &want.Imports[0], Layers: want.Layers, Edits: want.Edits, Statuses: want.Statuses, Audit: []Action{{At: noon, Who: "j.doe", What: "edit constituent", Detail: "a: x"}}}
	if err := s.ChangePeople(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	got, err := s.People(t.Context(), operator())
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(want, got, equatePeople); d != "" {
		t.Errorf("People differs (-want +got):\n%s", d)
	}
	if err := s.ChangePeople(t.Context(), change); !errors.Is(err, ErrChanged) {
		t.Errorf("a change of what was read before another's = %v, want ErrChanged", err)
	}
	if log, err := s.AuditAbout(t.Context(), operator(), []string{"edit constituent"}, "a:", 10); err != nil || len(log) != 1 {
		t.Errorf("AuditAbout = %v, %v, want the change that was made", log, err)
	}
	theirs := access.View{Tier: access.Constituent, Networks: want.Layers[0].Networks}
	if p, err := s.People(t.Context(), theirs); err != nil || len(p.Layers)+len(p.Statuses) > 0 {
		t.Errorf("a constituent sees %v, %v", p, err)
	}
	if log, err := s.AuditAbout(t.Context(), theirs, []string{"edit constituent"}, "", 10); err != nil || len(log) > 0 {
		t.Errorf("a constituent sees the log: %v, %v", log, err)
	}
	undo := PeopleChange{Generation: 1, Dropped: want.Layers, Forgotten: "crm", Undone: want.Edits, Lifted: want.Statuses}
	if err := s.ChangePeople(t.Context(), undo); err != nil {
		t.Fatal(err)
	}
	if got, err := s.People(t.Context(), operator()); err != nil || len(got.Imports)+len(got.Layers)+len(got.Edits)+len(got.Statuses) > 0 || got.Generation != 2 {
		t.Errorf("after all was taken back: %v, %v", got, err)
	}
}

func TestLookupsAreOfARange(t *testing.T) {
	s := fresh(t)
	wide, narrow := netipx.MustParseIPRange("192.0.2.0-192.0.2.255"), netipx.MustParseIPRange("192.0.2.7-192.0.2.7")
	mail := func(a string) *exposure.Recipient {
		return &exposure.Recipient{Medium: exposure.ByMail, Address: a, Source: exposure.RDAP, Found: noon}
	}
	put := func(rows ...Lookup) {
		t.Helper()
		if err := s.PutLookups(t.Context(), rows, Action{At: noon, Who: "j.doe", What: "look up contact"}); err != nil {
			t.Fatal(err)
		}
	}
	put(Lookup{Range: wide, Source: exposure.RDAP, Contact: mail("old@example.net"), Via: "u", At: noon})
	put(Lookup{Range: wide, Source: exposure.RDAP, Contact: mail("a@example.net"), Via: "u", At: noon}, Lookup{Range: wide, Source: exposure.RDAP, Contact: mail("b@example.net"), Via: "u", At: noon})
	none := Lookup{Range: narrow, Source: exposure.SecurityTxt, Via: "v", At: noon, Expires: noon.Add(time.Hour)}
	put(none)
	for addr, want := range map[string][]string{
		"192.0.2.7": {"a@example.net", "b@example.net", "-"}, "192.0.2.8": {"a@example.net", "b@example.net"},
		"192.0.3.0": nil, "2001:db8::1": nil,
	} {
		all, err := s.Lookups(t.Context(), operator(), netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range all {
			if l.Contact == nil {
				got = append(got, "-")
				if d := gocmp.Diff(none, l, equatePeople); d != "" {
					t.Errorf("a look-up without result (-want +got):\n%s", d)
				}
				continue
			}
			got = append(got, l.Contact.Address)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Lookups(%s) = %v, want %v", addr, got, want)
		}
	}
	theirs := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	if all, err := s.Lookups(t.Context(), theirs, narrow.From()); err != nil || len(all) > 0 {
		t.Errorf("a constituent sees %v, %v", all, err)
	}
}

func TestAssignments(t *testing.T) {
	s := fresh(t)
	row := func(prefix, customer string, from, to int) exposure.Assignment {
		a := exposure.Assignment{Prefix: netip.MustParsePrefix(prefix), Customer: customer, Source: "dhcp"}
		if from > 0 {
			a.From = noon.AddDate(0, 0, from)
		}
		if to > 0 {
			a.To = noon.AddDate(0, 0, to)
		}
		return a
	}
	imports := func(day int, complete bool, want AssignmentResult, rows ...exposure.Assignment) {
		t.Helper()
		slices.SortFunc(rows, CompareAssignments)
		got, err := s.ImportAssignments(t.Context(), AssignmentImport{
			Import: Import{Source: "dhcp", File: "f", Who: "j.doe", At: noon.AddDate(0, 0, day)}, Rows: rows, Complete: complete,
		})
		if err != nil || got != want {
			t.Errorf("the import of day %d = %+v, %v, want %+v", day, got, err, want)
		}
	}
	wide, first, second := row("192.0.2.0/24", "isp", 0, 0), row("192.0.2.7/32", "a", 1, 0), row("2001:db8:7::/56", "b", 1, 9)
	imports(1, false, AssignmentResult{Added: 3}, wide, first, second)
	imports(2, false, AssignmentResult{Same: 3}, wide, first, second)
	first.To = noon.AddDate(0, 0, 3)
	imports(3, false, AssignmentResult{Changed: 1}, first)
	third := row("192.0.2.7/32", "c", 4, 0)
	imports(4, false, AssignmentResult{Added: 1}, third)
	imports(5, true, AssignmentResult{Same: 1, Ended: 1}, wide)
	third.To = noon.AddDate(0, 0, 5)

	of := func(v access.View, addr string) []exposure.Assignment {
		t.Helper()
		all, err := s.AssignmentsOf(t.Context(), v, netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	for addr, want := range map[string][]exposure.Assignment{
		"192.0.2.7": {wide, first, third}, "::ffff:192.0.2.7": {wide, first, third}, "192.0.2.8": {wide}, "2001:db8:7:ff::1": {second}, "192.0.3.1": nil,
	} {
		if d := gocmp.Diff(want, of(operator(), addr), equatePeople); d != "" {
			t.Errorf("AssignmentsOf(%s) (-want +got):\n%s", addr, d)
		}
	}
	if all := of(access.View{Tier: access.Constituent, Networks: []netip.Prefix{wide.Prefix}}, "192.0.2.7"); len(all) > 0 {
		t.Errorf("a constituent sees who its neighbours are: %v", all)
	}
	during := func(from, to int) (names []string) {
		t.Helper()
		for a, err := range s.AssignmentsDuring(t.Context(), operator(), noon.AddDate(0, 0, from), noon.AddDate(0, 0, to)) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, a.Customer)
		}
		return names
	}
	for _, c := range []struct {
		from, to int
		want     string
	}{{-9, 0, "[isp]"}, {1, 2, "[isp a b]"}, {3, 4, "[isp b]"}, {4, 5, "[isp c b]"}, {20, 21, "[isp]"}} {
		if got := fmt.Sprint(during(c.from, c.to)); got != c.want {
			t.Errorf("from day %d to %d: %s, want %s", c.from, c.to, got, c.want)
		}
	}
	if n, err := s.ForgetAssignments(t.Context(), "dhcp", "j.doe", noon); err != nil || n != 4 {
		t.Errorf("ForgetAssignments = %d, %v, want 4", n, err)
	}
	if all := during(-9, 99); len(all) > 0 {
		t.Errorf("forgotten, there are %v", all)
	}
}

// TestManyAssignments crosses chunks and pages.
func TestManyAssignments(t *testing.T) {
	s := fresh(t)
	const n = 25_003
	var rows []exposure.Assignment
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		rows = append(rows, exposure.Assignment{Prefix: p, Customer: fmt.Sprint(i), From: noon})
	}
	in := AssignmentImport{Import: Import{Source: "dhcp", At: noon.Add(time.Hour)}, Rows: rows}
	if got, err := s.ImportAssignments(t.Context(), in); err != nil || got.Added != n {
		t.Fatalf("ImportAssignments = %+v, %v", got, err)
	}
	seen := 0
	for a, err := range s.AssignmentsDuring(t.Context(), operator(), noon, noon.Add(1)) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Customer != fmt.Sprint(seen) {
			t.Fatalf("row %d is of %s", seen, a.Customer)
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d assignments, want %d", seen, n)
	}
	in.Rows, in.Complete = rows[:1], true
	if got, err := s.ImportAssignments(t.Context(), in); err != nil || got.Ended != n-1 || got.Same != 1 {
		t.Errorf("a list of one lease: %+v, %v", got, err)
	}
}
