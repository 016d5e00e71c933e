package acl

import (
	"fmt"
	"slices"
	"strings"

	"go4.org/netipx"
)

// outcomes is the diagram of a filter: for each packet what becomes of it.
func (f *forest) outcomes(filter Filter) ref {
	all := yes
	for _, s := range filter.Stages {
		all = f.worse(all, f.choose(f.match(s.On), f.stage(s), yes))
	}
	return all
}

func (f *forest) stage(s Stage) ref {
	fallen := ref(s.fallen())
	switch s.Order {
	case DenyWins:
		return f.unordered(s, fallen)
	case AllowOnly:
		return f.unordered(s, no)
	}
	return f.list(s.Rules, fallen)
}

// unordered is where each allow counts, and each block beats it.
func (f *forest) unordered(s Stage, fallen ref) ref {
	rules := squeeze(s.Rules, false)
	allowed, decided := no, no
	for _, r := range rules {
		if r.Action == Permit && (!r.Unsure || !f.harsh) {
			m := f.match(r.Match)
			allowed = f.choose(m, f.better(allowed, ref(r.permits())), allowed)
			decided = f.or(decided, m)
		}
	}
	all := f.choose(decided, allowed, fallen)
	if s.Order == AllowOnly {
		return all
	}
	for _, r := range rules {
		if r.Action == Drop && (!r.Unsure || f.harsh) {
			all = f.choose(f.match(r.Match), no, all)
		}
	}
	return all
}

// list goes from the last rule to the first: what stands before decides.
func (f *forest) list(rules []Rule, fallen ref) ref {
	all := fallen
	squeezed := squeeze(rules, false)
	for i := len(squeezed) - 1; i >= 0; i-- {
		r := squeezed[i]
		var then ref
		switch r.Action {
		case Next:
			continue
		case Permit:
			then = ref(r.permits())
		case Drop:
			then = no
		case Return:
			then = f.worse(fallen, ref(r.permits()))
		case Call:
			then = f.list(r.Rules, all)
		case Goto:
			then = f.list(r.Rules, fallen)
		}
		if r.Unsure {
			then = f.perhaps(then, all)
		}
		all = f.choose(f.match(r.Match), then, all)
	}
	return all
}

// perhaps is one of the two, and it is not known which.
func (f *forest) perhaps(a, b ref) ref {
	if f.harsh {
		return f.worse(a, b)
	}
	return f.better(a, b)
}

// squeeze joins rules that stand together, do the same and differ in one list of
// addresses, as platforms without lists write them: their order means nothing,
// and 100,000 lines become one rule. Those that a packet may come by more than
// once stay apart.
func squeeze(rules []Rule, byName bool) []Rule {
	var all []Rule
	for len(rules) > 0 {
		n := 1
		for n < len(rules) && alike(rules[0], rules[n]) && (!byName || rules[0].keeps() == rules[n].keeps()) {
			n++
		}
		run := rules[:n]
		rules = rules[n:]
		if n > 1 {
			run = join(run, func(m *Match) *Nets { return &m.Dst })
			run = join(run, func(m *Match) *Nets { return &m.Src })
		}
		all = append(all, run...)
	}
	return all
}

func alike(a, b Rule) bool {
	// Whether one is unsure may differ: a packet that a sure one permits, or drops,
	// has the same fate wherever among them an unsure one stands.
	return a.Action == b.Action && a.permits() == b.permits() &&
		(a.Action == Permit || a.Action == Drop || a.Action == Return || a.Action == Next)
}

// keeps is what a rule counts and logs.
func (r Rule) keeps() book { return book{r.Name, r.Count, r.Log} }

// join unites the rules of a run that differ only in the list that part names.
func join(run []Rule, part func(*Match) *Nets) []Rule {
	at := make(map[string]int, len(run))
	var all []Rule
	var lists [][]Nets
	for _, r := range run {
		rest := r.Match
		list := *part(&rest)
		*part(&rest) = Nets{}
		key := rest.key()
		if r.Unsure {
			key += "?"
		}
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all = append(all, r)
			lists = append(lists, nil)
		}
		lists[i] = append(lists[i], list)
	}
	for i, list := range lists {
		switch {
		case len(list) == 1:
		case all[i].Action == Next && overlap(list):
			return run // a packet comes by more than one of them
		default:
			*part(&all[i].Match) = Union(list...)
		}
	}
	return all
}

// overlap reports whether an address is in more than one of the lists.
func overlap(lists []Nets) bool {
	var all []netipx.IPRange
	for _, n := range lists {
		if n.Any() {
			return true
		}
		all = append(all, n.set.Ranges()...)
	}
	slices.SortFunc(all, func(a, b netipx.IPRange) int { return a.From().Compare(b.From()) })
	for i := 1; i < len(all); i++ {
		if all[i].From().Compare(all[i-1].To()) <= 0 {
			return true
		}
	}
	return false
}

// key is the same for equal conditions.
func (m Match) key() string {
	var b strings.Builder
	fmt.Fprint(&b, m.Family, m.Dir, m.Proto, m.SPort, m.DPort, m.Frag, uint16(m.Flags), m.Ext, m.Never, m.SPort == nil, m.DPort == nil, m.Proto == nil)
	for _, n := range []Nets{m.Src, m.Dst} {
		b.WriteByte('|')
		if n.set != nil {
			fmt.Fprint(&b, n.set.Ranges())
		}
	}
	return b.String()
}
