package tally

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var never64 = math.Inf(1)

// exact returns lives that end at the times, and that were still going on at
// those in brackets.
func exact(events []float64, censored ...float64) []Life {
	var out []Life
	for _, t := range events {
		out = append(out, Life{-1, t, t})
	}
	for _, t := range censored {
		out = append(out, Life{-1, t, never64})
	}
	return out
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(want) && math.IsNaN(got) {
		return
	}
	if !(math.Abs(got-want) <= within) {
		t.Errorf("%s = %.6g, want %.6g", what, got, want)
	}
}

// TestByHand works out a small example in full. Ten cases, in days:
//
//	2  3+  4  4  6+  7  9+  9  12+  15+      (+ was still open)
//
//	time  at risk  events  open                     Greenwood sum d/(n(n-d))
//	 2      10       1     9/10           = .9      1/90              = .0111111
//	 4       8       2     9/10 * 6/8     = .675    .0111111 + 2/48   = .0527778
//	 7       5       1     .675 * 4/5     = .54     .0527778 + 1/20   = .1027778
//	 9       4       1     .54  * 3/4     = .405    .1027778 + 1/12   = .1861111
//
// Whoever is censored at 9 was at risk at 9. The median is 9, the first time at
// which the curve is at most one half.
func TestByHand(t *testing.T) {
	c := KaplanMeier(exact([]float64{2, 4, 4, 7, 9}, 3, 6, 9, 12, 15))
	want := []Point{
		{Time: 2, AtRisk: 10, Events: 1, Open: .9, Variance: .81 * .0111111},
		{Time: 4, AtRisk: 8, Events: 2, Open: .675, Variance: .455625 * .0527778},
		{Time: 7, AtRisk: 5, Events: 1, Open: .54, Variance: .2916 * .1027778},
		{Time: 9, AtRisk: 4, Events: 1, Open: .405, Variance: .164025 * .1861111},
	}
	if len(c.Points) != len(want) || c.N != 10 || c.Events != 5 {
		t.Fatalf("%d points of %d cases with %d events: %v", len(c.Points), c.N, c.Events, c.Points)
	}
	for i, w := range want {
		p := c.Points[i]
		if p.Time != w.Time || p.AtRisk != w.AtRisk || p.Events != w.Events {
			t.Errorf("point %d is %+v, want %+v", i, p, w)
		}
		near(t, "open", p.Open, w.Open, 1e-12)
		near(t, "variance", p.Variance, w.Variance, 1e-6)
	}
	// At 4: log(-log .675) = -.93402, its error sqrt(.0527778)/.393043 = .584499;
	// .675^exp(+-1.959964*.584499) = .675^3.14434 and .675^.318032.
	near(t, "low at 4", c.At(5).Low, math.Pow(.675, 3.14434), 1e-5)
	near(t, "high at 4", c.At(5).High, math.Pow(.675, .318032), 1e-5)
	median, _, high := c.Median()
	near(t, "median", median, 9, 0)
	near(t, "its upper end", high, math.NaN(), 0)
	near(t, "before the first", c.At(1).Open, 1, 0)
}

// The remission times of 6-MP and placebo, in weeks: Freireich et al., Blood 21
// (1963), as given by Gehan, Biometrika 52 (1965).
var (
	sixMP   = exact([]float64{6, 6, 6, 7, 10, 13, 16, 22, 23}, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
	placebo = exact([]float64{1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23})
)

// TestFreireich holds the published answers: the curve, errors and log-log
// intervals that Stata and R's survfit print, medians 23 and 8, chi-square 16.79
// (Kleinbaum and Klein, Survival Analysis, chapter 2).
func TestFreireich(t *testing.T) {
	c := KaplanMeier(sixMP)
	want := []struct{ t, open, err, low, high float64 }{
		{6, .8571, .0764, .6197, .9516},
		{7, .8067, .0869, .5631, .9228},
		{10, .7529, .0963, .5032, .8894},
		{13, .6902, .1068, .4316, .8491},
		{16, .6275, .1141, .3675, .8049},
		{22, .5378, .1282, .2678, .7468},
		{23, .4482, .1346, .1881, .6801},
	}
	if len(c.Points) != len(want) {
		t.Fatalf("%d points, want %d", len(c.Points), len(want))
	}
	for i, w := range want {
		p := c.Points[i]
		near(t, "time", p.Time, w.t, 0)
		near(t, "open", p.Open, w.open, 5e-5)
		near(t, "error", math.Sqrt(p.Variance), w.err, 5e-5)
		near(t, "low", p.Low, w.low, 5e-5)
		near(t, "high", p.High, w.high, 5e-5)
	}
	median, low, high := c.Median()
	near(t, "median of 6-MP", median, 23, 0)
	near(t, "its lower end", low, 13, 0)
	near(t, "its upper end", high, math.NaN(), 0)
	p := KaplanMeier(placebo)
	median, low, high = p.Median()
	near(t, "median of placebo", median, 8, 0)
	near(t, "its lower end", low, 4, 0)
	near(t, "its upper end", high, 11, 0)
	test, ok := LogRank(sixMP, placebo)
	if !ok || test.Degrees != 1 {
		t.Fatalf("log-rank: %+v, %t", test, ok)
	}
	near(t, "chi-square", test.ChiSquare, 16.79, .005)
	near(t, "p", test.P, 4.17e-5, 5e-8)
	if two, _ := LogRank(placebo, sixMP); math.Abs(two.ChiSquare-test.ChiSquare) > 1e-9 {
		t.Errorf("the other way round chi-square is %g", two.ChiSquare)
	}
}

// random returns lives with ties, censoring and, if late, late entry.
func random(r *rand.Rand, n int, late bool) []Life {
	var out []Life
	for range n {
		l := Life{Entry: -1, Lo: float64(r.IntN(30))}
		l.Hi = l.Lo
		if r.IntN(3) == 0 {
			l.Hi = never64
		}
		if late && r.IntN(2) == 0 {
			l.Entry = float64(r.IntN(10))
		}
		out = append(out, l)
	}
	return out
}

func TestCurveKeepsItsPromises(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		lives := random(r, 1+r.IntN(60), seed%2 == 1)
		c := KaplanMeier(lives)
		last := 1.0
		for i, p := range c.Points {
			if p.Open > last || p.Open < 0 || p.Events < 1 || p.Events > p.AtRisk || i > 0 && p.Time <= c.Points[i-1].Time {
				t.Fatalf("seed %d: point %d is %+v after %g", seed, i, p, last)
			}
			if p.Low > p.Open+1e-12 || p.High < p.Open-1e-12 || p.Low < 0 || p.High > 1 {
				t.Fatalf("seed %d: %+v is not within its interval", seed, p)
			}
			last = p.Open
		}
		other := slices.Clone(lives)
		r.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if d := KaplanMeier(other); !same(c, d) {
			t.Fatalf("seed %d: the order of the cases changes the curve", seed)
		}
	}
}

func same(a, b Curve) bool {
	return slices.EqualFunc(a.Points, b.Points, func(p, q Point) bool {
		return p.Time == q.Time && p.Open == q.Open && p.Variance == q.Variance && p.AtRisk == q.AtRisk
	}) && slices.Equal(a.Censored, b.Censored) && a.N == b.N && a.Firm == b.Firm
}

func TestWithoutCensoringTheCurveIsTheEmpiricalOne(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		n := 1 + r.IntN(80)
		var times []float64
		for range n {
			times = append(times, float64(r.IntN(20)))
		}
		c := KaplanMeier(exact(times))
		for at := -1.0; at < 21; at += .5 {
			longer := 0
			for _, x := range times {
				if x > at {
					longer++
				}
			}
			share := float64(longer) / float64(n)
			near(t, "open", c.At(at).Open, share, 1e-12)
			near(t, "variance", c.At(at).Variance, share*(1-share)/float64(n), 1e-12)
		}
		if len(c.Censored) != 0 || c.Events != n {
			t.Fatalf("%d events and %d censored of %d", c.Events, len(c.Censored), n)
		}
	}
}

func TestLateEntryCountsFromThen(t *testing.T) {
	c := KaplanMeier([]Life{{-1, 2, 2}, {-1, 8, never64}, {5, 8, 8}, {5, 5, never64}})
	if c.N != 3 || c.Points[0].AtRisk != 2 || c.Points[1].AtRisk != 2 {
		t.Errorf("curve %+v", c)
	}
	if broken := KaplanMeier([]Life{{-1, 2, 2}, {5, 8, 8}}); !broken.Broken {
		t.Error("a curve that is 0 before the second entered is taken for whole")
	}
}

func TestChiSquare(t *testing.T) {
	for _, x := range []float64{.001, .1, 1, 3.841458820694124, 10, 50, 300} {
		near(t, "one degree", chiSquare(x, 1)/math.Erfc(math.Sqrt(x/2)), 1, 1e-11)
		near(t, "two degrees", chiSquare(x, 2)/math.Exp(-x/2), 1, 1e-11)
		// Q(a+1, y) = Q(a, y) + y^a e^-y / Gamma(a+1)   (DLMF 8.8.6)
		for df := 1; df < 12; df++ {
			a, y := float64(df)/2, x/2
			lg, _ := math.Lgamma(a + 1)
			near(t, "two degrees more", chiSquare(x, df+2), chiSquare(x, df)+math.Exp(a*math.Log(y)-y-lg), 1e-12)
		}
	}
	near(t, "the 5 % point", chiSquare(3.841458820694124, 1), .05, 1e-12)
	near(t, "the 5 % point of 5", chiSquare(11.070497693516351, 5), .05, 1e-12)
	near(t, "nothing", chiSquare(0, 3), 1, 0)
}

// TestLogRankOfManyGroups holds what must not hang on how groups are numbered,
// and that an empty one changes nothing.
func TestLogRankOfManyGroups(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		a, b, c := random(r, 30, false), random(r, 20, true), random(r, 25, false)
		x, _ := LogRank(a, b, c)
		y, _ := LogRank(c, nil, a, b)
		if x.Degrees != 2 || y.Degrees != 2 {
			t.Fatalf("seed %d: %d and %d degrees", seed, x.Degrees, y.Degrees)
		}
		near(t, "chi-square", x.ChiSquare, y.ChiSquare, 1e-9)
	}
	if _, ok := LogRank(sixMP, exact(nil, 30, 40)); !ok {
		t.Error("a group without events is no group")
	}
	if _, ok := LogRank(exact(nil, 1, 2), exact(nil, 3)); ok {
		t.Error("nothing ended, and yet there is a test")
	}
}

// TestDrawnIsTheDistributionOverAllDraws compares the two moments with those of
// every draw there is.
func TestDrawnIsTheDistributionOverAllDraws(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	const units = 8
	var all []member
	for i, l := range random(r, 40, false) {
		all = append(all, member{Life: l, cluster: int32(i % units)})
	}
	// Observed less expected of group 1, for the draw.
	statistic := func(draw uint) float64 {
		u := 0.0
		for i := range all {
			all[i].group = int(draw >> all[i].cluster & 1)
		}
		tides(all, 2, func(now *tide) {
			u += float64(now.events[1]) - float64(now.d)*float64(now.atRisk[1])/float64(now.n)
		})
		return u
	}
	var sum, squares, n float64
	for draw := range uint(1 << units) {
		if ones(draw) == 3 {
			u := statistic(draw)
			sum, squares, n = sum+u, squares+u*u, n+1
		}
	}
	const drawnUnits = 0b10110
	u := statistic(drawnUnits)
	got, ok := drawn(all)
	if !ok || got.Units != units {
		t.Fatalf("drawn = %+v, %t", got, ok)
	}
	mean := sum / n
	near(t, "mean over the draws", mean, 0, 1e-9)
	near(t, "chi-square", got.ChiSquare, (u-mean)*(u-mean)/(squares/n-mean*mean), 1e-9)
}

func ones(x uint) (n int) {
	for ; x > 0; x >>= 1 {
		n += int(x & 1)
	}
	return n
}
