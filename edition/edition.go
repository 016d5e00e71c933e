// Package edition puts the reports of a UTC day together: what was seen last at
// each door, judged by the rules of today, with the age of its case, and dealt
// out to those whom it concerns.
package edition

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/report"
	"ippwatch/rule"
	"ippwatch/store"
)

// An Archive has the observations; package archive is one.
type Archive interface {
	Observations(ctx context.Context, v access.View, q archive.Query) iter.Seq2[archive.Record, error]
}

// Cases are how long what is seen there has been seen; package store is one.
type Cases interface {
	Exposures(ctx context.Context, v access.View, f store.Filter) iter.Seq2[exposure.Exposure, error]
}

// A door is where a conversation was held.
type door struct {
	at        netip.AddrPort
	transport exposure.Transport
}

// Rows are the newest observations of the day that the view may see, judged by
// the rules of today, with the age of their cases. Silence does not take a host
// out of the day's report: only an answer, or a refusal, outdates what was seen
// before. The query narrows further; its times are the day's.
func Rows(ctx context.Context, v access.View, ar Archive, cases Cases, day time.Time, q archive.Query) ([]report.Row, error) {
	var rows []report.Row
	q.From, q.To = archive.Day(day)
	at := make(map[door]int) // in rows
	for r, err := range ar.Observations(ctx, v, q) {
		if err != nil {
			return nil, err
		}
		d := door{r.Target(), r.Transport}
		i, seen := at[d]
		switch {
		case !seen:
			at[d] = len(rows)
			rows = append(rows, report.Row{Observation: r.Observation})
		case !r.Verdict.Inconclusive() || rows[i].Verdict.Inconclusive():
			rows[i].Observation = r.Observation
		}
	}
	for i := range rows {
		rows[i].Findings = rule.Judge(&rows[i].Observation)
	}
	type span struct{ first, last time.Time }
	ages := make(map[door]span)
	for e, err := range cases.Exposures(ctx, v, store.Filter{}) {
		if err != nil {
			return nil, err
		}
		d := door{netip.AddrPortFrom(e.Addr, e.Port), e.Transport}
		if _, wanted := at[d]; !wanted {
			continue
		}
		age, ok := ages[d]
		if !ok || e.FirstSeen.Before(age.first) {
			age.first = e.FirstSeen
		}
		if e.LastSeen.After(age.last) {
			age.last = e.LastSeen
		}
		ages[d] = age
	}
	for i := range rows {
		age := ages[door{rows[i].Target(), rows[i].Transport}]
		rows[i].FirstSeen, rows[i].LastSeen = age.first, age.last
	}
	return report.Newest(rows), nil
}

// Unassigned is the name under which hosts of nobody are reported, and Everybody
// the one when nobody is known who answers for any.
const (
	Unassigned = "unassigned"
	Everybody  = "all"
)

// Shares gives each constituent its rows, in the order of their names; all rows
// to one share when nobody is known.
func Shares(rows []report.Row, d *people.Directory) []report.Share {
	if d == nil || len(d.All()) == 0 {
		return []report.Share{{Name: Everybody, Title: "All hosts", Rows: rows}}
	}
	dealt := report.Slice(rows, d.Names)
	shares := []report.Share{{Name: Unassigned, Title: "Hosts of no constituent", Rows: dealt.Unassigned}}
	for _, c := range d.All() {
		shares = append(shares, report.Share{Name: c.Name, Title: cmp.Or(c.Title, c.Name), Rows: dealt.By[c.Name]})
	}
	slices.SortFunc(shares, func(a, b report.Share) int { return cmp.Compare(a.Name, b.Name) })
	return shares
}
