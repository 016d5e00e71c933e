package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/report"
)

var made = day.Add(34 * time.Hour)

func pageOf(t *testing.T, p report.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageGolden(t *testing.T) {
	page := report.Page{Title: "Universität Beispiel", Name: "university", Date: day, Made: made, Contact: "scan@example.org", Rows: rows()[:8]}
	for i := range page.Rows {
		page.Rows[i].First = []string{"university", "provider"}[i%2]
	}
	golden(t, "page.html", []byte(pageOf(t, page)))
	golden(t, "page-empty.html", []byte(pageOf(t, report.Page{Title: "Nobody", Date: day, Made: made})))
}

// TestPageHoldsItsType looks at which hosts a page of one type is about.
func TestPageHoldsItsType(t *testing.T) {
	calls := func(o *exposure.Observation) {
		o.Transport, o.Verdict = exposure.UDP, exposure.CalledBack
	}
	rows := []report.Row{answered("198.51.100.20", nil), answered("198.51.100.21", calls), answered("2001:db8::22", nil)}
	addrs := regexp.MustCompile(`198\.51\.100\.2\d|2001:db8::22`)
	for _, tt := range []struct {
		kind report.Type
		want []string
		says string
	}{
		{report.ScanIPP, []string{"198.51.100.20"}, "over TCP and IPv4, and about nothing else"},
		{report.Scan6IPP, []string{"2001:db8::22"}, "over TCP and IPv6, and about nothing else"},
		{report.Special, []string{"198.51.100.21"}, "called back over UDP, and about nothing else"},
		{report.CUPSBrowsed, []string{"198.51.100.21"}, "called back over UDP, and about nothing else"},
		{report.All, []string{"198.51.100.20", "198.51.100.21", "2001:db8::22"}, "3 hosts"},
	} {
		var b bytes.Buffer
		n, err := report.Job{Share: report.Share{Rows: rows}, Type: tt.kind, Format: report.FormatHTML}.Write(&b, report.Cover{Date: day, Made: made})
		if err != nil || n != len(tt.want) {
			t.Errorf("%s: %d rows, %v, want %d", tt.kind, n, err, len(tt.want))
		}
		got := slices.Compact(slices.Sorted(slices.Values(addrs.FindAllString(b.String(), -1))))
		if !slices.Equal(got, tt.want) || !strings.Contains(b.String(), tt.says) {
			t.Errorf("the page of %s is about %q, want %q, and %q in it", tt.kind, got, tt.want, tt.says)
		}
	}
	if empty := pageOf(t, report.Page{Title: "x", Type: report.Scan6IPP, Rows: rows[:1]}); !strings.Contains(empty, "We saw no hosts that answered in IPP over TCP and IPv6 here on this day.") {
		t.Error("a page without a host of its type does not say so")
	}
}

// TestPageIsWhole parses the page strictly, and holds what makes it fit to be
// mailed, read aloud and printed.
func TestPageIsWhole(t *testing.T) {
	page := pageOf(t, report.Page{Title: `<b>"Ünïversity"`, Date: day, Made: made, Contact: "a@example.org", Rows: rows()})
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	ids, refs, tags := map[string]int{}, []string{}, map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		tags[e.Name.Local]++
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "id":
				if ids[a.Value]++; ids[a.Value] > 1 {
					t.Errorf("id %q twice", a.Value)
				}
			case "href":
				if anchor, ok := strings.CutPrefix(a.Value, "#"); ok {
					refs = append(refs, anchor)
				} else if a.Value != "https://db-ip.com" {
					t.Errorf("the page leads to %q", a.Value)
				}
			case "aria-labelledby":
				refs = append(refs, a.Value)
			case "src", "onerror", "onclick", "srcset":
				t.Errorf("the page has %s=%q", a.Name.Local, a.Value)
			}
		}
	}
	for _, ref := range refs {
		if ids[ref] == 0 {
			t.Errorf("#%s leads nowhere", ref)
		}
	}
	for _, tag := range []string{"html", "header", "main", "footer", "h1", "title"} {
		if tags[tag] != 1 {
			t.Errorf("%d <%s>, want 1", tags[tag], tag)
		}
	}
	if tags["table"] == 0 || tags["table"] != tags["caption"] {
		t.Errorf("%d tables with %d captions", tags["table"], tags["caption"])
	}
	for _, tag := range []string{"script", "img", "iframe", "b"} {
		if tag != "b" && tags[tag] != 0 || tag == "b" && tags[tag] != len(exposure.Severities) {
			t.Errorf("%d <%s>", tags[tag], tag)
		}
	}
	if bad := regexp.MustCompile(`(?i)url\(|@import|https?://[^"]*\.(css|js|woff)`).FindString(page); bad != "" {
		t.Errorf("the page loads %q", bad)
	}
	for _, want := range []string{`<html lang="en">`, "prefers-color-scheme: dark", "@media print", `name="viewport"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.ContainsAny(page, "\x00\u202e\x1b") {
		t.Error("the page holds what turns or ends a line")
	}
}

func TestPageSaysWhatIsSimulated(t *testing.T) {
	simulated := answered("198.51.100.20", func(o *exposure.Observation) { o.Simulated = true })
	genuine := answered("198.51.100.21", nil)
	all := pageOf(t, report.Page{Title: "x", Rows: []report.Row{simulated}})
	some := pageOf(t, report.Page{Title: "x", Rows: []report.Row{simulated, genuine}})
	none := pageOf(t, report.Page{Title: "x", Rows: []report.Row{genuine}})
	if !strings.Contains(all, "All hosts on this page are simulated.") {
		t.Error("a page of simulated hosts does not say so")
	}
	if !strings.Contains(some, "1 of the 2 hosts on this page are simulated") {
		t.Error("a page with a simulated host does not say so")
	}
	if strings.Contains(strings.ToLower(none), "simulated") {
		t.Error("a page without simulated hosts speaks of them")
	}
	if !report.Simulated([]report.Row{genuine, simulated}) || report.Simulated([]report.Row{genuine}) {
		t.Error("Simulated does not tell them apart")
	}
}

func TestPageAttributesWhereItShowsCountries(t *testing.T) {
	nowhere := answered("198.51.100.21", func(o *exposure.Observation) { o.Where = exposure.Where{} })
	if strings.Contains(pageOf(t, report.Page{Rows: []report.Row{nowhere}}), "DB-IP") {
		t.Error("a page without countries names their source")
	}
	if !strings.Contains(pageOf(t, report.Page{Rows: rows()}), `<a href="https://db-ip.com">IP Geolocation by DB-IP</a>`) {
		t.Error("a page with countries lacks the attribution")
	}
}

func TestPageCountsHostsOnce(t *testing.T) {
	page := pageOf(t, report.Page{Rows: []report.Row{
		answered("198.51.100.7", nil), calledBack("198.51.100.7", nil), answered("198.51.100.8", func(o *exposure.Observation) { o.Port = 8631 }),
		answered("198.51.100.8", nil),
	}})
	for _, want := range []string{"2 hosts with", `<li class="critical"><b>1</b> critical</li>`, `<li class="high"><b>1</b> high</li>`, `<li class="medium zero"><b>0</b> medium</li>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// TestPageTellsHowToRemoveTheQueue quotes a name that a shell would take apart.
func TestPageTellsHowToRemoveTheQueue(t *testing.T) {
	page := pageOf(t, report.Page{Rows: []report.Row{
		calledBack("198.51.100.7", nil),
		calledBack("198.51.100.8", func(o *exposure.Observation) { o.Callback.Queue = "a'; rm -rf /" }),
	}})
	for _, want := range []string{"lpadmin -x ippwatch_notice_192_0_2_1<", `lpadmin -x &#39;a&#39;\&#39;&#39;; rm -rf /&#39;<`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
