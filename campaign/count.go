package campaign

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"ippwatch/exposure"
)

// counters is what a scan has come to so far. Its memory grows with the hosts
// that sent something, never with those that were asked.
type counters struct {
	mu       sync.Mutex
	p        Progress
	verdicts map[exposure.Verdict]int
	worst    map[netip.Addr]exposure.Severity // of each host that spoke; "": nothing found
	touched  map[time.Time]struct{}           // UTC days of kept observations
	controls map[exposure.Transport][2]netip.Addr
}

func (c *counters) start(now time.Time) {
	c.p = Progress{Started: now, At: now}
	c.verdicts = make(map[exposure.Verdict]int)
	c.worst = make(map[netip.Addr]exposure.Severity)
	c.touched = make(map[time.Time]struct{})
	c.controls = make(map[exposure.Transport][2]netip.Addr)
}

func (c *counters) total(n, handed, done uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Total += n
	c.p.Sent += handed
	c.p.Finished += done
}

func (c *counters) send(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Sent += n
}

// unsend takes back what was counted as sent and was not.
func (c *counters) unsend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Sent--
}

func (c *counters) skip() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Skipped++
	c.p.Finished++
}

// finish counts a target that an earlier process of the run has dealt with.
func (c *counters) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Finished++
}

func (c *counters) pause(paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Paused = paused
}

// touch notes a kept observation.
func (c *counters) touch(o *exposure.Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touched[o.Observed.UTC().Truncate(24*time.Hour)] = struct{}{}
	c.vouch(o)
}

// vouch remembers the first two print services that answered: one of them is
// another than the host in question.
func (c *counters) vouch(o *exposure.Observation) {
	if o.Verdict != exposure.Answered && o.Verdict != exposure.CalledBack {
		return
	}
	two := c.controls[o.Transport]
	switch {
	case !two[0].IsValid():
		two[0] = o.Addr
	case !two[1].IsValid() && two[0] != o.Addr:
		two[1] = o.Addr
	}
	c.controls[o.Transport] = two
}

func (c *counters) add(o *exposure.Observation, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !late {
		c.p.Finished++
	}
	c.verdicts[o.Verdict]++
	c.vouch(o)
	worst := exposure.Worst(o.Findings)
	if worst == "" && !o.Verdict.Spoke() {
		return
	}
	before, seen := c.worst[o.Addr]
	if !seen {
		c.p.Answered++
	}
	if !seen || worst.Rank() < before.Rank() {
		c.worst[o.Addr] = worst
	}
	if worst.AtLeast(exposure.Low) && !before.AtLeast(exposure.Low) {
		c.p.Found++
	}
}

// control returns which other print service answered in this run: then our
// network works, and a host that is closed is closed. Few hosts call back, so
// over UDP one that answers over TCP will do.
func (c *counters) control(o *exposure.Observation) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.controls[o.Transport] {
		if a.IsValid() && a != o.Addr {
			return a.String() + " answered"
		}
	}
	if o.Transport == exposure.UDP {
		for _, a := range c.controls[exposure.TCP] {
			if a.IsValid() && a != o.Addr {
				return a.String() + " answered over TCP"
			}
		}
	}
	return ""
}

func (c *counters) days() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	days := make([]time.Time, 0, len(c.touched))
	for d := range c.touched {
		days = append(days, d)
	}
	slices.SortFunc(days, time.Time.Compare)
	return days
}

func (c *counters) progress(now time.Time) Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.At = now
	return c.p
}

func (c *counters) summary(now time.Time) Summary {
	sum := Summary{Progress: c.progress(now), Severity: make(map[exposure.Severity]int), Verdicts: make(map[exposure.Verdict]int)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, worst := range c.worst {
		if worst != "" {
			sum.Severity[worst]++
		}
	}
	for v, n := range c.verdicts {
		sum.Verdicts[v] = n
	}
	return sum
}
