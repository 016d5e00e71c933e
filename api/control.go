package api

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
)

type auditList struct {
	v1.Paging
	v1.AuditQuery
}

type exclusionIn struct{ Body v1.ExclusionOrder }

// mostRuns are looked at: ten years of hourly scans.
const mostRuns = 100_000

func (d *door) control() {
	list(d, op{
		method: "GET", path: "/runs", id: "list-runs", tag: "control", roles: staff, summary: "List the scans, the newest first",
	}, func(ctx context.Context, v *gate.Visit, _ *plainList, place []string, n int) iter.Seq2[entry[exposure.Run], error] {
		fail := failing[exposure.Run]
		if len(place) > 1 {
			return fail(badPlace())
		}
		most := n
		if place != nil {
			most = mostRuns
		}
		runs, err := d.Store.Runs(ctx, v.View, most)
		if err != nil {
			return fail(err)
		}
		// The id begins with when it began, to the second.
		key := func(r *exposure.Run) string { return r.Started.UTC().Format("20060102T150405.000000000") + " " + r.ID }
		return first(kept(runs, key, falling, place), n)
	})
	add(d, op{
		method: "GET", path: "/runs/{id}", id: "get-run", tag: "control", roles: staff, summary: "Get a scan: what it asks, since when, and under whose authority",
	}, func(ctx context.Context, v *gate.Visit, in *ID) (exposure.Run, error) {
		r, err := d.Store.Run(ctx, v.View, in.ID)
		return r, notThere(err, store.ErrNoRun)
	})
	list(d, op{
		method: "GET", path: "/exclusions", id: "list-exclusions", tag: "control", roles: named, personal: true, summary: "List what is never probed, since when and why",
		about: "A constituent sees those that touch its networks.",
	}, func(ctx context.Context, v *gate.Visit, _ *plainList, place []string, n int) iter.Seq2[entry[store.Exclusion], error] {
		if len(place) > 1 {
			return failing[store.Exclusion](badPlace())
		}
		all, err := d.Store.Exclusions(ctx, v.View)
		if err != nil {
			return failing[store.Exclusion](err)
		}
		key := func(e *store.Exclusion) string {
			return fmt.Sprintf("%03d %x %03d", e.Prefix.Addr().BitLen(), e.Prefix.Addr().AsSlice(), e.Prefix.Bits())
		}
		slices.SortFunc(all, func(a, b store.Exclusion) int { return strings.Compare(key(&a), key(&b)) })
		return first(kept(all, key, rising, place), n)
	})
	add(d, op{
		method: "POST", path: "/exclusions", id: "add-exclusion", tag: "control", roles: hands, needs: access.Change, personal: true, written: "exclude", status: 201,
		summary: "Never probe a network again", about: "It binds running scans within a second, wins over every scope and outlives it. Only the command line takes one back.",
		example: `{"prefix": "192.0.2.0/24", "reason": "asked by mail, ticket 4711"}`,
	}, func(ctx context.Context, v *gate.Visit, in *exclusionIn) (store.Exclusion, error) {
		p, err := prefixOf("body.prefix", in.Body.Prefix)
		if err != nil {
			return store.Exclusion{}, err
		}
		e := store.Exclusion{Prefix: p, Reason: in.Body.Reason, Who: v.Who, At: v.At}
		return e, d.Store.Exclude(ctx, e.Prefix, e.Reason, e.Who, e.At)
	})
	add(d, op{
		method: "GET", path: "/surges", id: "list-surges", tag: "control", roles: staff, personal: true, summary: "Say when more strangers came to the sensors than usual",
		query: "?days=90",
	}, func(ctx context.Context, v *gate.Visit, in *v1.SurgeQuery) (v1.Page[v1.Surge], error) {
		all, err := d.Street.Surges(ctx, v.View, in.Days, v.At)
		return v1.Page[v1.Surge]{Items: orElse(all, []v1.Surge{})}, err
	})
	list(d, op{
		method: "GET", path: "/audit", id: "list-audit", tag: "control", roles: auditors, needs: access.Audit, personal: true, summary: "List who did what, the newest first",
		about: "Every change, and every look at hosts by somebody with a name.", query: "?what=exclude",
	}, func(ctx context.Context, v *gate.Visit, in *auditList, place []string, n int) iter.Seq2[entry[store.Action], error] {
		fail := failing[store.Action]
		f := store.AuditFilter{Since: in.Since, Before: in.Until, Who: in.Who, What: in.What, Size: n}
		if err := years(in.Since, in.Until); err != nil {
			return fail(err)
		}
		if place != nil {
			seq, err := strconv.ParseInt(place[0], 10, 64)
			if err != nil || seq < 1 || len(place) != 1 {
				return fail(badPlace())
			}
			f.After = seq
		}
		return func(yield func(entry[store.Action], error) bool) {
			for a, err := range d.Store.AuditLog(ctx, v.View, f) {
				if err != nil {
					yield(entry[store.Action]{}, err)
					return
				}
				if !yield(entry[store.Action]{a.Action, []string{strconv.FormatInt(a.Seq, 10)}}, nil) {
					return
				}
			}
		}
	})
	add(d, op{
		method: "GET", path: "/me", id: "get-me", tag: "control", roles: everybody, summary: "Say who you are, and what you may",
	}, me)
	add(d, op{
		method: "GET", path: "/version", id: "get-version", tag: "control", roles: everybody, public: true, summary: "Say which ippwatch this is",
	}, func(context.Context, *gate.Visit, *none) (v1.Version, error) {
		return d.Version, nil
	})
}

func me(_ context.Context, v *gate.Visit, _ *none) (v1.Me, error) {
	m := v1.Me{Who: v.Who, Role: v.Role, Rights: []access.Right{}, At: v.At, Constituent: constituentOf(v), Networks: v.View.Networks, ASNs: v.View.ASNs, Countries: v.View.Countries}
	for _, r := range access.Rights {
		if v.May(r) {
			m.Rights = append(m.Rights, r)
		}
	}
	for _, w := range v.View.Windows {
		m.Leases = append(m.Leases, v1.Lease{Prefix: w.Prefix, From: w.From, To: w.To})
	}
	if v.Key.ID != "" {
		m.Key = &v1.Key{ID: v.Key.ID, Label: v.Key.Label, Expires: v.Key.Expires}
	}
	return m, nil
}
