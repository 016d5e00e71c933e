package api

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"strconv"
	"time"

	v1 "ippwatch/api/v1"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/rule"
	"ippwatch/store"
)

// An Address names a host in a path.
type Address struct {
	Address string `path:"address" maxLength:"50" example:"198.51.100.20" doc:"An address."`
}

type hostList struct {
	v1.Paging
	Address
}

type hostTimes struct {
	v1.Paging
	Address
	From time.Time `query:"from" doc:"Observed then or later."`
	To   time.Time `query:"to" doc:"Observed before."`
}

type observationList struct {
	v1.Paging
	v1.ObservationQuery
}

type visitList struct {
	v1.Paging
	v1.VisitQuery
}

func (d *door) hosts() {
	add(d, op{
		method: "GET", path: "/hosts/{address}", id: "get-host", tag: "hosts", roles: named, personal: true, summary: "Get what is wrong at a host",
		about: "404 for a host that you may not see, whether there is something or not.",
	}, func(ctx context.Context, v *gate.Visit, in *Address) (v1.Host, error) {
		a, err := d.host(v, in.Address)
		host := v1.Host{Addr: a, Cases: []v1.Case{}}
		if err != nil {
			return host, err
		}
		for e, err := range d.exposures(ctx, v.View, store.Filter{Prefix: netip.PrefixFrom(a, a.BitLen()), Moved: true, Limit: mostCases}) {
			if err != nil {
				return host, err
			}
			host.Cases = append(host.Cases, e.item)
		}
		return host, nil
	})
	list(d, op{
		method: "GET", path: "/hosts/{address}/cases", id: "list-host-cases", tag: "hosts", roles: named, personal: true, summary: "List all cases of a host",
	}, func(ctx context.Context, v *gate.Visit, in *hostList, place []string, n int) iter.Seq2[entry[v1.Case], error] {
		a, err := d.host(v, in.Address.Address)
		f := store.Filter{Prefix: netip.PrefixFrom(a, a.BitLen()), Moved: true, Limit: n}
		if err == nil {
			f.After, err = keyOf(place)
		}
		if err != nil {
			return failing[v1.Case](err)
		}
		return d.exposures(ctx, v.View, f)
	})
	list(d, op{
		method: "GET", path: "/hosts/{address}/observations", id: "list-host-observations", tag: "hosts", roles: named, personal: true,
		summary: "List what was observed at a host, the oldest first",
	}, func(ctx context.Context, v *gate.Visit, in *hostTimes, place []string, n int) iter.Seq2[entry[exposure.Observation], error] {
		a, err := d.host(v, in.Address.Address)
		if err != nil {
			return failing[exposure.Observation](err)
		}
		return d.observations(ctx, v, archive.Query{From: in.From, To: in.To, Addr: netip.PrefixFrom(a, a.BitLen())}, place, n)
	})
	list(d, op{
		method: "GET", path: "/hosts/{address}/findings", id: "list-host-findings", tag: "hosts", roles: named, personal: true,
		summary: "List what the rules of today find in the last observation of each door",
	}, d.findings)
	list(d, op{
		method: "GET", path: "/hosts/{address}/visits", id: "list-host-visits", tag: "hosts", roles: named, personal: true, summary: "List when a host came to the sensors",
		about: "Over UDP anybody can write an address into a packet: it may never have sent one.",
	}, func(ctx context.Context, v *gate.Visit, in *hostTimes, place []string, n int) iter.Seq2[entry[exposure.Visit], error] {
		a, err := d.host(v, in.Address.Address)
		if err != nil {
			return failing[exposure.Visit](err)
		}
		return d.visits(ctx, v, archive.VisitQuery{From: in.From, To: in.To, Addr: a}, place, n)
	})
	exported(d, op{
		method: "GET", path: "/observations", id: "list-observations", tag: "hosts", roles: named, personal: true, summary: "List observations in the order of time",
		about: "Silence is kept only where a case is waiting for it. The findings are those of the rules of today.", query: "?from=2026-11-23T00:00:00Z&tag=open-ipp",
	}, func(ctx context.Context, v *gate.Visit, in *observationList, place []string, n int) iter.Seq2[entry[exposure.Observation], error] {
		q := archive.Query{
			From: in.From, To: in.To, Run: in.Run, Source: exposure.Source(in.Source), Transport: exposure.Transport(in.Transport),
			Verdict: exposure.Verdict(in.Verdict), Tag: in.Tag,
		}
		var err error
		if q.Addr, err = prefixOf("query.prefix", in.Prefix); err != nil {
			return failing[exposure.Observation](err)
		}
		return d.observations(ctx, v, q, place, n)
	})
	exported(d, op{
		method: "GET", path: "/visits", id: "list-visits", tag: "hosts", roles: named, personal: true, summary: "List visits at sensors in the order of time",
		about: "A constituent sees those that carry an address of its networks.", query: "?from=2026-11-23T00:00:00Z&kind=request",
	}, func(ctx context.Context, v *gate.Visit, in *visitList, place []string, n int) iter.Seq2[entry[exposure.Visit], error] {
		q := archive.VisitQuery{From: in.From, To: in.To, Source: exposure.Source(in.Source), Kind: exposure.VisitKind(in.Kind)}
		if in.Addr != "" {
			var err error
			if q.Addr, err = netip.ParseAddr(in.Addr); err != nil {
				return failing[exposure.Visit](gate.Invalid("query.address", "want an address"))
			}
			q.Addr = q.Addr.Unmap()
		}
		return d.visits(ctx, v, q, place, n)
	})
}

// mostCases are shown of one host at once.
const mostCases = 1000

// host is the address, if the visitor may see it as such.
func (d *door) host(v *gate.Visit, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, gate.Invalid("path.address", "want an address")
	}
	if a = a.Unmap(); !v.View.Host(a) {
		return a, gate.NotFound
	}
	return a, nil
}

func (d *door) observations(ctx context.Context, v *gate.Visit, q archive.Query, place []string, n int) iter.Seq2[entry[exposure.Observation], error] {
	fail := failing[exposure.Observation]
	if err := years(q.From, q.To); err != nil {
		return fail(err)
	}
	if place != nil {
		if len(place) != 1 {
			return fail(badPlace())
		}
		q.After = archive.Cursor(place[0])
	}
	q.Limit = n
	return func(yield func(entry[exposure.Observation], error) bool) {
		for r, err := range d.Archive.Observations(ctx, v.View, q) {
			if errors.Is(err, archive.ErrCursor) {
				err = badPlace()
			}
			if err != nil {
				yield(entry[exposure.Observation]{}, err)
				return
			}
			r.Findings = rule.Judge(&r.Observation)
			if !yield(entry[exposure.Observation]{r.Observation, []string{string(r.Cursor())}}, nil) {
				return
			}
		}
	}
}

func (d *door) visits(ctx context.Context, v *gate.Visit, q archive.VisitQuery, place []string, n int) iter.Seq2[entry[exposure.Visit], error] {
	fail := failing[exposure.Visit]
	if err := years(q.From, q.To); err != nil {
		return fail(err)
	}
	if place != nil {
		if len(place) != 2 {
			return fail(badPlace())
		}
		ns, err := strconv.ParseInt(place[0], 10, 64)
		if err != nil || ns < 0 || ns > 1<<62 {
			return fail(badPlace())
		}
		q.After = archive.VisitPlace{At: time.Unix(0, ns).UTC(), ID: exposure.ID(place[1])}
	}
	q.Limit = n
	return func(yield func(entry[exposure.Visit], error) bool) {
		for x, err := range d.Archive.Visits(ctx, v.View, q) {
			place := []string{strconv.FormatInt(x.Observed.UnixNano(), 10), string(x.ID)}
			if !yield(entry[exposure.Visit]{x, place}, err) || err != nil {
				return
			}
		}
	}
}

// mostLooks bounds how far back the last observation of a door is looked for.
const mostLooks = 500

func (d *door) findings(ctx context.Context, v *gate.Visit, in *hostList, place []string, n int) iter.Seq2[entry[v1.Found], error] {
	fail := failing[v1.Found]
	skip, err := numberOf(place)
	if err != nil {
		return fail(err)
	}
	a, err := d.host(v, in.Address.Address)
	if err != nil {
		return fail(err)
	}
	type door struct {
		port      uint16
		transport exposure.Transport
		probe     exposure.Probe
	}
	seen := make(map[door]bool)
	return numbered(func(yield func(v1.Found, error) bool) {
		for r, err := range d.Archive.History(ctx, v.View, a, mostLooks) {
			if err != nil {
				yield(v1.Found{}, err)
				return
			}
			at := door{r.Port, r.Transport, r.Probe}
			if seen[at] || r.Verdict.Inconclusive() && r.Verdict != exposure.Identified {
				continue // silence outdates nothing
			}
			seen[at] = true
			for _, f := range rule.Judge(&r.Observation) {
				if !yield(v1.Found{Observation: r.ID, At: r.Observed, Port: r.Port, Transport: r.Transport, Finding: f}, nil) {
					return
				}
			}
		}
	}, skip, n)
}
