package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"ippwatch/exposure"
)

// shotsTo names the variable with the directory that keeps what the browser
// showed, as CI does; without it nothing is kept.
const shotsTo = "IPPWATCH_SHOTS"

// browserPatience is for a whole journey on a busy machine.
const browserPatience = 10 * time.Minute

// A browser is Debian's Chromium before a town.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string
}

// openBrowser serves the town and starts Chromium, or skips and says what it
// would need.
func openBrowser(t *testing.T, c *town) *browser {
	t.Helper()
	chromium(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- c.gate.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return startBrowser(t, "http://"+l.Addr().String())
}

// chromium is the browser of this machine, or the test is skipped.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("IPPWATCH_LAB") == "require" {
			t.Fatal("no chromium (and IPPWATCH_LAB=require): apt-get install chromium")
		}
		t.Skip("no chromium: apt-get install chromium")
	}
	return path
}

// startBrowser starts Chromium before a site.
func startBrowser(t *testing.T, base string) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("headless", true), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("no-proxy-server", true),
	}
	alloc, closeAll := chromedp.NewExecAllocator(t.Context(), options...)
	first, closeFirst := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		closeFirst()
		closeAll()
	})
	if err := chromedp.Do(first); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t: t, ctx: first, base: base}
}

// A tab is one window with cookies of its own; what goes wrong in it is written
// down.
type tab struct {
	t     *testing.T
	ctx   context.Context
	base  string
	name  string
	width int64

	mu    sync.Mutex // guards wrong
	wrong []string
}

// tab opens a window of a width, light or dark as the system says, and closes it
// after f. An error on its console, or a request to any other host, fails the
// test.
func (b *browser) tab(name string, width int64, dark bool, f func(p *tab)) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	full := fmt.Sprintf("%s-%d-%s", name, width, scheme)
	b.t.Run(full, func(t *testing.T) {
		ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
		defer closeTab()
		ctx, cancel := context.WithTimeout(ctx, browserPatience)
		defer cancel()
		p := &tab{t: t, ctx: ctx, base: b.base, name: full, width: width}
		if err := chromedp.Listen(ctx, p.hear); err != nil {
			t.Fatal(err)
		}
		height := int64(900)
		if width < 600 {
			height = 844
		}
		p.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}))
		f(p)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.wrong {
			t.Errorf("the browser says: %s", w)
		}
	})
}

func (p *tab) hear(event any) {
	what := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			what = e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			what = fmt.Sprint("console: ", e.Args)
		}
	case *runtime.EventExceptionThrown:
		what = fmt.Sprint("exception: ", e.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Scheme != "data" && !strings.HasPrefix(e.Request.URL, p.base+"/") {
			what = "a request to " + e.Request.URL
		}
	}
	if what != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = append(p.wrong, what)
	}
}

// forgive forgets what the console said so far, if all of it has the text.
func (p *tab) forgive(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = slices.DeleteFunc(p.wrong, func(w string) bool { return strings.Contains(w, text) })
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		at, _ := chromedp.Run(p.ctx, chromedp.Location()) // what helps to see why
		html, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("%s at %s: %v\n%s", p.name, at, err, html)
	}
}

func evaluate[T any](p *tab, script string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, script, err)
	}
	return v
}

// open goes to a page of ours.
func (p *tab) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base+path), chromedp.WaitVisible(chromedp.CSS("main")))
}

// reads waits until the element has the text.
func (p *tab) reads(selector, want string) {
	p.t.Helper()
	var got string
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		var err error
		got, err = chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)))
		if err == nil && strings.Contains(got, want) {
			return
		}
	}
	p.t.Fatalf("%s: %s reads %q, want %q", p.name, selector, got, want)
}

// fits checks that nothing is wider than the window, and keeps a picture.
func (p *tab) fits(what string) {
	p.t.Helper()
	wide := evaluate[int64](p, "document.documentElement.scrollWidth")
	if wide > p.width {
		p.t.Errorf("%s: %s is %d wide, the window %d", p.name, what, wide, p.width)
	}
	dir := os.Getenv(shotsTo)
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, p.name+"-"+what+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// logIn logs in as one of the readers and waits for the first page.
func (p *tab) logIn(name string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS("#name"), name),
		chromedp.SendKeys(chromedp.CSS("#password"), townPassword+"\r"), chromedp.WaitVisible(chromedp.CSS(".you form")))
}

// colours are of the page's ground and ink, as the browser computes them.
func (p *tab) colours() string {
	p.t.Helper()
	return evaluate[string](p, `(s => s.backgroundColor + " " + s.color)(getComputedStyle(document.documentElement))`)
}

// busy gives the town something to show.
func busy(t *testing.T, c *town) {
	t.Helper()
	st := c.h.store
	if err := st.Raise(t.Context(), exposure.Alert{
		Name: "job-failed backup", Began: c.now.Add(-3 * time.Hour), Detail: "<script>alert(1)</script> no space left on device",
		Step: "make room, then: ippwatch backup --out FILE",
	}); err != nil {
		t.Fatal(err)
	}
	for i, state := range []exposure.RunState{exposure.Done, exposure.Stopped, exposure.Running} {
		r := exposure.Run{ID: fmt.Sprintf("2026112%dT093000Z-7f3a2%d", 4+i, i), State: state, Started: c.now.Add(time.Duration(i-3) * 24 * time.Hour), Seed: []byte{1}}
		if err := st.CreateRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	lightGround = "rgb(244, 246, 248) rgb(26, 37, 48)"
	darkGround  = "rgb(17, 24, 31) rgb(230, 235, 240)"
)

// TestBrowser is what somebody does in a morning: log in, see what there is, look
// after the account, log out.
func TestBrowser(t *testing.T) {
	c := newTown(t)
	busy(t, c)
	b := openBrowser(t, c)
	for _, width := range []int64{390, 1440} {
		for _, dark := range []bool{false, true} {
			b.tab("operator", width, dark, func(p *tab) { morning(p, dark) })
		}
	}
	b.tab("constituent", 1440, false, func(p *tab) {
		p.open("/")
		p.logIn("customer-a")
		p.reads("h1", "Today")
		p.reads(".tiles", "1\nopen case")
		p.fits("today")
	})
	b.tab("wide", 2560, false, func(p *tab) {
		p.open("/")
		p.logIn("operator")
		p.fits("today")
	})
	b.tab("deutsch", 390, false, func(p *tab) {
		p.open("/preferences?back=/login")
		p.do(chromedp.Click(chromedp.CSS(`input[name="lang"][value="de"]`)), chromedp.Click(chromedp.CSS(`input[name="theme"][value="dark"]`)))
		p.fits("preferences")
		p.do(chromedp.Click(chromedp.CSS("main button")), chromedp.WaitVisible(chromedp.CSS("#password")))
		p.reads("h1", "Anmelden")
		if got := p.colours(); got != darkGround {
			t.Errorf("the colours that were chosen against the system's are %s", got)
		}
		p.logIn("operator")
		p.reads("h1", "Heute")
		p.fits("heute")
	})
	b.tab("refused", 1440, false, func(p *tab) {
		p.open("/login")
		p.do(chromedp.SendKeys(chromedp.CSS("#name"), "operator"), chromedp.SendKeys(chromedp.CSS("#password"), "wrong\r"))
		p.reads(".notice", "wrong, or there were too many attempts")
		p.fits("refused")
		p.open("/nothing")
		p.reads("h1", "Nothing here")
		p.fits("nothing")
		p.forgive("Failed to load resource")
	})
}

func morning(p *tab, dark bool) {
	p.open("/account")
	p.reads("h1", "Log in")
	p.fits("login")
	p.logIn("operator")
	p.reads("h1", "Your account")
	p.fits("account")
	p.open("/")
	p.reads("h1", "Today")
	p.reads(".tiles", "2\nopen cases")
	p.reads("main", "<script>alert(1)</script> no space")
	want := lightGround
	if dark {
		want = darkGround
	}
	if got := p.colours(); got != want {
		p.t.Errorf("%s: the colours are %s, want %s", p.name, got, want)
	}
	p.fits("today")
	if p.width < 600 {
		p.do(chromedp.Click(chromedp.CSS(".menu summary")), chromedp.WaitVisible(chromedp.CSS(".menu nav a")))
		p.fits("menu")
	}
	// By the keyboard alone: the first stop is the way past the navigation.
	p.open("/")
	p.do(chromedp.KeyEvent("\t"))
	if first := evaluate[string](p, "document.activeElement.className"); first != "skip" {
		p.t.Errorf("%s: the first stop is %q", p.name, first)
	}
	p.do(chromedp.Click(chromedp.CSS(".you form button")), chromedp.WaitVisible(chromedp.CSS("#password")))
	p.do(chromedp.NavigateBack(), chromedp.WaitReady(chromedp.CSS("body")))
	p.open("/account")
	p.reads("h1", "Log in")
}
