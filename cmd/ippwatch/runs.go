package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
)

func (s *street) runsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List the scans, newest first",
		Long: `Runs lists the scans, newest first. Targets are all that a run has, over TCP and
UDP; asked are those whose turn came, what was excluded meanwhile included. How
many answered is not kept by run: report and changes say what was found.`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if limit < 1 {
				return usage("--limit %d: want a number above 0", limit)
			}
			return s.read(ctx, func(h *house) error {
				runs, err := h.store.Runs(ctx, s.view(), limit)
				if err != nil {
					return err
				}
				rows, err := runLines(ctx, h, runs)
				if err != nil {
					return err
				}
				return screen.Listing[runLine]{
					Columns: []string{"id", "state", "started", "ended", "targets", "asked", "vantage", "authorised_by"},
					Cells:   func(r runLine) []string { return r.cells(s) },
					Empty:   "no scan was made yet",
				}.Show(&s.Screen, rows)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

// A runLine is a run, whose end is absent while it has not come, with how far it
// is. In JSON, targets are the prefixes to which the user narrowed the run.
type runLine struct {
	exposure.Run
	Ended time.Time `json:"ended,omitzero"`
	Total uint64    `json:"total,omitzero"` // absent where today's program cannot read the scope
	Asked uint64    `json:"asked"`
}

// cells are the line as a table has it.
func (r runLine) cells(s *street) []string {
	total := ""
	if r.Total > 0 {
		total = fmt.Sprint(r.Total)
	}
	return []string{
		r.ID, string(r.State), s.Stamp(r.Started), s.Stamp(r.Ended), total, fmt.Sprint(r.Asked), r.Vantage, r.AuthorisedBy,
	}
}

// runLines counts for each run what it has to ask and what it has asked.
func runLines(ctx context.Context, h *house, runs []exposure.Run) ([]runLine, error) {
	totals := targetsOf(runs)
	rows := make([]runLine, len(runs))
	for i, r := range runs {
		rows[i] = runLine{Run: r, Ended: r.Ended, Total: totals[i]}
		for _, l := range runLegs(r) {
			tick, _, err := h.store.LastTick(ctx, exposure.Leg{Run: r.ID, Probe: l.probe})
			if err != nil {
				return nil, err
			}
			rows[i].Asked += tick.Handed
		}
	}
	return rows, nil
}

// targetsOf counts for each run what it has to ask, over TCP and UDP; 0 where
// today's program cannot read the scope.
func targetsOf(runs []exposure.Run) []uint64 {
	// The runs of many days have one scope, and that of a country takes a second.
	sets := make(map[string]space.Set)
	totals := make([]uint64, len(runs))
	for i, r := range runs {
		key := fmt.Sprint(r.Targets, r.Scope)
		set, known := sets[key]
		if !known {
			var err error
			if set, err = runSet(r); err == nil {
				sets[key] = set
			}
		}
		for _, l := range runLegs(r) {
			if order, err := space.NewOrder(set, l.ports, r.Seed, r.Shard, r.Shards); err == nil {
				totals[i] += order.Len()
			}
		}
	}
	return totals
}

// A runLeg is what a run asks with one probe.
type runLeg struct {
	probe exposure.Probe
	ports []uint16
}

func runLegs(r exposure.Run) []runLeg {
	legs := []runLeg{{exposure.ProbeIPP, r.Ports}}
	if r.UDP {
		legs = append(legs, runLeg{exposure.ProbeBrowse, []uint16{r.UDPPort}})
	}
	return legs
}

// A contactMade is one answer to the question what we sent an address.
type contactMade struct {
	Run          string    `json:"run"`
	Target       string    `json:"target"`
	Probe        string    `json:"probe"`
	What         string    `json:"what"`
	NotBefore    time.Time `json:"not_before"` // of the sending; the two are about a second apart
	NotAfter     time.Time `json:"not_after"`
	Vantage      string    `json:"vantage"`
	AuthorisedBy string    `json:"authorised_by"`
	Contact      string    `json:"contact"`
}

func (s *street) askedCommand() *cobra.Command {
	var at string
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "asked ADDRESS",
		Short: "Say what we sent an address, when, and under whose authority",
		Long: `Asked answers a stranger who writes to the contact in a probe. It looks through the
runs and computes from their order which of them asked the address, and when. Of
what a killed scan may have sent in its last second it says "perhaps".`,
		Example: `  ippwatch asked 198.51.100.20
  ippwatch asked 198.51.100.20 --at 2026-11-23T09:30:00Z`,
		Args: wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			addr, err := netip.ParseAddr(args[0])
			if err != nil {
				return usage("%q is not an address, such as 198.51.100.20", args[0])
			}
			var from, to time.Time
			if at != "" {
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return usage("--at %q: want a time such as 2026-11-23T09:30:00Z", at)
				}
				if within <= 0 {
					return usage("--within %s: want a time above 0", within)
				}
				from, to = t.Add(-within), t.Add(within)
			}
			return s.read(ctx, func(h *house) error { return s.asked(ctx, h, addr.Unmap(), from, to) })
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "time that the stranger names, as 2026-11-23T09:30:00Z; default: ever")
	cmd.Flags().DurationVar(&within, "within", 5*time.Minute, "how far the stranger's clock may be off")
	return cmd
}

func (s *street) asked(ctx context.Context, h *house, addr netip.Addr, from, to time.Time) error {
	made, err := s.sentTo(ctx, h, addr, from, to)
	if err != nil {
		return err
	}
	return screen.Listing[contactMade]{
		Columns: []string{"not_before", "not_after", "target", "what", "run", "authorised_by", "contact"},
		Cells: func(c contactMade) []string {
			return []string{s.Stamp(c.NotBefore), s.Stamp(c.NotAfter), c.Target, c.What, c.Run, c.AuthorisedBy, c.Contact}
		},
		Empty: "we sent nothing to " + addr.String() + during(from, to),
	}.Show(&s.Screen, made)
}

// sentTo is what we sent an address, from a time to another; zero: ever.
func (s *street) sentTo(ctx context.Context, h *house, addr netip.Addr, from, to time.Time) ([]contactMade, error) {
	runs, err := h.store.Runs(ctx, s.view(), math.MaxInt32)
	if err != nil {
		return nil, err
	}
	actions, err := h.store.AuditAbout(ctx, s.view(), []string{"exclude", "unexclude", "pause", "resume"}, "", math.MaxInt32)
	if err != nil {
		return nil, err
	}
	slices.Reverse(actions)
	type held struct {
		set space.Set
		is  bool // the address is in it
	}
	within := make(map[string]held)
	var made []contactMade
	for _, r := range runs {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// The runs of many days have one scope, and that of a country takes a second.
		key := fmt.Sprint(r.Targets, r.Scope)
		holds, known := within[key]
		if !known {
			set, err := runSet(r)
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", r.ID, err)
			}
			holds = held{set, set.Contains(addr)}
			within[key] = holds
		}
		if !holds.is {
			continue
		}
		found, err := s.askedBy(ctx, h, orders(actions), r, holds.set, addr)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if from.IsZero() || !c.NotAfter.Before(from) && !c.NotBefore.After(to) {
				made = append(made, c)
			}
		}
	}
	return made, nil
}

// during says in words which time was looked at.
func during(from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	return fmt.Sprintf(" from %s to %s UTC", screen.Stamp(from), screen.Stamp(to))
}

// askedBy computes what one run sent the address, which is in its set.
func (s *street) askedBy(ctx context.Context, h *house, given orders, r exposure.Run, set space.Set, addr netip.Addr) ([]contactMade, error) {
	var made []contactMade
	now := s.now()
	ask := func(p exposure.Probe, ports []uint16, seed, what string) error {
		order, err := space.NewOrder(set, ports, append([]byte(seed), r.Seed...), r.Shard, r.Shards)
		if err != nil {
			return err
		}
		for _, port := range ports {
			target := netip.AddrPortFrom(addr, port)
			pos, ok := order.Position(target)
			if !ok {
				continue
			}
			passages, err := h.store.Ticks(ctx, exposure.Leg{Run: r.ID, Probe: p}, pos)
			if err != nil {
				return err
			}
			what := what
			if len(passages) == 0 && r.State == exposure.Running {
				var sure bool
				if passages, sure, err = s.unnoted(ctx, h, r, p, pos, now); err != nil {
					return err
				}
				if !sure {
					what = "perhaps: " + what
				}
			}
			for _, passage := range passages {
				from := passage.Before.At
				if from.IsZero() {
					from = r.Started
				}
				after := passage.After.At
				if after.Before(from) {
					// The clock was set back between the two. The sending was
					// after the one by the old clock, or before the other by the
					// new one, and nobody knows by which.
					from, after = after.Add(-lateTick), from.Add(lateTick)
				}
				to := given.held(after, s.now())
				if given.excluded(addr, from) && given.excluded(addr, to) {
					continue
				}
				// A tick reads the clock and the place one after the other.
				from, to = from.Add(-tickSlack), to.Add(tickSlack)
				made = append(made, contactMade{
					Run: r.ID, Target: target.String(), Probe: string(p), What: what, NotBefore: from, NotAfter: to,
					Vantage: r.Vantage, AuthorisedBy: r.AuthorisedBy, Contact: r.ContactPoint,
				})
			}
		}
		return nil
	}
	if len(r.Ports) > 0 {
		if err := ask(exposure.ProbeIPP, r.Ports, "tcp", readOver(r)); err != nil {
			return nil, err
		}
	}
	if r.UDP && addr.Is4() {
		if err := ask(exposure.ProbeBrowse, []uint16{r.UDPPort}, "udp", "browse packet over UDP (two if it called before)"); err != nil {
			return nil, err
		}
	}
	return made, nil
}

const (
	// tickSlack widens what the ticks say.
	tickSlack = 100 * time.Millisecond
	// lateTick is how far two ticks of a scan that works are apart at most: one
	// is due every second, and a busy disk may hold it up.
	lateTick = 3 * time.Second
)

// orders are what operators ordered, the oldest first. A passage says when a
// target's turn came; whether it was asked then, these tell.
type orders []store.Action

// excluded reports whether the address was excluded at the time.
func (o orders) excluded(addr netip.Addr, at time.Time) bool {
	in := make(map[netip.Prefix]bool)
	for _, a := range o {
		if a.At.After(at) {
			break
		}
		text, _, _ := strings.Cut(a.Detail, ": ")
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Contains(addr) {
			continue
		}
		switch a.What {
		case "exclude":
			in[p] = true
		case "unexclude":
			delete(in, p)
		}
	}
	return len(in) > 0
}

// held returns the time until which what was due at the time may have been held
// up by a pause.
func (o orders) held(at, now time.Time) time.Time {
	// A scan sees an order within half a second.
	const seen = time.Second
	until := at
	paused := false
	for _, a := range o {
		switch {
		case a.What == "pause" && !a.At.After(until.Add(seen)):
			paused = true
		case a.What == "resume" && paused:
			paused = false
			if end := a.At.Add(seen + afterPause); end.After(until) && a.At.After(at.Add(-seen)) {
				until = end
			}
		}
	}
	if paused {
		return now
	}
	return until
}

// afterPause is how long a conversation may last after the pause that held it up.
const afterPause = 5 * time.Second

// readOver says in a few words what a run asks over TCP.
func readOver(r exposure.Run) string {
	what := "IPP over TCP: read requests"
	if r.Options["admin"] != "" {
		what += ", /admin pages"
	}
	if r.Options["jobs"] != "" {
		what += ", job list"
	}
	return what
}

// unnoted is the passage of a position of which a scan that runs, or was killed,
// has not yet noted whether it was asked: over UDP those that were promised a
// packet, over TCP those that the pace can have reached since the last tick. It
// is sure of one that the scan noted while we waited for its next tick.
func (s *street) unnoted(ctx context.Context, h *house, r exposure.Run, p exposure.Probe, pos uint64, now time.Time) (passages []store.Passage, sure bool, err error) {
	if p == exposure.ProbeBrowse {
		batches, err := h.store.Unsettled(ctx, r.ID)
		if err != nil {
			return nil, false, err
		}
		for _, b := range batches {
			if b.From <= pos && pos < b.To {
				return []store.Passage{{Before: exposure.Tick{At: b.Reserved}, After: exposure.Tick{At: s.now()}}}, false, nil
			}
		}
		return nil, false, nil
	}
	rate, err := strconv.ParseUint(r.Options["rate"], 10, 32)
	if err != nil {
		return nil, false, fmt.Errorf("run %s: its rate: %w", r.ID, err)
	}
	leg := exposure.Leg{Run: r.ID, Probe: p}
	var first exposure.Tick
	for looks := 0; ; looks++ {
		last, found, err := h.store.LastTick(ctx, leg)
		if err != nil {
			return nil, false, err
		}
		if !found {
			last.At = r.Started
		}
		if looks == 0 {
			first = last
		}
		switch {
		case last != first || last.At.After(now):
			// It was noted meanwhile, or is known not to have been sent. A time
			// to come, without a new tick, is of a clock that was set back.
			passages, err := h.store.Ticks(ctx, leg, pos)
			if err != nil || len(passages) > 0 || last != first {
				return passages, true, err
			}
		case pos >= last.Handed+uint64(lateTick/time.Second)*rate:
			return nil, true, nil
		}
		if s.now().Sub(last.At).Abs() >= lifeSign { // it was killed
			until := last.At.Add(lateTick)
			if now.Before(until) {
				until = now
			}
			return []store.Passage{{Before: last, After: exposure.Tick{At: until}}}, false, nil
		}
		// It runs, and the next tick tells: to deny what was sent a moment ago
		// would be a lie to a stranger.
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(lifeSign / 20):
		}
	}
}

// runSet is the set of addresses that a run walks. Exclusions of the store are
// not taken out of it: the guard refuses them, see [street.newRun].
func runSet(r exposure.Run) (space.Set, error) {
	scope, err := space.ParseScope(r.Options["scope"], []byte(r.Scope))
	if err != nil {
		return space.Set{}, err
	}
	set, _, err := scope.Set(r.Started, r.Targets, nil)
	return set, err
}
