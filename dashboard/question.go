package dashboard

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The views.
const (
	viewMap    = "map"
	viewTree   = "tree"
	viewSeries = "time-series"
	viewTable  = "table"
	viewBar    = "bar"
	viewFeed   = "feed"
)

var views = []string{viewMap, viewTree, viewSeries, viewTable, viewBar}

// What is counted.
const (
	setCount   = "count"      // addresses a day; over a range their mean
	setUnique  = "unique_ips" // addresses over the range
	setDevices = "devices"    // printer-uuids a day; over a range their mean
)

var (
	dataSets  = []string{setCount, setUnique, setDevices}
	scales    = []string{"log", "linear"}
	groupings = []string{"geo", "tag", "source", "asn", "vendor", "model"}
	stackings = []string{"stacked", "overlap"}
	formats   = []string{"html", "json", "csv", "svg", "png", "atom"}
	sorts     = []string{"name", "-name", "number", "-number", "before", "-before", "change", "-change", "day", "-day"}
	ranges    = []string{"1", "7", "30", "365", "other_range"}
)

// longestRange is how many days a question may span.
const longestRange = 5 * 366

// A Question is what an address asks, in the grammar of Shadowserver's dashboard
// (facts/shadowserver.md, section 4).
type Question struct {
	View     string
	Range    string // as asked; empty: a day, or what is usual for the view
	From, To time.Time
	// Latest says that the question did not name its last day.
	Latest   bool
	Sources  []string
	Tags     []string
	Geo      []string // empty: all
	DataSet  string
	Scale    string
	GroupBy  string // empty: as the view does it
	Stacking string
	Limit    int
	ASN      uint32
	Vendor   string
	Model    string
	Compare  time.Time
	Sort     string // of the table on the page; empty: by number, or by day
	Format   string
}

// A wrong says which parameter is wrong and why. Its text is KEY of the
// catalogue.
type wrong struct {
	param, key string
	args       []any
}

func (w *wrong) Error() string {
	return fmt.Sprintf("%s: %s %v", w.param, w.key, w.args)
}

func amiss(param, key string, args ...any) error {
	return &wrong{param, "dashboard.wrong." + key, append([]any{"param", param}, args...)}
}

// parameters are those that are understood; true: more than once.
var parameters = map[string]bool{
	"day": false, "date_range": false, "d1": false, "d2": false, "source": true, "tag": true, "geo": true, "data_set": false, "dataset": false,
	"scale": false, "group_by": false, "stacking": false, "style": false, "limit": false, "asn": false, "vendor": false, "model": false,
	"compare": false, "sort": false, "format": false, "json": false, "map_type": false,
}

// elsewhere are parameters of Shadowserver's that belong to what is not here.
var elsewhere = []string{"host_type", "type", "vulnerability", "category", "statistic", "auto_update"}

// A lexicon is what may be asked for here and now.
type lexicon struct {
	sources, tags []string
	countries     map[string]bool
	last          time.Time // the last day that was counted
}

// parse reads the question of an address.
func parse(view string, q url.Values, known lexicon) (*Question, error) {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		many, ok := parameters[name]
		switch {
		case slices.Contains(elsewhere, name):
			return nil, amiss(name, "elsewhere")
		case !ok:
			return nil, amiss(name, "unknown", "known", strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
		case !many && len(q[name]) > 1:
			return nil, amiss(name, "twice")
		case len(q[name]) > 100:
			return nil, amiss(name, "many")
		}
	}
	p := &Question{View: view, Limit: usualLimit(view)}
	for _, read := range []func(url.Values, lexicon) error{p.readForm, p.readSets, p.readChoices, p.readDays, p.readRest} {
		if err := read(q, known); err != nil {
			return nil, err
		}
	}
	return p, p.agree()
}

func usualLimit(view string) int {
	switch view {
	case viewSeries:
		return 8
	case viewBar:
		return 25
	case viewTree:
		return 60
	}
	return 1000
}

// word reads a parameter that is one of some words.
func word(q url.Values, name string, words []string, usual string) (string, error) {
	v, given := q[name]
	if !given || v[0] == "" {
		return usual, nil
	}
	if !slices.Contains(words, v[0]) {
		return "", amiss(name, "word", "value", v[0], "words", strings.Join(words, ", "))
	}
	return v[0], nil
}

func (p *Question) readForm(q url.Values, _ lexicon) (err error) {
	usual := "html"
	if p.View == viewFeed {
		usual = "atom"
	}
	if p.Format, err = word(q, "format", formats, usual); err != nil {
		return err
	}
	asJSON, err := word(q, "json", []string{"1", "0"}, "0")
	if err == nil && asJSON == "1" {
		if p.Format != usual && p.Format != "json" {
			return amiss("json", "clash", "other", "format")
		}
		p.Format = "json"
	}
	if p.View == viewFeed && p.Format != "atom" && p.Format != "json" {
		return amiss("format", "word", "value", p.Format, "words", "atom, json")
	}
	if p.View != viewFeed && p.Format == "atom" {
		return amiss("format", "word", "value", p.Format, "words", strings.Join(formats[:5], ", "))
	}
	return err
}

// readSets reads what may be named more than once.
func (p *Question) readSets(q url.Values, known lexicon) error {
	for _, set := range []struct {
		name  string
		to    *[]string
		words []string
	}{{"source", &p.Sources, known.sources}, {"tag", &p.Tags, known.tags}} {
		for _, v := range q[set.name] {
			if v == "" || v == "all" {
				continue
			}
			if !slices.Contains(set.words, v) {
				return amiss(set.name, "word", "value", v, "words", strings.Join(set.words, ", "))
			}
			*set.to = append(*set.to, v)
		}
		slices.Sort(*set.to)
		*set.to = slices.Compact(*set.to)
	}
	for _, v := range q["geo"] {
		code := strings.ToUpper(v)
		if code == "UK" { // so Shadowserver's samples
			code = "GB"
		}
		switch {
		case v == "" || v == "all":
		case known.countries[code]:
			p.Geo = append(p.Geo, code)
		default:
			return amiss("geo", "geo", "value", v)
		}
	}
	slices.Sort(p.Geo)
	p.Geo = slices.Compact(p.Geo)
	return nil
}

func (p *Question) readChoices(q url.Values, _ lexicon) (err error) {
	for _, alias := range [][2]string{{"data_set", "dataset"}, {"stacking", "style"}} {
		if q.Has(alias[0]) && q.Has(alias[1]) && q.Get(alias[0]) != q.Get(alias[1]) {
			return amiss(alias[1], "clash", "other", alias[0])
		}
	}
	usualScale := "linear"
	if p.View == viewMap {
		usualScale = "log"
	}
	for _, c := range []struct {
		name  string
		to    *string
		words []string
		usual string
	}{
		{"data_set", &p.DataSet, dataSets, setCount},
		{"scale", &p.Scale, scales, usualScale},
		{"group_by", &p.GroupBy, groupings, ""},
		{"stacking", &p.Stacking, stackings, "overlap"},
		{"sort", &p.Sort, sorts, ""},
	} {
		if *c.to, err = word(q, c.name, c.words, c.usual); err != nil {
			return err
		}
	}
	if q.Has("dataset") {
		if p.DataSet, err = word(q, "dataset", dataSets, setCount); err != nil {
			return err
		}
	}
	if q.Has("style") {
		p.Stacking, err = word(q, "style", stackings, "overlap")
	}
	return err
}

func (p *Question) readDays(q url.Values, known lexicon) (err error) {
	at := make(map[string]time.Time)
	for _, name := range []string{"day", "d1", "d2", "compare"} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		t, err := time.Parse(time.DateOnly, v)
		if err != nil || t.Year() < 1990 || t.Year() > 2190 {
			return amiss(name, "day", "value", v)
		}
		at[name] = t
	}
	p.Compare = at["compare"]
	if p.Range, err = word(q, "date_range", ranges, ""); err != nil {
		return err
	}
	day, d1, d2 := at["day"], at["d1"], at["d2"]
	switch {
	case !day.IsZero() && (p.Range != "" && p.Range != "1" || !d1.IsZero() || !d2.IsZero()):
		return amiss("day", "clash", "other", "date_range")
	case !day.IsZero():
		p.From, p.To = day, day
	case !d1.IsZero() && !d2.IsZero():
		if p.Range != "" && p.Range != "other_range" {
			return amiss("date_range", "clash", "other", "d1, d2")
		}
		p.Range, p.From, p.To = "other_range", d1, d2
	case p.Range == "other_range":
		return amiss("date_range", "bounds")
	default:
		n, _ := strconv.Atoi(p.Range)
		if n == 0 {
			if n = 1; p.View == viewSeries || p.View == viewFeed {
				n = 30
			}
		}
		switch {
		case !d1.IsZero():
			p.From, p.To = d1, d1.AddDate(0, 0, n-1)
		case !d2.IsZero():
			p.From, p.To = d2.AddDate(0, 0, 1-n), d2
		default:
			p.Latest, p.From, p.To = true, known.last.AddDate(0, 0, 1-n), known.last
		}
	}
	switch {
	case p.To.Before(p.From):
		return amiss("d2", "order")
	case p.span() > longestRange:
		return amiss("d1", "long", "days", longestRange)
	}
	return nil
}

func (p *Question) readRest(q url.Values, _ lexicon) error {
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 5000 {
			return amiss("limit", "number", "value", v, "least", 1, "most", 5000)
		}
		p.Limit = n
	}
	if v := q.Get("asn"); v != "" && v != "all" {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(v), "AS"), 10, 32)
		if err != nil || n == 0 {
			return amiss("asn", "number", "value", v, "least", 1, "most", 4294967295)
		}
		p.ASN = uint32(n)
	}
	for name, to := range map[string]*string{"vendor": &p.Vendor, "model": &p.Model} {
		if v := q.Get(name); v != "" && v != "all" {
			if len(v) > 200 {
				return amiss(name, "long_text", "most", 200)
			}
			*to = v
		}
	}
	_, err := word(q, "map_type", []string{"std"}, "std")
	return err
}

// agree refuses what cannot be asked together.
func (p *Question) agree() error {
	switch {
	case p.View == viewMap && p.GroupBy != "" && p.GroupBy != "geo":
		return amiss("group_by", "map")
	case p.DataSet == setUnique && (p.detailed() || p.group() == "asn" || p.group() == "vendor" || p.group() == "model"):
		return amiss("data_set", "narrow")
	case !p.Compare.IsZero() && (p.View == viewSeries || p.View == viewFeed):
		return amiss("compare", "compare_view")
	case !p.Compare.IsZero() && p.span() > 1:
		return amiss("compare", "compare_range")
	}
	return nil
}

// group is what the view groups by.
func (p *Question) group() string {
	if p.GroupBy == "" && p.View != viewSeries && p.View != viewFeed {
		return "geo"
	}
	return p.GroupBy
}

// detailed reports whether the question narrows to what the public may not see.
func (p *Question) detailed() bool { return p.ASN != 0 || p.Vendor != "" || p.Model != "" }

// span is the number of days.
func (p *Question) span() int { return int(p.To.Sub(p.From)/(24*time.Hour)) + 1 }

// values are the parameters of the question, without what is usual; changes are
// name, value pairs that go before them, an empty value takes away.
func (p *Question) values(changes ...string) url.Values {
	v := url.Values{}
	switch {
	case p.Latest:
		if p.Range != "" {
			v.Set("date_range", p.Range)
		}
	case p.span() == 1:
		v.Set("day", p.From.Format(time.DateOnly))
	default:
		v.Set("date_range", "other_range")
		v.Set("d1", p.From.Format(time.DateOnly))
		v.Set("d2", p.To.Format(time.DateOnly))
	}
	for name, list := range map[string][]string{"source": p.Sources, "tag": p.Tags, "geo": p.Geo} {
		if len(list) > 0 {
			v[name] = slices.Clone(list)
		}
	}
	set := func(name, value, usual string) {
		if value != usual {
			v.Set(name, value)
		}
	}
	set("data_set", p.DataSet, setCount)
	if p.View == viewMap {
		set("scale", p.Scale, "log")
	} else {
		set("scale", p.Scale, "linear")
	}
	set("group_by", p.GroupBy, "")
	set("stacking", p.Stacking, "overlap")
	if p.Limit != usualLimit(p.View) {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.ASN != 0 {
		v.Set("asn", strconv.FormatUint(uint64(p.ASN), 10))
	}
	set("vendor", p.Vendor, "")
	set("model", p.Model, "")
	set("sort", p.Sort, "")
	if !p.Compare.IsZero() {
		v.Set("compare", p.Compare.Format(time.DateOnly))
	}
	for i := 0; i+1 < len(changes); i += 2 {
		if changes[i+1] == "" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
	return v
}

// to is the address of a view with the question's parameters.
func (p *Question) to(view string, changes ...string) string {
	path := "/statistics/combined/" + view + "/"
	other := *p
	if view != p.View {
		if p.Limit == usualLimit(p.View) {
			other.Limit = usualLimit(view)
		}
		if p.View == viewMap && p.Scale == "log" || p.View != viewMap && p.Scale == "linear" {
			other.Scale = "linear"
			if view == viewMap {
				other.Scale = "log"
			}
		}
		other.View = view
		if view == viewMap {
			other.GroupBy = ""
		}
		if view == viewSeries || view == viewFeed {
			other.Compare = time.Time{}
			if p.span() == 1 {
				// A day alone is no series: the month before it.
				if p.Latest {
					other.Range = ""
				} else {
					other.From = p.To.AddDate(0, 0, -29)
				}
			}
		} else if p.View == viewSeries && p.Latest && p.Range == "" {
			other.Range = "30"
		}
	}
	if v := other.values(changes...); len(v) > 0 {
		path += "?" + v.Encode()
	}
	return path
}

// fixed is the question with its days named: its address answers the same for
// ever, as far as what is counted stays.
func (p *Question) fixed() *Question {
	other := *p
	other.Latest = false
	return &other
}
