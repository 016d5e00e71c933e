package shadowserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/gate"
	"ippwatch/report"
)

// noFilters is what theirs says of a query that cannot be answered from the
// networks of the key; clients look for these words.
const noFilters = "No supported report filters found"

// An ask is what requests have. Clients write one name or several, numbers as
// numbers or as text, and call the same thing by the singular or the plural.
type ask struct {
	Date    string           `json:"date"`
	Report  words            `json:"report"`
	Reports words            `json:"reports"`
	Type    words            `json:"type"`
	Types   words            `json:"types"`
	Limit   number           `json:"limit"`
	Page    number           `json:"page"`
	Sort    string           `json:"sort"`
	Facet   string           `json:"facet"`
	Detail  bool             `json:"detail"`
	Query   map[string]words `json:"query"`
}

// Words are one value or several. An empty one is none: IntelMQ sends it for a
// parameter that nobody set.
type words []string

var errWords = errors.New("want a word, a number, or a list of them")

// UnmarshalJSON reads one value or a list.
func (w *words) UnmarshalJSON(b []byte) error {
	var all []json.RawMessage
	if json.Unmarshal(b, &all) != nil {
		all = []json.RawMessage{b}
	}
	*w = nil
	for _, one := range all {
		var s string
		var n json.Number
		switch {
		case bytes.Equal(one, []byte("null")):
			continue
		case json.Unmarshal(one, &s) == nil:
		case json.Unmarshal(one, &n) == nil:
			s = n.String()
		default:
			return errWords
		}
		if s = strings.TrimSpace(s); s != "" {
			*w = append(*w, s)
		}
	}
	return nil
}

// A number is one, or its text.
type number int

// UnmarshalJSON reads 5 and "5".
func (n *number) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "" || text == "null" {
		return nil
	}
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 {
		return errors.New("want a number")
	}
	*n = number(i)
	return nil
}

// lists are the lists that are named.
func (a *ask) lists() []string { return slices.Concat(a.Reports, a.Report) }

// kinds are the types that are named, or those that a consumer of theirs knows.
func (a *ask) kinds() []report.Type {
	var kinds []report.Type
	for _, name := range slices.Concat(a.Types, a.Type) {
		name = strings.ReplaceAll(strings.TrimPrefix(name, "|"), "-", "_") // so their statistics wrote it until 2024
		// A type of theirs that we do not make is none of ours, and no mistake: a
		// collector asks for all that it can read.
		if t := report.Type(name); slices.Contains(report.Types, t) && !slices.Contains(kinds, t) {
			kinds = append(kinds, t)
		}
	}
	if len(a.Types)+len(a.Type) == 0 {
		return theirs
	}
	return kinds
}

// limit is how many results are wanted.
func (a *ask) limit() int {
	if a.Limit == 0 {
		return most
	}
	return min(int(a.Limit), most)
}

// longest is how many days one request may ask for.
const longest = 31

// days reads "2024-09-26", "2024-09-24:2024-09-26" and "now"; without a date it
// is today and the days before it, as many as byDefault.
func (a *ask) days(now time.Time, byDefault int) (from, to time.Time, err error) {
	today := now.UTC().Truncate(24 * time.Hour)
	if a.Date == "" {
		return today.AddDate(0, 0, -byDefault), today, nil
	}
	first, last, ranged := strings.Cut(a.Date, ":")
	if !ranged {
		last = first
	}
	if from, err = day(first, today); err != nil {
		return from, to, err
	}
	if to, err = day(last, today); err != nil {
		return from, to, err
	}
	switch {
	case to.Before(from):
		return from, to, gate.Bad("date %q: it ends before it begins", a.Date)
	case to.Sub(from) >= longest*24*time.Hour:
		return from, to, gate.Bad("date %q: ask for %d days at most at once", a.Date, longest)
	}
	return from, to, nil
}

func day(text string, today time.Time) (time.Time, error) {
	if strings.TrimSpace(text) == "now" {
		return today, nil
	}
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(text))
	if err != nil {
		return t, gate.Bad("date %.40q: want YYYY-MM-DD, YYYY-MM-DD:YYYY-MM-DD or now", text)
	}
	return t, nil
}
