package tally

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The time to breast retraction, in months, of 46 patients who had radiotherapy
// alone: Finkelstein and Wolfe, Biometrics 41 (1985), table 4.
var cosmesis = intervals(
	45, never64, 6, 10, 0, 7, 46, never64, 46, never64, 7, 16, 17, never64, 7, 14, 37, 44, 0, 8,
	4, 11, 15, never64, 11, 15, 22, never64, 46, never64, 46, never64, 25, 37, 46, never64, 26, 40, 46, never64,
	27, 34, 36, 44, 46, never64, 36, 48, 37, never64, 40, never64, 17, 25, 46, never64, 11, 18, 38, never64,
	5, 12, 37, never64, 0, 5, 18, never64, 24, never64, 36, never64, 5, 11, 19, 35, 17, 25, 24, never64,
	32, never64, 33, never64, 19, 26, 37, never64, 34, never64, 36, never64,
)

func intervals(ends ...float64) []Life {
	var out []Life
	for i := 0; i < len(ends); i += 2 {
		out = append(out, Life{-1, ends[i], ends[i+1]})
	}
	return out
}

// TestCosmesis holds the published estimate (Fay and Shaw, J. Stat. Software 36
// (2), 2010; the same in Lindsey and Ryan, Stat. Med. 17, 1998).
func TestCosmesis(t *testing.T) {
	if len(cosmesis) != 46 {
		t.Fatalf("%d patients", len(cosmesis))
	}
	got := NewTurnbull(cosmesis)
	want := []Mass{
		{4, 5, .0463},
		{6, 7, .0334},
		{7, 8, .0887},
		{11, 12, .0708},
		{24, 25, .0926},
		{33, 34, .0818},
		{38, 40, .1209},
		{46, 48, .4656},
	}
	if len(got.Masses) != len(want) {
		t.Fatalf("masses %v", got.Masses)
	}
	for i, w := range want {
		m := got.Masses[i]
		if m.From != w.From || m.To != w.To {
			t.Errorf("mass %d in (%g, %g], want (%g, %g]", i, m.From, m.To, w.From, w.To)
		}
		near(t, "share", m.Share, w.Share, 5e-5)
	}
	median, low, high := got.Median()
	if !(median > 38 && median < 40) || low != 38 || high != 40 {
		t.Errorf("median %g in (%g, %g]", median, low, high)
	}
}

// likelihood is that of shares of the innermost intervals, written down anew.
func likelihood(lives []Life, masses []Mass) float64 {
	sum := 0.0
	for _, l := range lives {
		p := 0.0
		for _, m := range masses {
			if m.From >= l.Lo && m.To <= l.Hi {
				p += m.Share
			}
		}
		sum += math.Log(p)
	}
	return sum
}

// climb maximises the likelihood without expectation and maximisation: it moves
// weight between each two shares as long as that helps, by bisection of the
// derivative, which falls along every line.
func climb(lives []Life, masses []Mass) []Mass {
	p := append([]Mass(nil), masses...)
	for j := range p {
		p[j].Share = 1 / float64(len(p))
	}
	slope := func(from, to int, x float64) float64 { // with x moved
		sum := 0.0
		for _, l := range lives {
			total, d := 0.0, 0.0
			for j, m := range p {
				if m.From < l.Lo || m.To > l.Hi {
					continue
				}
				total += m.Share
				if j == from {
					total, d = total-x, d-1
				}
				if j == to {
					total, d = total+x, d+1
				}
			}
			if d != 0 {
				sum += d / total
			}
		}
		return sum
	}
	for range 60 {
		for a := range p {
			for b := range p {
				if a == b || p[a].Share == 0 || !(slope(a, b, 0) > 0) {
					continue
				}
				lo, hi := 0.0, p[a].Share
				if s := slope(a, b, hi); s > 0 {
					lo = hi
				}
				for range 45 {
					if mid := (lo + hi) / 2; slope(a, b, mid) > 0 {
						lo = mid
					} else {
						hi = mid
					}
				}
				p[a].Share -= lo
				p[b].Share += lo
			}
		}
	}
	return p
}

// TestTurnbullByAnotherWay compares with shares that were found by coordinates,
// over all innermost intervals.
func TestTurnbullByAnotherWay(t *testing.T) {
	all := []Mass{{4, 5, 0}, {6, 7, 0}, {7, 8, 0}, {11, 12, 0}, {15, 16, 0}, {17, 18, 0}, {24, 25, 0}, {25, 26, 0}, {33, 34, 0}, {34, 35, 0}, {36, 37, 0}, {38, 40, 0}, {40, 44, 0}, {46, 48, 0}}
	other := climb(cosmesis, all)
	em := NewTurnbull(cosmesis)
	near(t, "likelihood", likelihood(cosmesis, em.Masses), likelihood(cosmesis, other), 1e-6)
	for _, m := range em.Masses {
		for _, o := range other {
			if o.From == m.From {
				near(t, "share", m.Share, o.Share, 1e-4)
			}
		}
	}
}

func TestTurnbullOfExactTimesIsKaplanMeier(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		lives := random(r, 2+r.IntN(40), false)
		km, tb := KaplanMeier(lives), NewTurnbull(lives)
		for at := 0.0; at < km.End; at++ {
			open, _, _ := tb.At(at)
			near(t, "open", open, km.At(at).Open, 1e-5)
		}
		if tb.Gap > TurnbullGap {
			t.Errorf("seed %d: gap %g after %d iterations", seed, tb.Gap, tb.Iterations)
		}
	}
}

// TestTurnbullIsTheBest checks the condition of Gentleman and Geyer: no share
// can be raised with profit, and the shares sum to one.
func TestTurnbullIsTheBest(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 6))
		var lives []Life
		for range 2 + r.IntN(100) {
			l := Life{Entry: -1, Lo: float64(r.IntN(40))}
			l.Hi = l.Lo + 1 + float64(r.IntN(10))
			if r.IntN(4) == 0 {
				l.Hi = never64
			}
			lives = append(lives, l)
		}
		tb := NewTurnbull(lives)
		sum := 0.0
		for _, m := range tb.Masses {
			sum += m.Share
			rise := 0.0
			for _, l := range lives {
				if m.From < l.Lo || m.To > l.Hi {
					continue
				}
				p := 0.0
				for _, o := range tb.Masses {
					if o.From >= l.Lo && o.To <= l.Hi {
						p += o.Share
					}
				}
				rise += 1 / p
			}
			if m.Share > 1e-3 {
				near(t, "the gradient", rise/float64(len(lives)), 1, 1e-4)
			}
		}
		near(t, "the sum", sum, 1, 1e-6)
		if tb.Gap > TurnbullGap {
			t.Errorf("seed %d: gap %g after %d iterations", seed, tb.Gap, tb.Iterations)
		}
	}
}
