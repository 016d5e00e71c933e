package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ippwatch/config"
	"ippwatch/exposure"
	"ippwatch/persona"
	"ippwatch/screen"
	"ippwatch/sketch"
	"ippwatch/surge"
)

// runs makes the town one whose daemon works: it scans a street of simulated
// print services, slowly enough to be watched.
func (c *town) runs(t *testing.T, cast []persona.Persona) neighbourhood {
	t.Helper()
	n := openStreet(t, cast)
	s := &street{now: time.Now, data: c.dir, config: config.Default(), Screen: screen.Screen{Out: io.Discard, Err: io.Discard, Format: "table"}}
	s.config.Web.Listen, s.config.Web.Rate = "127.0.0.1:0", 0
	s.config.Scope, s.config.Scan.Ports = n.scope, n.Ports()
	s.config.Scan.Rate, s.config.Scan.PerNetwork, s.config.Scan.Timeout = 50, 50, 10*time.Second
	s.config.Schedule.Jobs.Backup.Cron, s.config.Backup.Dir = "30 3 * * *", t.TempDir()
	s.config.Verify.Controls = []string{fmt.Sprintf("127.0.63.1:%d/tcp", n.Ports()[0])}
	d, err := s.newDaemon(c.h, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.scheduler.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		s.plant.Close()
	})
	c.gate = d.gate
	return n
}

// hear gives the archive a day of two sensors, and visits whose senders wrote
// what they could.
func (c *town) hear(t *testing.T) {
	t.Helper()
	var censuses []exposure.Census
	now := time.Now().UTC().Truncate(time.Minute)
	for i, sensor := range []string{"edge-1", "edge-2"} {
		for back := 50 * time.Hour; back > 0; back -= 10 * time.Minute {
			if i == 1 && back < 8*time.Hour && back > 4*time.Hour {
				continue // it was not there
			}
			at := now.Add(-back)
			health := exposure.Census{Sensor: sensor, Began: at, Ended: at.Add(time.Minute), Transport: exposure.UDP, Health: &exposure.Health{}}
			if i == 1 && back == time.Hour {
				health.Health.Dropped = 17
			}
			health.ID = exposure.NewCensusID(&health)
			censuses = append(censuses, health)
			for k, class := range []exposure.Class{exposure.Solicitation, exposure.Enumeration, exposure.Research} {
				networks := sketch.New()
				for n := range 3 + k + at.Hour()%5 {
					networks.Network(netip.AddrFrom4([4]byte{203, byte(n), 113, 1}))
				}
				one := exposure.Census{
					Sensor: sensor, Began: at, Ended: at.Add(time.Minute), Transport: exposure.UDP, Class: class,
					Packets: int64(5 + 3*k + at.Hour()), Told: 2, Listed: int64(k),
					Networks:   exposure.Distinct{Estimate: networks.Estimate(), Sketch: networks.Bytes()},
					TopSources: []exposure.Frequent{{What: "203.0.113.7", N: 4}},
				}
				one.ID = exposure.NewCensusID(&one)
				censuses = append(censuses, one)
			}
		}
	}
	if _, err := c.h.archive.AppendCensuses(t.Context(), censuses); err != nil {
		t.Fatal(err)
	}
	state, err := surge.Load(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	state.Detector.Through, state.Detector.Sensors = now.Truncate(time.Hour), map[string]time.Time{"edge-1": now, "edge-2": now}
	state.Detector.Closed = []surge.Episode{{
		ID: "callback_solicitation-1", Class: exposure.Solicitation, Began: now.Add(-20 * time.Hour), Ended: now.Add(-10 * time.Hour), Reason: surge.Fast,
		Metric: surge.Networks, Observed: 9, Expected: 4, Peak: now.Add(-15 * time.Hour), Sensors: []string{"edge-1"}, Level: 1,
	}}
	if err := state.Save(c.dir); err != nil {
		t.Fatal(err)
	}
	var visits []exposure.Visit
	for i, text := range []string{"<script>alert(1)</script>", "=HYPERLINK(\"http://x\")", "\u202egpj.exe", "\x1b[31mred", strings.Repeat("long ", 2000)} {
		v := exposure.Visit{
			V: exposure.Version, Observed: now.Add(-time.Duration(i+1) * time.Minute), Source: exposure.Sensor, Sensor: "edge-1", Kind: exposure.Knock,
			Addr: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", i+1)), Port: 4000, Spoofable: true, Transport: exposure.UDP, Door: 631, Count: 1,
			Class: exposure.Solicitation, Severity: exposure.High, Reasons: []string{"callback"}, Evidence: []string{"asks to be called: " + text},
			UserAgent: text, Browse: &exposure.Browse{URI: "ipp://" + text, Info: text},
			Callback: &exposure.Solicited{URL: "ipp://" + text, Host: text, Port: 631, Relation: exposure.ToName},
		}
		v.ID = exposure.NewVisitID(&v)
		visits = append(visits, v)
	}
	if _, err := c.h.archive.AppendVisits(t.Context(), visits); err != nil {
		t.Fatal(err)
	}
}

// plantPages are those that somebody looks at in turn.
var plantPages = []struct{ path, name, reads string }{
	{"/scans", "scans", "Scans"},
	{"/scans/asked?address=198.51.100.10", "asked", "What did we send?"},
	{"/scans/exclusions", "exclusions", "Exclusions"},
	{"/verification", "verification", "Verification"},
	{"/sensors", "sensors", "Sensors"},
	{"/sensors/edge-1", "sensor", "Sensor edge-1"},
	{"/surges", "surges", "Surges"},
	{"/metrics?by=constituent", "metrics", "Metrics"},
	{"/filters", "filters", "Filters"},
	{"/filters?do=check", "filters-check", "Filters"},
	{"/filters?do=compare", "filters-compare", "Filters"},
	{"/settings", "settings", "Settings"},
	{"/settings/accounts", "accounts", "Accounts"},
	{"/settings/keys", "keys", "API keys"},
	{"/settings/links", "links", "Links of owners"},
}

// TestBrowserPlant is an operator's day with the machines: look at all, scan and
// follow it, stop it and let it go on, write a filter and try to cheat.
func TestBrowserPlant(t *testing.T) {
	c := newTown(t)
	c.hear(t)
	c.runs(t, nil)
	b := openBrowser(t, c)
	b.tab("plant-scan", 1440, false, func(p *tab) {
		p.open("/scans")
		p.logIn("operator")
		p.followAScan()
	})
	b.tab("plant-filter", 1440, true, func(p *tab) {
		p.open("/filters")
		p.logIn("operator")
		p.cheat()
	})
	for _, one := range []struct {
		width int64
		dark  bool
	}{{390, true}, {1440, false}} {
		b.tab("plant", one.width, one.dark, func(p *tab) {
			p.open("/scans")
			p.logIn("operator")
			for _, page := range plantPages {
				p.open(page.path)
				p.reads("h1", page.reads)
				p.fits(page.name)
			}
		})
	}
}

// followAScan stops all sending, starts a scan of the whole scope, and lets it go
// on when it can be seen: it is followed to its end without loading a page again.
func (p *tab) followAScan() {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS("#reason"), "the operator looks on"), chromedp.Click(chromedp.CSS(".stop")), chromedp.WaitVisible(chromedp.CSS(`button[value="resume"]`)))
	p.reads(".notice", "the operator looks on")
	p.do(chromedp.Click(chromedp.CSS(`form[action="/scans"] button`)), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	p.reads(".notice.good", "as soon as it can")
	run := ""
	for begun := time.Now(); run == "" && time.Since(begun) < patience; time.Sleep(200 * time.Millisecond) {
		p.open("/scans")
		run = evaluate[string](p, `document.querySelector("#table-scans tbody th a")?.getAttribute("href") ?? ""`)
	}
	if run == "" {
		p.open("/settings")
		p.t.Fatalf("no scan begins: %s", evaluate[string](p, "document.querySelector('table').innerText"))
	}
	p.open(run)
	p.reads("#state", "paused")
	p.fits("scan-paused")
	p.do(chromedp.Click(chromedp.CSS(`button[value="resume"]`)), chromedp.WaitVisible(chromedp.CSS(`button[value="pause"]`)))
	// From here on nothing is loaded but what the stream brings.
	p.do(chromedp.Evaluate[chromedp.Void](`window.stays = true; undefined`))
	p.reads("#state", "done")
	if !evaluate[bool](p, "window.stays === true") {
		p.t.Error("the page was loaded again")
	}
	if found := evaluate[string](p, `document.querySelector("#found").innerText`); found == "0" {
		p.t.Error("the scan of the street found nothing")
	}
	p.fits("scan-done")
}

// cheat has a filter written and proven, takes a rule out of it, and is refused.
func (p *tab) cheat() {
	p.t.Helper()
	p.open("/filters")
	p.do(chromedp.Click(chromedp.CSS(`input[name="enforce"]`)), chromedp.Click(chromedp.CSS(`form[action="/filters/render"] button`)), chromedp.WaitVisible(chromedp.CSS("#rendered")))
	p.reads("#rendered", "treat every packet alike")
	p.fits("filter-proven")
	p.do(chromedp.Click(chromedp.CSS(`form[action="/filters/prove"] button`)), chromedp.WaitVisible(chromedp.CSS("#proven")))
	p.do(chromedp.Evaluate[chromedp.Void](`(t => { t.value = t.value.split("\n").filter(l => !/\bdrop\b/.test(l)).join("\n") })(document.querySelector("#text")); undefined`))
	p.do(chromedp.Click(chromedp.CSS(`form[action="/filters/prove"] button`)), chromedp.WaitVisible(chromedp.CSS("#refused")))
	p.reads("#refused", "Such as")
	p.fits("filter-refused")
	p.forgive("Failed to load resource") // the console tells of the 422
}
