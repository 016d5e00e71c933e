package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/gate"
)

// publicTown opens the town's dashboard to everybody and gives it six weeks of
// hosts, with a day on which nobody looked.
func publicTown(t *testing.T) *town {
	t.Helper()
	c := newTown(t)
	last := time.Date(2024, 10, 31, 0, 0, 0, 0, time.UTC)
	for i := range 42 {
		day := last.AddDate(0, 0, i-41)
		if i == 37 {
			continue
		}
		if _, err := c.h.archive.Append(t.Context(), printersOf(day, i > 5)); err != nil {
			t.Fatal(err)
		}
		if err := c.h.archive.Rollup(t.Context(), day); err != nil {
			t.Fatal(err)
		}
	}
	s := &street{now: func() time.Time { return c.now }, config: config.Default()}
	s.config.Web.Rate, s.config.Web.Public = 0, true
	var err error
	if c.gate, err = s.newSite(c.h, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return c
}

// printersOf are the hosts that answer on a day.
func printersOf(day time.Time, many bool) []exposure.Observation {
	var all []exposure.Observation
	for i, place := range []struct {
		country string
		n       int
	}{{"US", 40}, {"DE", 26}, {"KR", 12}, {"SG", 8}, {"LU", 2}} {
		n := place.n
		if many {
			n *= 2
		}
		for k := range n {
			o := exposure.Observation{
				V: exposure.Version, Run: day.Format(time.DateOnly), Observed: day.Add(time.Duration(k) * time.Minute), Source: exposure.Scan, Vantage: "lab",
				Addr: netip.AddrFrom4([4]byte{10, byte(i), 0, byte(k)}), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
				Verdict: exposure.Answered, Where: exposure.Where{Country: place.country, ASN: uint32(64496 + i)},
				Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-make-and-model": {fmt.Sprintf("HP <b>Model %d", k%3)}}}},
			}
			o.Received = o.Observed
			o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
			all = append(all, o)
		}
	}
	return all
}

// TestTheFrontOfAPublicDashboard sends a stranger to the map, and without web.public
// to log in.
func TestTheFrontOfAPublicDashboard(t *testing.T) {
	front := gate.Route{Method: "GET"}
	if to := publicTown(t).ask(front, "/", "public").Header().Get("Location"); to != "/statistics/combined/map/" {
		t.Errorf("a stranger is sent to %q", to)
	}
	if to := newTown(t).ask(front, "/", "public").Header().Get("Location"); to != "/login" {
		t.Errorf("a stranger is sent to %q where nothing is public", to)
	}
}

// TestBrowserDashboard is what a stranger does: see the world, open a country, look
// at it in every way, and what an analyst sees beyond that.
func TestBrowserDashboard(t *testing.T) {
	c := publicTown(t)
	b := openBrowser(t, c)
	for _, width := range []int64{390, 1440} {
		for _, dark := range []bool{false, true} {
			b.tab("dashboard", width, dark, strangersLook)
		}
	}
	b.tab("dashboard-keyboard", 1440, false, byKeyboard)
	b.tab("dashboard-analyst", 1440, false, func(p *tab) {
		p.open("/login")
		p.logIn("operator")
		p.open("/statistics/combined/tree/?group_by=model")
		p.reads("table", "<b>Model 1")
		p.fits("tree-model")
	})
	b.tab("dashboard-deutsch", 390, false, func(p *tab) {
		p.open("/preferences?back=/statistics/")
		p.do(chromedp.Click(chromedp.CSS(`input[name="lang"][value="de"]`)), chromedp.Click(chromedp.CSS("main button")),
			chromedp.WaitVisible(chromedp.CSS("pre")))
		p.reads("h1", "Statistik offener Druckdienste")
		p.fits("index")
		p.open("/statistics/combined/bar/?compare=2024-09-21")
		p.reads(".chart", "Deutschland")
		p.fits("bar-compare")
		p.open("/statistics/combined/map/?colour=red")
		p.reads("main", "colour: Diesen Parameter gibt es nicht.")
		p.fits("wrong")
		p.forgive("Failed to load resource")
	})
}

func strangersLook(p *tab) {
	p.open("/")
	p.reads("h1", "Addresses, 2024-10-31")
	p.reads(".tiles", "175\nAddresses")
	p.fits("map")
	if lands := evaluate[int](p, `document.querySelectorAll("svg.scene path.land").length`); lands < 170 {
		p.t.Errorf("%s: %d lands", p.name, lands)
	}
	ground := evaluate[string](p, `getComputedStyle(document.querySelector(".scene .q0")).fill`)
	want := "rgb(230, 234, 238)"
	if strings.HasSuffix(p.name, "dark") {
		want = "rgb(44, 56, 68)"
	}
	if ground != want {
		p.t.Errorf("%s: an empty land is %s", p.name, ground)
	}
	// Zooming is the script's, and by buttons too.
	p.do(chromedp.Click(chromedp.CSS(`[data-zoom="in"]`)))
	if box := evaluate[string](p, `document.querySelector("svg.scene").getAttribute("viewBox")`); strings.HasPrefix(box, "0 0 820") {
		p.t.Errorf("%s: the map is still whole: %s", p.name, box)
	}
	p.do(chromedp.Click(chromedp.CSS(`[data-zoom="whole"]`)))
	// A country opens, and everything else stays.
	p.open("/statistics/combined/map/?day=2024-10-31&tag=ipp")
	p.do(chromedp.Click(chromedp.CSS(`table a[href*="geo=DE"]`)), chromedp.WaitVisible(chromedp.CSS("#country")))
	p.reads("h1", "Addresses in Germany, 2024-10-31")
	p.reads("#country", "Own scan")
	p.fits("germany")
	if at := evaluate[string](p, "location.search"); at != "?day=2024-10-31&geo=DE&tag=ipp" {
		p.t.Errorf("%s: Germany is at %s", p.name, at)
	}
	for _, view := range []string{"tree", "time-series", "table", "bar"} {
		p.open("/statistics/combined/" + view + "/?group_by=geo")
		p.reads("main", "Singapore")
		p.fits(view)
	}
	p.open("/statistics/combined/time-series/?d1=2024-09-20&d2=2024-10-31&group_by=geo&stacking=stacked")
	p.reads("main", "On 1 day of this range nobody looked")
	p.fits("stacked")
	p.open("/statistics/")
	p.reads("h1", "Statistics of open print services")
	p.fits("index")
}

// byKeyboard opens a country and asks by the form, without a mouse.
func byKeyboard(p *tab) {
	p.open("/statistics/combined/map/")
	if n := evaluate[int](p, `[...document.querySelectorAll("svg.scene a")].filter(a => a.tabIndex >= 0).length`); n > 0 {
		p.t.Errorf("%d stops in the map: the table has them", n)
	}
	p.do(chromedp.Focus(chromedp.CSS(`[data-zoom="in"]`)), chromedp.KeyEvent("+"), chromedp.KeyEvent("+"))
	if near := evaluate[bool](p, `document.querySelector("svg.scene").classList.contains("near")`); !near {
		p.t.Error("the + key does not zoom")
	}
	p.do(chromedp.Focus(chromedp.CSS(`table a[href*="geo=KR"]`)), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#country")))
	p.reads("h1", "South Korea")
	p.do(chromedp.Focus(chromedp.CSS(".filters summary")), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.CSS("#limit")))
	p.fits("filters")
	p.do(chromedp.Click(chromedp.CSS(`input[name="tag"][value="ipp"]`)), chromedp.Focus(chromedp.CSS(".filters button")), chromedp.KeyEvent("\r"),
		chromedp.WaitVisible(chromedp.CSS(`a[href*="tag=ipp"]`)))
	if at := evaluate[string](p, "location.search"); !strings.Contains(at, "tag=ipp") || !strings.Contains(at, "geo=KR") {
		p.t.Errorf("the form leads to %s", at)
	}
}
