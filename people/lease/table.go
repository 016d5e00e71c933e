package lease

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Table is assignments in memory, for who asks about many addresses: a million
// of them take some fifty megabytes. The zero Table knows nobody.
type Table struct {
	lengths   []length // the longest prefix first, IPv4 and IPv6 apart
	customers []string
}

// A length are the leases of all prefixes of one length, in the order of their
// addresses and beginnings.
type length struct {
	bits int
	v4   bool
	all  []span
}

type span struct {
	lo       netip.Addr
	from, to int64 // nanoseconds; to is exclusive
	customer uint32
}

// Load takes the assignments that are in force during from <= t < to.
func Load(ctx context.Context, l Ledger, v access.View, from, to time.Time) (*Table, error) {
	return NewTable(l.AssignmentsDuring(ctx, v, from, to))
}

// NewTable takes assignments in any order.
func NewTable(all iter.Seq2[exposure.Assignment, error]) (*Table, error) {
	l := new(Table)
	index := make(map[string]uint32)
	at := make(map[family]int)
	for a, err := range all {
		if err != nil {
			return nil, err
		}
		id, ok := index[a.Customer]
		if !ok {
			id = uint32(len(l.customers))
			index[a.Customer] = id
			l.customers = append(l.customers, a.Customer)
		}
		key := family{a.Prefix.Bits(), a.Prefix.Addr().Is4()}
		i, ok := at[key]
		if !ok {
			i = len(l.lengths)
			at[key] = i
			l.lengths = append(l.lengths, length{bits: key.bits, v4: key.v4})
		}
		l.lengths[i].all = append(l.lengths[i].all, span{a.Prefix.Addr(), begins(a.From), ends(a.To), id})
	}
	slices.SortFunc(l.lengths, func(a, b length) int { return cmp.Compare(b.bits, a.bits) })
	for _, n := range l.lengths {
		slices.SortFunc(n.all, func(a, b span) int { return cmp.Or(a.lo.Compare(b.lo), cmp.Compare(a.from, b.from)) })
	}
	return l, nil
}

type family struct {
	bits int
	v4   bool
}

const forEver = int64(1<<63 - 1)

func begins(t time.Time) int64 {
	if t.IsZero() {
		return -forEver
	}
	return t.UnixNano()
}

func ends(t time.Time) int64 {
	if t.IsZero() {
		return forEver
	}
	return t.UnixNano()
}

// Customer returns who has the address at the time, "" when that is not known
// or two are as good.
func (l *Table) Customer(a netip.Addr, at time.Time) string {
	a = a.Unmap().WithZone("")
	now := at.UnixNano()
	for _, n := range l.lengths {
		if n.v4 != a.Is4() {
			continue
		}
		p, err := a.Prefix(n.bits)
		if err != nil {
			continue
		}
		lo := p.Addr()
		// Behind the last of this prefix that has begun.
		i, _ := slices.BinarySearchFunc(n.all, now, func(e span, now int64) int {
			if c := e.lo.Compare(lo); c != 0 {
				return c
			}
			if e.from > now {
				return 1
			}
			return -1
		})
		for i--; i >= 0 && n.all[i].lo == lo; i-- {
			e := n.all[i]
			if e.to <= now {
				continue
			}
			for j := i - 1; j >= 0 && n.all[j].lo == lo && n.all[j].from == e.from; j-- {
				if n.all[j].to > now && n.all[j].customer != e.customer {
					return ""
				}
			}
			return l.customers[e.customer]
		}
	}
	return ""
}
