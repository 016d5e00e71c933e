package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// To count a million cases with their steps, the time goes into handing over
// columns, of which each costs a lock or three in the driver. So a host comes as
// one row with all of it in one text, and without the words that only a reader
// of the history wants: that is several times as fast.
const (
	unitSeparator   = "\x1f" // between columns
	recordSeparator = "\x1e" // between rows

	hostsAtOnce = 500
)

var (
	packedSteps = packed("transitions", "", "transport", "port", "rule", "axis", "was", "became", "cycle", "at", "seq")
	packedCases = packed("exposures", "AND moved_to = ''", "transport", "port", "rule", "severity", "condition", "contact", "ruling", "cycle",
		"first_seen", "last_seen", "cleared_at", "country", "asn", "simulated", "moved_from")
)

// packed is the statement that packs the columns, of hosts from an address to
// another.
func packed(table, and string, columns ...string) string {
	form := strings.TrimSuffix(strings.Repeat("%s"+unitSeparator, len(columns)), unitSeparator)
	return fmt.Sprintf(`SELECT addr, group_concat(format('%s', %s), '%s') FROM %s WHERE addr >= ? AND addr <= ? %s GROUP BY addr ORDER BY addr LIMIT ?`,
		form, strings.Join(columns, ", "), recordSeparator, table, and)
}

var errPacked = errors.New("a row is not as it was packed")

// fields are the columns of a packed row, taken off one by one.
type fields struct {
	rest string
	err  error
}

func (f *fields) text() string {
	head, rest, _ := strings.Cut(f.rest, unitSeparator)
	f.rest = rest
	return head
}

func (f *fields) number() int64 {
	n, err := strconv.ParseInt(f.text(), 10, 64)
	if err != nil {
		f.err = errPacked
	}
	return n
}

func (f *fields) time() time.Time {
	if ns := f.number(); ns != 0 {
		return time.Unix(0, ns).UTC()
	}
	return time.Time{}
}

func (f *fields) key(a netip.Addr) exposure.Key {
	return exposure.Key{Addr: a, Transport: exposure.Transport(f.text()), Port: uint16(f.number()), Rule: f.text()} //nolint:gosec // as it was kept
}

// hosts yields the packed rows of the hosts that the view may see something of,
// in the order of addresses.
func (s *Store) hosts(ctx context.Context, v access.View, query string) iter.Seq2[packedHost, error] {
	return func(yield func(packedHost, error) bool) {
		within, err := spans(v, netip.Prefix{})
		if err != nil {
			yield(packedHost{}, err)
			return
		}
		for _, sp := range within {
			for from := sp.lo; from != nil; {
				some, err := s.someHosts(ctx, query, from, sp.hi)
				if err != nil {
					yield(packedHost{}, err)
					return
				}
				for _, h := range some {
					if !yield(h, nil) {
						return
					}
				}
				if from = nil; len(some) == hostsAtOnce {
					from = append(some[hostsAtOnce-1].addr.bytes(), 0) // the next that can be
				}
			}
		}
	}
}

// A packedHost is an address with its rows.
type packedHost struct {
	addr address
	rows string
}

func (s *Store) someHosts(ctx context.Context, query string, from, to []byte) ([]packedHost, error) {
	rows, err := s.reads.QueryContext(ctx, query, from, to, hostsAtOnce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	some := make([]packedHost, 0, hostsAtOnce)
	for rows.Next() {
		var h packedHost
		var text sql.RawBytes
		if err := rows.Scan(&h.addr, &text); err != nil {
			return nil, err
		}
		h.rows = string(text)
		some = append(some, h)
	}
	return some, rows.Err()
}

// TransitionsByHost returns the steps of exposures that the view may see, host
// after host in the order of addresses and each host's in the order of time. Who
// made them and why is left out. It ends at the first error.
func (s *Store) TransitionsByHost(ctx context.Context, v access.View) iter.Seq2[exposure.Transition, error] {
	return func(yield func(exposure.Transition, error) bool) {
		fail := func(err error) { yield(exposure.Transition{}, fmt.Errorf("read history by host: %w", explain(err))) }
		if v.Tier == access.Public {
			return
		}
		type ordered struct {
			exposure.Transition
			seq int64
		}
		var steps []ordered
		shown := make(firsts)
		for h, err := range s.hosts(ctx, v, packedSteps) {
			if err != nil {
				fail(err)
				return
			}
			steps = steps[:0]
			for row := range strings.SplitSeq(h.rows, recordSeparator) {
				f := fields{rest: row}
				t := ordered{Transition: exposure.Transition{
					Key: f.key(h.addr.Addr), Axis: exposure.Axis(f.text()), From: f.text(), To: f.text(), Cycle: int(f.number()), At: f.time(),
				}, seq: f.number()}
				if f.err != nil {
					fail(f.err)
					return
				}
				steps = append(steps, t)
			}
			slices.SortFunc(steps, func(a, b ordered) int {
				if c := a.At.Compare(b.At); c != 0 {
					return c
				}
				return int(a.seq - b.seq)
			})
			for i := range steps {
				w, ok := v.Window(h.addr.Addr, steps[i].At)
				if ok && !yield(shown.clip(steps[i].Transition, w), nil) {
					return
				}
			}
		}
	}
}

// ExposuresInBrief returns the exposures that the view may see as
// [Store.Exposures] does, but for an operator with no more than can be counted:
// states, times, country and AS, without words and observations.
func (s *Store) ExposuresInBrief(ctx context.Context, v access.View) iter.Seq2[exposure.Exposure, error] {
	if v.Tier != access.Operator {
		return s.Exposures(ctx, v, Filter{}) // what is clipped is clipped in one place
	}
	return func(yield func(exposure.Exposure, error) bool) {
		fail := func(err error) { yield(exposure.Exposure{}, fmt.Errorf("read exposures in brief: %w", explain(err))) }
		var cases []exposure.Exposure
		for h, err := range s.hosts(ctx, v, packedCases) {
			if err != nil {
				fail(err)
				return
			}
			cases = cases[:0]
			for row := range strings.SplitSeq(h.rows, recordSeparator) {
				e, err := unpackCase(h.addr.Addr, row)
				if err != nil {
					fail(err)
					return
				}
				cases = append(cases, e)
			}
			slices.SortFunc(cases, func(a, b exposure.Exposure) int { return compareKeys(a.Key, b.Key) })
			for i := range cases {
				if !yield(cases[i], nil) {
					return
				}
			}
		}
	}
}

func unpackCase(a netip.Addr, row string) (exposure.Exposure, error) {
	f := fields{rest: row}
	e := exposure.Exposure{
		Key: f.key(a), Severity: exposure.Severity(f.text()), Condition: exposure.Condition(f.text()),
		Contact: exposure.Contact(f.text()), Ruling: exposure.Ruling(f.text()), Cycle: int(f.number()),
		FirstSeen: f.time(), LastSeen: f.time(), ClearedAt: f.time(),
		Where: exposure.Where{Country: f.text(), ASN: uint32(f.number())}, Simulated: f.number() != 0, //nolint:gosec // as it was kept
	}
	if moved := f.text(); moved != "" {
		var err error
		if e.MovedFrom, err = netip.ParseAddr(moved); err != nil {
			return e, err
		}
	}
	return e, f.err
}
