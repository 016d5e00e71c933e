package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/sketch"
)

// What else counts are told apart by; see [Dimension].
const (
	ByVendor Dimension = "vendor"
	ByModel  Dimension = "model"
)

// ErrNarrow means that counts over a range are not kept by what was asked for.
var ErrNarrow = errors.New("distinct over a range is kept by country, source and tag alone")

// A TallyQuery asks what the digests of some days say. Zero fields do not narrow.
// Several sources, or tags, are a union: who is in more than one counts once.
type TallyQuery struct {
	From, To time.Time // UTC days, both included; one day when To is zero
	// Devices counts different printer-uuids instead of addresses.
	Devices bool
	// Sources are names of sources; one that ends in 6 is of IPv6 alone, one that
	// does not of IPv4 alone.
	Sources []string
	Tags    []string // rule ids, and the words ipp, cups, cups-browsed
	// Countries by their two letters; "" is where the country is not known.
	Countries []string
	ASN       uint32
	Vendor    string // in any case
	Model     string
	By        Dimension // empty: the sum alone
}

// wide reports whether the query needs more than the public may see.
func (q *TallyQuery) wide() bool {
	return q.ASN != 0 || q.Vendor != "" || q.Model != "" || q.By == ByASN || q.By == ByVendor || q.By == ByModel
}

// sheet is the smallest one that answers the query.
func (q *TallyQuery) sheet() sheetNo {
	sheet := sheetAddresses
	switch {
	case q.wide():
		sheet = sheetWideAddresses
	case len(q.Sources) == 0 && len(q.Tags) == 0 && (q.By == "" || q.By == ByCountry):
		sheet = sheetAllAddresses
	}
	if q.Devices {
		sheet++
	}
	return sheet
}

// A DayTally is what a query found on a day. A host counts once in Total; by tag
// or source it counts in each that it has, so that the parts may be more than
// Total.
type DayTally struct {
	Day   time.Time
	Total int64
	By    map[string]int64 // by the group's name; of ASNs in decimal
	// Sources are all that saw something anywhere on that day, whatever was asked.
	Sources []string
	// Changing marks a day of which observations came since it was counted.
	Changing bool
}

// Tally returns what the digests of the days say, day by day; a day that nobody
// counted is not there. Operators and the public read the last [Archive.Rollup]
// of each day, and the public may ask by country, source and tag alone; a
// constituent's own hosts are counted at once, on the days that were not pruned.
func (a *Archive) Tally(ctx context.Context, view access.View, q TallyQuery) ([]DayTally, error) {
	if view.Tier == access.Public && q.wide() {
		return nil, fmt.Errorf("tally by network or device: %w", ErrDenied)
	}
	sheet := q.sheet()
	var out []DayTally
	for d, err := range a.digests(ctx, view, q.From, q.To, sheet) {
		if err != nil {
			return nil, fmt.Errorf("tally: %w", err)
		}
		t, err := q.tally(d, q.wide())
		if err != nil {
			return nil, fmt.Errorf("tally %s: %w", d.day.Format(time.DateOnly), err)
		}
		out = append(out, t)
	}
	return out, nil
}

// A Span is about how many different addresses a query met over a range.
type Span struct {
	Total   int64
	By      map[string]int64
	Days    int // that were counted
	Sources []string
}

// Distinct returns about how many different addresses there were over the range,
// within [sketch.Error]. It is kept by country, source and tag alone: for all else
// it returns [ErrNarrow].
func (a *Archive) Distinct(ctx context.Context, view access.View, q TallyQuery) (Span, error) {
	switch {
	case view.Tier == access.Public && q.wide():
		return Span{}, fmt.Errorf("count by network or device: %w", ErrDenied)
	case q.wide() || q.Devices:
		return Span{}, fmt.Errorf("count over a range: %w", ErrNarrow)
	}
	out := Span{By: make(map[string]int64)}
	var total sketch.Register
	groups := make(map[string]*sketch.Register)
	sources := make(map[string]bool)
	for d, err := range a.digests(ctx, view, q.From, q.To, sheetPoints) {
		if err != nil {
			return Span{}, fmt.Errorf("count over a range: %w", err)
		}
		out.Days++
		var keys []string
		want := func(m []mark) bool {
			for _, one := range m {
				sources[one.source] = true
			}
			keys = q.groups(m)
			return keys != nil
		}
		if err := readPoints(d.body, want, func(country string) []*sketch.Register {
			if len(q.Countries) > 0 && !slices.Contains(q.Countries, country) {
				return nil
			}
			to := []*sketch.Register{&total}
			if q.By == ByCountry {
				return append(to, registerOf(groups, country))
			}
			for _, key := range keys {
				to = append(to, registerOf(groups, key))
			}
			return to
		}); err != nil {
			return Span{}, fmt.Errorf("count over a range, %s: %w", d.day.Format(time.DateOnly), err)
		}
	}
	out.Total, out.Sources = int64(total.Estimate()), slices.Sorted(maps.Keys(sources))
	if q.By != "" {
		for key, r := range groups {
			out.By[key] = int64(r.Estimate())
		}
	}
	return out, nil
}

func registerOf(groups map[string]*sketch.Register, key string) *sketch.Register {
	r := groups[key]
	if r == nil {
		r = new(sketch.Register)
		groups[key] = r
	}
	return r
}

// tally evaluates the query on one body.
func (q *TallyQuery) tally(d dayBody, wide bool) (DayTally, error) {
	t := DayTally{Day: d.day, By: make(map[string]int64), Changing: d.changing}
	sources := make(map[string]bool)
	var keys []string
	want := func(m []mark) bool {
		for _, one := range m {
			sources[one.source] = true
		}
		keys = q.groups(m)
		return keys != nil
	}
	r, err := openCounts(d.body, wide)
	if err != nil {
		return t, err
	}
	asked := make([]bool, len(r.countries))
	for i, country := range r.countries {
		asked[i] = len(q.Countries) == 0 || slices.Contains(q.Countries, country)
	}
	device := func(name string) []bool {
		if name == "" {
			return nil
		}
		of := make([]bool, len(r.devices))
		for i, d := range r.devices {
			of[i] = strings.EqualFold(d, name)
		}
		return of
	}
	vendors, models := device(q.Vendor), device(q.Model)
	byCountry, byDevice := make([]int64, len(r.countries)), make([]int64, len(r.devices))
	err = r.each(want, func(c cellRef, n int64) {
		if !asked[c.country] || q.ASN != 0 && c.asn != q.ASN || vendors != nil && !vendors[c.vendor] || models != nil && !models[c.model] {
			return
		}
		t.Total += n
		switch q.By {
		case ByCountry:
			byCountry[c.country] += n
		case ByASN:
			t.By[strconv.FormatUint(uint64(c.asn), 10)] += n
		case ByVendor:
			byDevice[c.vendor] += n
		case ByModel:
			byDevice[c.model] += n
		default:
			for _, key := range keys {
				t.By[key] += n
			}
		}
	})
	for i, n := range byCountry {
		if n > 0 {
			t.By[r.countries[i]] = n
		}
	}
	for i, n := range byDevice {
		if n > 0 {
			t.By[r.devices[i]] = n
		}
	}
	t.Sources = slices.Sorted(maps.Keys(sources))
	return t, err
}

// groups returns nil when none of the marks is asked for, and otherwise the
// sources or tags under which a host with these marks counts.
func (q *TallyQuery) groups(m []mark) []string {
	keys := make([]string, 0, 4)
	hit := false
	for _, one := range m {
		if len(q.Sources) > 0 && !slices.Contains(q.Sources, one.source) {
			continue
		}
		if len(q.Tags) == 0 {
			hit = true
			if q.By == ByTag {
				keys = append(keys, one.tags...)
			}
		}
		for _, tag := range q.Tags {
			if _, has := slices.BinarySearch(one.tags, tag); has {
				hit = true
				if q.By == ByTag {
					keys = append(keys, tag)
				}
			}
		}
		if q.By == BySource && (len(q.Tags) == 0 || slices.ContainsFunc(q.Tags, func(tag string) bool { return slices.Contains(one.tags, tag) })) {
			keys = append(keys, one.source)
		}
	}
	if !hit {
		return nil
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// A dayBody is one sheet of a day's digest.
type dayBody struct {
	day      time.Time
	body     string
	changing bool
}

// digests yields one sheet of each day that was counted.
func (a *Archive) digests(ctx context.Context, view access.View, from, to time.Time, no sheetNo) iter.Seq2[dayBody, error] {
	if to.IsZero() {
		to = from
	}
	first, last := dayNumber(from), dayNumber(to)
	if view.Tier == access.Constituent {
		return a.ownDigests(ctx, view, first, last, no)
	}
	return func(yield func(dayBody, error) bool) {
		err := a.each(ctx, `SELECT g.day, g.body, d.changed > d.rolled AND NOT d.pruned FROM digest g JOIN day d ON d.day = g.day
			WHERE g.day BETWEEN ? AND ? AND g.sheet = ? ORDER BY g.day`, []any{first, last, int64(no)}, func(rows *sql.Rows) error {
			var day int64
			var d dayBody
			if err := rows.Scan(&day, &d.body, &d.changing); err != nil {
				return err
			}
			d.day = time.Unix(day*secondsPerDay, 0).UTC()
			if !yield(d, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(dayBody{}, err)
		}
	}
}

// ownDigests counts what the view may see, day by day.
func (a *Archive) ownDigests(ctx context.Context, view access.View, first, last int64, no sheetNo) iter.Seq2[dayBody, error] {
	return func(yield func(dayBody, error) bool) {
		var days []int64
		err := a.each(ctx, `SELECT day FROM day WHERE day BETWEEN ? AND ? AND NOT pruned ORDER BY day`, []any{first, last}, func(rows *sql.Rows) error {
			var day int64
			err := rows.Scan(&day)
			days = append(days, day)
			return err
		})
		if err != nil {
			yield(dayBody{}, err)
			return
		}
		for _, day := range days {
			dig := newDigest()
			if _, err := a.count(ctx, view, day, dig); err != nil {
				yield(dayBody{}, err)
				return
			}
			if !yield(dayBody{day: time.Unix(day*secondsPerDay, 0).UTC(), body: string(dig.sheets()[no])}, nil) {
				return
			}
		}
	}
}

// An Edition changes with whatever [Archive.Tally] may say.
type Edition struct{ Days, Rolled, First, Last int64 }

// Edition returns the present edition of the counts; it is cheap. Dirty days that
// are not counted yet do not change it.
func (a *Archive) Edition(ctx context.Context) (Edition, error) {
	var e Edition
	err := a.read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(rolled), 0), coalesce(min(day), 0), coalesce(max(day), 0)
		FROM day WHERE rolled > 0`).Scan(&e.Days, &e.Rolled, &e.First, &e.Last)
	if err != nil {
		return e, fmt.Errorf("look for new counts: %w", err)
	}
	return e, nil
}

// Span returns the first and the last day that was counted; false if none was.
func (e Edition) Span() (first, last time.Time, ok bool) {
	return time.Unix(e.First*secondsPerDay, 0).UTC(), time.Unix(e.Last*secondsPerDay, 0).UTC(), e.Days > 0
}

// A Rebuilt is what counting a day anew came to.
type Rebuilt struct {
	Day       time.Time
	Addresses int64
	Devices   int64
	Was       string // what there was before
	Changed   bool   // the counts differ from those before
}

// What there was of a day before it was counted anew.
const (
	WasNothing = "nothing" // no observations
	WasDirty   = "dirty"   // observations had come since it was counted
	WasCounted = "counted"
	WasPruned  = "pruned" // not all observations are there any more, and the counts stay
)

// Rebuild counts the UTC day of the given time anew from its observations and
// says whether that made a difference.
func (a *Archive) Rebuild(ctx context.Context, at time.Time) (Rebuilt, error) {
	day := dayNumber(at)
	r := Rebuilt{Day: time.Unix(day*secondsPerDay, 0).UTC(), Was: WasNothing}
	fail := func(err error) (Rebuilt, error) {
		return r, fmt.Errorf("rebuild %s: %w", r.Day.Format(time.DateOnly), err)
	}
	var pruned, dirty, counted bool
	err := a.read.QueryRowContext(ctx, `SELECT pruned, changed > rolled, rolled > 0
		FROM day WHERE day = ?`, day).Scan(&pruned, &dirty, &counted)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return fail(err)
	}
	switch {
	case pruned:
		r.Was = WasPruned
	case dirty:
		r.Was = WasDirty
	case counted:
		r.Was = WasCounted
	}
	before, err := a.bodies(ctx, day)
	if err != nil {
		return fail(err)
	}
	if !pruned {
		if err := a.rollup(ctx, day); err != nil {
			return fail(err)
		}
	}
	after, err := a.bodies(ctx, day)
	if err != nil {
		return fail(err)
	}
	r.Changed = !maps.Equal(before, after)
	for devices, n := range map[bool]*int64{false: &r.Addresses, true: &r.Devices} {
		days, err := a.Tally(ctx, access.View{Tier: access.Operator}, TallyQuery{From: r.Day, Devices: devices})
		if err != nil {
			return fail(err)
		}
		for _, d := range days {
			*n += d.Total
		}
	}
	return r, nil
}

// bodies are all that is kept of a day's counts.
func (a *Archive) bodies(ctx context.Context, day int64) (map[string]string, error) {
	all := make(map[string]string)
	err := a.each(ctx, `SELECT 'digest ' || sheet, body FROM digest WHERE day = ?
		UNION ALL SELECT 'rollup ' || tag || ' ' || source, body FROM rollup WHERE day = ?`, []any{day, day}, func(rows *sql.Rows) error {
		var name, body string
		err := rows.Scan(&name, &body)
		all[name] = body
		return err
	})
	return all, err
}
