package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A Check is one look at one door that the contact of a link asked for.
type Check struct {
	ID        string             `json:"id"`
	Link      string             `json:"link"` // its name in listings
	Addr      netip.Addr         `json:"ip"`
	Transport exposure.Transport `json:"transport"`
	Port      uint16             `json:"port"`
	Asked     time.Time          `json:"asked"`
	Ended     time.Time          `json:"ended,omitzero"`
	Outcome   string             `json:"outcome,omitempty"`
}

// CheckPatience is how long a check may go on: one that has not ended by then was
// killed with its daemon.
const CheckPatience = 5 * time.Minute

// Runs reports whether the check goes on.
func (c *Check) Runs(at time.Time) bool {
	return c.Ended.IsZero() && at.Sub(c.Asked) < CheckPatience
}

// Checks say how often doors may be looked at because somebody asked.
type Checks struct {
	Apart time.Duration // two of one door
	Link  int           // of one link in an hour
	All   int           // in an hour
}

// A TooSoonError says until when no check is begun, and wraps [ErrTooSoon].
type TooSoonError struct{ Until time.Time }

func (e TooSoonError) Error() string {
	return "too soon: not before " + e.Until.UTC().Format("2006-01-02 15:04:05")
}

// Unwrap returns ErrTooSoon.
func (e TooSoonError) Unwrap() error { return ErrTooSoon }

// BeginCheck writes a check down before anything is sent, or says until when it
// has to wait.
func (s *Store) BeginCheck(ctx context.Context, c Check, limits Checks) (Check, error) {
	c.ID = strings.ToLower(rand.Text()[:12])
	hour := instant{c.Asked.Add(-time.Hour)}
	err := s.change(ctx, "begin check", func(q *Queries) error {
		last, err := q.checksAt(ctx, checksAtParams{
			Addr: address{c.Addr}, Transport: string(c.Transport), Port: int64(c.Port), Since: instant{c.Asked.Add(-limits.Apart)}, N: 1,
		})
		if err != nil {
			return err
		}
		if len(last) > 0 {
			return TooSoonError{last[0].Asked.Add(limits.Apart)}
		}
		ours, err := q.countChecksOfLink(ctx, countChecksOfLinkParams{OfLink: c.Link, Since: hour})
		if err != nil {
			return err
		}
		if ours.N >= int64(limits.Link) {
			return TooSoonError{time.Unix(0, ours.Oldest).Add(time.Hour)}
		}
		all, err := q.countChecks(ctx, hour)
		if err != nil {
			return err
		}
		if all.N >= int64(limits.All) {
			return TooSoonError{time.Unix(0, all.Oldest).Add(time.Hour)}
		}
		err = q.putCheck(ctx, putCheckParams{
			ID: c.ID, OfLink: c.Link, Addr: address{c.Addr}, Transport: string(c.Transport), Port: int64(c.Port), Asked: instant{c.Asked},
		})
		if err != nil {
			return err
		}
		return q.putAudit(ctx, putAuditParams{
			At: instant{c.Asked}, Who: "link " + c.Link, What: "check",
			Detail: fmt.Sprintf("%s of %s/%s", c.ID, netip.AddrPortFrom(c.Addr, c.Port), c.Transport),
		})
	})
	return c, err
}

// EndCheck writes down what came of a check, once.
func (s *Store) EndCheck(ctx context.Context, id, outcome string, at time.Time) error {
	return s.change(ctx, "end check "+id, func(q *Queries) error {
		_, err := q.endCheck(ctx, endCheckParams{At: instant{at}, Outcome: outcome, ID: id})
		return err
	})
}

// ChecksOf returns the newest checks of a link at hosts that the view may see.
func (s *Store) ChecksOf(ctx context.Context, v access.View, link string, limit int) ([]Check, error) {
	rows, err := s.read.checksOfLink(ctx, checksOfLinkParams{OfLink: link, N: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read checks: %w", explain(err))
	}
	var all []Check
	for _, row := range rows {
		if v.Sees(row.Addr.Addr, row.Asked.Time) {
			all = append(all, Check{
				ID: row.ID, Link: row.OfLink, Addr: row.Addr.Addr, Transport: exposure.Transport(row.Transport), Port: uint16(row.Port),
				Asked: row.Asked.Time, Ended: row.Ended.Time, Outcome: row.Outcome,
			})
		}
	}
	return all, nil
}

// ForgetChecks drops the checks that were asked for before the time.
func (s *Store) ForgetChecks(ctx context.Context, before time.Time) error {
	return s.change(ctx, "forget checks", func(q *Queries) error {
		_, err := q.dropChecks(ctx, instant{before})
		return err
	})
}
