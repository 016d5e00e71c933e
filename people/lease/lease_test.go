package lease_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people/lease"
	"ippwatch/store"
)

var (
	noon           = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	equateNetworks = gocmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}
)

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir()+"/data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func day(n int) time.Time { return time.Date(2026, 11, 1+n, 0, 0, 0, 0, time.UTC) }

func assigned(prefix, customer string, from, to time.Time) exposure.Assignment {
	return exposure.Assignment{Prefix: netip.MustParsePrefix(prefix), Customer: customer, From: from, To: to}
}

func TestHold(t *testing.T) {
	never := time.Time{}
	all := []exposure.Assignment{
		assigned("203.0.113.0/24", "isp", never, never),
		assigned("203.0.113.7/32", "a", day(1), day(3)),
		assigned("203.0.113.7/32", "a", day(3), day(5)), // renewed
		assigned("203.0.113.7/32", "b", day(8), never),
		assigned("203.0.113.7/32", "c", day(10), never), // b's end was never heard of
		assigned("203.0.113.7/32", "x", day(20), day(21)),
		assigned("203.0.113.7/32", "y", day(20), day(22)),
	}
	type span struct {
		customer string
		from, to time.Time
	}
	for _, test := range []struct {
		name string
		at   time.Time
		want span
	}{
		{"before any lease, by the wider prefix", day(0), span{"isp", never, day(1)}},
		{"a lease that was renewed is one", day(2), span{"a", day(1), day(5)}},
		{"the moment of renewal", day(3), span{"a", day(1), day(5)}},
		{"the moment of its end", day(5), span{"isp", day(5), day(8)}},
		{"one that never ended, until the next begins", day(9), span{"b", day(8), day(10)}},
		{"the last that began", day(15), span{"c", day(10), day(20)}},
		{"two that are as good are nobody", day(20).Add(time.Hour), span{"", day(20), day(21)}},
		{"then the one that goes on", day(21), span{"y", day(21), day(22)}},
		{"and the open one again", day(30), span{"c", day(22), never}},
	} {
		h := lease.Hold(all, test.at)
		if got := (span{h.Customer, h.From, h.To}); got != test.want {
			t.Errorf("%s: Hold = %v, want %v", test.name, got, test.want)
		}
	}
	if h := lease.Hold(nil, day(0)); h.Customer != "" || !h.From.IsZero() || !h.To.IsZero() {
		t.Errorf("of nothing, Hold = %v", h)
	}
}

// naive is the obvious way to find who holds an address.
func naive(all []exposure.Assignment, addr netip.Addr, at time.Time) string {
	var in []exposure.Assignment
	for _, a := range all {
		if a.Prefix.Contains(addr) && a.Holds(at) {
			in = append(in, a)
		}
	}
	slices.SortFunc(in, func(a, b exposure.Assignment) int {
		return cmp.Or(cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()), b.From.Compare(a.From))
	})
	if len(in) == 0 {
		return ""
	}
	for _, a := range in[1:] {
		if a.Prefix == in[0].Prefix && a.From.Equal(in[0].From) && a.Customer != in[0].Customer {
			return ""
		}
	}
	return in[0].Customer
}

func sequence(all []exposure.Assignment) iter.Seq2[exposure.Assignment, error] {
	return func(yield func(exposure.Assignment, error) bool) {
		for _, a := range all {
			if !yield(a, nil) {
				return
			}
		}
	}
}

// TestLeasesProperty: memory, store and the obvious way agree, and within the
// bounds of a lease the answer is the same, just outside it is not.
func TestProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 10 {
		s := openStore(t)
		var all []exposure.Assignment
		for _, source := range []string{"dhcp", "radius"} {
			var rows []exposure.Assignment
			for range 40 {
				a := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(8))})
				if r.IntN(3) == 0 {
					a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(4))})
				}
				p, err := a.Prefix([]int{a.BitLen(), a.BitLen(), a.BitLen() - 2, 0}[r.IntN(4)])
				if err != nil {
					t.Fatal(err)
				}
				row := exposure.Assignment{Prefix: p, Customer: fmt.Sprintf("c%d", r.IntN(4)), Source: source}
				if r.IntN(6) > 0 {
					row.From = day(r.IntN(20))
				}
				if r.IntN(2) > 0 {
					row.To = day(20+r.IntN(5)).AddDate(0, 0, -r.IntN(15))
					if !row.From.Before(row.To) {
						continue
					}
				}
				rows = append(rows, row)
			}
			slices.SortFunc(rows, store.CompareAssignments)
			rows = slices.CompactFunc(rows, func(a, b exposure.Assignment) bool { return store.CompareAssignments(a, b) == 0 })
			_, err := s.ImportAssignments(t.Context(), store.AssignmentImport{Import: store.Import{Source: source, At: noon}, Rows: rows})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, rows...)
		}
		l, err := lease.NewTable(sequence(all))
		if err != nil {
			t.Fatal(err)
		}
		customers := lease.NewCustomers(s, access.CLI(noon), nil)
		for range 200 {
			a := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(9))})
			if r.IntN(3) == 0 {
				a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(5))})
			}
			at := day(r.IntN(26)).Add(time.Duration(r.IntN(3)-1) * time.Nanosecond)
			want := naive(all, a, at)
			h, err := customers.Who(t.Context(), a, at)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Customer(a, at); got != want || h.Customer != want {
				t.Fatalf("round %d: %s at %s: memory %q, store %q, want %q", round, a, at, got, h.Customer, want)
			}
			if at.Before(h.From) || !h.To.IsZero() && !at.Before(h.To) {
				t.Fatalf("round %d: %s at %s: the lease is from %s to %s", round, a, at, h.From, h.To)
			}
			for range 5 {
				probe := day(r.IntN(26))
				in := !probe.Before(h.From) && (h.To.IsZero() || probe.Before(h.To))
				if other := naive(all, a, probe); in && other != want {
					t.Fatalf("round %d: %s at %s is in the lease of %q from %s to %s and belongs to %q", round, a, probe, want, h.From, h.To, other)
				}
			}
		}
	}
}

type asker struct{ found exposure.Assignment }

func (a asker) Ask(context.Context, netip.Addr, time.Time) (exposure.Assignment, error) {
	return a.found, nil
}

func TestCustomersViewIsTheLease(t *testing.T) {
	s := openStore(t)
	rows := []exposure.Assignment{assigned("203.0.113.7/32", "a", day(1), day(5)), assigned("203.0.113.7/32", "b", day(8), time.Time{})}
	if _, err := s.ImportAssignments(t.Context(), store.AssignmentImport{Import: store.Import{Source: "dhcp", At: noon}, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("203.0.113.7")
	c := lease.NewCustomers(s, access.CLI(noon), nil)
	v, err := c.View(t.Context(), addr, day(2))
	if err != nil || v.Who != "a" || !v.Sees(addr, day(4)) || v.Sees(addr, day(5)) || v.Sees(addr, day(0)) || v.Host(addr.Next()) {
		t.Errorf("the view of a = %v, %v", v, err)
	}
	if v, err := c.View(t.Context(), addr, day(6)); err != nil || v.Host(addr) {
		t.Errorf("the view of nobody = %v, %v", v, err)
	}
	if from, to, ok, err := c.Lease(t.Context(), addr, "b", day(9)); err != nil || !ok || !from.Equal(day(8)) || !to.IsZero() {
		t.Errorf("Lease = %s, %s, %t, %v", from, to, ok, err)
	}
	if _, _, ok, err := c.Lease(t.Context(), addr, "a", day(9)); err != nil || ok {
		t.Errorf("a has b's address: %t, %v", ok, err)
	}
	// Elsewhere is asked where nothing is known, and may not say more than fits.
	elsewhere := lease.NewCustomers(s, access.CLI(noon), asker{assigned("203.0.113.7/32", "radius-1", day(0), day(30))})
	h, err := elsewhere.Who(t.Context(), addr, day(6))
	if err != nil || h.Customer != "radius-1" || !h.From.Equal(day(5)) || !h.To.Equal(day(8)) {
		t.Errorf("Who = %v, %v, want radius-1 between the leases of a and b", h, err)
	}
	if h, err := elsewhere.Who(t.Context(), addr, day(2)); err != nil || h.Customer != "a" {
		t.Errorf("Who = %v, %v: what is known here goes first", h, err)
	}
}

func TestParse(t *testing.T) {
	got, err := lease.Parse("f", strings.NewReader(`customer,address,from,to
c-2,203.0.113.8,2026-11-02,2026-11-03 06:30
c-1,203.0.113.7,2026-11-01T12:00:00+02:00,
c-3,2001:db8:7::/56,,
c-2,203.0.113.7,2026-11-05,
c-1,203.0.113.7,2026-11-01T10:00:00Z,
`))
	if err != nil {
		t.Fatal(err)
	}
	want := lease.File{Overlaps: 1, Rows: []exposure.Assignment{
		assigned("203.0.113.7/32", "c-1", day(0).Add(10*time.Hour), time.Time{}),
		assigned("203.0.113.7/32", "c-2", day(4), time.Time{}),
		assigned("203.0.113.8/32", "c-2", day(1), day(2).Add(6*time.Hour+30*time.Minute)),
		assigned("2001:db8:7::/56", "c-3", time.Time{}, time.Time{}),
	}}
	if diff := gocmp.Diff(want, got, equateNetworks); diff != "" {
		t.Errorf("Parse: -want +got\n%s", diff)
	}
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"f:1:1: the file is empty: want a head such as prefix,customer,from,to"}},
		{"no row", "prefix,customer\n", []string{"f:1:1: the file has no row below the head"}},
		{"another head", "ip,customer,address,prefix\n", []string{
			`f:1:1: unknown column "ip": the columns are prefix, address, customer, from, to`,
			`f:1:21: the column prefix stands there twice`,
		}},
		{"half a head", "from,to\n", []string{"f:1:1: the columns prefix (or address) and customer are needed"}},
		{"several mistakes at once", "prefix,customer,from,to\n203.0.113.0/23,c,2026-11-01,\nx,,yesterday,1969-12-31\n203.0.113.7,c,2026-11-02,2026-11-02\n203.0.113.7,c\n", []string{
			`f:2:1: prefix: "203.0.113.0/23": bits are set after the prefix length: write 203.0.112.0/23 for the network or 203.0.113.0 for the address`,
			`f:3:1: prefix: "x": not an address or a prefix; names are not resolved`,
			`f:3:3: customer: is empty`,
			`f:3:4: from: "yesterday": want a time such as 2026-11-23T09:30:00Z, or 2026-11-23 09:30 in UTC`,
			`f:3:14: to: "1969-12-31": want a year from 1970 to 2261`,
			`f:4:26: to: 2026-11-02T00:00:00Z is not after from, 2026-11-02T00:00:00Z`,
			`f:5:1: 2 fields, and the head has 4`,
		}},
		{"two at once", "prefix,customer,from,to\n203.0.113.7,a,2026-11-01,\n203.0.113.8,a,2026-11-01,\n203.0.113.7,b,2026-11-01,2026-11-02\n", []string{
			`f:4:1: 203.0.113.7/32 belongs to b until 2026-11-02T00:00:00Z, and by line 2 to a, from the same time on`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := lease.Parse("f", strings.NewReader(tt.text))
			if err == nil {
				t.Fatalf("Parse = %v, want an error", all)
			}
			if diff := gocmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("Parse: -want +got\n%s", diff)
			}
		})
	}
}

// FuzzParse: what is accepted is sorted, and no two rows say from the
// same moment on who has a prefix.
func FuzzParse(f *testing.F) {
	f.Add([]byte("prefix,customer,from,to\n203.0.113.7,a,2026-11-01,\n203.0.113.7,b,2026-11-02T09:30:00Z,2026-11-03 09:30\n"))
	f.Add([]byte("\ufeffto,address,customer\n,2001:db8::/56,\"a, b\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := lease.Parse("f", bytes.NewReader(text))
		if err != nil {
			return
		}
		for i, a := range got.Rows {
			if a.Customer == "" || !a.Prefix.IsValid() || !a.To.IsZero() && !a.From.Before(a.To) {
				t.Errorf("accepted %v", a)
			}
			if i > 0 && store.CompareAssignments(got.Rows[i-1], a) >= 0 {
				t.Errorf("%v stands before %v", got.Rows[i-1], a)
			}
		}
	})
}

func millionRows(n int) []byte {
	var b bytes.Buffer
	b.WriteString("address,customer,from,to\n")
	for i := range n {
		fmt.Fprintf(&b, "10.%d.%d.%d,customer-%d,2026-11-01T00:00:00Z,\n", i>>16, i>>8&255, i&255, i%40_000)
	}
	return b.Bytes()
}

// BenchmarkMillion is the life of a million leases of 40,000 customers: read
// from CSV, kept, kept again, loaded for a day; then one look-up in memory and
// one in the store.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	text := millionRows(n)
	s := openStore(b)
	var rows []exposure.Assignment
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			all, err := lease.Parse("f", bytes.NewReader(text))
			if err != nil {
				b.Fatal(err)
			}
			rows = all.Rows
		}
	})
	put := func(b *testing.B) {
		for b.Loop() {
			if _, err := s.ImportAssignments(b.Context(), store.AssignmentImport{Import: store.Import{Source: "dhcp", At: noon}, Rows: rows}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("keep", put)
	b.Run("keep-again", put)
	rows, text = nil, nil
	var l *lease.Table
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			var before, after runtime.MemStats
			l = nil
			runtime.GC()
			runtime.ReadMemStats(&before)
			var err error
			if l, err = lease.Load(b.Context(), s, access.CLI(noon), day(22), day(23)); err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB")
		}
	})
	b.Run("in-memory", func(b *testing.B) {
		for b.Loop() {
			if l.Customer(netip.AddrFrom4([4]byte{10, 7, 7, 7}), noon) == "" {
				b.Fatal("nobody")
			}
		}
	})
	c := lease.NewCustomers(s, access.CLI(noon), nil)
	b.Run("in-store", func(b *testing.B) {
		for b.Loop() {
			if h, err := c.Who(b.Context(), netip.AddrFrom4([4]byte{10, 7, 7, 7}), noon); err != nil || h.Customer == "" {
				b.Fatal(h, err)
			}
		}
	})
}

// TestWindows holds what a customer sees who logs in: its addresses while they
// are its, and nothing of which another has a part.
func TestWindows(t *testing.T) {
	s := openStore(t)
	rows := []exposure.Assignment{
		assigned("203.0.113.7/32", "a", day(1), day(5)), assigned("203.0.113.7/32", "b", day(5), day(8)), assigned("203.0.113.7/32", "a", day(8), time.Time{}),
		assigned("2001:db8:1::/56", "a", day(0), time.Time{}),
		assigned("2001:db8:2::/56", "a", day(0), time.Time{}), assigned("2001:db8:2:1::/64", "b", day(3), day(4)),
		assigned("2001:db8:3::/56", "a", day(5), time.Time{}), assigned("2001:db8:3:1::/64", "b", day(3), day(4)),
	}
	if _, err := s.ImportAssignments(t.Context(), store.AssignmentImport{Import: store.Import{Source: "dhcp", At: noon}, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	windows, err := lease.Windows(t.Context(), s, access.CLI(noon), "a")
	if err != nil {
		t.Fatal(err)
	}
	v := access.View{Tier: access.Constituent, Windows: windows}
	for _, test := range []struct {
		name, addr string
		at         time.Time
		want       bool
	}{
		{"before its lease", "203.0.113.7", day(0), false},
		{"during its lease", "203.0.113.7", day(2), true},
		{"while another has it", "203.0.113.7", day(6), false},
		{"again its own", "203.0.113.7", day(9), true},
		{"the neighbour", "203.0.113.8", day(2), false},
		{"in its prefix", "2001:db8:1:ff::1", day(9), true},
		{"in a prefix of which another has a part", "2001:db8:2:1::1", day(3), false},
		{"the rest of that prefix", "2001:db8:2:2::1", day(3), false},
		{"a part that was another's before", "2001:db8:3:1::1", day(6), true},
		{"a part while it was another's", "2001:db8:3:1::1", day(3), false},
	} {
		if got := v.Sees(netip.MustParseAddr(test.addr), test.at); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
	for name, customer := range map[string]string{"nobody": "", "somebody else": "c"} {
		if w, err := lease.Windows(t.Context(), s, access.CLI(noon), customer); err != nil || len(w) != 0 {
			t.Errorf("%s has %v, %v", name, w, err)
		}
	}
	if w, err := lease.Windows(t.Context(), s, access.View{}, "a"); err != nil || len(w) != 0 {
		t.Errorf("a stranger is told %v, %v", w, err)
	}
}
