package main

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/archive"
	"ippwatch/enrich"
	"ippwatch/exposure"
	"ippwatch/outpost"
)

// sensorCommand is that of package outpost, which the small program has, too.
func (s *street) sensorCommand() *cobra.Command {
	return outpost.Command(&outpost.Host{
		Screen: &s.Screen, Data: &s.data, Now: s.now,
		Open: s.openSensors, There: s.begun,
	})
}

// sensors are what the archive has of sensors.
type sensors struct {
	*house
	s     *street
	where *enrich.Enricher
}

func (s *street) openSensors(ctx context.Context) (outpost.Kept, error) {
	where, err := enrich.New(enrich.Options{MMDB: s.config.Scan.MMDB, ASN: s.config.Scan.ASN})
	if err != nil {
		return nil, err
	}
	h, err := s.open(ctx)
	if err != nil {
		_ = where.Close() // nothing was written
		return nil, err
	}
	return &sensors{h, s, where}, nil
}

func (a *sensors) Where(addr netip.Addr) exposure.Where { return a.where.Where(addr) }

func (a *sensors) AppendVisits(ctx context.Context, v []exposure.Visit) (int, error) {
	return a.archive.AppendVisits(ctx, v)
}

func (a *sensors) AppendCensuses(ctx context.Context, c []exposure.Census) (int, error) {
	return a.archive.AppendCensuses(ctx, c)
}

func (a *sensors) Visits(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Visit, error] {
	return a.archive.Visits(ctx, a.s.view(), archive.VisitQuery{From: from, To: to, Source: exposure.Sensor})
}

func (a *sensors) Censuses(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Census, error] {
	return a.archive.Censuses(ctx, a.s.view(), from, to)
}
