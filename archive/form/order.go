package form

import (
	"crypto/sha256"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// An order is a set of attribute names, sorted, with what follows from each.
type order struct {
	names   []string
	motions []motion
	sum     [sha256.Size]byte // of the names
}

// Bounds of what is remembered: strangers choose the names.
const (
	mostOrders = 256
	mostNames  = 1 << 10
)

// Orders remembers the orders of the sets that it has seen: printers of one
// model give the same names, and sorting them takes longer than all the rest.
type orders struct {
	seed  maphash.Seed
	known map[uint64]*order // by the sum of the hashes of the names
}

// of returns the order of the names, and the values in that order appended to values.
func (s *orders) of(attributes map[string][]string, values [][]string) (*order, [][]string) {
	if s.known == nil {
		s.seed, s.known = maphash.MakeSeed(), make(map[uint64]*order)
	}
	var set uint64
	for name := range attributes {
		set += maphash.String(s.seed, name)
	}
	if o := s.known[set]; o != nil {
		if all, ok := o.values(attributes, values); ok {
			return o, all
		}
	}
	o := newOrder(attributes)
	if len(o.names) <= mostNames {
		if len(s.known) >= mostOrders {
			clear(s.known)
		}
		s.known[set] = o
	}
	values, _ = o.values(attributes, values)
	return o, values
}

func newOrder(attributes map[string][]string) *order {
	o := &order{names: slices.Sorted(maps.Keys(attributes))}
	var all Sink
	for i, name := range o.names {
		all.Str(name)
		o.motions = append(o.motions, motions[name])
		o.names[i] = strings.Clone(name) // not the message that it is a part of
	}
	o.sum = sha256.Sum256(all)
	return o
}

// values appends the values of each name, and reports whether the names of the
// attributes are those of the order.
func (o *order) values(attributes map[string][]string, values [][]string) ([][]string, bool) {
	if len(attributes) != len(o.names) {
		return values, false
	}
	start := len(values)
	for _, name := range o.names {
		v, ok := attributes[name]
		if !ok {
			return values[:start], false
		}
		values = append(values, v)
	}
	return values, true
}
