package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/track"
)

// States are the words for kinds of cases, each with the filter it stands for.
var States = []struct {
	Word, About string
	Filter      func(*store.Filter)
}{
	{"work", "open, and nobody decided otherwise", func(f *store.Filter) { *f = store.Work() }},
	{"all", "every case, those that moved elsewhere too", func(f *store.Filter) { f.Moved = true }},
	{"reported", "a feed says so", inCondition(exposure.Reported)},
	{"confirmed", "we saw it", inCondition(exposure.Confirmed)},
	{"one-clean", "one probe found it closed", inCondition(exposure.OneClean)},
	{"not-seen", "a complete scan met silence", inCondition(exposure.NotSeen)},
	{"fixed", "verified closed", inCondition(exposure.Fixed)},
	{"filtered", "closed from outside", inCondition(exposure.Filtered)},
	{"lapsed", "unseen for 60 days", inCondition(exposure.Lapsed)},
	{"untold", "work, and nobody was told", inContact(exposure.NotContacted)},
	{"notified", "work, and a message left", inContact(exposure.Notified)},
	{"undeliverable", "work, and messages come back", inContact(exposure.Undeliverable)},
	{"acknowledged", "work, and somebody answered", inContact(exposure.Acknowledged)},
	{"claimed", "work, and the owner says that it is fixed", inContact(exposure.Claimed)},
	{"accepted", "the risk is accepted until a day", inRuling(exposure.Accepted)},
	{"false-positive", "it is not what it seems", inRuling(exposure.FalsePositive)},
}

func inCondition(c exposure.Condition) func(*store.Filter) {
	return func(f *store.Filter) { f.Conditions = []exposure.Condition{c} }
}

func inContact(c exposure.Contact) func(*store.Filter) {
	return func(f *store.Filter) { *f = store.Work(); f.Contacts = []exposure.Contact{c} }
}

func inRuling(r exposure.Ruling) func(*store.Filter) {
	return func(f *store.Filter) { f.Rulings = []exposure.Ruling{r} }
}

// StateWords are the words of [States].
func StateWords() []string {
	var words []string
	for _, s := range States {
		words = append(words, s.Word)
	}
	return words
}

// InState narrows the filter to the kind of cases; false when the word is none.
func InState(word string, f *store.Filter) bool {
	i := slices.Index(StateWords(), strings.ReplaceAll(word, "_", "-"))
	if i >= 0 {
		States[i].Filter(f)
	}
	return i >= 0
}

// Next says what must happen before the case is closed.
func Next(e *exposure.Exposure) string {
	switch {
	case e.MovedTo.IsValid():
		return "it goes on at " + e.MovedTo.String()
	case e.Ruling == exposure.Accepted:
		return "work again on " + e.RuledUntil.UTC().Format("2006-01-02")
	case e.Ruling == exposure.FalsePositive:
		return "nothing, until the verdict is withdrawn"
	}
	switch e.Condition {
	case exposure.Fixed:
		return "nothing; if it is seen again it opens with its history"
	case exposure.Filtered:
		return "closed from outside only: it may still be open within"
	case exposure.Lapsed:
		return "unseen for 60 days, which proves nothing; if it is seen again it opens"
	case exposure.OneClean:
		if e.ClearedAt.IsZero() {
			return "no probe with a control has found it closed yet: ippwatch verify looks"
		}
		return "a second clean probe, a day after " + screen.Stamp(e.ClearedAt) + " UTC: ippwatch verify looks"
	case exposure.NotSeen:
		return "silence proves nothing: ippwatch verify looks again"
	case exposure.Reported:
		return "a feed says so and we have not looked: ippwatch scan or verify"
	}
	if e.Contact == exposure.Claimed {
		return "the owner says that it is fixed: ippwatch verify looks"
	}
	return "two clean probes a day apart: ippwatch verify looks"
}

type caseList struct {
	v1.Paging
	v1.CaseQuery
}

// A CaseName names a case in a path; huma reads only exported fields.
type CaseName struct {
	Case string `path:"case" pattern:"^[0-9A-Fa-f]{12}$" patternDescription:"twelve hexadecimal digits" example:"4C8B0F6E52A1" doc:"Name of the case."`
}

type historyList struct {
	v1.Paging
	CaseName
}

type changeList struct {
	v1.Paging
	v1.ChangeQuery
}

func (d *door) cases() {
	exported(d, op{
		method: "GET", path: "/cases", id: "list-cases", tag: "cases", roles: named, personal: true, summary: "List cases",
		about: "In the order of address, transport, port and rule. state is one of " + strings.Join(StateWords(), ", ") + ".",
		query: "?severity=high&limit=20",
	}, d.listCases)
	add(d, op{
		method: "GET", path: "/cases/{case}", id: "get-case", tag: "cases", roles: named, personal: true, strong: true, summary: "Get a case",
		about: "Its ETag may be sent as If-Match with what changes the case. 409: two cases have this short name; list them by prefix.",
	}, func(ctx context.Context, v *gate.Visit, in *CaseName) (v1.CaseFile, error) {
		e, err := d.caseNamed(ctx, v, in.Case)
		return fileOf(e), err
	})
	list(d, op{
		method: "GET", path: "/cases/{case}/history", id: "list-history", tag: "cases", roles: named, personal: true, summary: "List the steps of a case, the oldest first",
	}, d.history)
	list(d, op{
		method: "GET", path: "/changes", id: "list-changes", tag: "cases", roles: named, personal: true, summary: "List what is new, back, gone silent or closed since a time",
		query: "?since=2026-11-23T00:00:00Z",
	}, d.changes)
}

// fileOf is a case as it is got alone; its bytes are what its ETag names.
func fileOf(e exposure.Exposure) v1.CaseFile {
	return v1.CaseFile{Case: v1.NewCase(e), Next: Next(&e)}
}

// caseNamed returns the one case that the name means.
func (d *door) caseNamed(ctx context.Context, v *gate.Visit, name string) (exposure.Exposure, error) {
	if _, err := d.Tracker.Expire(ctx, v.At); err != nil {
		return exposure.Exposure{}, err
	}
	es, err := d.Store.ExposuresNamed(ctx, v.View, strings.ToUpper(name))
	if err != nil {
		return exposure.Exposure{}, notThere(err, store.ErrNoExposure)
	}
	if len(es) > 1 {
		return es[0], &gate.Problem{
			Status: 409, Code: "ambiguous", Detail: fmt.Sprintf("%d cases have this short name", len(es)),
			Hint: fmt.Sprintf("list them by address: ?prefix=%s and ?prefix=%s", es[0].Addr, es[1].Addr),
		}
	}
	return es[0], nil
}

// filter is what the query asks.
func (d *door) filter(ctx context.Context, v *gate.Visit, q *v1.CaseQuery) (store.Filter, error) {
	var f store.Filter
	word := q.State
	if word == "" && len(q.Conditions)+len(q.Contacts)+len(q.Verdicts) == 0 {
		word = "work"
	}
	if word != "" && !InState(word, &f) {
		return f, gate.Invalid("query.state", "want one of %s", strings.Join(StateWords(), ", "))
	}
	f.Conditions = orElse(wordsOf[exposure.Condition](q.Conditions), f.Conditions)
	f.Contacts = orElse(wordsOf[exposure.Contact](q.Contacts), f.Contacts)
	f.Rulings = orElse(wordsOf[exposure.Ruling](q.Verdicts), f.Rulings)
	f.Moved = f.Moved || q.Moved
	f.MinSeverity, f.Rules, f.Assignee, f.Since, f.Before = exposure.Severity(q.Severity), q.Rules, q.Assignee, q.Since, q.Before
	var err error
	if f.Prefix, err = prefixOf("query.prefix", q.Prefix); err != nil {
		return f, err
	}
	if err := years(q.Since, q.Before); err != nil {
		return f, err
	}
	if q.Constituent != "" {
		if f.Of, err = d.partOf(ctx, v, q.Constituent); err != nil {
			return f, err
		}
	}
	if len(q.ASNs)+len(q.Countries) > 0 {
		if q.Constituent != "" {
			return f, gate.Invalid("query.constituent", "it cannot be combined with asn or country")
		}
		f.Of = store.Part{ASNs: q.ASNs}
		for _, c := range q.Countries {
			f.Of.Countries = append(f.Of.Countries, strings.ToUpper(c))
		}
	}
	return f, nil
}

// partOf is what belongs to a constituent. Who sees only its own is told the same
// of another's name and of one that is none.
func (d *door) partOf(ctx context.Context, v *gate.Visit, name string) (store.Part, error) {
	none := gate.Invalid("query.constituent", "no such constituent, or none that you may see")
	if !whole(v.View) {
		if own := constituentOf(v); own != "" && own == name {
			return store.Part{}, nil // the view is narrower than any part
		}
		return store.Part{}, none
	}
	c, err := d.People.Find(ctx, v.View, name)
	if errors.Is(err, people.ErrUnknown) {
		return store.Part{}, none
	}
	if err != nil {
		return store.Part{}, err
	}
	return store.PartOf(c.Constituent), nil
}

// constituentOf is whose account or key it is.
func constituentOf(v *gate.Visit) string {
	if v.Key.ID != "" {
		return v.Key.Constituent
	}
	return v.Account.Constituent
}

func (d *door) listCases(ctx context.Context, v *gate.Visit, in *caseList, place []string, n int) iter.Seq2[entry[v1.Case], error] {
	f, err := d.filter(ctx, v, &in.CaseQuery)
	if err == nil {
		f.After, err = keyOf(place)
	}
	if err != nil {
		return failing[v1.Case](err)
	}
	if _, err := d.Tracker.Expire(ctx, v.At); err != nil {
		return failing[v1.Case](err)
	}
	f.Limit = n
	return d.exposures(ctx, v.View, f)
}

func (d *door) exposures(ctx context.Context, view access.View, f store.Filter) iter.Seq2[entry[v1.Case], error] {
	return func(yield func(entry[v1.Case], error) bool) {
		for e, err := range d.Store.Exposures(ctx, view, f) {
			if !yield(entry[v1.Case]{v1.NewCase(e), placeOf(e.Key)}, err) || err != nil {
				return
			}
		}
	}
}

// placeOf is the place behind a case.
func placeOf(k exposure.Key) []string {
	return []string{k.Addr.String(), string(k.Transport), strconv.Itoa(int(k.Port)), k.Rule}
}

// keyOf reads a place of placeOf.
func keyOf(place []string) (k exposure.Key, err error) {
	if place == nil {
		return k, nil
	}
	if len(place) != 4 {
		return k, badPlace()
	}
	port, err := strconv.ParseUint(place[2], 10, 16)
	if err != nil {
		return k, badPlace()
	}
	if k.Addr, err = netip.ParseAddr(place[0]); err != nil {
		return k, badPlace()
	}
	k.Transport, k.Port, k.Rule = exposure.Transport(place[1]), uint16(port), place[3]
	return k, nil
}

// history pages by number: steps are only ever added at the end.
func (d *door) history(ctx context.Context, v *gate.Visit, in *historyList, place []string, n int) iter.Seq2[entry[exposure.Transition], error] {
	skip, err := numberOf(place)
	if err != nil {
		return failing[exposure.Transition](err)
	}
	e, err := d.caseNamed(ctx, v, in.Case)
	if err != nil {
		return failing[exposure.Transition](err)
	}
	return numbered(d.Store.Transitions(ctx, v.View, store.Span{Key: e.Key}), skip, n)
}

// numbered gives the items of a listing their numbers as places.
func numbered[T any](all iter.Seq2[T, error], skip, n int) iter.Seq2[entry[T], error] {
	return func(yield func(entry[T], error) bool) {
		i := 0
		for x, err := range all {
			if err != nil {
				yield(entry[T]{}, err)
				return
			}
			if i++; i <= skip {
				continue
			}
			if !yield(entry[T]{x, []string{strconv.Itoa(i)}}, nil) || i == skip+n {
				return
			}
		}
	}
}

func numberOf(place []string) (int, error) {
	if place == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(place[0], 10, 31)
	if err != nil || len(place) != 1 {
		return 0, badPlace()
	}
	return int(n), nil
}

// Changes are the rows of what changed, the new ones first.
func Changes(c track.Changes) []v1.Change {
	var rows []v1.Change
	for _, list := range []struct {
		word  string
		steps []exposure.Transition
	}{{"new", c.New}, {"back", c.Back}, {"silent", c.Silent}, {"closed", c.Closed}} {
		for _, t := range list.steps {
			rows = append(rows, v1.Change{Change: list.word, Case: t.Case(), Transition: t})
		}
	}
	return rows
}

// changes are computed whole, and change with what happens meanwhile: a place in
// them is a case.
func (d *door) changes(ctx context.Context, v *gate.Visit, in *changeList, place []string, n int) iter.Seq2[entry[v1.Change], error] {
	fail := failing[v1.Change]
	if in.Since.After(v.At) {
		return fail(gate.Invalid("query.since", "that is in the future"))
	}
	if err := years(in.Since); err != nil {
		return fail(err)
	}
	if len(place) > 1 {
		return fail(badPlace())
	}
	c, err := d.Tracker.Changes(ctx, v.View, in.Since)
	if err != nil {
		return fail(err)
	}
	order := map[string]string{"new": "1", "back": "2", "silent": "3", "closed": "4"}
	key := func(c *v1.Change) string {
		return fmt.Sprintf("%s %03d %x %s %05d %s", order[c.Change], c.Addr.BitLen(), c.Addr.AsSlice(), c.Transport, c.Port, c.Rule)
	}
	return first(kept(Changes(c), key, rising, place), n)
}

// first yields n at most.
func first[T any](all iter.Seq2[T, error], n int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		i := 0
		for x, err := range all {
			if i++; i > n || !yield(x, err) {
				return
			}
		}
	}
}

func wordsOf[T ~string](words []string) []T {
	var out []T
	for _, w := range words {
		out = append(out, T(w))
	}
	return out
}

func orElse[T any](a, b []T) []T {
	if len(a) > 0 {
		return a
	}
	return b
}

// prefixOf reads a network or an address; nothing is the zero prefix.
func prefixOf(location, s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := space.Parse(s)
	if err != nil {
		return p, gate.Invalid(location, "want a network or an address, such as 198.51.100.0/24")
	}
	return p, nil
}
