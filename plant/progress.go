package plant

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
)

// A progress is how far a run is.
type progress struct {
	exposure.Run
	Word     string // running, paused, interrupted, stopped, done
	Live     bool   // somebody works on it
	Total    uint64 // 0: nobody knows
	Asked    uint64
	Finished uint64
	Said     time.Time // the last sign of life
	Share    float64   // percent
	Rate     float64   // targets a second
	Left     time.Duration
	Took     time.Duration
	Legs     []legSeen
	Heard    archive.Heard
	Counted  bool // Heard is known
	Verify   bool
	At       time.Time
}

// A legSeen is the part of a run that uses one probe.
type legSeen struct {
	Probe           exposure.Probe
	Asked, Finished uint64
}

// lifeSign is how old the last word of a run may be for it to be alive: running
// scans write one a second.
const lifeSign = 5 * time.Second

// A watch remembers of runs what is the same for all who look.
type watch struct {
	mu     sync.Mutex // guards the rest
	totals map[string]uint64
	live   map[string]*lived
}

// lived is one run that somebody follows.
type lived struct {
	mu      sync.Mutex // guards the rest; held while it is computed, so that one computes for all
	seen    progress
	next    time.Time // when what was heard is counted again
	samples []sample
}

type sample struct {
	at    time.Time
	asked uint64
}

const (
	mostTotals = 2000
	mostLive   = 50
)

// totals counts what the runs have to ask. It never changes, and that of a
// country takes a second.
func (p *Plant) totals(runs []exposure.Run) []uint64 {
	all := make([]uint64, len(runs))
	if p.Targets == nil {
		return all
	}
	p.runs.mu.Lock()
	var missing []exposure.Run
	var at []int
	for i, r := range runs {
		n, known := p.runs.totals[r.ID]
		if all[i] = n; !known {
			missing, at = append(missing, r), append(at, i)
		}
	}
	p.runs.mu.Unlock()
	if len(missing) == 0 {
		return all
	}
	counted := p.Targets(missing)
	p.runs.mu.Lock()
	defer p.runs.mu.Unlock()
	if p.runs.totals == nil || len(p.runs.totals) > mostTotals {
		p.runs.totals = make(map[string]uint64)
	}
	for i, n := range counted {
		all[at[i]] = n
		p.runs.totals[missing[i].ID] = n
	}
	return all
}

// far tells of runs how far they are, without what they heard.
func (p *Plant) far(ctx context.Context, runs []exposure.Run, paused bool) ([]progress, error) {
	totals := p.totals(runs)
	all := make([]progress, len(runs))
	for i, r := range runs {
		var err error
		if all[i], err = p.reach(ctx, r, totals[i], paused); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *Plant) reach(ctx context.Context, r exposure.Run, total uint64, paused bool) (progress, error) {
	now := p.Now()
	g := progress{Run: r, Total: total, Said: r.Started, At: now, Verify: r.Options["source"] == string(exposure.Verification)}
	probes := []exposure.Probe{exposure.ProbeIPP}
	if r.UDP {
		probes = append(probes, exposure.ProbeBrowse)
	}
	for _, probe := range probes {
		tick, _, err := p.Store.LastTick(ctx, exposure.Leg{Run: r.ID, Probe: probe})
		if err != nil {
			return g, err
		}
		g.Asked, g.Finished = g.Asked+tick.Handed, g.Finished+tick.Finished
		if tick.At.After(g.Said) {
			g.Said = tick.At
		}
		g.Legs = append(g.Legs, legSeen{probe, tick.Handed, tick.Finished})
	}
	g.Live = r.State == exposure.Running && now.Sub(g.Said).Abs() < lifeSign
	switch {
	case g.Live && paused:
		g.Word = "paused"
	case g.Live || r.State != exposure.Running:
		g.Word = string(r.State)
	default:
		g.Word = "interrupted"
	}
	ended := r.Ended
	if ended.IsZero() {
		ended = g.Said
	}
	g.Took = max(0, ended.Sub(r.Started)).Round(time.Second)
	if g.Total > 0 {
		g.Share = min(100, 100*float64(g.Asked)/float64(g.Total))
	}
	if s := g.Took.Seconds(); s > 0 {
		g.Rate = float64(g.Asked) / s
	}
	return g, nil
}

// look is how far one run is, with what it heard. Those who follow it share the
// work: it is done at most once in most of a second, and what was heard is counted
// as seldom as it takes long.
func (p *Plant) look(ctx context.Context, r *http.Request, v *gate.Visit, id string) (progress, error) {
	// Whether the visitor may see it is asked each time.
	run, err := p.Store.Run(ctx, v.View, id)
	if err != nil {
		return progress{}, err
	}
	p.runs.mu.Lock()
	if p.runs.live == nil || len(p.runs.live) > mostLive {
		p.runs.live = make(map[string]*lived)
	}
	l := p.runs.live[id]
	if l == nil {
		l = &lived{}
		p.runs.live[id] = l
	}
	p.runs.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := p.Now()
	if l.seen.ID == id && l.seen.State == run.State && now.Sub(l.seen.At).Abs() < 700*time.Millisecond {
		return l.seen, nil
	}
	pause, err := p.paused(r)
	if err != nil {
		return progress{}, err
	}
	g, err := p.reach(ctx, run, p.totals([]exposure.Run{run})[0], pause != nil)
	if err != nil {
		return g, err
	}
	l.pace(&g)
	g.Heard, g.Counted = l.seen.Heard, l.seen.Counted
	if !g.Counted || !now.Before(l.next) || !g.Live {
		began := time.Now()
		if g.Heard, err = p.Archive.Heard(ctx, v.View, id); err != nil {
			return g, err
		}
		g.Counted = true
		l.next = now.Add(max(time.Second, 20*time.Since(began)))
	}
	l.seen = g
	return g, nil
}

// pace tells the pace of the last seconds, and how long the rest takes at it.
func (l *lived) pace(g *progress) {
	if !g.Live {
		l.samples = nil
		return
	}
	l.samples = append(l.samples, sample{g.Said, g.Asked})
	for len(l.samples) > 1 && g.Said.Sub(l.samples[0].at) > 15*time.Second {
		l.samples = l.samples[1:]
	}
	if first := l.samples[0]; g.Said.Sub(first.at) >= 2*time.Second {
		g.Rate = float64(g.Asked-min(g.Asked, first.asked)) / g.Said.Sub(first.at).Seconds()
	}
	if g.Rate >= 0.01 && g.Total > g.Asked && g.Word == string(exposure.Running) {
		g.Left = time.Duration(float64(g.Total-g.Asked) / g.Rate * float64(time.Second)).Round(time.Second)
	}
}

// Percent is the share for people.
func (g progress) Percent() string { return fmt.Sprintf("%.1f", g.Share) }

// Pace is the rate for people.
func (g progress) Pace() string { return fmt.Sprintf("%.1f", g.Rate) }

// Severities are the observations by their worst finding, the worst first.
func (g progress) Severities() []counted {
	var all []counted
	for _, s := range exposure.Severities {
		all = append(all, counted{string(s), g.Heard.Severity[s]})
	}
	return all
}

// Found are the observations with a finding.
func (g progress) Found() (n int64) {
	for _, c := range g.Heard.Severity {
		n += c
	}
	return n
}

// Spoke are the observations of hosts that sent anything.
func (g progress) Spoke() (n int64) {
	for verdict, c := range g.Heard.Verdicts {
		if verdict.Spoke() {
			n += c
		}
	}
	return n
}

// Rules are the observations by rule, the most first.
func (g progress) Rules() []counted { return most(g.Heard.Rules, 30) }

// Verdicts are the observations by verdict, the most first.
func (g progress) Verdicts() []counted { return most(g.Heard.Verdicts, 30) }

// Flags are the options of the run, sorted.
func (g progress) Flags() []counted {
	var all []counted
	for _, key := range sortedKeys(g.Options) {
		if key != "scope" && key != "source" {
			all = append(all, counted{Name: key + " " + g.Options[key]})
		}
	}
	return all
}

// scanPage is one run.
type scanPage struct {
	progress
	Paused bool
}

func (p *Plant) scan(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	run, err := p.runOf(r, v)
	if err != nil {
		return err
	}
	g, err := p.look(r.Context(), r, v, run.ID)
	if err != nil {
		return err
	}
	pause, err := p.paused(r)
	if err != nil {
		return err
	}
	return p.site.Page(w, r, v, "scan", scanPage{g, pause != nil})
}

const (
	// beat is how often who follows a scan is told of it.
	beat = time.Second
	// longest is how long one may follow without asking anew who one is.
	longest = 30 * time.Minute
)

// follow tells how far a run is, each second, until it is over.
func (p *Plant) follow(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	run, err := p.runOf(r, v)
	if err != nil {
		return err
	}
	select {
	case p.watched <- struct{}{}:
		defer func() { <-p.watched }()
	default:
		return &gate.Problem{Status: http.StatusServiceUnavailable, Code: "busy", Detail: "too many follow scans: load the page again now and then"}
	}
	events, err := gate.Events(w)
	if err != nil {
		return err
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	ends := time.NewTimer(longest)
	defer ends.Stop()
	for {
		g, err := p.look(r.Context(), r, v, run.ID)
		if err != nil {
			return err
		}
		html, err := p.site.Block(r, v, "scan", "progress", g)
		if err != nil {
			return err
		}
		if err := events.Send("progress", strings.TrimSpace(html)); err != nil {
			return nil // who went away needs none
		}
		if g.State != exposure.Running || g.Word == "interrupted" {
			_ = events.Send("end", "over") // likewise
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-p.ctx.Done():
			return nil
		case <-ends.C:
			return nil // the browser comes again
		case <-tick.C:
		}
	}
}
