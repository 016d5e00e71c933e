package tally

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"ippwatch/exposure"
)

// A Spell is one time for which an exposure was open: one for each cycle. A
// probe sees a state and never the moment at which it changes, so an end lies
// between the last look that found it open and the first that found it closed.
type Spell struct {
	Case  exposure.Exposure // as it stands now
	Cycle int
	End   End

	Opened   time.Time // first seen in this cycle
	LastOpen time.Time // last known open
	Closed   time.Time // first known closed; zero unless End is Fixed or Filtered
	Over     time.Time // when the cycle was declared over: fixed, filtered, lapsed; zero: it is not
	Reopened time.Time // when the next cycle began; zero: not yet

	Notified time.Time // the first notice in this cycle; zero: none
	Answered time.Time // the first acknowledgement or claim; zero: none
	Notices  int       // times that it came to notified
	Bounces  int       // times that it came to undeliverable
	Reached  bool      // told, and the last notice did not come back
}

// An End is how a spell ended, or why we stopped to count.
type End string

// Ends. Fixed alone is an event; see [Definitions] for why the others are not.
const (
	StillOpen     End = "open"
	Fixed         End = "fixed"     // found closed twice; the event
	Filtered      End = "filtered"  // closed from outside: a competing end
	Pending       End = "one_clean" // found closed once: no proof yet
	Silent        End = "silent"    // complete scans met silence
	Lapsed        End = "lapsed"    // unseen for 60 days
	Accepted      End = "accepted"  // nobody means to close it
	FalsePositive End = "false_positive"
)

// Event reports whether the spell ended in what we count.
func (s *Spell) Event() bool { return s.End == Fixed }

// Middle is the time of the end that the figures use when one is needed: half
// way between the last look that found it open and the first that found it
// closed. It is the last time known open if there was no end.
func (s *Spell) Middle() time.Time {
	if s.Closed.IsZero() {
		return s.LastOpen
	}
	return s.LastOpen.Add(s.Closed.Sub(s.LastOpen) / 2)
}

// A Former returns the steps of the cases whose history an exposure goes on with
// because the device moved: a list for each address, the first first.
type Former func(exposure.Exposure) ([][]exposure.Transition, error)

// Spells yields the spells of exposures, in the order of the exposures. Both
// streams must come in the order of addresses, and the steps of one exposure in
// the order of time; steps of exposures that are not there are passed over, so
// cases that moved elsewhere had better not be. It keeps no more than the steps
// of one host. An error of either stream is the last that it yields.
func Spells(exposures iter.Seq2[exposure.Exposure, error], steps iter.Seq2[exposure.Transition, error], former Former) iter.Seq2[Spell, error] {
	return func(yield func(Spell, error) bool) {
		next, stop := iter.Pull2(steps)
		defer stop()
		ahead, err, more := next()
		var host []exposure.Transition
		for e, errExposure := range exposures {
			if err = cmp.Or(errExposure, err); err != nil {
				yield(Spell{}, err)
				return
			}
			if len(host) == 0 || host[0].Addr != e.Addr {
				host = host[:0]
				for more && err == nil && ahead.Addr.Compare(e.Addr) <= 0 {
					if ahead.Addr == e.Addr {
						host = append(host, ahead)
					}
					ahead, err, more = next()
				}
				if err != nil {
					yield(Spell{}, err)
					return
				}
			}
			var past [][]exposure.Transition
			if e.MovedFrom.IsValid() {
				if past, err = former(e); err != nil {
					yield(Spell{}, err)
					return
				}
			}
			for _, s := range Of(e, past, host) {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// Of returns the spells of one exposure, the first first. past are the steps of
// the cases that it goes on with; among the steps those of other exposures are
// passed over.
func Of(e exposure.Exposure, past [][]exposure.Transition, steps []exposure.Transition) []Spell {
	h := history{of: e}
	for _, there := range past {
		for i := range there {
			h.take(&there[i])
		}
		h.heir = true
	}
	for i := range steps {
		if steps[i].Key == e.Key {
			h.take(&steps[i])
		}
	}
	return h.end()
}

// A history is the exposure as far as its steps were read.
type history struct {
	of       exposure.Exposure
	spells   []Spell
	clean    time.Time // of the one clean probe; zero: there is none
	accepted time.Time // since when the risk is accepted; zero: it is not
	heir     bool      // the next birth is of the device that is known already
}

func (h *history) take(t *exposure.Transition) {
	switch t.Axis {
	case exposure.AxisCondition:
		h.condition(t)
	case exposure.AxisContact:
		h.contact(t)
	case exposure.AxisVerdict:
		h.verdict(t)
	}
}

// now is the spell that is open, or nil.
func (h *history) now() *Spell {
	if n := len(h.spells); n > 0 && h.spells[n-1].Over.IsZero() {
		return &h.spells[n-1]
	}
	return nil
}

func (h *history) condition(t *exposure.Transition) {
	to := exposure.Condition(t.To)
	s := h.now()
	if t.From == "" {
		if s != nil && !h.heir {
			// Another device answers here; the one before went on elsewhere.
			h.spells = h.spells[:len(h.spells)-1]
			s = nil
		}
		h.heir = false
	}
	if s == nil {
		if !to.Open() {
			return // closed, and told again that it is
		}
		if n := len(h.spells); n > 0 {
			h.spells[n-1].Reopened = t.At
		}
		h.spells = append(h.spells, Spell{Case: h.of, Cycle: max(t.Cycle, 1), End: StillOpen, Opened: t.At, LastOpen: t.At})
		h.clean = time.Time{}
		s = h.now()
	}
	switch to {
	case exposure.Reported, exposure.Confirmed:
		s.End, s.LastOpen, h.clean = StillOpen, t.At, time.Time{}
	case exposure.NotSeen:
		s.End = Silent
	case exposure.OneClean:
		s.End, h.clean = Pending, t.At
	case exposure.Fixed:
		h.over(s, Fixed, t.At)
	case exposure.Filtered:
		h.over(s, Filtered, t.At)
	case exposure.Lapsed:
		h.over(s, Lapsed, t.At)
	}
}

// over ends the spell. What was found closed ended with the first clean probe;
// the second only proves it.
func (h *history) over(s *Spell, end End, at time.Time) {
	s.End, s.Over = end, at
	if end != Lapsed {
		s.Closed = at
		if !h.clean.IsZero() {
			s.Closed = h.clean
		}
	}
	h.accept(s)
}

func (h *history) contact(t *exposure.Transition) {
	n := len(h.spells)
	if n == 0 {
		return
	}
	s := &h.spells[n-1]
	switch exposure.Contact(t.To) {
	case exposure.Notified:
		s.Notices++
		s.Reached = true
		if s.Notified.IsZero() {
			s.Notified = t.At
		}
	case exposure.Undeliverable:
		s.Bounces++
		s.Reached = false
	case exposure.Acknowledged, exposure.Claimed:
		if !s.Notified.IsZero() {
			s.Reached = true // who answers was reached
		}
		if s.Answered.IsZero() {
			s.Answered = t.At
		}
	}
}

func (h *history) verdict(t *exposure.Transition) {
	h.accepted = time.Time{}
	if exposure.Ruling(t.To) == exposure.Accepted {
		h.accepted = t.At
	}
}

// accept stops to count at the time at which somebody decided to live with the
// hole, if that stood to the end of the spell.
func (h *history) accept(s *Spell) {
	if h.accepted.IsZero() || !s.Closed.IsZero() && s.Closed.Before(h.accepted) {
		return
	}
	s.End, s.Closed = Accepted, time.Time{}
	if h.accepted.Before(s.LastOpen) {
		s.LastOpen = h.accepted
	}
	if s.LastOpen.Before(s.Opened) {
		s.LastOpen = s.Opened
	}
}

// end returns the spells with what the exposure itself knows: when it was seen
// first and last. Sightings between are no steps.
func (h *history) end() []Spell {
	e := &h.of
	if len(h.spells) == 0 {
		if !e.Condition.Open() {
			return nil // nothing tells when it ended
		}
		h.spells = []Spell{{Case: *e, Cycle: max(e.Cycle, 1), End: StillOpen, Opened: e.FirstSeen, LastOpen: e.FirstSeen}}
	}
	first, last := &h.spells[0], &h.spells[len(h.spells)-1]
	if !e.FirstSeen.IsZero() && e.FirstSeen.Before(first.Opened) {
		first.Opened = e.FirstSeen
	}
	if last.End == Fixed && e.ClearedAt.After(last.Closed) && !e.ClearedAt.After(last.Over) {
		last.Closed = e.ClearedAt // clean probes before it were without a control
	}
	h.seen(last, e.LastSeen)
	if s := h.now(); s != nil {
		h.accept(s)
	}
	if e.Ruling == exposure.FalsePositive {
		for i := range h.spells {
			h.spells[i].End = FalsePositive
		}
	}
	return h.spells
}

// seen takes the last sighting in, unless it contradicts the end: a feed may
// report what is proven closed.
func (h *history) seen(s *Spell, at time.Time) {
	bound := s.Closed
	if s.End == Pending {
		bound = h.clean
	}
	if s.End == Accepted && !s.Over.IsZero() {
		return
	}
	if at.After(s.LastOpen) && (bound.IsZero() || at.Before(bound)) {
		s.LastOpen = at
	}
}

// Open returns since when the hole is open in this cycle, and whether it is.
func Open(spells []Spell) (time.Time, bool) {
	if n := len(spells); n > 0 && spells[n-1].Over.IsZero() {
		return spells[n-1].Opened, true
	}
	return time.Time{}, false
}

// Ends are all ends, in the order in which they are listed.
var Ends = []End{Fixed, StillOpen, Pending, Silent, Lapsed, Filtered, Accepted, FalsePositive}

func (e End) index() int { return slices.Index(Ends, e) }
