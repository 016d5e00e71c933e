package archive

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive/form"
	"ippwatch/exposure"
	"ippwatch/sketch"
)

// A cell is what the rollup counts by, beside the day. An empty tag is any observation that
// spoke. An empty source corrects for addresses that several sources saw, so
// that the sum over all sources counts an address once.
type cell struct {
	tag     string
	source  string
	country string
	asn     uint32
}

type tally struct{ addresses, observations int64 }

// DirtyDays returns the UTC days with observations that no rollup has counted
// yet, the first first.
func (a *Archive) DirtyDays(ctx context.Context) ([]time.Time, error) {
	var days []time.Time
	err := a.each(ctx, `SELECT day FROM day WHERE changed > rolled AND NOT pruned ORDER BY day`, nil, func(rows *sql.Rows) error {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return err
		}
		days = append(days, time.Unix(n*secondsPerDay, 0).UTC())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list days to roll up: %w", err)
	}
	return days, nil
}

// each calls f for every row of a query.
func (a *Archive) each(ctx context.Context, query string, args []any, f func(*sql.Rows) error) error {
	rows, err := a.read.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Rollup counts the observations of the UTC day of the given time anew. It
// reads without holding up a writer and replaces the day's counts in one short
// transaction, unless another process was quicker with newer data.
func (a *Archive) Rollup(ctx context.Context, day time.Time) error {
	if err := a.rollup(ctx, dayNumber(day)); err != nil {
		return fmt.Errorf("roll up %s: %w", day.UTC().Format(time.DateOnly), err)
	}
	return nil
}

func (a *Archive) rollup(ctx context.Context, day int64) error {
	// Read before the observations: what changes after it is counted again.
	var changed int64
	err := a.read.QueryRowContext(ctx, `SELECT changed FROM day WHERE day = ? AND NOT pruned`, day).Scan(&changed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // nothing was ever kept of that day, or not all is any more
	}
	if err != nil {
		return err
	}
	dig := newDigest()
	cells, err := a.count(ctx, access.View{Tier: access.Operator}, day, dig)
	if err != nil {
		return err
	}
	sheets, digested := sheetsOf(cells), dig.sheets()
	return a.change(ctx, func(ctx context.Context, w *writer) error {
		r, err := w.exec(ctx, `UPDATE day SET rolled = ? WHERE day = ? AND rolled <= ? AND NOT pruned`, changed, day, changed)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if _, err := w.exec(ctx, `DELETE FROM rollup WHERE day = ?`, day); err != nil {
			return err
		}
		for s, body := range sheets {
			if err := w.addSheet(ctx, day, s, body); err != nil {
				return err
			}
		}
		if _, err := w.exec(ctx, `DELETE FROM digest WHERE day = ?`, day); err != nil {
			return err
		}
		for _, no := range slices.Sorted(maps.Keys(digested)) {
			if _, err := w.exec(ctx, `INSERT INTO digest (day, sheet, body) VALUES (?, ?, ?)`, day, int64(no), digested[no]); err != nil {
				return err
			}
		}
		return nil
	})
}

// change runs f in one short write transaction.
func (a *Archive) change(ctx context.Context, f func(context.Context, *writer) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.writer == nil {
		return errClosed
	}
	return a.writer.immediately(ctx, func(ctx context.Context) error { return f(ctx, a.writer) })
}

// A sheet is one row of the rollup: all countries and ASNs of a tag and source.
type sheet struct{ tag, source string }

// sheetsOf writes the cells as the bodies of sheets, in the order of country and
// ASN: ten thousand ASNs by ten tags would cost as many rows as the hosts.
func sheetsOf(cells map[cell]tally) map[sheet]form.Sink {
	order := slices.SortedFunc(maps.Keys(cells), func(x, y cell) int {
		return cmp.Or(cmp.Compare(x.country, y.country), cmp.Compare(x.asn, y.asn))
	})
	sheets, last := make(map[sheet]form.Sink), make(map[sheet]cell)
	for _, c := range order {
		s := sheet{c.tag, c.source}
		body, before := sheets[s], last[s]
		same := len(body) > 0 && before.country == c.country
		body.Bits(same)
		if !same {
			body.Str(c.country)
			before.asn = 0
		}
		body.Uint(uint64(c.asn - before.asn))
		body.Int(cells[c].addresses)
		body.Int(cells[c].observations)
		sheets[s], last[s] = body, c
	}
	return sheets
}

// readSheet calls f for each cell of a sheet.
func readSheet(s sheet, body string, f func(cell, tally)) error {
	c, in := cell{tag: s.tag, source: s.source}, form.Source{Rest: body}
	for len(in.Rest) > 0 {
		var same bool
		if in.Bits(&same); !same {
			c.country, c.asn = in.Str(), 0
		}
		c.asn += uint32(in.Uint())
		n := tally{in.Int(), in.Int()}
		if in.Err != nil {
			break
		}
		f(c, n)
	}
	return in.Err
}

func (w *writer) addSheet(ctx context.Context, day int64, s sheet, body form.Sink) error {
	ids := make([]int64, 2) // 0 for ""
	for i, name := range []string{s.tag, s.source} {
		if name == "" {
			continue
		}
		var err error
		if ids[i], err = w.tag(ctx, name); err != nil {
			return err
		}
	}
	_, err := w.exec(ctx, `INSERT INTO rollup (day, tag, source, body) VALUES (?, ?, ?, ?)`,
		day, ids[0], ids[1], []byte(body))
	return err
}

// A glance is what a rollup needs of one observation.
type glance struct {
	addr              netip.Addr
	at                int64
	kind, place, tags int64
	content           int64
	pack              []byte
}

// count counts what the view may see of a day, into the digest too unless it is
// nil. Observations of silence count nowhere. An address stands in one country
// and one ASN a day: the last that is known.
func (a *Archive) count(ctx context.Context, view access.View, day int64, dig *digest) (map[cell]tally, error) {
	d, err := a.newReader(ctx)
	if err != nil {
		return nil, err
	}
	defer d.close()
	cells := make(map[cell]tally)
	var host []glance
	done := func() error {
		if len(host) == 0 {
			return nil
		}
		looks, err := a.looks(ctx, d, host, dig != nil)
		if err != nil {
			return err
		}
		tallyHost(cells, looks)
		if dig != nil {
			dig.host(sketch.HashAddr(host[0].addr), looks)
		}
		return nil
	}
	for g, err := range a.glances(ctx, view, day) {
		if err != nil {
			return nil, err
		}
		if len(host) > 0 && host[0].addr != g.addr {
			if err := done(); err != nil {
				return nil, err
			}
			host = host[:0]
		}
		host = append(host, g)
	}
	if err := done(); err != nil {
		return nil, err
	}
	if dig != nil {
		dig.close()
	}
	return cells, nil
}

// looks are what the observations of one address say, in the order of time; what
// was silent says nothing. Traits are read only if they are wanted.
func (a *Archive) looks(ctx context.Context, d *reader, host []glance, traits bool) ([]look, error) {
	slices.SortStableFunc(host, func(x, y glance) int { return cmp.Compare(x.at, y.at) })
	var looks []look
	for i := range host {
		g := &host[i]
		kind, err := d.kind(ctx, g.kind)
		if err != nil {
			return nil, err
		}
		if !kind.verdict.Spoke() {
			continue
		}
		body, err := d.tagset(ctx, g.tags)
		if err != nil {
			return nil, err
		}
		_, rules, err := splitTags(body)
		if err != nil {
			return nil, err
		}
		l := look{at: g.at, from: kind.source, source: string(kind.source), tags: append(kind.tags(), rules...)}
		if g.addr.Unmap().Is6() {
			l.source += "6"
		}
		if l.where, err = d.place(ctx, g.place); err != nil {
			return nil, err
		}
		if traits {
			if l.trait, err = a.trait(ctx, d, kind, g); err != nil {
				return nil, err
			}
		}
		looks = append(looks, l)
	}
	return looks, nil
}

// recentTraits is how many contents are known by what they say of devices: a host
// that says the same every day is not read every day.
const recentTraits = 1 << 17

// trait returns what an observation says of its devices.
func (a *Archive) trait(ctx context.Context, d *reader, k kind, g *glance) (trait, error) {
	a.traitsMu.Lock()
	t, ok := a.traits.get(g.content)
	a.traitsMu.Unlock()
	if ok {
		return t, nil
	}
	body, err := d.content(ctx, g.content)
	if errors.Is(err, sql.ErrNoRows) {
		return trait{}, nil // pruned a moment ago
	}
	if err != nil {
		return t, err
	}
	o := exposure.Observation{Observed: time.Unix(0, g.at).UTC(), Source: k.source}
	if err := form.Join(&o, body, g.pack); err != nil {
		return t, fmt.Errorf("observation of %s: %w", g.addr, err)
	}
	t = traitOf(&o)
	a.traitsMu.Lock()
	a.traits.put(g.content, t)
	a.traitsMu.Unlock()
	return t, nil
}

// glances yields the observations of a day, address by address.
func (a *Archive) glances(ctx context.Context, view access.View, day int64) iter.Seq2[glance, error] {
	return func(yield func(glance, error) bool) {
		var where clause
		where.between(Day(time.Unix(day*secondsPerDay, 0)))
		where.visible(view)
		err := a.each(ctx, `SELECT o.key, r.base + o.observed, f.kind, f.place, f.tags, f.content, o.pack
			FROM run r CROSS JOIN observation o ON o.run = r.id CROSS JOIN face f ON f.id = o.face
			WHERE `+strings.Join(where.parts, ` AND `)+` ORDER BY o.key`, where.args, func(rows *sql.Rows) error {
			var g glance
			var raw sql.RawBytes
			if err := rows.Scan(&raw, &g.at, &g.kind, &g.place, &g.tags, &g.content, &g.pack); err != nil {
				return err
			}
			key, err := form.ParseKey(raw)
			if err != nil {
				return err
			}
			if g.addr = key.Addr; !view.Sees(g.addr, time.Unix(0, g.at)) {
				return nil
			}
			if !yield(g, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(glance{}, err)
		}
	}
}

var (
	errStop   = errors.New("the caller has seen enough")
	errClosed = errors.New("the archive is closed")
)

// tallyHost adds the looks at one address to the cells.
func tallyHost(cells map[cell]tally, looks []look) {
	// What is counted: by tag and source, how many observations.
	counts := make(map[string]map[exposure.Source]int64)
	var country string
	var asn uint32
	for _, l := range looks {
		if l.where.Country != "" {
			country = l.where.Country
		}
		if l.where.ASN != 0 {
			asn = l.where.ASN
		}
		tags := append(slices.Clone(l.tags), "")
		slices.Sort(tags)
		for _, tag := range slices.Compact(tags) {
			if counts[tag] == nil {
				counts[tag] = make(map[exposure.Source]int64)
			}
			counts[tag][l.from]++
		}
	}
	for tag, sources := range counts {
		for source, n := range sources {
			c := cell{tag, string(source), country, asn}
			cells[c] = tally{cells[c].addresses + 1, cells[c].observations + n}
		}
		if extra := int64(len(sources)) - 1; extra > 0 {
			c := cell{tag, "", country, asn}
			cells[c] = tally{cells[c].addresses - extra, cells[c].observations}
		}
	}
}
