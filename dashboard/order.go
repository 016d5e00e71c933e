package dashboard

import (
	"cmp"
	"slices"
	"strings"
)

// usualSort is the order of a table on a page when the question names none.
func (p *page) usualSort() string {
	if p.Series() {
		return "day"
	}
	return "-number"
}

func (p *page) sorting() (by string, down bool) {
	by, down = strings.CutPrefix(cmp.Or(p.A.Sort, p.usualSort()), "-")
	return by, down
}

// SortLink leads to the same page with its table in the order of a column; the
// other way round when that is its order.
func (p *page) SortLink(column string) string {
	if by, down := p.sorting(); by == column && !down {
		column = "-" + column
	}
	return p.A.to(p.A.View, "sort", column)
}

// AriaSort says how a column is sorted, in ARIA's words.
func (p *page) AriaSort(column string) string {
	by, down := p.sorting()
	switch {
	case by != column:
		return ""
	case down:
		return "descending"
	}
	return "ascending"
}

// Groups are those of the answer in the order of the table. What may not be told
// sorts as none: its place says nothing that its cell does not.
func (p *page) Groups() []Group {
	by, down := p.sorting()
	all := slices.Clone(p.A.Groups)
	compare := func(a, b Group) int { return cmp.Compare(a.Value.N, b.Value.N) }
	switch by {
	case "name":
		compare = func(a, b Group) int {
			return strings.Compare(strings.ToLower(p.S.Name(p.A.Group, a.Key)), strings.ToLower(p.S.Name(p.A.Group, b.Key)))
		}
	case "before":
		compare = func(a, b Group) int { return cmp.Compare(a.Before.N, b.Before.N) }
	case "change":
		compare = func(a, b Group) int {
			x, _ := a.Difference()
			y, _ := b.Difference()
			return cmp.Compare(x, y)
		}
	}
	slices.SortStableFunc(all, func(a, b Group) int {
		if down {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return all
}

// A dayRow is a day of the answer with its place in the curves.
type dayRow struct {
	Day
	At int
}

// DayRows are the days in the order of the table.
func (p *page) DayRows() []dayRow {
	var all []dayRow
	for i, d := range p.A.Days {
		all = append(all, dayRow{d, i})
	}
	if by, down := p.sorting(); by == "day" && down {
		slices.Reverse(all)
	}
	return all
}
