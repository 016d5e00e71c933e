package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A figure is one measured number and what was aimed at.
type figure struct {
	What  string
	Value float64
	Unit  string
	Least float64 // aim: at least; 0: none
	Most  float64 // aim: at most; 0: none
	// Low and High are the extremes of several rounds.
	Low, High float64
}

// aim says what was wanted and whether it was met.
func (f figure) aim() string {
	switch {
	case f.Least > 0 && f.Value >= f.Least:
		return "at least " + number(f.Least) + "\tmet"
	case f.Least > 0:
		return "at least " + number(f.Least) + "\tMISSED"
	case f.Most > 0 && f.Value <= f.Most:
		return "at most " + number(f.Most) + "\tmet"
	case f.Most > 0:
		return "at most " + number(f.Most) + "\tMISSED"
	}
	return "\t"
}

func (f figure) spread() string {
	if f.Low == f.High {
		return ""
	}
	return number(f.Low) + " - " + number(f.High)
}

// median returns each figure's median over the rounds.
func median(rounds [][]figure) []figure {
	if len(rounds) == 0 {
		return nil
	}
	result := slices.Clone(rounds[0])
	for i := range result {
		values := make([]float64, len(rounds))
		for r := range rounds {
			values[r] = rounds[r][i].Value
		}
		slices.Sort(values)
		result[i].Value = values[len(values)/2]
		result[i].Low, result[i].High = values[0], values[len(values)-1]
	}
	return result
}

// table writes figures as aligned columns.
func table(out io.Writer, figures []figure) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range figures {
		fmt.Fprintf(w, "  %s\t%s %s\t%s\t%s\n", f.What, number(f.Value), f.Unit, f.aim(), f.spread())
	}
	return w.Flush()
}

// number writes a number with three digits that count, thousands apart.
func number(v float64) string {
	switch {
	case v < 0:
		return "-" + number(-v)
	case v != 0 && v < 10:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case v < 100 && v != float64(int(v)):
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
