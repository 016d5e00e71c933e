package acl

import (
	"slices"
	"strings"
)

// mostEntries bounds how many combinations of names packets are kept under.
const mostEntries = 4096

// doubtful stands before a name under which only some packets are kept.
const doubtful = "perhaps "

// A ledger compares what filters keep of packets: the leaves of its diagrams are
// all names under which a packet is counted, or logged; one that is kept twice
// under a name has it twice.
type ledger struct {
	*forest
	lists [][]string // by leaf, from outcomes on
	known map[string]ref
	pairs map[[2]ref]ref
	full  bool
}

func newLedger() *ledger {
	return &ledger{forest: newForestOf(mostEntries), known: make(map[string]ref), pairs: make(map[[2]ref]ref)}
}

// entries are the names of a leaf.
func (l *ledger) entries(leaf ref) []string {
	if leaf == no {
		return nil
	}
	return l.lists[leaf-outcomes]
}

// leaf is the one with the names.
func (l *ledger) leaf(names ...string) ref {
	if len(names) == 0 {
		return no
	}
	names = slices.Sorted(slices.Values(names))
	key := strings.Join(names, "\x00")
	r, ok := l.known[key]
	switch {
	case ok:
		return r
	case len(l.lists) == mostEntries:
		l.full = true
		return no
	}
	r = ref(outcomes + len(l.lists))
	l.lists = append(l.lists, names)
	l.known[key] = r
	return r
}

// both has for each packet the names of both.
func (l *ledger) both(a, b ref) ref {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == no:
		return b
	case b < l.leaves:
		return l.leaf(slices.Concat(l.entries(a), l.entries(b))...)
	}
	key := [2]ref{a, b}
	if r, ok := l.pairs[key]; ok {
		return r
	}
	by := min(l.nodes[a].field, l.nodes[b].field)
	x, y := l.along(a, by), l.along(b, by)
	var edges []edge
	for len(x) > 0 {
		end := x[0].last
		if y[0].last.compare(end) < 0 {
			end = y[0].last
		}
		edges = append(edges, edge{end, l.both(x[0].to, y[0].to)})
		x, y = after(x, end), after(y, end)
	}
	r := l.node(by, edges)
	l.pairs[key] = r
	return r
}

// either is what is kept when it is not known which of the two it is.
func (l *ledger) either(a, b ref) ref {
	if a == b {
		return a
	}
	doubt := func(r ref) ref {
		return l.leavesTo(r, func(leaf ref) ref {
			names := slices.Clone(l.entries(leaf))
			for i, n := range names {
				names[i] = doubtful + strings.TrimPrefix(n, doubtful)
			}
			return l.leaf(names...)
		})
	}
	return l.choose(l.unequal(a, b), l.both(doubt(a), doubt(b)), a)
}

// books is what a filter keeps of each packet; kept is the name under which a
// rule does, or nothing.
func (l *ledger) books(filter Filter, kept func(Rule) string) ref {
	all := no
	for _, s := range slices.Backward(filter.Stages) {
		here := l.book(s.walked(), no, kept)
		behind := all
		if behind != no { // what this stage drops does not come to those behind it
			behind = l.choose(l.only(l.stage(s), Dropped), no, behind)
		}
		all = l.choose(l.match(s.On), l.both(here, behind), all)
	}
	return all
}

// walked are the rules of a stage in an order in which the first that matches
// is the one that decides.
func (s Stage) walked() []Rule {
	if s.Order == FirstMatch {
		return s.Rules
	}
	var drops, permits []Rule
	for _, r := range s.Rules {
		switch {
		case r.Action == Drop && s.Order == DenyWins && !r.Unsure:
			drops = append(drops, r)
		case r.Action == Permit:
			permits = append(permits, r)
		}
	}
	return append(drops, permits...)
}

// book goes from the last rule to the first; fallen is what is kept behind the
// list.
func (l *ledger) book(rules []Rule, fallen ref, kept func(Rule) string) ref {
	all := fallen
	for _, r := range slices.Backward(squeeze(rules, true)) {
		var then ref
		switch r.Action {
		case Next:
			then = all
		case Permit, Drop:
			then = no
		case Return:
			then = fallen
		case Call:
			then = l.book(r.Rules, all, kept)
		case Goto:
			then = l.book(r.Rules, fallen, kept)
		}
		if name := kept(r); name != "" {
			then = l.both(l.leaf(name), then)
		}
		m := l.match(r.Match)
		if r.Unsure {
			then = l.either(l.choose(m, then, no), l.choose(m, all, no))
		}
		all = l.choose(m, then, all)
	}
	return all
}
