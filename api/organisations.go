package api

import (
	"context"
	"iter"

	v1 "ippwatch/api/v1"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/people/lease"
)

type plainList struct{ v1.Paging }

type constituentIn struct {
	Constituent string `path:"constituent" maxLength:"100" example:"customer-a" doc:"Its name."`
}

type whoIn struct {
	Address
	v1.WhoQuery
}

func (d *door) organisations() {
	list(d, op{
		method: "GET", path: "/constituents", id: "list-constituents", tag: "people", roles: staff, personal: true, summary: "List the constituents by name",
	}, func(ctx context.Context, v *gate.Visit, _ *plainList, place []string, n int) iter.Seq2[entry[v1.Constituent], error] {
		if len(place) > 1 {
			return failing[v1.Constituent](badPlace())
		}
		all, err := d.People.All(ctx, v.View)
		if err != nil {
			return failing[v1.Constituent](err)
		}
		rows := make([]v1.Constituent, len(all))
		for i, k := range all {
			rows[i] = constituent(k)
		}
		return first(kept(rows, func(c *v1.Constituent) string { return c.Name }, rising, place), n)
	})
	add(d, op{
		method: "GET", path: "/constituents/{constituent}", id: "get-constituent", tag: "people", roles: staff, personal: true, summary: "Get a constituent",
	}, func(ctx context.Context, v *gate.Visit, in *constituentIn) (v1.Constituent, error) {
		k, err := d.People.Find(ctx, v.View, in.Constituent)
		return constituent(k), notThere(err, people.ErrUnknown)
	})
	add(d, op{
		method: "GET", path: "/constituents/who/{address}", id: "who", tag: "people", roles: staff, personal: true,
		summary: "Say whom a host concerns, who is told first, and why",
		about:   "With every contact, whether it may be used, and which customer had the address at the time.",
	}, func(ctx context.Context, v *gate.Visit, in *whoIn) (v1.Whose, error) {
		a, err := d.host(v, in.Address.Address)
		if err != nil {
			return v1.Whose{}, err
		}
		at := in.At
		if at.IsZero() {
			at = v.At
		}
		if err := years(at); err != nil {
			return v1.Whose{}, err
		}
		return d.Street.Who(ctx, v.View, a, at.UTC())
	})
	add(d, op{
		method: "GET", path: "/customers/count", id: "count-customers", tag: "people", roles: staff, summary: "Count the customers, addresses and devices that were open on a day",
		query: "?date=2026-11-23",
	}, func(ctx context.Context, v *gate.Visit, in *v1.DayQuery) (v1.Page[lease.Count], error) {
		day, err := dayOf("query.date", in.Date)
		if err != nil {
			return v1.Page[lease.Count]{}, err
		}
		counts, err := d.Street.Customers(ctx, v.View, day)
		return v1.Page[lease.Count]{Items: orElse(counts, []lease.Count{})}, err
	})
}

func constituent(k people.Known) v1.Constituent {
	return v1.Constituent{Constituent: k.Constituent, Sources: k.Sources, Edited: k.Edited}
}
