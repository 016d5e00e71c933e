package people

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

// Leases returns the addresses that a constituent has as somebody's customer,
// and when; package lease knows them.
type Leases func(ctx context.Context, customer string) ([]access.Window, error)

// placedFor is how long it is remembered which hosts lie in a constituent's AS
// and countries: counting them anew for each page would cost more than the page.
const placedFor = 30 * time.Second

// placed are the hosts of one constituent, as they were at a time.
type placed struct {
	part  store.Part
	at    time.Time
	hosts []netip.Addr
}

// View is what somebody who came through a door sees. To the role constituent
// that is what lies in the constituent's networks, what is said to lie in its AS
// and countries, and at the addresses that are its as a customer while they are.
// A constituent that is not there any more sees nothing.
func (r *Registry) View(ctx context.Context, role access.Role, constituent, who string, leases Leases, at time.Time) (access.View, error) {
	v := role.View(who, at)
	if v.Tier != access.Constituent {
		return v, nil
	}
	ours := access.View{Who: "people", Tier: access.Operator, At: at}
	known, err := r.Find(ctx, ours, constituent)
	if errors.Is(err, ErrUnknown) {
		return v, nil
	}
	if err != nil {
		return access.View{}, err
	}
	v.Networks, v.ASNs, v.Countries = known.Networks, known.ASNs, known.Countries
	if v.Placed() {
		if v.Hosts, err = r.hosts(ctx, ours, constituent, store.Part{ASNs: v.ASNs, Countries: v.Countries}); err != nil {
			return access.View{}, err
		}
	}
	if leases != nil {
		if v.Windows, err = leases(ctx, constituent); err != nil {
			return access.View{}, err
		}
	}
	return v, nil
}

// hosts returns the hosts of a part of the world, which the constituent has.
func (r *Registry) hosts(ctx context.Context, v access.View, constituent string, part store.Part) ([]netip.Addr, error) {
	r.mu.Lock()
	was, ok := r.placed[constituent]
	r.mu.Unlock()
	if ok && v.At.Sub(was.at).Abs() < placedFor && slices.Equal(was.part.ASNs, part.ASNs) && slices.Equal(was.part.Countries, part.Countries) {
		return was.hosts, nil
	}
	hosts, err := r.store.HostsIn(ctx, v, part)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.placed == nil {
		r.placed = make(map[string]placed)
	}
	r.placed[constituent] = placed{part, v.At, hosts}
	return hosts, nil
}
