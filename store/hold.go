package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// errNoHold ends the transaction of an order that has no object.
var errNoHold = errors.New("no such hold")

// AddHold keeps what is known of the prefix beyond its retention.
func (s *Store) AddHold(ctx context.Context, h exposure.Hold) error {
	return s.change(ctx, "hold "+h.What, func(q *Queries) error {
		err := q.putHold(ctx, putHoldParams{What: h.What, Prefix: h.Prefix.String(), Reason: h.Reason, Who: h.Who, At: instant{h.At}})
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{h.At}, Who: h.Who, What: "hold", Detail: h.What + ": " + h.Reason})
	})
}

// RemoveHold lifts a hold. It reports false if there is none of the name.
func (s *Store) RemoveHold(ctx context.Context, what, who string, at time.Time) (bool, error) {
	err := s.change(ctx, "lift hold "+what, func(q *Queries) error {
		n, err := q.dropHold(ctx, what)
		if err == nil && n == 0 {
			err = errNoHold
		}
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{At: instant{at}, Who: who, What: "unhold", Detail: what})
	})
	if errors.Is(err, errNoHold) {
		return false, nil
	}
	return err == nil, err
}

// Holds returns the holds, the oldest first; none to a view below operator.
func (s *Store) Holds(ctx context.Context, v access.View) ([]exposure.Hold, error) {
	if v.Tier != access.Operator {
		return nil, nil
	}
	rows, err := s.read.holds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", explain(err))
	}
	var out []exposure.Hold
	for _, row := range rows {
		p, err := netip.ParsePrefix(row.Prefix)
		if err != nil {
			return nil, fmt.Errorf("read holds: %w", err)
		}
		out = append(out, exposure.Hold{What: row.What, Prefix: p, Reason: row.Reason, Who: row.Who, At: row.At.Time})
	}
	return out, nil
}
