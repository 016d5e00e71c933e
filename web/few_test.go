package web

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// A grade has an order of its own, the worst first.
type grade string

func (g grade) Rank() int { return strings.Index("ABC", string(g)) }

func TestFew(t *testing.T) {
	table := &Table{
		Name: "few", Title: "few", Sort: "addr", Fields: []Field{Find()},
		Columns: []Column{{Name: "addr", Sorts: true}, {Name: "grade", Sorts: true}, {Name: "net", Sorts: true}},
	}
	var rows []Row
	for _, r := range []struct{ addr, grade, net string }{
		{"198.51.100.10", "B", "10.0.0.0/8"}, {"198.51.100.9", "C", "10.0.0.0/16"}, {"2001:db8::1", "A", "9.0.0.0/8"},
	} {
		rows = append(rows, Row{ID: r.addr, Cells: []Cell{{Value: netip.MustParseAddr(r.addr)}, {Value: grade(r.grade), Text: "Grade " + r.grade}, {Value: netip.MustParsePrefix(r.net)}}})
	}
	for query, want := range map[string]string{
		"":                            "198.51.100.9 198.51.100.10 2001:db8::1",
		"sort=-addr":                  "2001:db8::1 198.51.100.10 198.51.100.9",
		"sort=-grade":                 "2001:db8::1 198.51.100.10 198.51.100.9", // the worst first
		"sort=net":                    "2001:db8::1 198.51.100.10 198.51.100.9",
		"find=GRADE+C":                "198.51.100.9",
		"find=198.51&sort=-addr":      "198.51.100.10 198.51.100.9",
		"find=nothing":                "",
		"after=198.51.100.9&find=100": "198.51.100.10",
	} {
		q, err := table.Read(httptest.NewRequestWithContext(t.Context(), "GET", "/few?"+query, nil))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for r, err := range Few(table, rows)(q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("?%s = %v, want %s", query, got, want)
		}
	}
}
