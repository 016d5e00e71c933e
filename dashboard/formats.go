package dashboard

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// write writes an answer in the format that was asked for.
func (d *door) write(r *http.Request, s *sketcher, a *Answer) (*kept, error) {
	name := fmt.Sprintf("ippwatch-%s-%s", a.View, a.To.Format(time.DateOnly))
	if a.span() > 1 {
		name = fmt.Sprintf("ippwatch-%s-%s-%s", a.View, a.From.Format(time.DateOnly), a.To.Format(time.DateOnly))
	}
	switch a.Format {
	case "json":
		if a.View == viewFeed {
			body, err := s.jsonFeed(d.base(r), a)
			return newKept("application/feed+json", "", body), err
		}
		body, err := json.MarshalIndent(s.document(a), "", " ")
		return newKept("application/json", "", append(body, '\n')), err
	case "csv":
		body, err := s.csv(a)
		return newKept("text/csv; charset=utf-8", name+".csv", body), err
	case "svg":
		body, err := d.svg(s.draw(a))
		return newKept("image/svg+xml", "", body), err
	case "png":
		body, err := s.draw(a).pixels()
		return newKept("image/png", "", body), err
	}
	body, err := s.atom(d.base(r), a)
	return newKept("application/atom+xml; charset=utf-8", "", body), err
}

// base is the beginning of our addresses: as configured, or as the visitor typed it.
func (d *door) base(r *http.Request) string {
	if u := d.site.Gate.Config.URL; u != "" {
		return strings.TrimSuffix(u, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// A jsonValue is a number, or null for a gap and for what is hidden.
type jsonValue Value

func (v jsonValue) MarshalJSON() ([]byte, error) {
	if v.Gap || v.Hidden {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, v.N, 10), nil
}

type jsonGroup struct {
	Key        string      `json:"key"`
	Name       string      `json:"name"`
	Value      jsonValue   `json:"value"`
	Suppressed bool        `json:"suppressed,omitempty"` // below small_cell
	Share      *float64    `json:"share_percent,omitempty"`
	Before     *jsonValue  `json:"before,omitempty"`
	Difference *int64      `json:"difference,omitempty"`
	Days       []jsonValue `json:"-"`
}

type jsonDay struct {
	Day        string    `json:"day"`
	State      DayState  `json:"state"`
	Value      jsonValue `json:"value"`
	Suppressed bool      `json:"suppressed,omitempty"`
}

type jsonRest struct {
	Groups     int       `json:"groups"`
	Value      jsonValue `json:"value"`
	Suppressed bool      `json:"suppressed,omitempty"`
}

// A document is an answer in JSON. "data" has the form that scripts know from
// Shadowserver's json=1.
type document struct {
	View       string              `json:"view"`
	Title      string              `json:"title"`
	Parameters map[string][]string `json:"parameters"`
	Permalink  string              `json:"permalink"`
	Definition string              `json:"definition"`
	From       string              `json:"from"`
	To         string              `json:"to"`
	DataSet    string              `json:"data_set"`
	GroupBy    string              `json:"group_by,omitempty"`
	Overlap    bool                `json:"groups_overlap"`
	SmallCell  int64               `json:"small_cell"` // values below are null, all others multiples of it; 1: exact
	Error      float64             `json:"standard_error,omitempty"`
	Counted    int                 `json:"days_counted"`
	Total      jsonValue           `json:"total"`
	Suppressed bool                `json:"total_suppressed,omitempty"`
	Before     *jsonValue          `json:"before,omitempty"`
	Groups     []jsonGroup         `json:"groups"`
	Beyond     jsonRest            `json:"beyond_limit"`
	Absent     []string            `json:"sources_without_data,omitempty"`
	Days       []jsonDay           `json:"days"`
	Notes      []Note              `json:"annotations"`
	Data       struct {
		Columns [][]any `json:"columns"`
	} `json:"data"`
}

func (s *sketcher) document(a *Answer) document {
	doc := document{
		View: a.View, Title: s.Title(a), Parameters: a.fixed().values(), Permalink: a.fixed().to(a.View), Definition: s.Definition(a),
		From: a.From.Format(time.DateOnly), To: a.To.Format(time.DateOnly), DataSet: a.DataSet, GroupBy: a.Group, Overlap: a.Overlap,
		SmallCell: a.Cell, Error: a.Error, Counted: a.Counted, Total: jsonValue(a.Total), Suppressed: a.Total.Hidden, Absent: a.Absent,
		Beyond: jsonRest{a.RestN, jsonValue(a.Rest), a.Rest.Hidden}, Groups: []jsonGroup{}, Notes: append([]Note{}, s.within(a)...),
	}
	compare := !a.Compare.IsZero()
	if compare {
		doc.Before = (*jsonValue)(&a.Before)
	}
	for _, g := range a.Groups {
		one := jsonGroup{Key: g.Key, Name: s.Name(a.Group, g.Key), Value: jsonValue(g.Value), Suppressed: g.Value.Hidden}
		if g.Share >= 0 {
			one.Share = new(float64(int64(g.Share*100+.5)) / 100)
		}
		if compare {
			one.Before = (*jsonValue)(&g.Before)
			if d, ok := g.Difference(); ok {
				one.Difference = &d
			}
		}
		doc.Groups = append(doc.Groups, one)
	}
	x := []any{"x"}
	for _, d := range a.Days {
		day := d.Day.Format(time.DateOnly)
		x = append(x, day)
		doc.Days = append(doc.Days, jsonDay{day, d.State, jsonValue(d.Total), d.Total.Hidden})
	}
	doc.Data.Columns = [][]any{x}
	for _, c := range s.curves(a) {
		column := []any{c.name}
		for _, v := range c.values {
			column = append(column, jsonValue(v))
		}
		doc.Data.Columns = append(doc.Data.Columns, column)
	}
	return doc
}

// cell is a value in a table for spreadsheets, and what is to be said of it.
func cellOf(a *Answer, v Value) (text, note string) {
	switch {
	case v.Gap:
		return "", "gap"
	case v.Hidden:
		return "", "fewer than " + strconv.FormatInt(a.Cell, 10)
	}
	return strconv.FormatInt(v.N, 10), ""
}

// defused keeps a spreadsheet from taking a text for a formula, and a terminal from
// taking it for orders.
func defused(s string) string {
	s = printable(s)
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (s *sketcher) csv(a *Answer) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if a.View == viewSeries {
		_ = w.Write([]string{"day", "state", "key", "name", "value", "note"}) // memory takes all
		for i, d := range a.Days {
			row := func(key, name string, v Value) {
				value, note := cellOf(a, v)
				_ = w.Write([]string{d.Day.Format(time.DateOnly), string(d.State), defused(key), defused(name), value, note})
			}
			row("", s.T("dashboard.total"), d.Total)
			for _, g := range a.Groups {
				v := g.Value
				if len(g.Days) > 0 {
					v = g.Days[i]
				}
				row(g.Key, s.Name(a.Group, g.Key), v)
			}
			if a.RestN > 0 {
				v := a.Rest
				if len(a.RestDays) > 0 {
					v = a.RestDays[i]
				}
				row("", s.beyond(a), v)
			}
		}
		w.Flush()
		return b.Bytes(), w.Error()
	}
	compare := !a.Compare.IsZero()
	head := []string{"from", "to", "key", "name", "value", "note", "share_percent"}
	if compare {
		head = append(head, "before", "difference")
	}
	_ = w.Write(head)
	row := func(key, name string, g Group) {
		value, note := cellOf(a, g.Value)
		share := ""
		if g.Share > 0 {
			share = strconv.FormatFloat(g.Share, 'f', 2, 64)
		}
		line := []string{a.From.Format(time.DateOnly), a.To.Format(time.DateOnly), defused(key), defused(name), value, note, share}
		if compare {
			before, _ := cellOf(a, g.Before)
			diff := ""
			if d, ok := g.Difference(); ok {
				diff = strconv.FormatInt(d, 10)
			}
			line = append(line, before, diff)
		}
		_ = w.Write(line)
	}
	for _, g := range a.Groups {
		row(g.Key, s.Name(a.Group, g.Key), g)
	}
	if a.RestN > 0 {
		row("", s.beyond(a), Group{Value: a.Rest, Before: Value{Gap: true}})
	}
	row("", s.T("dashboard.total"), Group{Value: a.Total, Before: a.Before})
	w.Flush()
	return b.Bytes(), w.Error()
}

// feedDays are the days of a feed, the newest first.
func feedDays(a *Answer) []Day {
	var out []Day
	for i := len(a.Days) - 1; i >= 0; i-- {
		out = append(out, a.Days[i])
	}
	return out
}

// entry is one day of a feed in words.
func (s *sketcher) entry(a *Answer, d Day) string {
	text := s.Day(d.Day) + ": " + s.Say(a, d.Total)
	if d.State != Measured {
		text += " (" + s.T("dashboard.state."+string(d.State)) + ")"
	}
	return text
}

// dayLink is the page of one day of a feed.
func dayLink(a *Answer, d Day) string {
	one := *a.Question
	one.From, one.To, one.Latest = d.Day, d.Day, false
	return one.to(viewTable)
}

func (s *sketcher) atom(base string, a *Answer) ([]byte, error) {
	type link struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	}
	type item struct {
		Title   string `xml:"title"`
		ID      string `xml:"id"`
		Updated string `xml:"updated"`
		Link    link   `xml:"link"`
		Summary string `xml:"summary"`
	}
	type feed struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
		Lang    string   `xml:"http://www.w3.org/XML/1998/namespace lang,attr"`
		Title   string   `xml:"title"`
		ID      string   `xml:"id"`
		Updated string   `xml:"updated"`
		Author  string   `xml:"author>name"`
		Links   []link   `xml:"link"`
		Entries []item   `xml:"entry"`
	}
	self := base + a.to(viewFeed)
	f := feed{
		Lang: s.Lang, Title: s.T("dashboard.feed_of", "what", s.T("dashboard.set."+a.DataSet)), ID: self, Author: "ippwatch",
		Updated: a.To.AddDate(0, 0, 1).Format(time.RFC3339), Links: []link{{"self", self}, {"alternate", base + a.to(viewSeries)}},
	}
	for _, d := range feedDays(a) {
		at := base + dayLink(a, d)
		f.Entries = append(f.Entries, item{s.entry(a, d), at, d.Day.AddDate(0, 0, 1).Format(time.RFC3339), link{"alternate", at}, s.Definition(a)})
	}
	body, err := xml.MarshalIndent(f, "", " ")
	return append([]byte(xml.Header), append(body, '\n')...), err
}

// jsonFeed is the feed by jsonfeed.org, version 1.1.
func (s *sketcher) jsonFeed(base string, a *Answer) ([]byte, error) {
	type item struct {
		ID        string `json:"id"`
		URL       string `json:"url"`
		Title     string `json:"title"`
		Text      string `json:"content_text"`
		Published string `json:"date_published"`
	}
	f := struct {
		Version  string `json:"version"`
		Title    string `json:"title"`
		Home     string `json:"home_page_url"`
		Feed     string `json:"feed_url"`
		Language string `json:"language"`
		Items    []item `json:"items"`
	}{"https://jsonfeed.org/version/1.1", s.T("dashboard.feed_of", "what", s.T("dashboard.set."+a.DataSet)), base + a.to(viewSeries), base + a.to(viewFeed, "format", "json"), s.Lang, []item{}}
	for _, d := range feedDays(a) {
		at := base + dayLink(a, d)
		f.Items = append(f.Items, item{at, at, s.entry(a, d), s.Definition(a), d.Day.AddDate(0, 0, 1).Format(time.RFC3339)})
	}
	body, err := json.MarshalIndent(f, "", " ")
	return append(body, '\n'), err
}
