package archive

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrDenied means that the view's tier may not see what was asked.
var ErrDenied = errors.New("not shown to this tier")

// A Dimension is what counts are told apart by, beside the day.
type Dimension string

// Dimensions.
const (
	ByCountry Dimension = "country"
	ByASN     Dimension = "asn"
	ByTag     Dimension = "tag"
	BySource  Dimension = "source"
)

// A CountQuery asks for the counts of some days. Zero fields do not narrow.
type CountQuery struct {
	From, To time.Time // UTC days, both included; one day when To is zero
	Country  string
	ASN      uint32
	Tag      string // a rule id, or one of the words ipp, cups, cups-browsed
	Source   exposure.Source
	By       []Dimension
}

// A Count is how many distinct addresses were seen on a day, and how often.
// Fields that were neither asked for nor grouped by are zero.
type Count struct {
	Day          time.Time
	Country      string
	ASN          uint32
	Tag          string
	Source       exposure.Source
	Addresses    int64
	Observations int64
}

// Counts returns the counts of hosts that spoke, by day and then by the
// dimensions asked for. An address counts once a day however often and by
// whomever it was seen; with ByTag once for each of its tags. Operators and
// the public read the last [Archive.Rollup] of each day, and the public may not
// ask for ASNs; a constituent's own hosts are counted at once.
func (a *Archive) Counts(ctx context.Context, view access.View, q CountQuery) ([]Count, error) {
	if q.To.IsZero() {
		q.To = q.From
	}
	from, to := dayNumber(q.From), dayNumber(q.To)
	if view.Tier == access.Public && (q.ASN != 0 || slices.Contains(q.By, ByASN)) {
		return nil, fmt.Errorf("count by ASN: %w", ErrDenied)
	}
	sums := make(map[Count]tally)
	if view.Tier == access.Constituent {
		if err := a.countOwn(ctx, view, &q, from, to, sums); err != nil {
			return nil, fmt.Errorf("count hosts of %s: %w", view.Who, err)
		}
	} else if err := a.countRollup(ctx, &q, from, to, sums); err != nil {
		return nil, fmt.Errorf("count hosts: %w", err)
	}
	counts := make([]Count, 0, len(sums))
	for c, n := range sums {
		if n.addresses > 0 {
			c.Addresses, c.Observations = n.addresses, n.observations
			counts = append(counts, c)
		}
	}
	slices.SortFunc(counts, func(x, y Count) int {
		return cmp.Or(x.Day.Compare(y.Day), cmp.Compare(x.Country, y.Country), cmp.Compare(x.ASN, y.ASN),
			cmp.Compare(x.Tag, y.Tag), cmp.Compare(x.Source, y.Source))
	})
	return counts, nil
}

// countOwn counts a constituent's hosts on the days that have any.
func (a *Archive) countOwn(ctx context.Context, view access.View, q *CountQuery, from, to int64, sums map[Count]tally) error {
	var days []int64
	err := a.each(ctx, `SELECT day FROM day WHERE day BETWEEN ? AND ?`, []any{from, to}, func(rows *sql.Rows) error {
		var day int64
		err := rows.Scan(&day)
		days = append(days, day)
		return err
	})
	if err != nil {
		return err
	}
	for _, day := range days {
		cells, err := a.count(ctx, view, day, nil)
		if err != nil {
			return err
		}
		for c, n := range maps.All(cells) {
			q.add(sums, day, c, n)
		}
	}
	return nil
}

func (a *Archive) countRollup(ctx context.Context, q *CountQuery, from, to int64, sums map[Count]tally) error {
	where := clause{parts: []string{`u.day BETWEEN ? AND ?`}, args: []any{from, to}}
	if q.Tag != "" {
		where.and(`u.tag = (SELECT id FROM tag WHERE name = ?)`, blob(q.Tag))
	} else if !slices.Contains(q.By, ByTag) {
		where.and(`u.tag = 0`)
	}
	return a.each(ctx, `SELECT u.day, coalesce(t.name, x''), coalesce(s.name, x''), u.body
		FROM rollup u LEFT JOIN tag t ON t.id = u.tag LEFT JOIN tag s ON s.id = u.source
		WHERE `+strings.Join(where.parts, ` AND `), where.args, func(rows *sql.Rows) error {
		var day int64
		var s sheet
		var body string
		if err := rows.Scan(&day, &s.tag, &s.source, &body); err != nil {
			return err
		}
		return readSheet(s, body, func(c cell, n tally) { q.add(sums, day, c, n) })
	})
}

// add adds one cell to the sums if the query asks for it.
func (q *CountQuery) add(sums map[Count]tally, day int64, c cell, n tally) {
	byTag, bySource := slices.Contains(q.By, ByTag), slices.Contains(q.By, BySource)
	switch {
	case q.Tag != "" && c.tag != q.Tag,
		q.Tag == "" && byTag == (c.tag == ""),
		q.Source != "" && c.source != string(q.Source),
		q.Source == "" && bySource && c.source == "",
		q.Country != "" && c.country != q.Country,
		q.ASN != 0 && c.asn != q.ASN:
		return
	}
	group := Count{Day: time.Unix(day*secondsPerDay, 0).UTC(), Tag: q.Tag, Source: q.Source, Country: q.Country, ASN: q.ASN}
	if byTag {
		group.Tag = c.tag
	}
	if bySource {
		group.Source = exposure.Source(c.source)
	}
	if slices.Contains(q.By, ByCountry) {
		group.Country = c.country
	}
	if slices.Contains(q.By, ByASN) {
		group.ASN = c.asn
	}
	sum := sums[group]
	sums[group] = tally{sum.addresses + n.addresses, sum.observations + n.observations}
}
