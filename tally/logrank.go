package tally

import (
	"math"
	"slices"
)

// mostGroups bounds the log-rank test: with more groups it asks a question that
// nobody has.
const mostGroups = 12

// A Test is the outcome of a log-rank test: whether groups close at the same
// pace.
type Test struct {
	ChiSquare float64 `json:"chi_square"`
	Degrees   int     `json:"degrees_of_freedom"`
	P         float64 `json:"p"`
	// Units is how many units were drawn, if the test is of a draw; 0 if each
	// case counts for itself.
	Units int `json:"units,omitempty"`
}

// A member is a life of a group.
type member struct {
	Life
	group   int
	cluster int32
}

// A tide is the pooled cases at a time at which some of them end.
type tide struct {
	t      float64
	atRisk []int // by group
	events []int
	n, d   int
}

// tides calls f for each time with events, in order. The slices are its own.
func tides(all []member, groups int, f func(*tide)) {
	byExit := make([]int32, 0, len(all))
	for i := range all {
		if all[i].Entry < all[i].time() {
			byExit = append(byExit, int32(i)) //nolint:gosec // not so many
		}
	}
	byEntry := slices.Clone(byExit)
	slices.SortFunc(byExit, func(a, b int32) int { return compareFloat(all[a].time(), all[b].time()) })
	slices.SortFunc(byEntry, func(a, b int32) int { return compareFloat(all[a].Entry, all[b].Entry) })
	now := tide{atRisk: make([]int, groups), events: make([]int, groups)}
	entered := 0
	for i := 0; i < len(byExit); {
		now.t = all[byExit[i]].time()
		for ; entered < len(byEntry) && all[byEntry[entered]].Entry < now.t; entered++ {
			now.atRisk[all[byEntry[entered]].group]++
			now.n++
		}
		clear(now.events)
		now.d = 0
		end := i
		for ; end < len(byExit) && all[byExit[end]].time() == now.t; end++ {
			if m := &all[byExit[end]]; m.Event() {
				now.events[m.group]++
				now.d++
			}
		}
		if now.d > 0 {
			f(&now)
		}
		for ; i < end; i++ {
			now.atRisk[all[byExit[i]].group]--
			now.n--
		}
	}
}

// LogRank tests whether the groups end at the same pace (Mantel and Cox, with
// the hypergeometric variance for ties). It reports false when there is nothing
// to compare.
func LogRank(groups ...[]Life) (Test, bool) {
	var all []member
	for g, lives := range groups {
		for _, l := range lives {
			all = append(all, member{Life: l, group: g})
		}
	}
	return logRank(all, len(groups))
}

func logRank(all []member, k int) (Test, bool) {
	if k < 2 || k > mostGroups {
		return Test{}, false
	}
	u := make([]float64, k)
	v := make([][]float64, k)
	for g := range v {
		v[g] = make([]float64, k)
	}
	tides(all, k, func(now *tide) {
		n, d := float64(now.n), float64(now.d)
		spread := 0.0
		if now.n > 1 {
			spread = d * (n - d) / (n - 1)
		}
		for a := range k {
			share := float64(now.atRisk[a]) / n
			u[a] += float64(now.events[a]) - d*share
			for b := range k {
				other := float64(now.atRisk[b]) / n
				v[a][b] -= spread * share * other
			}
			v[a][a] += spread * share
		}
	})
	value, rank := quadratic(u, v)
	if rank == 0 {
		return Test{}, false
	}
	return Test{ChiSquare: value, Degrees: rank, P: chiSquare(value, rank)}, true
}

// quadratic returns u' v^- u and the rank of v, which is singular: the rows sum
// to nothing. Elimination takes the largest pivot left and stops at none.
func quadratic(u []float64, v [][]float64) (value float64, rank int) {
	k := len(u)
	largest := 0.0
	for i := range k {
		largest = max(largest, v[i][i])
	}
	left := make([]bool, k)
	for i := range left {
		left[i] = true
	}
	for {
		pivot := -1
		for i := range k {
			if left[i] && v[i][i] > largest*1e-9 && (pivot < 0 || v[i][i] > v[pivot][pivot]) {
				pivot = i
			}
		}
		if pivot < 0 || largest == 0 {
			return value, rank
		}
		left[pivot] = false
		rank++
		value += u[pivot] * u[pivot] / v[pivot][pivot]
		for i := range k {
			if !left[i] {
				continue
			}
			f := v[i][pivot] / v[pivot][pivot]
			u[i] -= f * u[pivot]
			for j := range k {
				if left[j] {
					v[i][j] -= f * v[pivot][j]
				}
			}
		}
	}
}

// drawn is the log-rank test of two groups into which not cases were drawn but
// clusters of them: all cases of a recipient go the same way, and are closed
// together, so to count each for itself would promise too much. What a case adds
// to observed minus expected is its martingale residual; the sum over the
// clusters of group 1 has, over all draws of as many clusters, a mean and a
// variance that are known exactly.
func drawn(all []member) (Test, bool) {
	// The pooled cumulative hazard, as steps.
	var times, hazard []float64
	sum := 0.0
	tides(all, 2, func(now *tide) {
		sum += float64(now.d) / float64(now.n)
		times, hazard = append(times, now.t), append(hazard, sum)
	})
	at := func(t float64) float64 {
		i, found := slices.BinarySearch(times, t)
		if found {
			i++
		}
		if i == 0 {
			return 0
		}
		return hazard[i-1]
	}
	type unit struct {
		sum   float64
		group int
	}
	units := make(map[int32]unit)
	for i := range all {
		m := &all[i]
		t := m.time()
		if m.Entry >= t {
			continue
		}
		residual := at(m.Entry) - at(t)
		if m.Event() {
			residual++
		}
		c := units[m.cluster]
		units[m.cluster] = unit{c.sum + residual, m.group}
	}
	ids := make([]int32, 0, len(units)) // sums of floats hang on their order
	for id := range units {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var in, total, squares, chosen float64
	for _, id := range ids {
		c := units[id]
		total += c.sum
		squares += c.sum * c.sum
		if c.group == 1 {
			in += c.sum
			chosen++
		}
	}
	n := float64(len(ids))
	if chosen == 0 || chosen == n || n < 3 {
		return Test{}, false
	}
	mean := total / n
	variance := chosen * (n - chosen) / (n * (n - 1)) * (squares - n*mean*mean)
	if !(variance > 1e-12) {
		return Test{}, false
	}
	value := (in - chosen*mean) * (in - chosen*mean) / variance
	return Test{ChiSquare: value, Degrees: 1, P: chiSquare(value, 1), Units: len(ids)}, true
}

// A Difference is what telling adds at an age: the share closed, and the
// cumulative hazard, among the told less those among the held out.
type Difference struct {
	Day    float64 `json:"day"`
	Closed Figure  `json:"closed"` // a share
	Hazard Figure  `json:"hazard"`
}

// difference compares two curves at an age. The arms are independent, so the
// variances add.
func difference(told, held *Curve, day float64) Difference {
	d := Difference{Day: day}
	if word := cmpWord(told.readable(day), held.readable(day)); word != "" {
		d.Closed, d.Hazard = without(word), without(word)
		return d
	}
	a, b := told.At(day), held.At(day)
	normal := func(value, variance float64) Figure {
		half := z95 * math.Sqrt(variance)
		return Figure{Value: value, Low: value - half, High: value + half}
	}
	d.Closed = normal(b.Open-a.Open, a.Variance+b.Variance)
	d.Hazard = normal(a.Hazard-b.Hazard, a.hazardVar+b.hazardVar)
	return d
}

func cmpWord(a, b Word) Word {
	if a != "" {
		return a
	}
	return b
}
