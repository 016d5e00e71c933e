package tally

import (
	"math"
	"slices"
)

// A Mass is a share of the cases that ended somewhere in (From, To]; where in it
// the data cannot tell. An infinite To is the share that was not over.
type Mass struct {
	From, To, Share float64
}

// A Turnbull is the estimate from intervals alone, without a guess where in the
// interval a case ended (Turnbull, JRSS B 38, 1976).
type Turnbull struct {
	N, Events int
	Masses    []Mass
	// Gap bounds, for each case, how far the logarithm of the likelihood is
	// below its maximum.
	Gap        float64
	Iterations int
}

// TurnbullGap is the gap at which an estimate is taken for the best. Where a
// million intervals overlap by hours it may not be reached in time.
const TurnbullGap = 1e-8

const (
	turnbullIterations = 5_000
	massless           = 1e-7 // less than one of ten million cases
)

// An edge is an end of an interval. Of those at one place, "[t" comes before
// "t]" and that before "(t".
type edge struct {
	at   float64
	kind int
}

const (
	leftClosed = iota
	right
	leftOpen
)

func compareEdge(a, b edge) int {
	if c := compareFloat(a.at, b.at); c != 0 {
		return c
	}
	return a.kind - b.kind
}

// span is the range of masses in which a case ended, and how many cases it is of.
type span struct {
	from, to int
	weight   float64
}

// NewTurnbull returns the estimate; late entry is not taken into account.
func NewTurnbull(lives []Life) Turnbull {
	t := Turnbull{N: len(lives)}
	if t.N == 0 {
		return t
	}
	ends := func(l Life) (edge, edge) {
		if l.Lo == l.Hi {
			return edge{l.Lo, leftClosed}, edge{l.Hi, right}
		}
		return edge{l.Lo, leftOpen}, edge{l.Hi, right}
	}
	edges := make([]edge, 0, 2*len(lives))
	for _, l := range lives {
		lo, hi := ends(l)
		edges = append(edges, lo, hi)
		if l.Event() {
			t.Events++
		}
	}
	slices.SortFunc(edges, compareEdge)
	var lefts, rights []edge // of the innermost intervals
	for i := 1; i < len(edges); i++ {
		if edges[i].kind == right && edges[i-1].kind != right {
			lefts, rights = append(lefts, edges[i-1]), append(rights, edges[i])
		}
	}
	spans := make([]span, 0, len(lives))
	for _, l := range lives {
		lo, hi := ends(l)
		from, _ := slices.BinarySearchFunc(lefts, lo, compareEdge)
		to, found := slices.BinarySearchFunc(rights, hi, compareEdge)
		if found {
			to++
		}
		spans = append(spans, span{from, to, 1})
	}
	spans = merge(spans)
	shares := t.maximise(spans, len(lefts))
	for j, share := range shares {
		if share > massless {
			t.Masses = append(t.Masses, Mass{lefts[j].at, rights[j].at, share})
		}
	}
	return t
}

func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].from == s.from && out[n-1].to == s.to {
			out[n-1].weight += s.weight
			continue
		}
		out = append(out, s)
	}
	return out
}

// A climber looks for the shares with the greatest likelihood.
type climber struct {
	n     float64
	spans []span
	sums  []float64 // of the shares before each mass
	slope []float64 // of the likelihood in each sum
	curve []float64 // less its second derivative
	block []pool
}

// maximise alternates steps of expectation and maximisation with steps of the
// iterative convex minorant (Wellner and Zhan, JASA 92, 1997), of which the first
// alone would take ten thousands. It ends when the gradient proves that no other
// shares are better by more than the gap.
func (t *Turnbull) maximise(spans []span, m int) []float64 {
	c := climber{n: float64(t.N), spans: spans, sums: make([]float64, m+1), slope: make([]float64, m+1), curve: make([]float64, m+1)}
	p, g, q, h := make([]float64, m), make([]float64, m), make([]float64, m), make([]float64, m)
	for j := range p {
		p[j] = 1 / float64(m)
	}
	c.score(p, g)
	for t.Iterations = 0; t.Iterations < turnbullIterations; t.Iterations++ {
		if t.Gap = max(0, slices.Max(g)-1); t.Gap <= TurnbullGap {
			break
		}
		for j := range p {
			p[j] *= g[j] // never makes it worse
		}
		likelihood := c.score(p, g)
		c.minorant(p, q)
		for range 20 { // the step may be too long
			if c.score(q, h) > likelihood {
				p, q, g, h = q, p, h, g
				break
			}
			for j := range q {
				q[j] = (q[j] + p[j]) / 2
			}
		}
	}
	return p
}

// score returns the likelihood of shares, and in g for each the mean over the
// cases of the ratio by which a step of expectation and maximisation multiplies
// it: it is at most 1 everywhere where the likelihood is greatest.
func (c *climber) score(p, g []float64) float64 {
	for j, share := range p {
		c.sums[j+1] = c.sums[j] + share
	}
	clear(g)
	likelihood := 0.0
	for _, s := range c.spans {
		total := c.total(p, s)
		if !(total > 0) {
			return math.Inf(-1)
		}
		likelihood += s.weight * math.Log(total)
		rise := s.weight / total
		g[s.from] += rise
		if s.to < len(g) {
			g[s.to] -= rise
		}
	}
	run := 0.0
	for j := range g {
		run += g[j]
		g[j] = run / c.n
	}
	return likelihood
}

// total is the share that a case of the span has; one mass is not taken for the
// difference of two sums, which may be much larger.
func (c *climber) total(p []float64, s span) float64 {
	if s.to == s.from+1 {
		return p[s.from]
	}
	return c.sums[s.to] - c.sums[s.from]
}

// A pool is a stretch of sums that are equal.
type pool struct {
	mean, weight float64
	count        int
}

// minorant puts into q the shares to which one step in the sums leads: by Newton
// with the diagonal of the second derivatives, then brought into order again, by
// pooling neighbours that are not.
func (c *climber) minorant(p, q []float64) {
	m := len(p)
	clear(c.slope)
	clear(c.curve)
	for _, s := range c.spans {
		total := c.total(p, s)
		d := s.weight / total
		dd := d / total
		c.slope[s.to] += d
		c.curve[s.to] += dd
		c.slope[s.from] -= d
		c.curve[s.from] += dd
	}
	c.block = c.block[:0]
	for j := 1; j < m; j++ { // the first sum is 0 and the last is 1
		w := max(c.curve[j], 1e-12)
		b := pool{c.sums[j] + c.slope[j]/w, w, 1}
		for n := len(c.block); n > 0 && c.block[n-1].mean >= b.mean; n-- {
			last := c.block[n-1]
			total := last.weight + b.weight
			b = pool{(last.mean*last.weight + b.mean*b.weight) / total, total, last.count + b.count}
			c.block = c.block[:n-1]
		}
		c.block = append(c.block, b)
	}
	j, before := 0, 0.0
	for _, b := range c.block {
		sum := min(1, max(0, b.mean))
		for range b.count {
			q[j] = sum - before
			before = sum
			j++
		}
	}
	q[m-1] = 1 - before
}

// At returns the share still open at an age: what it is if the ends are spread
// evenly over each interval, and between what bounds it must be. All are NaN
// where nothing was followed.
func (t *Turnbull) At(age float64) (open, low, high float64) {
	for _, m := range t.Masses {
		switch {
		case m.To <= age:
		case m.From >= age:
			open, low, high = open+m.Share, low+m.Share, high+m.Share
		case math.IsInf(m.To, 1):
			return math.NaN(), math.NaN(), math.NaN()
		default:
			open += m.Share * (m.To - age) / (m.To - m.From)
			high += m.Share
		}
	}
	return open, low, high
}

// Median returns the age at which half were over, and the interval in which it
// must be; all are NaN if half never were.
func (t *Turnbull) Median() (median, low, high float64) {
	open := 1.0
	for _, m := range t.Masses {
		if open-m.Share <= 0.5+1e-9 {
			if math.IsInf(m.To, 1) {
				break
			}
			return m.From + (m.To-m.From)*min(1, (open-0.5)/m.Share), m.From, m.To
		}
		open -= m.Share
	}
	return math.NaN(), math.NaN(), math.NaN()
}

// mostIntervals is beyond what the estimate is made from intervals that are
// rounded outward.
const mostIntervals = 5_000

// coarse rounds the intervals outward to a grid, coarser until there are few
// enough different ones, and returns the grid in days; 0 is none.
func coarse(lives []Life) ([]Life, float64) {
	grid := 0.0
	for _, next := range []float64{1.0 / hoursPerDay, 0.25, 1, 7} {
		if distinct(lives, grid) <= mostIntervals {
			break
		}
		grid = next
	}
	out := make([]Life, len(lives))
	for i, l := range lives {
		out[i] = snap(l, grid)
	}
	return out, grid
}

func snap(l Life, grid float64) Life {
	if grid > 0 {
		l.Lo, l.Hi = math.Floor(l.Lo/grid)*grid, math.Ceil(l.Hi/grid)*grid
	}
	return l
}

func distinct(lives []Life, grid float64) int {
	seen := make(map[Life]struct{})
	for _, l := range lives {
		l = snap(l, grid)
		l.Entry = 0
		if seen[l] = struct{}{}; len(seen) > mostIntervals {
			break
		}
	}
	return len(seen)
}
