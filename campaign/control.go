package campaign

import (
	"context"
	"fmt"
	"slices"

	"ippwatch/exposure"
)

// control returns what shows that our network works: another print service that
// answered in this run, or what the caller vouches for.
func (s *Scan) control(o *exposure.Observation) string {
	if by := s.count.control(o); by != "" || s.Vouch == nil {
		return by
	}
	return s.Vouch(o)
}

// fold folds a batch into the cases. What was heard at a known door before
// anything else answered is folded once more when something has: a host that
// was closed is then known to be closed, whatever the order of the walk was.
// A crash in between costs the proof and nothing else.
func (s *Scan) fold(ctx context.Context, kept []exposure.Observation) error {
	if _, err := s.Cases.Controlled(s.control, s.After).Fold(ctx, kept); err != nil {
		return err
	}
	for i := range kept {
		if o := &kept[i]; s.Known(o.Target(), o.Transport) && s.control(o) == "" {
			s.unsure = append(s.unsure, *o)
		}
	}
	return s.foldAgain(ctx)
}

// foldAgain folds what waited for a control and has one by now.
func (s *Scan) foldAgain(ctx context.Context) error {
	// It is asked behind every batch, and mostly nothing has changed: then
	// nothing is copied.
	first := 0
	for first < len(s.unsure) && s.control(&s.unsure[first]) == "" {
		first++
	}
	if first == len(s.unsure) {
		return nil
	}
	unsure := slices.Clone(s.unsure[:first])
	var sure []exposure.Observation
	for _, o := range s.unsure[first:] {
		if s.control(&o) != "" {
			sure = append(sure, o)
		} else {
			unsure = append(unsure, o)
		}
	}
	if _, err := s.Cases.Controlled(s.control, s.After).Fold(ctx, sure); err != nil {
		return fmt.Errorf("fold into cases: %w", err)
	}
	s.unsure = unsure
	return nil
}

// unproven returns how many doors with a case did not show it, while nothing
// else answered: perhaps our own network is down.
func (s *Scan) unproven() int {
	n := 0
	for i := range s.unsure {
		if len(s.unsure[i].Findings) == 0 {
			n++
		}
	}
	return n
}
