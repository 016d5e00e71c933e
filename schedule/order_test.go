package schedule_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/schedule"
	"ippwatch/store"
)

// ordered runs jobs whose scheduler can be given orders.
func (s *stand) ordered(st *store.Store, jobs ...schedule.Job) (d *schedule.Scheduler, stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	d = &schedule.Scheduler{Jobs: jobs, Store: st, Holder: "a", Now: s.now, Lease: lease, Log: slog.New(slog.NewTextHandler(&locked{s: s}, nil))}
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	return d, func() { cancel(); running.Wait() }
}

// asked is a job that notes what was ordered.
func (s *stand) asked(kind, cron string, lasts time.Duration) schedule.Job {
	j := s.job(cmp.Or(cron, "30 3 * * *"), true, lasts)
	j.Kind = kind
	if cron == "" {
		j.Plan = schedule.Plan{}
	}
	work := j.Work
	j.Work = func(ctx context.Context, t schedule.Turn) (string, error) {
		if t.Order != nil {
			s.note("for " + t.Order.Who + ": " + strings.Join(t.Order.What, " "))
		}
		return work(ctx, t)
	}
	return j
}

func TestAnOrderRunsAtOnceAndThePlanGoesOn(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		d, stop := s.ordered(st, s.asked("scan", "10 0 * * *", 10*time.Minute))
		time.Sleep(5 * time.Minute)
		if err := d.Order("scan", schedule.Order{Who: "ann", What: []string{"192.0.2.1"}}); err != nil {
			s.t.Fatal(err)
		}
		if err := d.Order("scan", schedule.Order{Who: "bob", What: []string{"192.0.2.1"}}); !errors.Is(err, schedule.ErrWaiting) {
			// It may have begun already; then the second waits.
			if err != nil || len(d.Orders("scan")) != 1 {
				s.t.Errorf("the same once more: %v", err)
			}
		}
		time.Sleep(25 * time.Minute)
		stop()
		got := s.ranAt()
		// The time of the plan fell into the run that was ordered, and was kept.
		if want := "for ann: 192.0.2.1 01 00:05 01 00:15"; strings.Join(got[:3], " ") != want {
			s.t.Errorf("ran %q, want it to begin with %q", got, want)
		}
		j, _, err := st.Job(s.t.Context(), "scan")
		if err != nil || j.State != exposure.Done {
			s.t.Errorf("Job = %+v, %v", j, err)
		}
	})
}

func TestAJobWithoutAPlanRunsWhenOrdered(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		d, stop := s.ordered(st, s.asked("verify", "", time.Minute))
		time.Sleep(10 * time.Minute)
		s.want()
		for _, what := range []string{"A", "B"} {
			if err := d.Order("verify", schedule.Order{Who: "ann", What: []string{what}}); err != nil {
				s.t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		stop()
		s.want("for ann: A", "01 00:10", "for ann: B", "01 00:11")
	})
}

func TestOrdersThatAreRefused(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		d, stop := s.ordered(st, s.asked("verify", "", 20*time.Minute))
		if err := d.Order("scan", schedule.Order{Who: "ann"}); !errors.Is(err, schedule.ErrNotRun) {
			s.t.Errorf("a job that the daemon does not have: %v", err)
		}
		if err := d.Order("verify", schedule.Order{}); err == nil {
			s.t.Error("an order of nobody is taken")
		}
		if err := d.Order("verify", schedule.Order{Who: "ann"}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Minute) // it runs
		var err error
		for i := range 30 {
			if err = d.Order("verify", schedule.Order{Who: "ann", What: []string{strings.Repeat("x", i+1)}}); err != nil {
				break
			}
		}
		if !errors.Is(err, schedule.ErrTooMany) {
			s.t.Errorf("thirty orders: %v", err)
		}
		stop()
	})
}

func TestAnOrderThatIsStoppedGoesOn(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		d, stop := s.ordered(st, s.asked("verify", "", 30*time.Minute))
		time.Sleep(5 * time.Minute)
		if err := d.Order("verify", schedule.Order{Who: "ann", What: []string{"A"}}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		stop()
		_, stop = s.ordered(st, s.asked("verify", "", 5*time.Minute))
		time.Sleep(5 * time.Minute)
		stop()
		s.want("for ann: A", "01 00:05", "01 00:10 resumes run-1")
	})
}
