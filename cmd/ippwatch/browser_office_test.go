package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

// a hostileName is what a stranger may call a printer.
const hostileName = "<script>alert(1)</script>\u202e=HYPERLINK(1)\x1b[31m"

// morningWork gives the town what a morning brings: cases of every kind, evidence
// from a stranger, a message that waits, rows that could not be read.
func morningWork(t *testing.T, c *town) {
	t.Helper()
	busy(t, c)
	var cases []exposure.Exposure
	var steps []exposure.Transition
	var doors []netip.AddrPort
	for i := range 60 {
		e := exposure.Exposure{
			Key:      exposure.Key{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)}), Transport: exposure.TCP, Port: 631, Rule: []string{"open-ipp", "open-cups", "no-tls"}[i%3]},
			Severity: exposure.Severities[i%5], Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
			FirstSeen: c.now.Add(-time.Duration(i) * 24 * time.Hour), LastSeen: c.now.Add(-time.Duration(i) * time.Hour), TimesSeen: 3,
			Evidence: "it answered with 1 queue: " + hostileName, Where: exposure.Where{Country: "DE", ASN: 64496, ASName: "Example Net"},
		}
		if i == 7 {
			e.Contact = exposure.Undeliverable
		}
		cases, doors = append(cases, e), append(doors, netip.AddrPortFrom(e.Addr, e.Port))
		steps = append(steps, exposure.Transition{Key: e.Key, Axis: exposure.AxisCondition, To: string(exposure.Confirmed), Cycle: 1, Actor: "scan 20261124T093000Z-7f3a20", Evidence: e.Evidence, At: e.LastSeen})
	}
	if err := c.h.store.Apply(t.Context(), doors, func([]exposure.Exposure, map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		return cases, steps
	}); err != nil {
		t.Fatal(err)
	}
	door := netip.AddrPortFrom(cases[0].Addr, 631)
	o := exposure.Observation{
		V: exposure.Version, ID: exposure.NewID("run", door, exposure.TCP, exposure.ProbeIPP, 0), Observed: cases[0].LastSeen, Received: cases[0].LastSeen,
		Run: "20261124T093000Z-7f3a20", Source: exposure.Scan, Addr: cases[0].Addr, Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: exposure.Answered,
		Printers: []exposure.Printer{{Attributes: map[string][]string{"printer-name": {hostileName}}}}, Where: cases[0].Where,
	}
	if _, err := c.h.archive.Append(t.Context(), []exposure.Observation{o}); err != nil {
		t.Fatal(err)
	}
	to := exposure.Recipient{Medium: exposure.ByMail, Address: "abuse@customer-a.example", Role: "abuse", Source: exposure.OwnData}
	m := store.Message{
		ID: "M-0123456789AB", Key: "key", Run: "R-20261126T070000Z", Kind: "first", Rule: "all", Constituent: "customer-a", To: to, Language: "de",
		Why: "the abuse contact of customer-a", Day: "2026-11-26", Planned: c.now, Next: c.now, Exposures: []store.Item{{Key: cases[0].Key, Cycle: 1, By: "all", Severity: cases[0].Severity}},
	}
	if _, err := c.h.store.PutRun(t.Context(), m.Run, []store.Message{m}, store.MessageHeld, "more than usual"); err != nil {
		t.Fatal(err)
	}
	hand := people.Hand{View: access.CLI(c.now), Who: "j.doe", At: c.now}
	if _, err := people.NewRegistry(c.h.store).SetContact(t.Context(), hand, "customer-a", to.Address, true, []people.Field{{Key: "role", Value: "abuse"}}); err != nil {
		t.Fatal(err)
	}
}

// keys sends keys as soon as the page hears them.
func (p *tab) keys(keys string) {
	p.t.Helper()
	p.waits("document.readyState === 'complete' && document.querySelector('[data-keys-help]')?.hidden === false")
	p.press(keys)
}

// waits waits until the script says so.
func (p *tab) waits(script string) {
	p.t.Helper()
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		if yes, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](script)); err == nil && yes {
			return
		}
	}
	p.t.Fatalf("%s: not so: %s", p.name, script)
}

// press sends keys to wherever the focus is.
func (p *tab) press(keys string) {
	p.t.Helper()
	for _, k := range keys {
		p.do(chromedp.KeyEvent(string(k)))
	}
}

// TestBrowserOffice is the operator's morning.
func TestBrowserOffice(t *testing.T) {
	c := newTown(t)
	morningWork(t, c)
	b := openBrowser(t, c)
	b.tab("office", 390, true, officeMorning)
	b.tab("office", 1440, false, officeMorning)
	for _, width := range []int64{390, 1440} { // and how it looks the other way round
		b.tab("office", width, width == 1440, officeGlance)
	}
}

func officeGlance(p *tab) {
	p.open("/")
	p.logIn("operator")
	for name, path := range map[string]string{"today": "/", "cases": "/cases?limit=25", "host": "/hosts/198.51.100.100", "message": "/outreach/M-0123456789AB"} {
		p.open(path)
		p.fits(name)
	}
}

func officeMorning(p *tab) {
	p.open("/")
	p.logIn("operator")
	p.reads("h1", "Today")
	p.reads("#hands", "message waits for approval")
	p.reads("#hands", "case whose contact cannot be reached")
	p.fits("today")

	// To the cases by the keyboard alone, down two rows, and into one.
	p.keys("gc")
	p.reads("h1", "Cases")
	p.keys("jj")
	p.reads("tr:focus", "critical")
	p.press("x")
	p.reads("output", "One row is chosen.")
	p.fits("cases")
	p.press("k\r")
	p.reads("h1", "critical")
	p.reads("main", "What the owner can do")
	p.fits("case")
	if evaluate[bool](p, "document.documentElement.innerHTML.includes('<script>alert(1)')") {
		p.t.Error("a printer's name became markup")
	}

	p.open("/hosts/198.51.100.100")
	p.reads("h1", "198.51.100.100")
	p.reads("main", "customer-a")
	p.do(chromedp.Click(chromedp.CSS("#evidence details summary")))
	p.reads("#evidence pre", "printer-name")
	p.fits("host")

	// Accept in bulk: choose, look how many, do it, undo it.
	p.open("/cases?severity=low&limit=25")
	if p.width > 600 {
		p.do(chromedp.Click(chromedp.CSS("input[data-all]")))
	} else { // the head of the table is hidden there
		evaluate[bool](p, `document.querySelectorAll('input[name="row"]').forEach((b) => { b.checked = true; }), true`)
	}
	p.do(chromedp.Click(chromedp.CSS(`button[name="action"][value="accept"]`)), chromedp.WaitVisible(chromedp.CSS("#reason")))
	p.reads("h1", "12 cases")
	p.fits("bulk")
	p.do(chromedp.SendKeys(chromedp.CSS("#reason"), "print servers of the press office"), chromedp.Click(chromedp.CSS(`form[action="/cases/do"] button`)), chromedp.WaitVisible(chromedp.CSS("#undo")))
	p.reads(".notice", "It is done.")
	p.reads("main", "accepted risk")
	p.fits("done")
	p.do(chromedp.Click(chromedp.CSS("#undo")))
	p.reads(".notice", "12 cases are as before")
	p.reads("main", "confirmed")

	p.open("/outreach")
	p.reads("#table-outbox table", "M-0123456789AB")
	p.fits("outreach")
	p.open("/outreach/M-0123456789AB")
	p.reads("h1", "waits for approval")
	p.fits("message")
	p.open("/constituents/customer-a")
	p.reads("main", "abuse@customer-a.example")
	p.fits("constituent")

	// The search by the keyboard: straight to the one hit.
	p.keys("/")
	p.do(chromedp.KeyEvent("198.51.100.101\r"))
	p.reads("h1", "198.51.100.101")
	p.keys("?")
	p.do(chromedp.WaitVisible(chromedp.CSS("dialog#keys")))
	p.fits("keys")
	p.do(chromedp.Click(chromedp.CSS("dialog#keys button")))
	p.keys("/")
	p.do(chromedp.KeyEvent("customer\r"))
	p.reads("main", "Constituents")
	p.fits("search")
	p.open("/audit")
	p.reads("table", "accept cases")
	p.fits("audit")
	p.open("/intake")
	p.fits("intake")

	// Sorting and the next page go without loading the whole page.
	p.open("/cases?limit=25")
	evaluate[bool](p, "window.stayed = true")
	p.keys("n")
	p.reads(".pager", "Rows 26 to 50")
	if !evaluate[bool](p, "window.stayed === true") {
		p.t.Error("the next page loaded everything anew")
	}
	if !strings.Contains(evaluate[string](p, "location.search"), "after=") {
		p.t.Error("the next page has no address of its own")
	}
}
