package main

import (
	"context"
	"net/netip"
	"time"

	"ippwatch/access"
	"ippwatch/api"
	v1 "ippwatch/api/v1"
	"ippwatch/gate"
	"ippwatch/people/lease"
	"ippwatch/report"
	"ippwatch/tally"
	"ippwatch/track"
	"ippwatch/web"
)

// addAPI puts the JSON API into the site: it does what the commands do, for
// whoever looks.
func (s *street) addAPI(h *house, site *web.Site) error {
	return api.Add(api.Options{
		Site: site, Store: h.store, Archive: h.archive, People: h.people, Tracker: h.tracker(), Version: aboutUs(),
		Street: api.Street{
			Who: func(ctx context.Context, v access.View, a netip.Addr, at time.Time) (v1.Whose, error) {
				return s.as(v).whose(ctx, h, &whereFlags{}, &customerFlags{}, a, at)
			},
			Shares: func(ctx context.Context, v access.View, day time.Time) ([]report.Share, string, error) {
				s := s.as(v)
				rows, err := s.reportRows(ctx, h, day)
				if err != nil || v.Tier != access.Operator {
					return []report.Share{{Rows: rows}}, "", err // its own, whole
				}
				contact, err := s.contactPoint(ctx, h, rows)
				if err != nil {
					return nil, "", err
				}
				shares, err := s.shares(ctx, h, &reportFlags{}, rows)
				return shares, contact, err
			},
			Customers: func(ctx context.Context, v access.View, day time.Time) ([]lease.Count, error) {
				return s.as(v).countCustomers(ctx, h, &customerFlags{}, day)
			},
			Metrics: func(ctx context.Context, v access.View, q v1.MetricsQuery, at time.Time) (any, error) {
				o := tally.Options{Until: at.UTC(), Since: q.Since.UTC()}
				if d, err := s.as(v).directory(ctx, h, ""); err != nil {
					return nil, err
				} else if d == nil && q.By == "constituent" {
					return nil, gate.Invalid("query.by", "no constituent is known")
				}
				r, _, err := s.as(v).countMetrics(ctx, h, &metricsFlags{by: q.By}, &o, tally.Holdout{})
				if err != nil {
					return nil, err
				}
				return metricsDocument(&r, o), nil
			},
			Surges: func(ctx context.Context, v access.View, days int, _ time.Time) ([]v1.Surge, error) {
				s := s.as(v)
				state, err := s.surgeState(ctx, h)
				if err != nil {
					return nil, err
				}
				return s.surgeRows(state, days), nil
			},
			Tie: func(ctx context.Context, v access.View, day, _ time.Time) ([]track.Tie, error) {
				return s.as(v).tieDay(ctx, h, day)
			},
		},
	})
}
