package archive

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/archive/form"
	"ippwatch/exposure"
)

// A Record is a kept observation. Its Findings are nil: the rules make them
// again. Tags and Worst are what was found when it was judged last.
type Record struct {
	exposure.Observation
	Tags  []string // rule ids, sorted
	Worst exposure.Severity

	ref ref
}

// A ref is where a record stands in this database, and what it looks like there.
type ref struct {
	run                        int64
	raw                        []byte // the key
	key                        form.Key
	at                         int64
	content, place, kind, tags int64
	pack                       []byte
}

// A Cursor is a place between two records of [Archive.Observations]. The zero
// Cursor is before the first.
type Cursor string

// Cursor returns the place after the record.
func (r *Record) Cursor() Cursor {
	var s form.Sink
	s.Int(r.ref.at)
	s.Int(r.ref.run)
	return Cursor(base64.RawURLEncoding.EncodeToString(append(s, r.ref.raw...)))
}

// ErrCursor says that a cursor is none.
var ErrCursor = errors.New("not a cursor of this archive")

func (c Cursor) split() (at, run int64, key []byte, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(string(c))
	if err != nil {
		return 0, 0, nil, ErrCursor
	}
	s := form.Source{Rest: string(raw)}
	at, run = s.Int(), s.Int()
	if s.Err != nil {
		return 0, 0, nil, ErrCursor
	}
	return at, run, []byte(s.Rest), nil
}

// A Query narrows what is read. Zero fields do not narrow.
type Query struct {
	From, To  time.Time    // From <= Observed < To
	Addr      netip.Prefix // of the host
	Run       string
	Source    exposure.Source
	Transport exposure.Transport
	Verdict   exposure.Verdict
	Tag       string // a rule id, or one of the words ipp, cups, cups-browsed
	Limit     int
	After     Cursor
}

// Day returns the bounds of the UTC day that t is in, for a [Query].
func Day(t time.Time) (from, to time.Time) {
	from = time.Unix(dayNumber(t)*secondsPerDay, 0).UTC()
	return from, from.AddDate(0, 0, 1)
}

// A clause grows to the WHERE of a statement, with its arguments.
type clause struct {
	parts []string
	args  []any
}

func (c *clause) and(part string, args ...any) {
	c.parts = append(c.parts, part)
	c.args = append(c.args, args...)
}

// between narrows to observation times. Runs that cannot hold any are skipped whole.
func (c *clause) between(from, to time.Time) {
	lo, hi := bounds(from, to)
	c.and(`r.last >= ? AND r.first < ? AND o.observed >= ? - r.base AND o.observed < ? - r.base`, lo, hi, lo, hi)
}

// bounds are lo <= t < hi; a zero time is no bound.
func bounds(from, to time.Time) (lo, hi int64) {
	lo, hi = int64(math.MinInt64/4), int64(math.MaxInt64/2)
	if !from.IsZero() {
		lo = max(lo, nanoseconds(from))
	}
	if !to.IsZero() {
		hi = nanoseconds(to)
	}
	return lo, hi
}

// nanoseconds is UnixNano within the years that Append takes.
func nanoseconds(t time.Time) int64 {
	switch year := t.Year(); {
	case year < 1970:
		return 0
	case year > 2200:
		return math.MaxInt64 / 2
	}
	return t.UnixNano()
}

// mostRanges is how many prefixes are given to SQLite; beyond that it is
// quicker to read everything.
const mostRanges = 200

// within narrows to addresses of any of the prefixes and reports whether it
// did: [access.View.Sees] decides about every row in any case.
func (c *clause) within(prefixes []netip.Prefix) bool {
	if len(prefixes) > mostRanges {
		return false
	}
	parts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() {
			continue
		}
		from, to := form.PrefixRange(p)
		parts = append(parts, `o.key BETWEEN ? AND ?`)
		c.args = append(c.args, from, to)
	}
	if len(parts) == 0 {
		parts = []string{`FALSE`}
	}
	c.parts = append(c.parts, `(`+strings.Join(parts, ` OR `)+`)`)
	return true
}

func (c *clause) visible(view access.View) bool {
	if view.Tier == access.Operator {
		return true
	}
	if view.Placed() {
		return false // its hosts lie anywhere: each is looked at
	}
	if len(view.Windows) == 0 {
		return c.within(view.Networks)
	}
	if len(view.Networks)+len(view.Windows) > mostRanges {
		return false
	}
	var parts []string
	for _, p := range view.Networks {
		if p.IsValid() {
			from, to := form.PrefixRange(p)
			parts = append(parts, `o.key BETWEEN ? AND ?`)
			c.args = append(c.args, from, to)
		}
	}
	for _, w := range view.Windows {
		if !w.Prefix.IsValid() {
			continue
		}
		from, to := form.PrefixRange(w.Prefix)
		lo, hi := bounds(w.From, w.To)
		parts = append(parts, `(o.key BETWEEN ? AND ? AND o.observed >= ? - r.base AND o.observed < ? - r.base)`)
		c.args = append(c.args, from, to, lo, hi)
	}
	if len(parts) == 0 {
		parts = []string{`FALSE`}
	}
	c.parts = append(c.parts, `(`+strings.Join(parts, ` OR `)+`)`)
	return true
}

func (c *clause) query(q *Query) error {
	from := q.From
	if q.After != "" {
		at, run, key, err := q.After.split()
		if err != nil {
			return err
		}
		c.and(`(r.base + o.observed, o.run, o.key) > (?, ?, ?)`, at, run, key)
		if t := time.Unix(0, at); t.After(from) {
			from = t // spares the runs before it
		}
	}
	c.between(from, q.To)
	if q.Addr.IsValid() {
		c.within([]netip.Prefix{q.Addr})
	}
	if q.Run != "" {
		c.and(`r.name = ?`, blob(q.Run))
	}
	if q.Source != "" {
		c.and(`f.kind IN (SELECT id FROM kind WHERE source = ?)`, blob(q.Source))
	}
	if q.Transport != "" {
		c.and(`f.kind IN (SELECT id FROM kind WHERE transport = ?)`, blob(q.Transport))
	}
	if q.Verdict != "" {
		c.and(`f.kind IN (SELECT id FROM kind WHERE verdict = ?)`, blob(q.Verdict))
	}
	if q.Tag != "" {
		c.tag(q.Tag)
	}
	return nil
}

func (c *clause) tag(tag string) {
	const ruled = `f.tags IN (SELECT tagset FROM tagset_tag JOIN tag ON tag.id = tagset_tag.tag WHERE name = ?)`
	switch tag {
	case tagIPP:
		c.and(`(`+ruled+` OR f.kind IN (SELECT id FROM kind WHERE transport = ? AND verdict = ?))`,
			blob(tag), blob(exposure.TCP), blob(exposure.Answered))
	case tagCUPS:
		c.and(`(`+ruled+` OR f.kind IN (SELECT id FROM kind WHERE cups))`, blob(tag))
	case tagBrowse:
		c.and(`(`+ruled+` OR f.kind IN (SELECT id FROM kind WHERE verdict = ?))`, blob(tag), blob(exposure.CalledBack))
	default:
		c.and(ruled, blob(tag))
	}
}

// selectRefs are the columns of a ref; o is read through the runs, whose key
// ranges are in its primary key.
const selectRefs = `SELECT o.run, o.key, r.base + o.observed AS at, f.content, f.place, f.kind, f.tags, o.pack
	FROM run r CROSS JOIN observation o ON o.run = r.id CROSS JOIN face f ON f.id = o.face WHERE `

// refs yields what the statement finds, as it is found.
func (a *Archive) refs(ctx context.Context, statement string, args []any) iter.Seq2[ref, error] {
	return func(yield func(ref, error) bool) {
		rows, err := a.read.QueryContext(ctx, statement, args...)
		if err != nil {
			yield(ref{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var r ref
			err := rows.Scan(&r.run, &r.raw, &r.at, &r.content, &r.place, &r.kind, &r.tags, &r.pack)
			if err == nil {
				r.key, err = form.ParseKey(r.raw)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(ref{}, err)
		}
	}
}

// Observations yields what the view may see of what the query asks, in the
// order of time; a view of the public tier sees nothing. An error is the last
// that it yields. The rows are those of the moment when it began; while it
// runs, the write-ahead log cannot shrink.
func (a *Archive) Observations(ctx context.Context, view access.View, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if view.Tier == access.Public {
			return
		}
		var where clause
		if err := where.query(&q); err != nil {
			yield(Record{}, fmt.Errorf("read observations after %q: %w", q.After, err))
			return
		}
		statement := ` ORDER BY at, o.run, o.key`
		if where.visible(view) && q.Limit > 0 {
			statement += ` LIMIT ?`
			where.args = append(where.args, q.Limit)
		}
		statement = selectRefs + strings.Join(where.parts, ` AND `) + statement
		a.records(ctx, view, a.refs(ctx, statement, where.args), q.Limit, yield)
	}
}

// History yields the observations of one address, the last first; limit 0 is all.
func (a *Archive) History(ctx context.Context, view access.View, addr netip.Addr, limit int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if !view.Host(addr) || !addr.IsValid() {
			return
		}
		from, to := form.AddrRange(addr)
		where := clause{parts: []string{`o.key BETWEEN ? AND ?`}, args: []any{from, to}}
		statement := ` ORDER BY at DESC, o.run DESC, o.key DESC`
		if (len(view.Windows) == 0 || where.visible(view)) && limit > 0 {
			statement += ` LIMIT ?`
			where.args = append(where.args, limit)
		}
		statement = selectRefs + strings.Join(where.parts, ` AND `) + statement
		a.records(ctx, view, a.refs(ctx, statement, where.args), limit, yield)
	}
}

// LatestPerTarget yields the last observation of each address, port, transport
// and probe on the UTC day of the given time, in the order of addresses, as far
// as the view may see.
func (a *Archive) LatestPerTarget(ctx context.Context, view access.View, day time.Time) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if view.Tier == access.Public {
			return
		}
		var where clause
		where.between(Day(day))
		where.visible(view)
		statement := selectRefs + strings.Join(where.parts, ` AND `) + ` ORDER BY o.key`
		a.records(ctx, view, latest(onlySeen(view, a.refs(ctx, statement, where.args))), 0, yield)
	}
}

// onlySeen keeps what the view may see.
func onlySeen(view access.View, refs iter.Seq2[ref, error]) iter.Seq2[ref, error] {
	return func(yield func(ref, error) bool) {
		for r, err := range refs {
			if err == nil && !view.Sees(r.key.Addr, time.Unix(0, r.at)) {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// latest keeps the last of each group of neighbours with one target.
func latest(refs iter.Seq2[ref, error]) iter.Seq2[ref, error] {
	return func(yield func(ref, error) bool) {
		var best ref
		for r, err := range refs {
			if err != nil {
				yield(ref{}, err)
				return
			}
			switch {
			case best.raw == nil:
				best = r
			case best.key.Addr != r.key.Addr || best.key.Door != r.key.Door:
				if !yield(best, nil) {
					return
				}
				best = r
			case r.at > best.at || r.at == best.at && r.run >= best.run:
				best = r
			}
		}
		if best.raw != nil {
			yield(best, nil)
		}
	}
}

// records turns refs into records that the view may see.
func (a *Archive) records(ctx context.Context, view access.View, refs iter.Seq2[ref, error], limit int, yield func(Record, error) bool) {
	d, err := a.newReader(ctx)
	if err != nil {
		yield(Record{}, fmt.Errorf("read observations: %w", err))
		return
	}
	defer d.close()
	n := 0
	for r, err := range onlySeen(view, refs) {
		var rec Record
		if err == nil {
			rec, err = d.record(ctx, r)
		}
		if err != nil {
			yield(Record{}, fmt.Errorf("read observations of %s: %w", a.path, err))
			return
		}
		n++
		if !yield(rec, nil) || n == limit {
			return
		}
	}
}

// A door is where a target was asked, and how.
type door struct {
	port      uint16
	transport exposure.Transport
	probe     exposure.Probe
}

// A reader turns refs into records, with a connection of its own and a memory
// of what many records share.
type reader struct {
	conn       *sql.Conn
	askContent *sql.Stmt

	runs    *recent[int64, string]
	doors   *recent[int64, door]
	kinds   *recent[int64, kind]
	places  *recent[int64, exposure.Where]
	tagsets *recent[int64, string]
	bases   *recent[int64, []byte]
	shared  *recent[int64, []byte] // contents without a base, such as those of silence
}

func (a *Archive) newReader(ctx context.Context) (*reader, error) {
	conn, err := a.read.Conn(ctx)
	if err != nil {
		return nil, err
	}
	ask, err := conn.PrepareContext(ctx, `SELECT base, form, body FROM content WHERE id = ?`)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &reader{
		conn:       conn,
		askContent: ask,
		runs:       newRecent[int64, string](recentOthers),
		doors:      newRecent[int64, door](recentOthers),
		kinds:      newRecent[int64, kind](recentOthers),
		places:     newRecent[int64, exposure.Where](recentPlaces),
		tagsets:    newRecent[int64, string](recentOthers),
		bases:      newRecent[int64, []byte](recentBases),
		shared:     newRecent[int64, []byte](recentBases),
	}, nil
}

func (d *reader) close() {
	// Nothing was written: a failure to close loses nothing.
	_ = d.askContent.Close()
	_ = d.conn.Close()
}

// remembered returns the value of a dictionary's id, asking once.
func remembered[V any](r *recent[int64, V], id int64, ask func() (V, error)) (V, error) {
	if v, ok := r.get(id); ok {
		return v, nil
	}
	v, err := ask()
	if err == nil {
		r.put(id, v)
	}
	return v, err
}

func (d *reader) record(ctx context.Context, r ref) (Record, error) {
	rec := Record{ref: r}
	o := &rec.Observation
	o.Observed = time.Unix(0, r.at).UTC()
	o.Addr, o.Attempt, o.ID = r.key.Addr, r.key.Attempt, r.key.ID
	var err error
	if o.Run, err = d.run(ctx, r.run); err != nil {
		return rec, err
	}
	door, err := d.door(ctx, r.key.Door)
	if err != nil {
		return rec, err
	}
	o.Port, o.Transport, o.Probe = door.port, door.transport, door.probe
	if o.ID == "" {
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt)
	}
	k, err := d.kind(ctx, r.kind)
	if err != nil {
		return rec, err
	}
	o.V, o.Source, o.Vantage, o.Verdict, o.Simulated = k.v, k.source, k.vantage, k.verdict, k.simulated
	if o.Where, err = d.place(ctx, r.place); err != nil {
		return rec, err
	}
	tags, err := d.tagset(ctx, r.tags)
	if err != nil {
		return rec, err
	}
	if rec.Worst, rec.Tags, err = splitTags(tags); err != nil {
		return rec, err
	}
	body, err := d.content(ctx, r.content)
	if err != nil {
		return rec, err
	}
	if err := form.Join(o, body, r.pack); err != nil {
		return rec, fmt.Errorf("observation %s: %w", o.ID, err)
	}
	return rec, nil
}

func (d *reader) run(ctx context.Context, id int64) (string, error) {
	return remembered(d.runs, id, func() (name string, err error) {
		err = d.conn.QueryRowContext(ctx, `SELECT name FROM run WHERE id = ?`, id).Scan(&name)
		return name, err
	})
}

func (d *reader) door(ctx context.Context, id int64) (door, error) {
	return remembered(d.doors, id, func() (v door, err error) {
		err = d.conn.QueryRowContext(ctx, `SELECT port, transport, probe FROM door WHERE id = ?`, id).
			Scan(&v.port, &v.transport, &v.probe)
		return v, err
	})
}

func (d *reader) kind(ctx context.Context, id int64) (kind, error) {
	return remembered(d.kinds, id, func() (v kind, err error) {
		err = d.conn.QueryRowContext(ctx, `SELECT v, source, vantage, transport, verdict, simulated, cups FROM kind WHERE id = ?`, id).
			Scan(&v.v, &v.source, &v.vantage, &v.transport, &v.verdict, &v.simulated, &v.cups)
		return v, err
	})
}

func (d *reader) place(ctx context.Context, id int64) (exposure.Where, error) {
	return remembered(d.places, id, func() (v exposure.Where, err error) {
		err = d.conn.QueryRowContext(ctx, `SELECT country, region, city, asn, as_name, hostname FROM place WHERE id = ?`, id).
			Scan(&v.Country, &v.Region, &v.City, &v.ASN, &v.ASName, &v.Hostname)
		return v, err
	})
}

func (d *reader) tagset(ctx context.Context, id int64) (string, error) {
	return remembered(d.tagsets, id, func() (body string, err error) {
		err = d.conn.QueryRowContext(ctx, `SELECT body FROM tagset WHERE id = ?`, id).Scan(&body)
		return body, err
	})
}

// content returns the plain stable part.
func (d *reader) content(ctx context.Context, id int64) ([]byte, error) {
	if body, ok := d.shared.get(id); ok {
		return body, nil
	}
	var base sql.NullInt64
	var how form.Shape
	var stored []byte
	if err := d.askContent.QueryRowContext(ctx, id).Scan(&base, &how, &stored); err != nil {
		return nil, fmt.Errorf("content %d: %w", id, err)
	}
	if !base.Valid {
		body, err := form.Unpack(stored, how, nil)
		if err == nil && len(body) <= form.MaxBase {
			d.shared.put(id, body)
		}
		return body, err
	}
	root, err := remembered(d.bases, base.Int64, func() ([]byte, error) {
		var how form.Shape
		var stored []byte
		if err := d.askContent.QueryRowContext(ctx, base.Int64).Scan(new(sql.NullInt64), &how, &stored); err != nil {
			return nil, fmt.Errorf("base content %d: %w", base.Int64, err)
		}
		return form.Unpack(stored, how, nil)
	})
	if err != nil {
		return nil, err
	}
	return form.Unpack(stored, how, root)
}
