package schedule

import (
	"errors"
	"slices"
)

// An Order is a run of a job that somebody asks for beside its plan.
type Order struct {
	Who  string
	What []string // of which; empty: all that the job would do
}

// mostOrders is how many may wait for one job.
const mostOrders = 20

// Errors of an order.
var (
	ErrNotRun   = errors.New("this daemon runs no such job")
	ErrWaiting  = errors.New("the same is waiting already")
	ErrTooMany  = errors.New("too many orders wait for the job")
	errNoReason = errors.New("an order needs to say whose it is")
)

// Order has a job run as soon as it can: after what runs, and after what is due.
// Orders that wait are lost when the daemon ends.
func (s *Scheduler) Order(kind string, o Order) error {
	if o.Who == "" {
		return errNoReason
	}
	if !slices.ContainsFunc(s.Jobs, func(j Job) bool { return j.Kind == kind }) {
		return ErrNotRun
	}
	bell := s.bell(kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.orders[kind] {
		if slices.Equal(other.What, o.What) {
			return ErrWaiting
		}
	}
	if len(s.orders[kind]) >= mostOrders {
		return ErrTooMany
	}
	if s.orders == nil {
		s.orders = make(map[string][]Order)
	}
	s.orders[kind] = append(s.orders[kind], o)
	select {
	case bell <- struct{}{}:
	default: // it rings
	}
	return nil
}

// Orders are those that wait for a job, the first first.
func (s *Scheduler) Orders(kind string) []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders[kind])
}

func (s *Scheduler) bell(kind string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bells == nil {
		s.bells = make(map[string]chan struct{})
	}
	if s.bells[kind] == nil {
		s.bells[kind] = make(chan struct{}, 1)
	}
	return s.bells[kind]
}

// waiting is the first order for a job, or nil.
func (s *Scheduler) waiting(kind string) *Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.orders[kind]) == 0 {
		return nil
	}
	first := s.orders[kind][0]
	return &first
}

// taken takes the first order off the list.
func (s *Scheduler) taken(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[kind] = s.orders[kind][1:]
}
