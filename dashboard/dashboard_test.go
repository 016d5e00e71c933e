package dashboard

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ippwatch/exposure"
)

func (c *town) document(query, who string) document {
	c.t.Helper()
	var raw struct {
		document
		Total *int64 `json:"total"`
		Rest  struct {
			Groups int    `json:"groups"`
			Value  *int64 `json:"value"`
		} `json:"beyond_limit"`
		Before *int64 `json:"before"`
		Groups []struct {
			Key, Name  string
			Value      *int64
			Suppressed bool
			Before     *int64
			Difference *int64
		} `json:"groups"`
		Days []struct {
			Day        string
			State      DayState
			Value      *int64
			Suppressed bool
		} `json:"days"`
	}
	if err := json.Unmarshal([]byte(c.body(query, who)), &raw); err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
	value := func(n *int64, hidden bool) jsonValue {
		if n == nil {
			return jsonValue{Hidden: hidden, Gap: !hidden}
		}
		return jsonValue{N: *n}
	}
	doc := raw.document
	doc.Total = value(raw.Total, doc.Suppressed)
	doc.Beyond = jsonRest{Groups: raw.Rest.Groups, Value: value(raw.Rest.Value, true)}
	doc.Groups, doc.Days = nil, nil
	for _, g := range raw.Groups {
		one := jsonGroup{Key: g.Key, Name: g.Name, Value: value(g.Value, g.Suppressed), Suppressed: g.Suppressed, Difference: g.Difference}
		doc.Groups = append(doc.Groups, one)
	}
	for _, d := range raw.Days {
		doc.Days = append(doc.Days, jsonDay{d.Day, d.State, value(d.Value, d.Suppressed), d.Suppressed})
	}
	return doc
}

func (d document) group(key string) (jsonGroup, bool) {
	i := slices.IndexFunc(d.Groups, func(g jsonGroup) bool { return g.Key == key })
	if i < 0 {
		return jsonGroup{}, false
	}
	return d.Groups[i], true
}

// TestTheGrammarWorksAsItStands asks with addresses as Shadowserver's dashboard
// has them.
func TestTheGrammarWorksAsItStands(t *testing.T) {
	c := newTown(t, 40, true)
	for _, path := range []string{
		"/statistics/combined/map/?map_type=std&day=2024-10-31&source=scan&source=scan6&tag=ipp&geo=all&data_set=count&scale=log",
		"/statistics/combined/map/?day=2024-09-26&source=scan&source=scan6&tag=ipp&geo=all&data_set=count&scale=log",
		"/statistics/combined/tree/?day=2024-10-31&source=scan&tag=ipp&geo=all&data_set=count&scale=log",
		"/statistics/combined/time-series/?date_range=30&source=scan&tag=ipp&dataset=unique_ips&limit=1000&group_by=geo&style=stacked",
		"/statistics/combined/time-series/?date_range=other_range&d1=2024-10-01&d2=2024-10-31&source=scan&tag=ipp&dataset=count&limit=100&group_by=geo&stacking=overlap",
		"/statistics/combined/table/?date_range=7&tag=ipp&tag=cups&group_by=source&geo=UK",
		"/statistics/combined/bar/?date_range=1&group_by=tag&scale=linear&geo=de",
		"/statistics/combined/map/?day=2024-10-31&compare=2024-10-20&json=1",
		"/statistics/combined/feed/",
	} {
		c.body(path, "")
	}
	if to := c.get("/statistics/combined/map?day=2024-10-31", "").Header().Get("Location"); to != "/statistics/combined/map/?day=2024-10-31" {
		t.Errorf("without the last stroke one is sent to %q", to)
	}
	if w := c.get("/statistics/iot-devices/map/", ""); w.Code != 404 {
		t.Errorf("another family: %d", w.Code)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	c := newTown(t, 3, true)
	for query, says := range map[string]string{
		"map/?day=yesterday":                      "day: “yesterday” is no day",
		"map/?geo=XX":                             "geo: “XX” is no country code",
		"map/?source=honeypot":                    "source: “honeypot” is not known",
		"map/?tag=telnet":                         "tag: “telnet” is not known",
		"map/?colour=red":                         "colour: there is no such parameter",
		"map/?host_type=src":                      "host_type: this parameter belongs to statistics that ippwatch does not have",
		"map/?group_by=tag":                       "group_by: the map is by country",
		"map/?scale=cubic":                        "scale: “cubic” is not known. Possible: log, linear",
		"map/?map_type=region":                    "map_type: “region” is not known",
		"table/?limit=0":                          "limit: “0” is no number from 1 to 5000",
		"table/?date_range=other_range":           "date_range: other_range needs d1 and d2",
		"table/?d1=2024-10-02&d2=2024-10-01":      "d2: the range ends before it begins",
		"table/?d1=1999-10-02&d2=2024-10-01":      "d1: the range is longer than 1830 days",
		"table/?day=2024-10-02&date_range=7":      "day: it contradicts date_range",
		"table/?data_set=count&dataset=devices":   "dataset: it contradicts data_set",
		"table/?day=2024-10-02&day=2024-10-03":    "day: it is given more than once",
		"table/?compare=2024-10-02&date_range=7":  "compare: a comparison is of two days",
		"time-series/?compare=2024-10-02":         "compare: this view compares by its line",
		"table/?data_set=unique_ips&group_by=asn": "data_set: unique_ips is kept by country",
		"table/?group_by=asn":                     "group_by: the public sees counts by country alone",
		"table/?vendor=hp":                        "vendor: the public sees counts by country alone",
		"table/?model=x":                          "model: the public sees counts by country alone",
		"table/?asn=AS64496":                      "asn: the public sees counts by country alone",
		"table/?format=xls":                       "format: “xls” is not known",
		"table/?format=csv&json=1":                "json: it contradicts format",
		"feed/?format=csv":                        "format: “csv” is not known",
	} {
		w := c.get("/statistics/combined/"+query, "")
		if w.Code != 400 && w.Code != 403 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d, and not %q", query, w.Code, says)
		}
	}
	w := c.get("/statistics/combined/map/?format=json&geo=XX", "", "Accept-Language", "de")
	if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" || !strings.Contains(w.Body.String(), "weder ein Ländercode") {
		t.Errorf("a program is told in %s: %s", kind, w.Body)
	}
}

// TestNumbers holds the answers against what is in the town.
func TestNumbers(t *testing.T) {
	c := newTown(t, 40, true)
	day := c.document("/statistics/combined/table/?day=2024-10-31&format=json", "analyst")
	var want int64
	for _, h := range households {
		n := int64(h.n + h.n/2)
		want += n
		key := h.country
		if key == "" {
			key = "ZZ"
		}
		if g, ok := day.group(key); !ok || g.Value.N != n {
			t.Errorf("%s: %+v, want %d", key, g, n)
		}
	}
	if day.Total.N != want || day.SmallCell != 1 {
		t.Errorf("total %d, small cell %d; want %d, 1", day.Total.N, day.SmallCell, want)
	}
	// A union counts a host once: Shadowserver saw nothing that the scan had not.
	if both := c.document("/statistics/combined/table/?day=2024-10-31&source=scan&source=shadowserver&tag=ipp&tag=cups&format=json", "analyst"); both.Total.N != want {
		t.Errorf("a union is %d, want %d", both.Total.N, want)
	}
	sources := c.document("/statistics/combined/table/?day=2024-10-31&group_by=source&format=json", "analyst")
	feed, _ := sources.group("shadowserver")
	if scan, _ := sources.group("scan"); scan.Value.N != want || feed.Value.N >= want || feed.Value.N == 0 || !sources.Overlap {
		t.Errorf("by source: %+v", sources.Groups)
	}
	// A mean leaves out the day on which nobody looked: 39 of 40 days were measured.
	month := c.document("/statistics/combined/table/?date_range=other_range&d1=2024-09-22&d2=2024-10-31&geo=US&format=json", "analyst")
	if mean := int64(math.Round((4*60 + 35*90) / 39.0)); month.Total.N != mean || month.Counted != 39 {
		t.Errorf("the mean of %d days is %d, want %d", month.Counted, month.Total.N, mean)
	}
	all := c.document("/statistics/combined/table/?d1=2024-09-22&d2=2024-10-31&data_set=unique_ips&format=json", "analyst")
	if diff := math.Abs(float64(all.Total.N - want)); all.Error == 0 || diff > 3*all.Error*float64(want)+1 {
		t.Errorf("different over the range: %d, want about %d", all.Total.N, want)
	}
	gear := c.document("/statistics/combined/table/?day=2024-10-31&data_set=devices&format=json", "analyst")
	if gear.Total.N != want {
		t.Errorf("%d devices, want %d", gear.Total.N, want)
	}
	// What is beyond the limit is a sum, and said.
	few := c.document("/statistics/combined/table/?day=2024-10-31&limit=2&format=json", "analyst")
	if few.Beyond.Groups != len(households)-2 || few.Beyond.Value.N != want-90-63 || len(few.Groups) != 2 {
		t.Errorf("beyond the limit: %+v", few.Beyond)
	}
	compared := c.document("/statistics/combined/bar/?day=2024-10-31&compare=2024-09-22&format=json", "analyst")
	if g, _ := compared.group("US"); g.Difference == nil || *g.Difference != 30 {
		t.Errorf("compared: %+v", g)
	}
	vendors := c.document("/statistics/combined/table/?day=2024-10-31&group_by=vendor&format=json", "analyst")
	if g, _ := vendors.group("HP"); g.Value.N != 91 {
		t.Errorf("by vendor: %+v", vendors.Groups)
	}
	if hp := c.document("/statistics/combined/table/?day=2024-10-31&vendor=hp&asn=64496&group_by=model&format=json", "analyst"); hp.Total.N != 90 || len(hp.Groups) != 3 {
		t.Errorf("by model: %+v", hp)
	}
}

func TestAConstituentSeesItsOwnHosts(t *testing.T) {
	c := newTown(t, 8, true)
	doc := c.document("/statistics/combined/table/?day=2024-10-31&format=json", "constituent")
	if len(doc.Groups) != 1 || doc.Groups[0].Key != "DE" || doc.Total.N != 63 {
		t.Errorf("a constituent sees %+v", doc.Groups)
	}
	by := c.document("/statistics/combined/table/?day=2024-10-31&group_by=asn&format=json", "constituent")
	if len(by.Groups) != 1 || by.Groups[0].Key != "64497" {
		t.Errorf("by network: %+v", by.Groups)
	}
	days := c.document("/statistics/combined/time-series/?date_range=7&format=json", "constituent")
	if days.Days[2].State != Gap || days.Days[6].State != Measured {
		t.Errorf("days: %+v", days.Days)
	}
}

func TestADayWithoutALookIsAGap(t *testing.T) {
	c := newTown(t, 12, true)
	path := "/statistics/combined/time-series/?date_range=7&group_by=geo&format=json"
	doc := c.document(path, "")
	states := func(doc document) string {
		var all []string
		for _, d := range doc.Days {
			all = append(all, string(d.State))
		}
		return strings.Join(all, " ")
	}
	const want = "measured measured gap measured incomplete measured measured"
	if got := states(doc); got != want {
		t.Errorf("states %s, want %s", got, want)
	}
	if column := doc.Data.Columns[1]; column[0] != "United States" || column[3] != nil || column[1] != 90.0 {
		t.Errorf("column %v", column)
	}
	// A run that came to its end and found nothing is a zero.
	day := lastDay.AddDate(0, 0, -4)
	if err := c.st.CreateRun(t.Context(), exposure.Run{ID: "quiet", State: exposure.Running, Started: day.Add(time.Hour), Seed: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if err := c.st.FinishRun(t.Context(), "quiet", exposure.Done, day.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		doc = c.document(path+"&source=scan", "")
		if states(doc) == "measured measured measured measured measured measured measured" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("states %s", states(doc))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if doc.Days[2].Value.N != 0 || doc.Data.Columns[1][3] != 0.0 {
		t.Errorf("a day without an answer: %+v", doc.Days[2])
	}
}

// TestTheGuard holds that no question of the public is answered with a number
// that is not a multiple of the bound, and no difference of two answers is below it.
func TestTheGuard(t *testing.T) {
	c := newTown(t, 6, true)
	base := "/statistics/combined/table/?day=2024-10-31&format=json"
	for _, extra := range []string{"", "&geo=LU", "&geo=IS", "&geo=LU&geo=IS", "&tag=cups", "&source=scan", "&source=shadowserver", "&group_by=source", "&group_by=tag", "&limit=1", "&data_set=devices", "&data_set=unique_ips&date_range=7"} {
		query := base + extra
		if strings.Contains(extra, "date_range") {
			query = strings.Replace(query, "day=2024-10-31&", "", 1)
		}
		doc := c.document(query, "")
		values := []jsonValue{doc.Total, doc.Beyond.Value}
		for _, g := range doc.Groups {
			values = append(values, g.Value)
			if g.Key == "IS" && !g.Suppressed {
				t.Errorf("%s: one host is told: %+v", extra, g)
			}
		}
		for _, v := range values {
			if v.N%5 != 0 {
				t.Errorf("%s: %d is told", extra, v.N)
			}
		}
	}
	for x := range 40 {
		v := guard{5}.value(float64(x))
		if x > 0 && x < 5 != v.Hidden || !v.Hidden && (v.N%5 != 0 || math.Abs(float64(v.N)-float64(x)) > 2.5) {
			t.Errorf("%d is told as %+v", x, v)
		}
		if got := (guard{1}).value(float64(x)); got.N != int64(x) {
			t.Errorf("%d is told to an analyst as %+v", x, got)
		}
	}
	page := c.body("/statistics/combined/map/?day=2024-10-31", "")
	if !strings.Contains(page, "Numbers below 5 are hidden, all others are rounded to multiples of 5.") {
		t.Error("the page does not say what is hidden")
	}
}

func TestEveryFormatOfEveryView(t *testing.T) {
	c := newTown(t, 6, true)
	for _, view := range views {
		path := "/statistics/combined/" + view + "/?group_by=geo&format="
		if got := c.get(path+"svg", "").Header().Get("Content-Type"); got != "image/svg+xml" {
			t.Errorf("%s as SVG is %s", view, got)
		}
		svg := c.body(path+"svg", "")
		dec := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: the SVG is no XML: %v", view, err)
			}
		}
		if strings.Contains(svg, "style=") || strings.Contains(svg, "<style") || strings.Contains(svg, "<script") {
			t.Errorf("%s: the SVG has what our policy blocks", view)
		}
		img, err := png.Decode(strings.NewReader(c.body(path+"png", "")))
		if err != nil || img.Bounds().Dx() != 2*chartWidth {
			t.Fatalf("%s as PNG: %v", view, err)
		}
		rows, err := csv.NewReader(strings.NewReader(c.body(path+"csv", ""))).ReadAll()
		if err != nil || len(rows) < 5 {
			t.Errorf("%s as CSV: %d rows, %v", view, len(rows), err)
		}
		if doc := c.document(path+"json", ""); doc.Title == "" || doc.Definition == "" || !strings.HasPrefix(doc.Permalink, "/statistics/combined/"+view+"/?") {
			t.Errorf("%s as JSON: %+v", view, doc)
		}
		// What the page shows is what the file has.
		page := c.body(path+"html", "")
		if view != viewTable {
			from := strings.Index(page, `<svg class="scene" aria-hidden`)
			shown := page[from : from+strings.Index(page[from:], "</svg>")]
			_, items, _ := strings.Cut(shown, "\n")
			if !strings.Contains(svg, strings.TrimSpace(items)) {
				t.Errorf("%s: the drawing of the page is not that of the file", view)
			}
		}
	}
	var feed struct {
		Entries []struct {
			Title string `xml:"title"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal([]byte(c.body("/statistics/combined/feed/?geo=US", "")), &feed); err != nil || len(feed.Entries) != 30 || feed.Entries[0].Title != "2024-10-31: 90" {
		t.Errorf("the feed: %v, %+v", err, feed.Entries[:min(len(feed.Entries), 2)])
	}
	if body := c.body("/statistics/combined/feed/?format=json", ""); !strings.Contains(body, "https://jsonfeed.org/version/1.1") {
		t.Errorf("the JSON feed: %.200s", body)
	}
}

// TestHostileVendors asks for every format of what a printer called itself.
func TestHostileVendors(t *testing.T) {
	c := newTown(t, 3, true)
	for _, view := range views[1:] {
		for _, format := range formats[:5] {
			body := c.body("/statistics/combined/"+view+"/?group_by=vendor&limit=100&format="+format, "analyst")
			if strings.Contains(body, "<script>alert") && format != "json" && format != "csv" {
				t.Errorf("%s as %s has a stranger's script", view, format)
			}
			if strings.ContainsAny(body, "\u202e\x1b") && format != "png" && format != "json" {
				t.Errorf("%s as %s has a stranger's control characters", view, format)
			}
			if format == "csv" {
				rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					for _, cell := range row {
						if strings.HasPrefix(cell, "=") {
							t.Errorf("%s: a formula in %q", view, row)
						}
					}
				}
			}
		}
	}
}

func TestSelectingACountryKeepsTheRest(t *testing.T) {
	c := newTown(t, 6, true)
	page := c.body("/statistics/combined/map/?day=2024-10-31&source=scan&tag=ipp&scale=linear", "")
	const want = `href="/statistics/combined/map/?day=2024-10-31&amp;geo=DE&amp;scale=linear&amp;source=scan&amp;tag=ipp"`
	if strings.Count(page, want) != 2 { // in the drawing and in the table
		t.Errorf("no %s", want)
	}
	page = c.body("/statistics/combined/map/?day=2024-10-31&geo=DE", "")
	for _, says := range []string{`<span class="figure">2</span>rank among 9 countries`, "Own scan", "Shadowserver", "The last 90 days", "of the world"} {
		if !strings.Contains(page, says) {
			t.Errorf("Germany's page does not say %q", says)
		}
	}
}

func TestCaching(t *testing.T) {
	c := newTown(t, 4, true)
	path := "/statistics/combined/map/"
	first := c.get(path, "", "Accept-Encoding", "gzip")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "public, max-age=60" || first.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("headers %v", first.Header())
	}
	if n := first.Body.Len(); n > 100<<10 {
		t.Errorf("the page has %d bytes on the wire", n)
	}
	z, err := gzip.NewReader(first.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); err != nil || !bytes.Contains(body, []byte("</html>")) {
		t.Errorf("the page is not whole: %v", err)
	}
	if w := c.get(path, "", "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("asked again: %d with %d bytes", w.Code, w.Body.Len())
	}
	if w := c.get(path, "analyst"); w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("an analyst's page may be kept: %s", w.Header().Get("Cache-Control"))
	}
	if de := c.body(path, "", "Accept-Language", "de"); !strings.Contains(de, "Kleine Zahlen") {
		t.Error("a German gets a page in English")
	}
	// A new rollup is seen.
	o := hosts(lastDay, exposure.Scan, newRand())[0]
	for i := range 20 {
		o.Addr, o.Where.Country = o.Addr.Next(), "CH"
		o.Run, o.Attempt = "later", i
		o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, o.Attempt)
		if _, err := c.ar.Append(t.Context(), []exposure.Observation{o}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ar.Rollup(t.Context(), lastDay); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(c.body(path, ""), "geo=CH"); {
		if time.Now().After(deadline) {
			t.Fatal("the new counts are not shown")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestManyAskAtOnce holds that what is asked at once is counted once, whoever of
// them goes away, and that another's page is not shown.
func TestManyAskAtOnce(t *testing.T) {
	c := newTown(t, 5, true)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			who := []string{"", "", "analyst", "constituent"}[i%4]
			for _, path := range []string{"/statistics/combined/map/", "/statistics/combined/time-series/?group_by=geo", "/statistics/", fmt.Sprintf("/statistics/combined/table/?limit=%d", i+1)} {
				body := c.body(path, who)
				if strings.Contains(body, ">analyst<") != (who == "analyst") {
					t.Errorf("%q sees another's page", who)
				}
			}
		})
	}
	wg.Wait()
}

func TestOnlyThoseWithANameWhenItIsNotPublic(t *testing.T) {
	c := newTown(t, 2, false)
	for _, path := range []string{"/statistics/", "/statistics/combined/map/", "/statistics/combined/map/?format=json"} {
		if w := c.get(path, ""); w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), "/login") {
			t.Errorf("GET %s: %d to %s", path, w.Code, w.Header().Get("Location"))
		}
	}
	c.body("/statistics/combined/map/", "analyst")
}

// TestADayThatIsComingInIsNotTheLast counts a part of the next day.
func TestADayThatIsComingInIsNotTheLast(t *testing.T) {
	c := newTown(t, 8, true)
	next := lastDay.AddDate(0, 0, 1)
	if _, err := c.ar.Append(t.Context(), hosts(next, exposure.Scan, newRand())[:30]); err != nil {
		t.Fatal(err)
	}
	if err := c.ar.Rollup(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if doc := c.document("/statistics/combined/map/?format=json", ""); doc.To != "2024-10-31" {
		t.Errorf("the last day is %s, of which Shadowserver told nothing yet", doc.To)
	}
	if doc := c.document("/statistics/combined/map/?day=2024-11-01&format=json", ""); doc.Days[0].State != Incomplete || doc.Total.N != 30 {
		t.Errorf("the day that is coming in is %+v", doc.Days)
	}
}

// TestAForeignHostNameIsNobodyElses asks for a feed under a name that is not ours.
func TestAForeignHostNameIsNobodyElses(t *testing.T) {
	c := newTown(t, 3, true)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://evil.test/statistics/combined/feed/", nil)
	c.gate.ServeHTTP(httptest.NewRecorder(), r)
	if body := c.body("/statistics/combined/feed/", ""); strings.Contains(body, "evil.test") {
		t.Error("another visitor's host name is in the feed")
	}
}

func TestNothingCountedYet(t *testing.T) {
	c := newTown(t, 0, true)
	for _, view := range views {
		page := c.body("/statistics/combined/"+view+"/", "")
		if !strings.Contains(page, "Nothing was counted yet.") {
			t.Errorf("%s does not say that there is nothing", view)
		}
		c.body("/statistics/combined/"+view+"/?format=png", "")
	}
	c.body("/statistics/combined/map/?geo=DE", "")
	c.body("/statistics/", "")
}

func TestTextsAreWhole(t *testing.T) {
	c := newTown(t, 0, true)
	if err := c.site.Missing("en", "de"); err != nil {
		t.Error(err)
	}
	for _, lang := range []string{"en", "de"} {
		for _, path := range []string{"/statistics/", "/statistics/combined/map/?geo=DE", "/statistics/combined/time-series/?group_by=tag", "/statistics/combined/bar/?compare=2024-10-01"} {
			if page := c.body(path, "analyst", "Accept-Language", lang); strings.Contains(page, "⟦") {
				at := strings.Index(page, "⟦")
				t.Errorf("%s in %s has no text for %s", path, lang, page[at:min(len(page), at+60)])
			}
		}
	}
}

func TestAQuestionComesBackFromItsAddress(t *testing.T) {
	known := lexicon{sources: []string{"scan", "scan6"}, tags: []string{"ipp", "cups"}, countries: map[string]bool{"DE": true, "FR": true}, last: lastDay}
	for _, query := range []string{
		"day=2024-09-26&source=scan&source=scan6&tag=ipp", "date_range=7&geo=DE&geo=FR&data_set=devices", "d1=2024-09-01&d2=2024-09-30&group_by=tag&limit=7",
		"asn=64496&vendor=HP&model=x%26y&group_by=model&scale=log", "date_range=365&d2=2024-10-01", "",
	} {
		for _, view := range views[1:] {
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			first, err := parse(view, q, known)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			again, err := parse(view, first.fixed().values(), known)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			first.Latest, again.Latest, first.Range, again.Range = false, false, "", ""
			if fmt.Sprint(*first) != fmt.Sprint(*again) {
				t.Errorf("%s?%s: %+v came back as %+v", view, query, *first, *again)
			}
		}
	}
}

func TestNotesOfTheOperator(t *testing.T) {
	for text, says := range map[string]string{
		"- {day: 2024-13-01, title: {en: x}}":                              "want one such as",
		"- {day: 2024-12-01, title: {de: x}}":                              "no title in English",
		"- {day: 2024-12-01, title: {en: x}, source: 'javascript:x()'}":    "begins with https://",
		"- {day: 2024-12-01, titel: {en: x}}":                              "titel",
		"- {day: 2024-12-01, title: {en: x}, source: 'https://cert.test'}": "",
	} {
		_, err := parseNotes([]byte(text))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add("day=2024-09-26&source=scan&geo=all")
	f.Add("date_range=365&d1=2024-01-01&limit=9&json=1")
	known := lexicon{sources: []string{"scan"}, tags: []string{"ipp"}, countries: map[string]bool{"DE": true}, last: lastDay}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, view := range append([]string{viewFeed}, views...) {
			p, err := parse(view, q, known)
			if err != nil {
				continue
			}
			if p.span() < 1 || p.span() > longestRange || p.Limit < 1 {
				t.Errorf("%q became %+v", query, p)
			}
			if _, err := parse(view, p.fixed().values(), known); err != nil {
				t.Errorf("%q became %q: %v", query, p.fixed().values().Encode(), err)
			}
		}
	})
}
