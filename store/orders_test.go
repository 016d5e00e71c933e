package store

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// plan is how the database goes about a query.
func plan(t *testing.T, s *Store, q term) string {
	t.Helper()
	rows, err := s.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q.text, q.args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var id, parent, none int
		var what string
		if err := rows.Scan(&id, &parent, &none, &what); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, what)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return b.String()
}

// TestAuditLogOrders compares each order with a plain sort, from every place, and
// holds that an index has it.
func TestAuditLogOrders(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	if err := s.change(t.Context(), "fill", func(q *Queries) error {
		for i := range auditPage + 40 {
			if err := q.putAudit(t.Context(), putAuditParams{At: instant{at.Add(time.Duration(i) * time.Second)}, Who: string(rune('a' + i*7%5)), What: "look" + string(rune('a'+i%3)), Detail: fmt.Sprint(i % 10)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	view := access.CLI(at)
	read := func(f AuditFilter) []Noted {
		var all []Noted
		for n, err := range s.AuditLog(t.Context(), view, f) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
		return all
	}
	key := map[AuditOrder]func(Noted) string{
		AuditByTime: func(Noted) string { return "" }, AuditByWho: func(n Noted) string { return n.Who }, AuditByWhat: func(n Noted) string { return n.What },
	}
	for order, by := range key {
		for _, up := range []bool{true, false} {
			for _, who := range []string{"", "b"} {
				want := read(AuditFilter{Who: who})
				slices.SortFunc(want, func(a, b Noted) int {
					c := cmp.Or(strings.Compare(by(a), by(b)), cmp.Compare(a.Seq, b.Seq))
					if !up {
						c = -c
					}
					return c
				})
				f := AuditFilter{Who: who, Order: order, Up: up}
				if got := read(f); !slices.Equal(got, want) {
					t.Errorf("AuditLog(%+v) is in another order: %d rows, want %d", f, len(got), len(want))
				}
				f.After = want[len(want)/2].Seq
				if got := read(f); !slices.Equal(got, want[len(want)/2+1:]) {
					t.Errorf("AuditLog(%+v) goes on at another place", f)
				}
			}
			for _, after := range []int64{0, 9} {
				f := AuditFilter{Order: order, Up: up}
				q, err := f.page(term{}, after)
				if err != nil {
					t.Fatal(err)
				}
				if p := plan(t, s, q); strings.Contains(p, "TEMP B-TREE") {
					t.Errorf("order %q, up %t: nothing has it ready:\n%s", order, up, p)
				}
			}
		}
	}
	if _, err := (AuditFilter{Order: "detail"}).page(term{}, 0); err == nil {
		t.Error("an order without an index is taken")
	}
}

// TestOutboxOrders does the same for the outbox.
func TestOutboxOrders(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	var put []Message
	for i := range page + 30 {
		m := Message{
			ID: fmt.Sprintf("M-%012d", i*7919%1009), Kind: []string{"first", "reminder"}[i%2], Rule: "all", Constituent: fmt.Sprintf("customer-%d", i%7),
			To: exposure.Recipient{Medium: exposure.ByMail, Address: fmt.Sprintf("Abuse@%d.example", i%11)}, Day: "2026-11-26",
			Planned: at.Add(time.Duration(i%13) * time.Minute), Next: at.Add(time.Duration(i%17) * time.Minute),
		}
		for j := range i % 4 {
			m.Exposures = append(m.Exposures, Item{Key: sample(fmt.Sprintf("10.0.0.%d", j), "open-ipp").Key, Cycle: 1})
		}
		put = append(put, m)
	}
	if _, err := s.PutRun(t.Context(), "R-1", put, MessageHeld, "many"); err != nil {
		t.Fatal(err)
	}
	ids := func(f OutboxFilter) []string {
		var all []string
		for m, err := range s.Outbox(t.Context(), access.CLI(at), f) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m.ID)
		}
		return all
	}
	compare := map[OutboxOrder]func(a, b Message) int{
		OutboxByID:      func(Message, Message) int { return 0 },
		OutboxByPlanned: func(a, b Message) int { return a.Planned.Compare(b.Planned) },
		OutboxByState:   func(a, b Message) int { return a.Next.Compare(b.Next) },
		OutboxByKind:    func(a, b Message) int { return cmp.Or(strings.Compare(a.Kind, b.Kind), a.Planned.Compare(b.Planned)) },
		OutboxByRecipient: func(a, b Message) int {
			return cmp.Or(strings.Compare(a.To.Key(), b.To.Key()), strings.Compare(a.Constituent, b.Constituent))
		},
		OutboxByConstituent: func(a, b Message) int {
			return cmp.Or(strings.Compare(a.Constituent, b.Constituent), a.Planned.Compare(b.Planned))
		},
		OutboxByCases: func(a, b Message) int { return cmp.Compare(len(a.Exposures), len(b.Exposures)) },
		OutboxByNext:  func(a, b Message) int { return a.Next.Compare(b.Next) },
		OutboxByEnded: func(Message, Message) int { return 0 },
	}
	narrow := map[string]struct {
		f     OutboxFilter
		takes func(Message) bool
	}{
		"all":            {OutboxFilter{}, func(Message) bool { return true }},
		"held":           {OutboxFilter{States: []MessageState{MessageHeld}}, func(Message) bool { return true }},
		"a constituent":  {OutboxFilter{Constituent: "customer-3", Run: "R-1"}, func(m Message) bool { return m.Constituent == "customer-3" }},
		"an address":     {OutboxFilter{To: "ABUSE@1"}, func(m Message) bool { return strings.HasPrefix(m.To.Address, "Abuse@1") }},
		"not the medium": {OutboxFilter{To: "mail"}, func(Message) bool { return false }},
	}
	for order := range outboxColumns {
		if compare[order] == nil {
			t.Fatalf("order %q is not tested", order)
		}
		for name, n := range narrow {
			for _, down := range []bool{true, false} {
				var want []string
				for _, m := range slices.SortedFunc(slices.Values(put), func(a, b Message) int {
					c := cmp.Or(compare[order](a, b), strings.Compare(a.ID, b.ID))
					if down {
						c = -c
					}
					return c
				}) {
					if n.takes(m) {
						want = append(want, m.ID)
					}
				}
				f := n.f
				f.Order, f.Down = order, down
				if got := ids(f); !slices.Equal(got, want) {
					t.Errorf("%s by %s, down %t: another order: %d, want %d", name, order, down, len(got), len(want))
				}
				if len(want) == 0 {
					continue
				}
				f.Behind = want[len(want)/2]
				if got := ids(f); !slices.Equal(got, want[len(want)/2+1:]) {
					t.Errorf("%s by %s, down %t: goes on at another place", name, order, down)
				}
			}
		}
		for _, states := range [][]MessageState{nil, {MessageSent}} {
			for _, behind := range []string{"", put[3].ID} {
				f := OutboxFilter{Order: order, Down: true, States: states}
				where, err := f.where()
				if err != nil {
					t.Fatal(err)
				}
				q, err := f.page(where, behind)
				if err != nil {
					t.Fatal(err)
				}
				if p := plan(t, s, q); strings.Contains(p, "TEMP B-TREE") {
					t.Errorf("order %q: nothing has it ready:\n%s", order, p)
				}
			}
		}
	}
	for m, err := range s.Outbox(t.Context(), access.View{Tier: access.Constituent}, OutboxFilter{}) {
		t.Fatalf("a constituent reads message %s of the outbox: %v", m.ID, err)
	}
}
