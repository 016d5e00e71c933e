package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/schedule"
	"ippwatch/store"
)

// lease is longer than that of a real daemon, so that hours pass with fewer beats.
const lease = time.Minute

// A stand is a data directory and the clock on the wall, which may be set.
type stand struct {
	t   *testing.T
	dir string

	mu    sync.Mutex
	ahead time.Duration
	ran   []string
	log   bytes.Buffer
}

func newStand(t *testing.T) *stand {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &stand{t: t, dir: dir}
}

func (s *stand) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead).UTC()
}

func (s *stand) set(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// ranAt lists when the jobs began, by the clock on the wall, and empties the list.
func (s *stand) ranAt() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ran := s.ran
	s.ran = nil
	return ran
}

func (s *stand) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran = append(s.ran, text)
}

// job runs at the times of cron for as long as it is told.
func (s *stand) job(cron string, catchUp bool, lasts time.Duration) schedule.Job {
	p, err := schedule.ParsePlan(cron, time.UTC)
	if err != nil {
		s.t.Fatal(err)
	}
	return schedule.Job{Kind: "scan", Plan: p, CatchUp: catchUp, Work: func(ctx context.Context, t schedule.Turn) (string, error) {
		text := s.now().Format("02 15:04")
		if t.Resumed {
			text += " resumes " + t.Mark
		}
		s.note(text)
		if err := t.Remember(ctx, "run-1"); err != nil {
			return "", err
		}
		select {
		case <-time.After(lasts):
			return "found nothing", nil
		case <-ctx.Done():
			return "", errors.New("stopped on the way")
		}
	}}
}

// daemon runs jobs on the store until the function that it returns is called.
func (s *stand) daemon(st *store.Store, name string, jobs ...schedule.Job) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	d := &schedule.Scheduler{
		Jobs: jobs, Store: st, Holder: name, Now: s.now, Lease: lease,
		Log: slog.New(slog.NewTextHandler(&locked{s: s}, nil)),
	}
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

type locked struct{ s *stand }

func (l *locked) Write(b []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.log.Write(b)
}

// in opens the store inside of a bubble, in which it is midnight of 2000-01-01.
func in(t *testing.T, f func(*stand, *store.Store)) {
	t.Helper()
	s := newStand(t)
	synctest.Test(t, func(t *testing.T) {
		s.t = t
		st, err := store.Open(t.Context(), s.dir)
		if err != nil {
			t.Fatal(err)
		}
		f(s, st)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
}

func (s *stand) want(ran ...string) {
	s.t.Helper()
	if got := s.ranAt(); !slices.Equal(got, ran) {
		s.t.Errorf("ran at %q, want %q", got, ran)
	}
}

func TestJobsRunAtTheirTimes(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		stop := s.daemon(st, "a", s.job("30 3 * * *", true, time.Hour))
		time.Sleep(72 * time.Hour)
		stop()
		s.want("01 03:30", "02 03:30", "03 03:30")
		jobs, err := st.Jobs(s.t.Context(), access.CLI(s.now()))
		if err != nil || len(jobs) != 1 {
			s.t.Fatalf("Jobs = %v, %v", jobs, err)
		}
		j := jobs[0]
		if j.State != exposure.Done || j.Note != "found nothing" || j.Ended.Sub(j.Started) != time.Hour || !j.Succeeded.Equal(j.Ended) || j.Attempts != 0 {
			s.t.Errorf("the job is remembered as %+v", j)
		}
		if leases, err := st.Leases(s.t.Context(), access.CLI(s.now())); err != nil || len(leases) > 0 {
			s.t.Errorf("Leases = %v, %v after the end", leases, err)
		}
	})
}

func TestCatchUpOnceAfterAStop(t *testing.T) {
	for _, c := range []struct {
		name    string
		catchUp bool
		want    []string
	}{
		{"with catch_up it runs once for all that was missed", true, []string{"06 12:00", "07 03:30"}},
		{"without it waits for the next time", false, []string{"07 03:30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(s *stand, st *store.Store) {
				job := s.job("30 3 * * *", c.catchUp, time.Minute)
				stop := s.daemon(st, "a", job)
				time.Sleep(36 * time.Hour)
				stop()
				s.want("01 03:30", "02 03:30")
				time.Sleep(4 * 24 * time.Hour)
				stop = s.daemon(st, "b", job)
				time.Sleep(24 * time.Hour)
				stop()
				s.want(c.want...)
			})
		})
	}
}

func TestAStoppedJobGoesOn(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		job := s.job("30 3 * * *", false, 5*time.Hour)
		stop := s.daemon(st, "a", job)
		time.Sleep(6 * time.Hour)
		stop() // in the middle of it
		j, _, err := st.Job(s.t.Context(), "scan")
		if err != nil || j.State != exposure.Stopped || j.Mark != "run-1" || j.Attempts != 0 {
			s.t.Fatalf("Job = %+v, %v", j, err)
		}
		stop = s.daemon(st, "b", job)
		time.Sleep(6 * time.Hour)
		stop()
		s.want("01 03:30", "01 06:00 resumes run-1")
	})
}

// TestAKilledDaemon leaves a lease behind that nobody holds.
func TestAKilledDaemon(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		due := s.now().Add(-time.Hour)
		if got, err := st.Claim(s.t.Context(), exposure.Claim{Kind: "scan", Holder: "killed", Due: due, At: s.now()}); err != nil || !got {
			s.t.Fatalf("Claim = %v, %v", got, err)
		}
		if err := st.Mark(s.t.Context(), "scan", "killed", "run-0"); err != nil {
			s.t.Fatal(err)
		}
		stop := s.daemon(st, "b", s.job("30 3 * * *", false, time.Minute))
		time.Sleep(lease - time.Second)
		synctest.Wait()
		s.want()
		time.Sleep(lease / 2)
		synctest.Wait()
		stop()
		s.want("01 00:01 resumes run-0")
	})
}

func TestADaemonThatIsKilledAgainAndAgainWaits(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		due := s.now().Add(-time.Hour)
		was := time.Time{}
		for n := range 5 {
			c := exposure.Claim{Kind: "scan", Holder: fmt.Sprint(n), Was: was, Due: due, At: s.now()}
			if held, is, err := st.Lease(s.t.Context(), "scan"); err != nil {
				s.t.Fatal(err)
			} else if is {
				c.Stale = &held
			}
			if got, err := st.Claim(s.t.Context(), c); err != nil || !got {
				s.t.Fatalf("claim %d: %v, %v", n, got, err)
			}
			was = due
		}
		stop := s.daemon(st, "b", s.job("30 3 * * *", true, time.Minute))
		time.Sleep(2 * time.Hour)
		s.want()
		time.Sleep(2 * time.Hour)
		stop()
		s.want("01 03:30")
	})
}

func TestTwoDaemons(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		other, err := store.Open(s.t.Context(), s.dir)
		if err != nil {
			s.t.Fatal(err)
		}
		defer other.Close()
		stopA := s.daemon(st, "a", s.job("0 * * * *", true, 10*time.Minute))
		stopB := s.daemon(other, "b", s.job("0 * * * *", true, 10*time.Minute))
		time.Sleep(5*time.Hour + 30*time.Minute)
		stopA()
		s.want("01 01:00", "01 02:00", "01 03:00", "01 04:00", "01 05:00")
		time.Sleep(2 * time.Hour)
		stopB()
		s.want("01 06:00", "01 07:00")
	})
}

// TestALostLease ends the job of a process that could not tell that it lives.
func TestALostLease(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		stop := s.daemon(st, "a", s.job("0 1 * * *", false, 5*time.Hour))
		time.Sleep(2*time.Hour + time.Second) // between two beats
		synctest.Wait()
		held, is, err := st.Lease(s.t.Context(), "scan")
		if err != nil || !is || held.Beats == 0 {
			s.t.Fatalf("Lease = %+v, %v, %v", held, is, err)
		}
		j, _, _ := st.Job(s.t.Context(), "scan")
		if got, err := st.Claim(s.t.Context(), exposure.Claim{Kind: "scan", Holder: "thief", Was: j.Due, Due: j.Due, At: s.now(), Stale: &held}); err != nil || !got {
			s.t.Fatalf("Claim = %v, %v", got, err)
		}
		time.Sleep(lease / 2)
		synctest.Wait()
		stop()
		if held, _, _ := st.Lease(s.t.Context(), "scan"); held.Holder != "thief" {
			s.t.Errorf("the lease is %+v", held)
		}
		if !strings.Contains(s.log.String(), "another process has taken the job over") {
			s.t.Error("the log does not tell")
		}
	})
}

func TestTheTimeLimit(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		job := s.job("0 1 * * *", false, 5*time.Hour)
		job.Limit = time.Hour
		stop := s.daemon(st, "a", job)
		time.Sleep(4 * time.Hour)
		stop()
		j, _, err := st.Job(s.t.Context(), "scan")
		if err != nil || j.State != exposure.JobFailed || !strings.Contains(j.Note, "not done after 1h0m0s: the time limit") || j.Ended.Sub(j.Started) != time.Hour {
			s.t.Errorf("Job = %+v, %v", j, err)
		}
		// What it leaves is where the next one may go on.
		if j.Mark != "run-1" {
			s.t.Errorf("Mark = %q", j.Mark)
		}
	})
}

func TestAJobThatTakesLongerThanItsPlan(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		stop := s.daemon(st, "a", s.job("0 * * * *", true, 150*time.Minute))
		time.Sleep(8 * time.Hour)
		stop()
		s.want("01 01:00", "01 04:00", "01 07:00")
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		job := s.job("0 1 * * *", false, 0)
		job.Work = func(context.Context, schedule.Turn) (string, error) { panic("no such thing") }
		stop := s.daemon(st, "a", job, schedule.Job{Kind: "prune", Plan: job.Plan, Work: func(context.Context, schedule.Turn) (string, error) {
			return "all is pruned", nil
		}})
		time.Sleep(2 * time.Hour)
		stop()
		j, _, _ := st.Job(s.t.Context(), "scan")
		other, _, _ := st.Job(s.t.Context(), "prune")
		if j.State != exposure.JobFailed || j.Note != "panic: no such thing" || other.State != exposure.Done {
			s.t.Errorf("Job = %+v and %+v", j, other)
		}
	})
}

func TestTheClockIsSet(t *testing.T) {
	for _, c := range []struct {
		name   string
		change time.Duration
		want   []string // by the clock on the wall
	}{
		// It is set at 04:00 of the first day, and the daemon ends 48 hours later.
		{"two hours back: what has run does not run again", -2 * time.Hour, []string{"01 03:30", "02 03:30"}},
		{"two minutes back", -2 * time.Minute, []string{"01 03:30", "02 03:30", "03 03:30"}},
		{"two hours forth", 2 * time.Hour, []string{"01 03:30", "02 03:30", "03 03:30"}},
		{"a week forth: once for all that was missed", 7 * 24 * time.Hour, []string{"01 03:30", "08 04:00", "09 03:30", "10 03:30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(s *stand, st *store.Store) {
				stop := s.daemon(st, "a", s.job("30 3 * * *", true, time.Minute))
				time.Sleep(4 * time.Hour)
				s.set(c.change)
				time.Sleep(48 * time.Hour)
				stop()
				s.want(c.want...)
			})
		})
	}
	t.Run("a year that was wrong, set right", func(t *testing.T) {
		in(t, func(s *stand, st *store.Store) {
			s.set(400 * 24 * time.Hour)
			stop := s.daemon(st, "a", s.job("30 3 * * *", true, time.Minute))
			time.Sleep(12 * time.Hour)
			s.ranAt()
			s.set(0)
			time.Sleep(48 * time.Hour)
			stop()
			s.want("02 03:30", "03 03:30")
		})
	})
	t.Run("a lease does not end by a clock", func(t *testing.T) {
		in(t, func(s *stand, st *store.Store) {
			other, err := store.Open(s.t.Context(), s.dir)
			if err != nil {
				s.t.Fatal(err)
			}
			defer other.Close()
			job := s.job("0 1 * * *", false, 3*time.Hour)
			stopA := s.daemon(st, "a", job)
			time.Sleep(2 * time.Hour)
			stopB := s.daemon(other, "b", job)
			for _, ahead := range []time.Duration{time.Hour, -time.Hour, 30 * time.Minute} {
				s.set(ahead)
				time.Sleep(5 * time.Minute)
			}
			s.set(0)
			time.Sleep(2 * time.Hour)
			stopA()
			stopB()
			s.want("01 01:00")
		})
	})
}

func TestJitter(t *testing.T) {
	in(t, func(s *stand, st *store.Store) {
		job := s.job("0 * * * *", true, time.Second)
		job.Jitter = 20 * time.Minute
		stop := s.daemon(st, "a", job)
		time.Sleep(50*time.Hour + 30*time.Minute)
		stop()
		ran := s.ranAt()
		if len(ran) != 50 {
			s.t.Fatalf("ran %d times, want 50: %q", len(ran), ran)
		}
		minutes := make(map[string]bool)
		for _, at := range ran {
			minute := at[len(at)-2:]
			if minute > "20" {
				s.t.Errorf("ran at %s", at)
			}
			minutes[minute] = true
		}
		if len(minutes) < 8 {
			s.t.Errorf("50 runs began in %d different minutes", len(minutes))
		}
	})
}
