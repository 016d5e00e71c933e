package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"ippwatch/access"
	"ippwatch/enrich"
	"ippwatch/people"
	"ippwatch/plant"
	"ippwatch/scanners"
	"ippwatch/tally"
)

// works are what the pages about machines and measures show and move. They say
// what the commands say, by the same functions.
func (s *street) works(h *house, log *slog.Logger) *plant.Works {
	w := &plant.Works{
		Store: h.store, Archive: h.archive, Now: s.now, Log: log, Data: s.data, Scope: s.config.Scope, Policy: s.config.Policy,
		Controls: s.config.Verify.Controls, After: s.config.Verify.After,
		Asked: func(ctx context.Context, addr netip.Addr, from, to time.Time) ([]plant.Contact, error) {
			made, err := s.sentTo(ctx, h, addr, from, to)
			all := make([]plant.Contact, len(made))
			for i, c := range made {
				all[i] = plant.Contact{
					Run: c.Run, Target: c.Target, What: c.What, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
					Vantage: c.Vantage, AuthorisedBy: c.AuthorisedBy, Contact: c.Contact,
				}
			}
			return all, err
		},
		Targets:  targetsOf,
		Settings: s.inForce,
		Doctor:   func(ctx context.Context) []plant.Check { return s.quickChecks(ctx, h) },
		Measure: func(ctx context.Context, v access.View, q plant.Measured) (plant.Figures, error) {
			return s.figures(ctx, h, v, q)
		},
		Constituent: func(ctx context.Context, name string) error {
			_, err := h.people.Find(ctx, s.view(), name)
			return err
		},
	}
	if s.foreman != nil {
		w.Order, w.Orders = s.foreman.Order, s.foreman.Orders
		w.Jobs = func(ctx context.Context) ([]plant.Job, error) { return s.jobsSeen(ctx, h) }
	}
	return w
}

// orderable reports whether somebody may order a kind on the pages that has no
// times in the configuration.
func (s *street) orderable(kind string) bool {
	if s.config.Web.Listen == "" {
		return false
	}
	switch kind {
	case "scan", "verify":
		return s.config.Scope != ""
	case "ingest":
		return s.config.Feeds.Shadowserver.On()
	case "report":
		return s.config.Report.Out != ""
	case "backup":
		return s.config.Backup.Dir != ""
	}
	return false // nobody sends mail or removes what is old by a slip
}

// jobsSeen are the jobs of this daemon, with how they went.
func (s *street) jobsSeen(ctx context.Context, h *house) ([]plant.Job, error) {
	var all []plant.Job
	for _, j := range s.foreman.Jobs {
		state, _, err := h.store.Job(ctx, j.Kind)
		if err != nil {
			return nil, err
		}
		seen := plant.Job{Job: state, Waiting: len(s.foreman.Orders(j.Kind))}
		seen.Kind = j.Kind
		if _, seen.Held, err = h.store.Lease(ctx, j.Kind); err != nil {
			return nil, err
		}
		for _, n := range s.config.Schedule.Jobs.Kinds() {
			if n.Kind == j.Kind && n.Times.Cron != "" {
				seen.Cron, seen.Zone, seen.Next = n.Times.Cron, j.Plan.Zone().String(), j.Plan.Next(s.now())
			}
		}
		all = append(all, seen)
	}
	return all, nil
}

// inForce are the values of the configuration, with the lines that say them.
func (s *street) inForce() (file string, all []plant.Setting, err error) {
	var text []byte
	if s.configFile != "" {
		// What is in force was read at the start; a file that was changed since has
		// other lines, and says so at the next start.
		if text, err = os.ReadFile(s.configFile); err != nil {
			return s.configFile, nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	values, err := s.config.Values(text)
	for _, v := range values {
		all = append(all, plant.Setting{Key: v.Key, Text: v.Text, Line: v.Line})
	}
	return s.configFile, all, err
}

// quickChecks are those of doctor that ask nobody and take no time.
func (s *street) quickChecks(ctx context.Context, h *house) []plant.Check {
	rows := s.diagnoseConfig()
	for _, c := range []check{(*street).checkLastScan, (*street).checkSending, (*street).checkFeeds, (*street).checkSchedule, (*street).checkLeases} {
		rows = append(rows, c(s, ctx, h)...)
	}
	if free, known := freeDisk(s.data); known {
		d := diagnosis{"disk", fine, fmt.Sprintf("%d MB are free", free>>20)}
		if alerts, _ := s.fullDisk(ctx, nil); len(alerts) > 0 {
			d = diagnosis{"disk", warning, alerts[0].Detail + "; " + alerts[0].Step}
		}
		rows = append(rows, d)
	}
	if stats, err := h.archive.Stats(ctx); err != nil {
		rows = append(rows, diagnosis{"archive", bad, oneLine(err)})
	} else {
		rows = append(rows, diagnosis{"archive", fine, fmt.Sprintf("%d observations of %d days, %d runs, %d MB; %d days are not counted yet", stats.Observations, stats.Days, stats.Runs, stats.Bytes>>20, stats.DirtyDays)})
	}
	day := enrich.Date()
	countries := diagnosis{"countries", fine, "table of " + day.Format(time.DateOnly)}
	if s.now().Sub(day) > oldTable {
		countries = diagnosis{"countries", warning, fmt.Sprintf("the embedded table is of %s; name a newer one with scan.mmdb", day.Format(time.DateOnly))}
	}
	rows = append(rows, countries)
	if known, err := scanners.Embedded(); err != nil {
		rows = append(rows, diagnosis{"scanners", bad, oneLine(err)})
	} else {
		for _, l := range known.Lists() {
			rows = append(rows, diagnosis{"scanners", fine, fmt.Sprintf("%s of %s", l.Name, l.Date)})
		}
	}
	all := make([]plant.Check, 0, len(rows))
	for _, d := range rows {
		all = append(all, plant.Check{Name: d.Check, Result: d.Result, Detail: d.Detail})
	}
	return all
}

// figures are what ippwatch metrics tells, as a view sees the cases.
func (s *street) figures(ctx context.Context, h *house, v access.View, q plant.Measured) (plant.Figures, error) {
	o := tally.Options{Until: s.now().UTC(), NewOnly: q.NewOnly}
	var err error
	if o.FirstLook, err = h.firstLook(ctx, v); err != nil {
		return plant.Figures{}, err
	}
	directory := people.NewDirectory(nil)
	if q.By == "constituent" {
		if directory, err = h.people.Directory(ctx, v); err != nil {
			return plant.Figures{}, err
		}
	}
	report, simulated, err := h.measure(ctx, v, o, sorter{by: q.By, directory: directory})
	return plant.Figures{Report: report, Until: o.Until, Simulated: simulated}, err
}
