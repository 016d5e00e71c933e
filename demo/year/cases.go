package year

import (
	"context"
	"net/netip"
	"slices"
	"sort"
	"time"

	"ippwatch/exposure"
)

// A life is a case and how it came to be as it is.
type life struct {
	exposure.Exposure
	steps []exposure.Transition
}

func (l *life) step(axis exposure.Axis, from, to, actor, evidence string, at time.Time) {
	l.steps = append(l.steps, exposure.Transition{
		Key: l.Key, Axis: axis, From: from, To: to, Cycle: 1, Actor: actor, Evidence: evidence, At: at,
	})
}

func (l *life) become(to exposure.Condition, actor, evidence string, at time.Time) {
	l.step(exposure.AxisCondition, string(l.Condition), string(to), actor, evidence, at)
	l.Condition = to
}

func (l *life) contact(to exposure.Contact, actor, evidence string, at time.Time) {
	l.step(exposure.AxisContact, string(l.Contact), string(to), actor, evidence, at)
	l.Contact = to
}

// atOnce is how many cases are written in one transaction.
const atOnce = 500

// cases are those of every host of the daily scans.
func (w *writer) cases(ctx context.Context) error {
	var part []life
	flush := func() error {
		doors := make([]netip.AddrPort, 0, len(part))
		for i := range part {
			doors = append(doors, netip.AddrPortFrom(part[i].Addr, part[i].Port))
		}
		err := w.store.Apply(ctx, slices.Compact(doors), func([]exposure.Exposure, map[exposure.Key]time.Time) (changed []exposure.Exposure, steps []exposure.Transition) {
			for i := range part {
				changed = append(changed, part[i].Exposure)
				steps = append(steps, part[i].steps...)
			}
			return changed, steps
		})
		part = part[:0]
		return err
	}
	for i := range w.hosts {
		part = append(part, w.casesOf(&w.hosts[i])...)
		if len(part) >= atOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(part) == 0 {
		return nil
	}
	return flush()
}

// casesOf are the cases of one host: of each rule that found something.
func (w *writer) casesOf(h *host) []life {
	var all []life
	m := &models()[h.model]
	for _, f := range m.tcp.Findings {
		if l, seen := w.lifeOf(h, exposure.TCP, f, Begin); seen {
			all = append(all, l)
		}
	}
	if h.browsed {
		for _, f := range m.udp.Findings {
			if l, seen := w.lifeOf(h, exposure.UDP, f, FirstUDP); seen {
				all = append(all, l)
			}
		}
	}
	return all
}

// lifeOf tells a case: seen first and last, told, and what became of it. The
// stages are those of package track.
func (w *writer) lifeOf(h *host, t exposure.Transport, f exposure.Finding, from time.Time) (l life, ok bool) {
	first := sort.Search(len(w.runs), func(i int) bool { return !w.runs[i].day.Before(from) && dayOf(w.runs[i].day) >= h.born })
	last, times := -1, 0
	begun := -1
	for i := first; i < len(w.runs) && dayOf(w.runs[i].day) < h.gone; i++ {
		if w.runs[i].found(h) {
			if begun < 0 {
				begun = i
			}
			last, times = i, times+1
		}
	}
	if begun < 0 {
		return l, false
	}
	l.Exposure = exposure.Exposure{
		Key: exposure.Key{Addr: h.addr, Transport: t, Port: 631, Rule: f.Rule}, Severity: f.Severity, Contact: exposure.NotContacted, Ruling: exposure.NoRuling,
		Cycle: 1, FirstSeen: w.runs[begun].when(h), LastSeen: w.runs[last].when(h), TimesSeen: times, Evidence: f.Evidence, Where: h.where, Simulated: true,
	}
	l.become(exposure.Confirmed, "scan "+w.runs[begun].ID, f.Evidence, l.FirstSeen)
	w.tell(h, &l)
	w.close(h, &l, last)
	w.rule(h, &l)
	slices.SortStableFunc(l.steps, func(a, b exposure.Transition) int { return a.At.Compare(b.At) })
	return l, true
}

// tell is what came of the mail.
func (w *writer) tell(h *host, l *life) {
	at := Begin.AddDate(0, 0, h.told).Add(7*time.Hour + 30*time.Minute)
	if h.told == 0 || l.FirstSeen.After(at) {
		return
	}
	if h.salt%11 == 0 {
		l.contact(exposure.Undeliverable, "outreach", "550 5.1.1 no such user (generated)", at)
		return
	}
	l.contact(exposure.Notified, "outreach", "250 2.0.0 accepted (generated)", at)
	answered := at.Add(time.Duration(5+h.salt%60) * time.Hour)
	if gone := Begin.AddDate(0, 0, h.gone); !answered.Before(gone) || h.salt%3 != 0 {
		return
	}
	l.contact(exposure.Acknowledged, "analyst", "they write: we look at it (generated)", answered)
	if h.fixed && h.salt%2 == 0 {
		l.contact(exposure.Claimed, "analyst", "they write: it is closed (generated)", Begin.AddDate(0, 0, h.gone).Add(time.Hour))
	}
}

// close is how it ended: two clean probes a day apart, or silence.
func (w *writer) close(h *host, l *life, last int) {
	if h.gone >= yearDays {
		return
	}
	gone := Begin.AddDate(0, 0, h.gone)
	var clean []*run
	for i := last + 1; i < len(w.runs) && len(clean) < 2; i++ {
		if r := &w.runs[i]; r.State == exposure.Done && !r.day.Before(gone) {
			clean = append(clean, r)
		}
	}
	if len(clean) == 0 {
		return
	}
	if !h.fixed {
		l.become(exposure.NotSeen, "scan "+clean[0].ID, "silent in a complete scan", clean[0].Ended)
		if at := l.LastSeen.AddDate(0, 0, 60); at.Before(End) {
			l.become(exposure.Lapsed, "track", "not seen for 60 days", at)
		}
		return
	}
	l.become(exposure.OneClean, "scan "+clean[0].ID, "connection refused; the control answered", clean[0].when(h))
	l.ClearedAt = clean[0].when(h)
	if len(clean) == 2 {
		l.become(exposure.Fixed, "scan "+clean[1].ID, "connection refused twice, a day apart; the control answered", clean[1].when(h))
	}
}

// rule is what somebody decided about a few that stay open.
func (w *writer) rule(h *host, l *life) {
	if h.gone < yearDays || h.salt%29 > 1 {
		return
	}
	at := l.FirstSeen.AddDate(0, 0, 20)
	if !at.Before(End) {
		return
	}
	l.RuledBy, l.Ruling, l.RuledWhy = "analyst", exposure.Accepted, "a print service for everybody, in a network of its own (generated)"
	l.RuledUntil = End.AddDate(0, 3, 0)
	if h.salt%29 == 1 {
		l.Ruling, l.RuledWhy, l.RuledUntil = exposure.FalsePositive, "a trap of ours (generated)", time.Time{}
	}
	l.step(exposure.AxisVerdict, string(exposure.NoRuling), string(l.Ruling), l.RuledBy, l.RuledWhy, at)
}
