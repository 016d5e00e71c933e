// Package lease tells which customer had an address at a time, and for how long:
// nobody may see evidence from before or after.
package lease

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Holder is who has an address at a time. Unknown is a value: then Customer is
// empty.
type Holder struct {
	Customer string `json:"customer"`
	// From and To bound the time around the one that was asked for during which
	// the customer has the address: evidence from outside is another's.
	From time.Time `json:"from,omitzero"` // zero: no bound
	To   time.Time `json:"to,omitzero"`
	// By is the assignment that decides: of the longest prefix the one that began
	// last.
	By exposure.Assignment `json:"by,omitzero"`
	// Against is an assignment that says otherwise and is as good. Then nobody is
	// believed, for evidence must not go to the wrong one.
	Against *exposure.Assignment `json:"against,omitempty"`
}

// Hold returns who has the address at the time, out of all assignments whose
// prefix holds it.
func Hold(all []exposure.Assignment, at time.Time) Holder {
	best, against := decide(all, at)
	h := Holder{Customer: best.Customer, By: best, Against: against}
	if against != nil {
		h.Customer = ""
	}
	var edges []time.Time // between two, the answer is the same
	for _, a := range all {
		for _, t := range []time.Time{a.From, a.To} {
			if !t.IsZero() {
				edges = append(edges, t)
			}
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	same := func(t time.Time) bool {
		other, against := decide(all, t)
		return against == nil == (h.Against == nil) && other.Customer == best.Customer
	}
	next, _ := slices.BinarySearchFunc(edges, at.Add(1), time.Time.Compare)
	for _, t := range edges[next:] {
		if !same(t) {
			h.To = t
			break
		}
	}
	for _, t := range slices.Backward(edges[:next]) {
		if !same(t.Add(-1)) {
			h.From = t
			break
		}
	}
	return h
}

// decide returns the assignment that is in force at the time, and another that
// is as good and names another customer.
func decide(all []exposure.Assignment, at time.Time) (best exposure.Assignment, against *exposure.Assignment) {
	for i := range all {
		a := &all[i]
		if !a.Holds(at) {
			continue
		}
		switch better := stronger(*a, best); {
		case better > 0:
			best, against = *a, nil
		case better == 0 && a.Customer != best.Customer:
			against = a
		}
	}
	return best, against
}

// stronger is above 0 if a decides over b: the longer prefix, then the later
// beginning.
func stronger(a, b exposure.Assignment) int {
	if !b.Prefix.IsValid() {
		return 1
	}
	return cmp.Or(cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), a.From.Compare(b.From))
}

// A Ledger keeps assignments; package store has one.
type Ledger interface {
	AssignmentsOf(ctx context.Context, v access.View, a netip.Addr) ([]exposure.Assignment, error)
	AssignmentsDuring(ctx context.Context, v access.View, from, to time.Time) iter.Seq2[exposure.Assignment, error]
}

// A Roll is a Ledger that also knows what a customer has.
type Roll interface {
	Ledger
	AssignmentsOfCustomer(ctx context.Context, v access.View, customer string, limit int) ([]exposure.Assignment, error)
	AssignmentsInside(ctx context.Context, v access.View, within netip.Prefix, customer string, limit int) ([]exposure.Assignment, error)
}

// windowsOf bounds how many assignments of one customer are looked at, the
// newest first.
const windowsOf = 1000

// Windows returns what the customer has, and when. An assignment of which a part
// is somebody else's at the time is left out whole: a window cannot say "all but".
func Windows(ctx context.Context, r Roll, v access.View, customer string) ([]access.Window, error) {
	own, err := r.AssignmentsOfCustomer(ctx, v, customer, windowsOf)
	if err != nil {
		return nil, err
	}
	var all []access.Window
	for _, a := range own {
		inside, err := r.AssignmentsInside(ctx, v, a.Prefix, customer, windowsOf)
		if err != nil {
			return nil, err
		}
		if len(inside) == windowsOf || slices.ContainsFunc(inside, func(b exposure.Assignment) bool { return overlap(a, b) }) {
			continue
		}
		rivals, err := r.AssignmentsOf(ctx, v, a.Prefix.Addr())
		if err != nil {
			return nil, err
		}
		for at := a.From; ; {
			h := Hold(rivals, at)
			if h.Customer == customer && h.By.Prefix == a.Prefix {
				w := access.Window{Prefix: a.Prefix, From: h.From, To: h.To}
				if !slices.Contains(all, w) {
					all = append(all, w)
				}
			}
			if h.To.IsZero() || !a.To.IsZero() && !h.To.Before(a.To) {
				break
			}
			at = h.To
		}
	}
	return all, nil
}

// overlap reports whether there is a time at which both hold.
func overlap(a, b exposure.Assignment) bool {
	return (a.To.IsZero() || b.From.Before(a.To)) && (b.To.IsZero() || a.From.Before(b.To))
}

// An Asker knows customers from elsewhere: RADIUS, DHCP, an IPAM. It returns the
// zero assignment when it does not know.
type Asker interface {
	Ask(ctx context.Context, a netip.Addr, at time.Time) (exposure.Assignment, error)
}

// Customers tells whose an address was at a time: from what was imported, and
// from elsewhere when that does not know.
type Customers struct {
	ledger Ledger
	view   access.View
	asker  Asker
}

// NewCustomers returns the customers of the ledger; asker may be nil.
func NewCustomers(l Ledger, v access.View, asker Asker) *Customers { return &Customers{l, v, asker} }

// Who returns who has the address at the time.
func (c *Customers) Who(ctx context.Context, a netip.Addr, at time.Time) (Holder, error) {
	all, err := c.ledger.AssignmentsOf(ctx, c.view, a)
	if err != nil {
		return Holder{}, err
	}
	h := Hold(all, at)
	if h.By.Prefix.IsValid() || c.asker == nil {
		return h, nil
	}
	found, err := c.asker.Ask(ctx, a, at)
	if err != nil {
		return Holder{}, fmt.Errorf("look up the customer at %s: %w", a, err)
	}
	if found.Customer == "" || !found.Holds(at) {
		return h, nil
	}
	// What is known here bounds what was heard elsewhere.
	lease := Holder{Customer: found.Customer, From: found.From, To: found.To, By: found}
	if lease.From.Before(h.From) {
		lease.From = h.From
	}
	if !h.To.IsZero() && (lease.To.IsZero() || h.To.Before(lease.To)) {
		lease.To = h.To
	}
	return lease, nil
}

// Lease returns the time around at during which the customer has the address.
// ok is false if it is not the customer's then.
func (c *Customers) Lease(ctx context.Context, a netip.Addr, customer string, at time.Time) (from, to time.Time, ok bool, err error) {
	h, err := c.Who(ctx, a, at)
	if err != nil || customer == "" || h.Customer != customer {
		return time.Time{}, time.Time{}, false, err
	}
	return h.From, h.To, true, nil
}

// View returns what the customer may see who has the address at the time: that
// address, during the lease. It is empty when nobody is known to have it.
func (c *Customers) View(ctx context.Context, a netip.Addr, at time.Time) (access.View, error) {
	h, err := c.Who(ctx, a, at)
	if err != nil || h.Customer == "" {
		return access.View{At: c.view.At}, err
	}
	a = a.Unmap().WithZone("")
	return access.View{
		Who: h.Customer, Tier: access.Constituent, At: c.view.At,
		Windows: []access.Window{{Prefix: netip.PrefixFrom(a, a.BitLen()), From: h.From, To: h.To}},
	}, nil
}
