package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

// TestBrowserOwner is what the owner of a shop does with the mail on a phone and
// on a desk: open the link, read, press the button, close the door, press again.
func TestBrowserOwner(t *testing.T) {
	chromium(t)
	e := openEstate(t)
	st := e.open()
	path, token := e.link()
	b := startBrowser(t, e.base)
	b.tab("owner-page", 1440, false, func(p *tab) {
		p.open(path)
		p.reads("h1", "A print service of yours answers the whole Internet")
		p.fits("open")
		p.onPaper(true)
		if shown := evaluate[string](p, "getComputedStyle(document.querySelector('.owner form')).display"); shown != "none" {
			t.Errorf("a form on paper is shown as %s", shown)
		}
		p.fits("paper")
		p.onPaper(false)
		p.do(chromedp.Click(chromedp.CSS(".tools a")))
		p.reads("h1", "Ein Druckdienst von Ihnen antwortet dem ganzen Internet")
		p.reads(".steps", "Jetzt noch einmal prüfen")
		p.open(path + "/filter")
		p.do(chromedp.SetValue(chromedp.CSS("#platform"), "nftables"), chromedp.Click(chromedp.CSS("main form button")))
		p.reads("#made", "were read back and proven")
		p.reads("#made pre", "127.0.0.1")
		p.fits("filter")
	})
	b.tab("owner-page", 390, true, func(p *tab) {
		p.open(path + "?lang=de")
		p.reads("h1", "Ein Druckdienst von Ihnen")
		if got := p.colours(); got != darkGround {
			t.Errorf("the colours are %s", got)
		}
		p.fits("offen")
		p.open(path + "/filter?lang=de&platform=routeros")
		p.reads("#made", "zurückgelesen und bewiesen")
		p.fits("filter")
	})
	b.tab("owner-answers", 390, false, func(p *tab) {
		p.open(path)
		p.do(chromedp.Click(chromedp.CSS(".ask summary")))
		p.do(chromedp.SendKeys(chromedp.CSS(".ask input[name=reason]"), "It moved to the florist in May\r"))
		p.reads("#now", "looks for the right one")
		p.reads(".plea", "being read by a person")
		p.fits("not-mine")
		p.do(chromedp.Click(chromedp.CSS(".plea button")))
		p.reads("#now", "is taken back")
		p.do(chromedp.Click(chromedp.CSS(".quietly button")))
		p.reads("h1", "We do not write to you any more")
		p.fits("stopped")
		p.do(chromedp.Click(chromedp.CSS("main form button")))
		p.reads("#now", "We write to you again")
	})
	b.tab("owner-check", 390, false, func(p *tab) {
		p.open(path + "?lang=de")
		p.fits("before")
		// Nothing is loaded again from here on: what follows comes by itself.
		p.do(chromedp.Click(chromedp.CSS("button.go")))
		p.reads(".door [role=status]", "Es ist noch offen.")
		p.fits("still-open")
		e.condition(st, exposure.Confirmed)
		e.close()
		e.ageChecks()
		p.open(path)
		p.do(chromedp.Click(chromedp.CSS("button.go")))
		p.reads(".door [role=status]", "It is closed.")
		p.reads(".door .state", "closed when we looked")
		p.fits("closed")
		e.condition(st, exposure.OneClean)
		p.do(chromedp.Click(chromedp.CSS(".door [role=status] a")))
		p.reads("h1", "It looks closed; we look once more")
		e.history(st, "owner via link "+e.theLink(st).ID, "asked for a look at")
		// What a page says elsewhere must not name where it was.
		if referrer := evaluate[string](p, `document.querySelector('meta[name="referrer"]')?.content ?? ""`); referrer != "" {
			t.Errorf("a policy in the page: %s", referrer)
		}
	})
	b.tab("owner-over", 390, true, func(p *tab) {
		e.exec("UPDATE links SET expires = ? WHERE contact = 'mail:owner@shop.example'", time.Now().Add(-time.Minute).UnixNano())
		p.open(path)
		p.reads("h1", "This link shows nothing any more")
		p.fits("over")
		p.do(chromedp.Click(chromedp.CSS("main form button")))
		p.reads(".notice", "a new one is on its way")
		p.open(linkOf(t, e.post.takes(t, "owner@shop.example", 2)))
		p.reads("h1", "It looks closed; we look once more")
		p.fits("closed-once")
		p.open("/unsubscribe/" + fmt.Sprintf("%032d", 0))
		p.reads("h1", "Stop our mails")
		p.fits("unsubscribe")
		p.do(chromedp.Click(chromedp.CSS("main form button")))
		p.reads(".notice", "Done.")
		p.forgive("status of " + fmt.Sprint(http.StatusNotFound))
	})
	b.tab("owner-moved", 1440, true, func(p *tab) {
		fresh := linkOf(t, e.post.takes(t, "owner@shop.example", 2))
		p.open(fresh)
		p.reads("h1", "It looks closed")
		runs := e.runs(st)
		e.ageChecks()
		e.run("constituents", "set", "corner-shop", "--remove-network", "127.0.0.1/32", "--network", "127.0.0.2/32")
		p.do(chromedp.Click(chromedp.CSS(".door > form button")))
		p.reads("h1", "This link shows nothing any more")
		p.fits("moved")
		if e.runs(st) != runs {
			t.Error("an address that has moved was asked")
		}
		p.forgive("status of " + fmt.Sprint(http.StatusNotFound))
	})
	if log := e.daemon.String(); len(token) == 0 || strings.Contains(log, token) {
		t.Error("the log has the token")
	}
}

// onPaper shows the page as it would be printed.
func (p *tab) onPaper(on bool) {
	p.t.Helper()
	media := ""
	if on {
		media = "print"
	}
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media})
		return err
	}))
}

// TestBrowserOwnerOfMany is the page of somebody with two dozen open hosts: what
// is first is the list of them, one is unfolded, and each has its button.
func TestBrowserOwnerOfMany(t *testing.T) {
	chromium(t)
	c := newTown(t)
	morningWork(t, c)
	l := store.Link{Contact: "mail:abuse@customer-a.example", Constituent: "customer-a", Role: "abuse", Expires: c.now.Add(time.Hour)}
	for e, err := range c.h.store.Exposures(t.Context(), access.CLI(c.now), store.Filter{Prefix: netip.MustParsePrefix("198.51.100.96/27")}) {
		if err != nil {
			t.Fatal(err)
		}
		l.Places = append(l.Places, store.Place{Key: e.Key, Nearest: "customer-a"})
	}
	_, token, err := c.h.store.AddLink(t.Context(), l, "outreach", c.now)
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, c)
	for _, width := range []int64{390, 1440} {
		b.tab("owner-many", width, width == 1440, func(p *tab) {
			p.open("/o/" + token)
			p.reads("#glance", fmt.Sprintf("%d open, of %d addresses", len(l.Places), len(l.Places)))
			if n := evaluate[int](p, "document.querySelectorAll('.device[open]').length"); n != 1 {
				t.Errorf("%d hosts are unfolded, want the first alone", n)
			}
			if tall := evaluate[int](p, "Math.round(document.querySelectorAll('.door')[5].getBoundingClientRect().height)"); tall > 260 {
				t.Errorf("a folded host is %d pixels tall", tall)
			}
			if shown := evaluate[bool](p, "[...document.querySelectorAll('.door')].every((d) => [...d.querySelectorAll('form[action$=\"/check\"] button')].filter((b) => b.checkVisibility()).length === 1)"); !shown && evaluate[bool](p, "document.querySelector('.quick') !== null") {
				t.Error("a host has no button to look again, or two")
			}
			p.fits("folded")
			// A link of the list unfolds what it leads to, without a script.
			p.do(chromedp.Click(chromedp.CSS(".glance summary")))
			p.do(chromedp.Click(chromedp.CSS(".glance li:nth-child(4) a")))
			p.waits("document.querySelectorAll('.device')[3].open")
			p.fits("jumped")
		})
	}
}
