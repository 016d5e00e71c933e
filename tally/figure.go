package tally

import (
	"encoding/json"
	"math"
)

// A Figure is a value with its interval, or the word why there is none. An end of
// the interval that does not exist is NaN.
type Figure struct {
	Value, Low, High float64
	Word             Word
}

// A Word says why a figure is not given.
type Word string

// Words.
const (
	TooFew     Word = "too few"     // cases, to mean anything
	TooEarly   Word = "too early"   // nothing was followed for so long yet
	NotReached Word = "not reached" // Low is how far it is known not to be
	NoCase     Word = "-"           // the figure does not apply
)

func without(w Word) Figure {
	return Figure{Value: math.NaN(), Low: math.NaN(), High: math.NaN(), Word: w}
}

// Given reports whether there is a value.
func (f Figure) Given() bool { return f.Word == "" }

// thousandth is how exact figures are told: a day to a minute and a half.
func thousandth(v float64) float64 { return math.Round(v*1000) / 1000 }

// MarshalJSON writes what does not exist as null.
func (f Figure) MarshalJSON() ([]byte, error) {
	null := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		v = thousandth(v)
		return &v
	}
	return json.Marshal(struct {
		Value *float64 `json:"value"`
		Low   *float64 `json:"low"`
		High  *float64 `json:"high"`
		Word  Word     `json:"why,omitempty"`
	}{null(f.Value), null(f.Low), null(f.High), f.Word})
}

// readable says why the curve cannot be read at an age, or "". It can where
// enough cases are still followed, and behind that where those that it says are
// open are not more than there were, but for a few: then they were not lost to
// censoring. And it means what it says only if some were followed from their
// beginning.
func (c *Curve) readable(day float64) Word {
	switch {
	case c.N < Few || c.Early < Thin || c.Broken:
		return TooFew
	case c.End < day && c.At(day).Open > 0:
		return TooEarly
	case c.followed(day) >= Thin || c.At(c.Firm).Open*float64(c.N) <= Thin:
		return ""
	}
	return TooFew
}

// closedAt returns the share over at an age.
func (c *Curve) closedAt(day float64) Figure {
	if word := c.readable(day); word != "" {
		return without(word)
	}
	p := c.At(day)
	return Figure{Value: 1 - p.Open, Low: 1 - p.High, High: 1 - p.Low}
}

// half returns the median age.
func (c *Curve) half() Figure {
	if c.N < Few || c.Early < Thin || c.Broken || c.Events > 0 && c.Events < Thin {
		return without(TooFew)
	}
	median, low, high := c.Median()
	if !math.IsNaN(median) && c.readable(median) != "" {
		return without(TooFew)
	}
	if math.IsNaN(median) {
		f := without(NotReached)
		f.Low = c.Firm
		return f
	}
	return Figure{Value: median, Low: low, High: high}
}

func (t *Turnbull) closedAt(day float64) Figure {
	if t.N < Few {
		return without(TooFew)
	}
	open, low, high := t.At(day)
	if math.IsNaN(open) {
		return without(TooEarly)
	}
	return Figure{Value: 1 - open, Low: 1 - high, High: 1 - low}
}

func (t *Turnbull) half() Figure {
	if t.N < Few || t.Events > 0 && t.Events < Thin {
		return without(TooFew)
	}
	median, low, high := t.Median()
	if math.IsNaN(median) {
		f := without(NotReached)
		for _, m := range t.Masses {
			f.Low = m.From // of the last, which is not over
		}
		return f
	}
	return Figure{Value: median, Low: low, High: high}
}

// share is a part of a whole, with the interval of Wilson, which holds for small
// numbers and near 0 and 1.
func share(part, whole int) Figure {
	if whole == 0 {
		return without(NoCase)
	}
	if whole < Few {
		return without(TooFew)
	}
	n, p := float64(whole), float64(part)/float64(whole)
	z2 := z95 * z95
	middle := (p + z2/(2*n)) / (1 + z2/n)
	half := z95 / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return Figure{Value: p, Low: max(0, middle-half), High: min(1, middle+half)}
}
