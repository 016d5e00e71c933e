package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserAPI reads the reference of the API as a stranger and as an analyst.
func TestBrowserAPI(t *testing.T) {
	c := newTown(t)
	b := openBrowser(t, c)
	for _, width := range []int64{390, 1440} {
		b.tab("api", width, width == 390, func(p *tab) {
			p.open("/api/v1/")
			p.reads("h1", "API")
			p.fits("api")
			p.do(chromedp.Click(chromedp.CSS("#list-cases > summary")), chromedp.WaitVisible(chromedp.CSS("#list-cases table")))
			p.reads("#list-cases pre", `"$IPPWATCH/api/v1/cases?severity=high&limit=20"`)
			p.reads("#list-cases table", "severity")
			p.fits("api-open")
		})
	}
	b.tab("api analyst", 1440, true, func(p *tab) {
		p.open("/login?next=/api/v1/")
		p.logIn("analyst")
		p.reads("h1", "API")
		p.reads("nav", "API")
		p.fits("api-analyst")
	})
}
