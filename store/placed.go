package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"ippwatch/access"
)

// HostsIn returns the hosts with a case that are said to lie in one of the AS or
// countries of the part, sorted; it is for those who see all, to say what
// somebody else sees.
func (s *Store) HostsIn(ctx context.Context, v access.View, part Part) ([]netip.Addr, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	var hosts []netip.Addr
	add := func(rows []address, err error) error {
		if err != nil {
			return fmt.Errorf("read where hosts are: %w", explain(err))
		}
		for _, a := range rows {
			hosts = append(hosts, a.Addr)
		}
		return nil
	}
	for _, n := range part.ASNs {
		if err := add(s.read.hostsOfASN(ctx, int64(n))); err != nil {
			return nil, err
		}
	}
	for _, c := range part.Countries {
		if err := add(s.read.hostsOfCountry(ctx, c)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(hosts, netip.Addr.Compare)
	return slices.Compact(hosts), nil
}
