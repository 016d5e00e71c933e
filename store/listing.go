package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Filter narrows a listing of exposures. The zero Filter takes all but those
// that moved elsewhere.
type Filter struct {
	Prefix      netip.Prefix
	Of          Part
	Conditions  []exposure.Condition
	Contacts    []exposure.Contact
	Rulings     []exposure.Ruling
	Rules       []string
	MinSeverity exposure.Severity // and worse
	Since       time.Time         // last seen then or later
	Before      time.Time         // last seen before; zero: whenever
	Assignee    string
	Moved       bool         // those that moved elsewhere too
	Limit       int          // 0: none
	After       exposure.Key // go on behind this one; zero: from the start
}

// A Part is what belongs to somebody: whatever lies in one of the networks, or
// in one of the AS, or in one of the countries. The zero Part is everything.
type Part struct {
	Networks  []netip.Prefix
	ASNs      []uint32
	Countries []string
}

// PartOf returns the part of the world that a constituent answers for.
func PartOf(c exposure.Constituent) Part {
	return Part{Networks: c.Networks, ASNs: c.ASNs, Countries: c.Countries}
}

func (p Part) all() bool { return len(p.Networks)+len(p.ASNs)+len(p.Countries) == 0 }

// Work returns the filter for cases on which somebody should still act.
func Work() Filter {
	return Filter{
		Conditions: []exposure.Condition{exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen},
		Rulings:    []exposure.Ruling{exposure.NoRuling},
	}
}

// Exposures returns the exposures that the view may see, in the order of
// address, transport, port and rule. It ends at the first error. Each row is
// read through an index, so that a page of a million costs what the page costs.
func (s *Store) Exposures(ctx context.Context, v access.View, f Filter) iter.Seq2[exposure.Exposure, error] {
	return func(yield func(exposure.Exposure, error) bool) {
		fail := func(err error) { yield(exposure.Exposure{}, fmt.Errorf("read exposures: %w", explain(err))) }
		streams, err := s.streams(ctx, v, f)
		if err != nil {
			fail(err)
			return
		}
		left := f.Limit
		for row, err := range merge(streams) {
			if err != nil {
				fail(err)
				return
			}
			if f.Prefix.IsValid() && !f.Prefix.Contains(row.Addr.Addr) {
				continue // an address with a zone is in no prefix
			}
			e, ok, err := s.clip(ctx, v, row)
			if err != nil {
				fail(err)
				return
			}
			if !ok || !f.takes(e, row) {
				continue
			}
			if !yield(e, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// A stream is a part of a listing, in the order of keys.
type stream = iter.Seq2[exposureRow, error]

func (s *Store) streams(ctx context.Context, v access.View, f Filter) ([]stream, error) {
	if v.Tier == access.Public {
		return nil, nil
	}
	arg, err := f.params()
	if err != nil {
		return nil, err
	}
	if v.Placed() && f.Of.all() && !f.Prefix.IsValid() {
		f.Of = Part{Networks: v.Whole(), ASNs: v.ASNs, Countries: v.Countries}
	}
	if f.Of.all() {
		within, err := spans(v, f.Prefix)
		if err != nil {
			return nil, err
		}
		return []stream{s.between(ctx, within, arg, f.After)}, nil
	}
	var streams []stream
	for _, p := range f.Of.Networks {
		within, err := spans(v, p)
		if err != nil {
			return nil, err
		}
		streams = append(streams, s.between(ctx, within, arg, f.After))
	}
	first := arg.from(span{lo: []byte{0}}, f.After)
	for _, n := range f.Of.ASNs {
		streams = append(streams, paged(first, func(p exposuresBetweenParams) ([]exposureRow, error) {
			return s.read.exposuresOfASN(ctx, exposuresOfASNParams{
				Asn: int64(n), AfterAddr: p.AfterAddr, AfterTransport: p.AfterTransport, AfterPort: p.AfterPort, AfterRule: p.AfterRule,
				Since: p.Since, Before: p.Before, Conditions: p.Conditions, Rules: p.Rules, Severities: p.Severities,
				Contacts: p.Contacts, Rulings: p.Rulings, Assignee: p.Assignee, Moved: p.Moved, N: p.N,
			})
		}))
	}
	for _, c := range f.Of.Countries {
		streams = append(streams, paged(first, func(p exposuresBetweenParams) ([]exposureRow, error) {
			return s.read.exposuresOfCountry(ctx, exposuresOfCountryParams{
				Country: c, AfterAddr: p.AfterAddr, AfterTransport: p.AfterTransport, AfterPort: p.AfterPort, AfterRule: p.AfterRule,
				Since: p.Since, Before: p.Before, Conditions: p.Conditions, Rules: p.Rules, Severities: p.Severities,
				Contacts: p.Contacts, Rulings: p.Rulings, Assignee: p.Assignee, Moved: p.Moved, N: p.N,
			})
		}))
	}
	return streams, nil
}

// between reads spans one after another.
func (s *Store) between(ctx context.Context, within []span, arg exposuresBetweenParams, after exposure.Key) stream {
	return func(yield func(exposureRow, error) bool) {
		for _, sp := range within {
			for row, err := range paged(arg.from(sp, after), func(p exposuresBetweenParams) ([]exposureRow, error) {
				return s.read.exposuresBetween(ctx, p)
			}) {
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// paged turns many short reads into one stream: a long listing holds up neither
// a checkpoint nor a writer.
func paged(from exposuresBetweenParams, read func(exposuresBetweenParams) ([]exposureRow, error)) stream {
	return func(yield func(exposureRow, error) bool) {
		for {
			rows, err := read(from)
			if err != nil {
				yield(exposureRow{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
			end := rows[page-1]
			from.AfterAddr, from.AfterTransport = end.Addr.bytes(), end.Transport
			from.AfterPort, from.AfterRule = end.Port, end.Rule
		}
	}
}

// merge makes one stream of many, in the order of keys and each key once.
func merge(streams []stream) stream {
	if len(streams) == 1 {
		return streams[0]
	}
	return func(yield func(exposureRow, error) bool) {
		type head struct {
			row  exposureRow
			next func() (exposureRow, error, bool)
		}
		var heads []*head
		for _, st := range streams {
			next, stop := iter.Pull2(st)
			defer stop()
			h := &head{next: next}
			row, err, ok := next()
			if err != nil {
				yield(exposureRow{}, err)
				return
			}
			if ok {
				h.row = row
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			least := heads[0].row
			for _, h := range heads[1:] {
				if compareKeys(h.row.key(), least.key()) < 0 {
					least = h.row
				}
			}
			if !yield(least, nil) {
				return
			}
			left := heads[:0]
			for _, h := range heads {
				ok := true
				if h.row.key() == least.key() {
					var err error
					if h.row, err, ok = h.next(); err != nil {
						yield(exposureRow{}, err)
						return
					}
				}
				if ok {
					left = append(left, h)
				}
			}
			heads = left
		}
	}
}

// compareKeys orders keys as the database does.
func compareKeys(a, b exposure.Key) int {
	if c := bytes.Compare(address{a.Addr}.bytes(), address{b.Addr}.bytes()); c != 0 {
		return c
	}
	switch {
	case a.Transport != b.Transport:
		return bytes.Compare([]byte(a.Transport), []byte(b.Transport))
	case a.Port != b.Port:
		return int(a.Port) - int(b.Port)
	}
	return bytes.Compare([]byte(a.Rule), []byte(b.Rule))
}

func (f Filter) params() (exposuresBetweenParams, error) {
	var severities []exposure.Severity
	if f.MinSeverity != "" {
		for _, s := range exposure.Severities {
			if s.AtLeast(f.MinSeverity) {
				severities = append(severities, s)
			}
		}
	}
	arg := exposuresBetweenParams{Since: instant{f.Since}, Before: endOfTime(), Assignee: f.Assignee, N: page}
	if !f.Before.IsZero() {
		arg.Before = instant{f.Before}
	}
	if f.Moved {
		arg.Moved = 1
	}
	var err error
	arg.Conditions, err = list(f.Conditions, err)
	arg.Contacts, err = list(f.Contacts, err)
	arg.Rulings, err = list(f.Rulings, err)
	arg.Rules, err = list(f.Rules, err)
	arg.Severities, err = list(severities, err)
	return arg, err
}

// list returns the JSON array of the words.
func list[T ~string](words []T, err error) (string, error) {
	if err != nil || len(words) == 0 {
		return "[]", err
	}
	b, err := json.Marshal(words)
	return string(b), err
}

// from returns the parameters for the part of the span behind the key.
func (p exposuresBetweenParams) from(sp span, after exposure.Key) exposuresBetweenParams {
	p.Hi = sp.hi
	p.AfterAddr, p.AfterTransport, p.AfterPort, p.AfterRule = sp.lo, "", -1, ""
	if b := (address{after.Addr}).bytes(); bytes.Compare(b, sp.lo) >= 0 {
		p.AfterAddr, p.AfterTransport = b, string(after.Transport)
		p.AfterPort, p.AfterRule = int64(after.Port), after.Rule
	}
	return p
}
