package people

import (
	"context"
	"errors"
	"time"

	"ippwatch/access"
)

// Leases returns the addresses that a constituent has as somebody's customer,
// and when; package lease knows them.
type Leases func(ctx context.Context, customer string) ([]access.Window, error)

// View is what somebody who came through a door sees. To the role constituent
// that is what lies in the constituent's networks, and at the addresses that are
// its as a customer while they are. What it is known by its AS number or its
// country only is not shown: that is said of an observation and not of an
// address. A constituent that is not there any more sees nothing.
func (r *Registry) View(ctx context.Context, role access.Role, constituent, who string, leases Leases, at time.Time) (access.View, error) {
	v := role.View(who, at)
	if v.Tier != access.Constituent {
		return v, nil
	}
	known, err := r.Find(ctx, access.View{Who: "people", Tier: access.Operator, At: at}, constituent)
	if errors.Is(err, ErrUnknown) {
		return v, nil
	}
	if err != nil {
		return access.View{}, err
	}
	v.Networks = known.Networks
	if leases != nil {
		v.Windows, err = leases(ctx, constituent)
	}
	return v, err
}
