package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// maxWeight is what a page may weigh over the wire, with all that it loads.
const maxWeight = 500_000

// axeRun judges the page by WCAG 2.2, levels A and AA, and tells what is wrong.
// %s narrows it down.
const axeRun = `axe.run(document, {resultTypes: ["violations"], %s}).then(r => r.violations.flatMap(v => v.nodes.slice(0, 4).map(n =>
	v.id + ": " + v.help + ": " + n.target.join(" ") + "\n" + n.html.slice(0, 200) + "\n" + n.failureSummary)))`

const (
	axeAll    = `runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}`
	axeColour = `runOnly: {type: "rule", values: ["color-contrast"]}`
)

// shape is what every page must have.
const shape = `({
	status: performance.getEntriesByType("navigation")[0].responseStatus,
	title: document.title, lang: document.documentElement.lang, headings: document.querySelectorAll("h1").length,
	weight: performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource")).reduce((sum, e) => sum + e.encodedBodySize + 300, 0),
	owned: Boolean(window.owned),
	ids: [...document.querySelectorAll("[id]")].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i),
})`

// widest are the elements that make the page wider than the window, the
// innermost last; empty when it is not.
const widest = `document.documentElement.scrollWidth <= innerWidth ? [] : [document.documentElement.scrollWidth + " px"].concat(
	[...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, pre") &&
	e.getBoundingClientRect().left + Math.max(e.scrollWidth, e.offsetWidth) > innerWidth).map(e => e.outerHTML.slice(0, 120)).slice(-5))`

type pageShape struct {
	Status   int      `json:"status"`
	Title    string   `json:"title"`
	Lang     string   `json:"lang"`
	Headings int      `json:"headings"`
	Weight   int      `json:"weight"`
	Owned    bool     `json:"owned"`
	IDs      []string `json:"ids"`
}

// look sets the width and the colours that the system wants. Nothing moves, so
// that a colour is not measured half-way.
func (p *tab) look(width int64, dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	height := int64(900)
	if width < 600 {
		height = 844
	}
	p.width = width
	p.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}})
		return err
	}))
}

// axe fails for each thing that is wrong with the page for somebody who reads,
// points or hears otherwise.
func (p *tab) axe(what, narrow string) {
	p.t.Helper()
	wrong, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]string](fmt.Sprintf(axeRun, narrow), chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: axe: %v", what, err)
	}
	for _, w := range wrong {
		p.t.Errorf("%s: %s", what, w)
	}
}

// TestBrowserCity goes to every page that there is, as each of its readers, in a
// city of hostile printers.
func TestBrowserCity(t *testing.T) {
	c := openCity(t)
	t.Run("German", c.german)
	t.Run("a language of the user's", c.ownLanguage)
	t.Run("every page", c.everyPage)
}

// everyPage holds that each is accessible, light enough, whole on a telephone,
// and does nothing that a stranger wants.
func (c *city) everyPage(t *testing.T) {
	axe, err := os.ReadFile(filepath.Join("testdata", "axe", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t, &c.town)
	// Who sees the most goes first; what others see of the same page is less of it.
	judged := make(map[string]bool)
	for _, reader := range slices.Backward(cityRoles) {
		b.tab(reader.name, 1440, false, func(p *tab) {
			if err := chromedp.Listen(p.ctx, func(event any) {
				if e, ok := event.(*page.EventJavascriptDialogOpening); ok {
					p.mu.Lock()
					p.wrong = append(p.wrong, "a dialog: "+e.Message)
					p.mu.Unlock()
				}
			}); err != nil {
				t.Fatal(err)
			}
			if reader.name != "public" {
				p.open("/login")
				p.logIn(reader.name)
			}
			for _, path := range c.pages(reader.role) {
				p.judge(path, string(axe), judged[path])
				judged[path] = true
			}
		})
	}
}

// judge looks at one page in both colours and at both widths; again, as somebody
// else saw it before, once.
func (p *tab) judge(path, axe string, again bool) {
	p.t.Helper()
	p.look(1440, false)
	p.open(path)
	s := evaluate[pageShape](p, shape)
	switch {
	case s.Status != 200:
		p.t.Errorf("%s: %d", path, s.Status)
	case s.Owned:
		p.t.Errorf("%s: a stranger's script ran", path)
	}
	if s.Title == "" || s.Lang == "" || s.Headings != 1 || len(s.IDs) > 0 || strings.Contains(s.Title, "⟦") {
		p.t.Errorf("%s: title %q, lang %q, %d h1, ids twice: %q", path, s.Title, s.Lang, s.Headings, s.IDs)
	}
	if s.Weight > maxWeight {
		p.t.Errorf("%s weighs %d bytes over the wire, want %d at most", path, s.Weight, maxWeight)
	}
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[chromedp.Void](axe)); err != nil {
		p.t.Fatal(err)
	}
	name := p.name
	for _, is := range []struct {
		width  int64
		dark   bool
		narrow string
		kept   bool // as a picture
	}{{1440, false, axeAll, true}, {1440, true, axeColour, false}, {390, true, axeAll, true}, {390, false, axeColour, false}} {
		if again && !is.kept {
			continue
		}
		p.look(is.width, is.dark)
		scheme := map[bool]string{false: "light", true: "dark"}[is.dark]
		if !again || is.width > 1000 {
			p.axe(fmt.Sprintf("%s at %d %s", path, is.width, scheme), is.narrow)
		}
		p.name = fmt.Sprintf("every-%s-%d-%s", strings.TrimSuffix(name, "-1440-light"), is.width, scheme)
		if is.kept {
			p.fits(slug(path))
		}
	}
	p.name = name
	// WCAG 2.2, 1.4.10: nobody scrolls in two directions at 320 CSS pixels.
	p.look(320, false)
	if wide := evaluate[[]string](p, widest); len(wide) > 0 {
		p.t.Errorf("%s at 320: wider than the window: %q", path, wide)
	}
}
