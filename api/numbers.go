package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
)

// mostDays is how many days of counts are given at once.
const mostDays = 3660

func (d *door) numbers() {
	add(d, op{
		method: "GET", path: "/counts", id: "get-counts", tag: "numbers", roles: d.Site.Gate.Config.Audience(), summary: "Count distinct addresses a day",
		about: "An address counts once a day, however often and by whomever it was seen; grouped by tag, once for each of its tags. " +
			"Days without a count are absent: nobody looked, or nothing was found. The public is told counts by country, and none that are small.",
		query: "?from=2026-11-01&to=2026-11-30&by=country",
	}, d.counts)
	add(d, op{
		method: "GET", path: "/metrics", id: "get-metrics", tag: "numbers", roles: staff, summary: "How long cases stay open, and what came of notices",
		about: "As ippwatch metrics --format json. A figure that rests on too little is null, and says why.", query: "?by=severity",
	}, func(ctx context.Context, v *gate.Visit, in *v1.MetricsQuery) (json.RawMessage, error) {
		if err := years(in.Since); err != nil {
			return nil, err
		}
		m, err := d.Street.Metrics(ctx, v.View, *in, v.At)
		if err != nil {
			return nil, err
		}
		return asJSON(m)
	})
}

func (d *door) counts(ctx context.Context, v *gate.Visit, in *v1.CountQuery) (v1.Counts, error) {
	res := v1.Counts{Items: []v1.Count{}}
	q := archive.CountQuery{Country: in.Country, ASN: in.ASN, Tag: in.Tag, Source: exposure.Source(in.Source), By: wordsOf[archive.Dimension](in.By)}
	var err error
	if q.From, err = dayOf("query.from", in.From); err != nil {
		return res, err
	}
	q.To = q.From
	if in.To != "" {
		if q.To, err = dayOf("query.to", in.To); err != nil {
			return res, err
		}
	}
	switch days := q.To.Sub(q.From).Hours() / 24; {
	case days < 0:
		return res, gate.Invalid("query.to", "it is before from")
	case days >= mostDays:
		return res, gate.Invalid("query.to", "%d days at most", mostDays)
	}
	counts, err := d.Archive.Counts(ctx, v.View, q)
	if errors.Is(err, archive.ErrDenied) {
		return res, gate.Forbidden
	}
	if err != nil {
		return res, err
	}
	for _, c := range counts {
		one := v1.Count{
			Day: c.Day.Format(time.DateOnly), Country: c.Country, ASN: c.ASN, Tag: c.Tag, Source: string(c.Source), Addresses: &c.Addresses, Observations: &c.Observations,
		}
		res.Items = append(res.Items, one)
	}
	if v.View.Tier == access.Public {
		res.SmallCell = d.Site.Gate.Config.SmallCell
		suppress(res.Items, int64(res.SmallCell))
	}
	return res, nil
}

// suppress takes out counts below the least one. Where a single one of a day was
// taken out, the next smallest goes too: with the sum of all, which can be asked
// for, the one could be computed.
func suppress(items []v1.Count, least int64) {
	type group struct{ day, tag, source string }
	small, others := make(map[group]int), make(map[group][]*v1.Count)
	hide := func(c *v1.Count) { c.Addresses, c.Observations = nil, nil }
	for i := range items {
		c := &items[i]
		g := group{c.Day, c.Tag, c.Source}
		if *c.Addresses < least {
			hide(c)
			small[g]++
		} else {
			others[g] = append(others[g], c)
		}
	}
	for g, n := range small {
		if rest := others[g]; n == 1 && len(rest) > 0 {
			hide(slices.MinFunc(rest, func(a, b *v1.Count) int { return cmp.Compare(*a.Addresses, *b.Addresses) }))
		}
	}
}
