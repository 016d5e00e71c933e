package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/space"
	"ippwatch/store"
)

const (
	webLeast    = 20 * time.Second // that readers read, also when scan and ingest end before
	webThink    = 5 * time.Second  // between two pages of a reader
	webFeeds    = 10               // files
	webFeedRows = 2000             // in each
)

// webFeedBase is the first address that the feed reports: set aside for
// benchmarks (RFC 2544).
var webFeedBase = netip.MustParseAddr("198.18.0.0")

// webPages are what readers look at, where it is served.
var webPages = []string{
	"/", "/account", "/preferences", "/cases", "/cases?severity=high", "/hosts/127.80.0.1", "/search?q=127.80.0.9", "/scans", "/constituents", "/outreach",
	"/verification", "/sensors", "/surges", "/metrics", "/statistics/combined/map/", "/statistics/combined/time-series/", "/statistics/combined/table/",
	"/api/v1/cases?limit=100",
}

func webTitle(o options) string {
	return fmt.Sprintf("pages: %d readers, %s between two pages, while a scan of %d hosts and an ingest of %d rows write", o.Readers, webThink, o.Hosts, webFeeds*webFeedRows)
}

// measureWeb serves pages as users do, and lets a scan and an ingest, each a
// process of its own, write into the same data directory.
func measureWeb(ctx context.Context, o options) (figures []figure, err error) {
	end, err := built(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer end()
	f, err := openFarm(ctx)
	if err != nil {
		return nil, err
	}
	defer f.close()
	o.Port = f.port
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w := &webBench{o: o, dir: dir, data: filepath.Join(dir, "data")}
	if err := w.prepare(ctx); err != nil {
		return nil, err
	}
	stop, err := w.serve(ctx)
	if err != nil {
		return nil, err
	}
	figures, err = w.measure(ctx)
	if err := errors.Join(err, stop()); err != nil {
		return nil, err
	}
	return figures, w.check(ctx)
}

type webBench struct {
	o         options
	dir, data string
	base      string   // of the pages
	session   string   // of an operator
	pages     []string // that there are

	mu     sync.Mutex // guards what follows
	took   []time.Duration
	bytes  int64
	failed int
	first  error // of those that failed
}

// prepare writes what the processes read, and logs an operator in.
func (w *webBench) prepare(ctx context.Context) error {
	scope := space.Scope{
		AuthorisedBy: "the user of bench", Contact: "nobody@example.net",
		Expires: time.Now().UTC().AddDate(0, 0, 2).Truncate(24 * time.Hour), Networks: networks(farmBase, w.o.Hosts),
	}
	err := errors.Join(os.WriteFile(filepath.Join(w.dir, "scope.yaml"), scope.Format(), 0o600),
		os.WriteFile(filepath.Join(w.dir, "ippwatch.yaml"), []byte("data: data\nmetrics: {listen: ''}\nweb: {listen: '127.0.0.1:0', rate: 0, public: true}\n"), 0o600),
		os.Mkdir(filepath.Join(w.dir, "feed"), 0o700))
	if err != nil {
		return err
	}
	day, a := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly), webFeedBase
	for file := range webFeeds {
		var b strings.Builder
		b.WriteString(`"timestamp","severity","ip","protocol","port","hostname","tag","asn","geo"` + "\n")
		for range webFeedRows {
			fmt.Fprintf(&b, "\"%s 00:00:10\",\"high\",\"%s\",\"tcp\",631,,\"ipp\",64500,\"DE\"\n", day, a)
			a = a.Next()
		}
		if err := os.WriteFile(filepath.Join(w.dir, "feed", fmt.Sprintf("%s-scan_ipp-example%d.csv", day, file)), []byte(b.String()), 0o600); err != nil {
			return err
		}
	}
	st, err := store.Open(ctx, w.data)
	if err != nil {
		return err
	}
	now := time.Now()
	if err = st.AddAccount(ctx, store.Account{Name: "olga", Role: access.RoleOperator}, "correct horse battery", "bench", now); err == nil {
		config := gate.Default()
		w.session, err = st.BeginSession(ctx, "olga", "127.0.0.1", "bench", config.Life(), now)
	}
	return errors.Join(err, st.Close())
}

var webListens = regexp.MustCompile(`"web":"(http://[^"]+)/"`)

// serve starts the daemon and returns what stops it.
func (w *webBench) serve(ctx context.Context) (stop func() error, err error) {
	cmd := exec.CommandContext(ctx, w.o.Ippwatch, "serve", "--config", "ippwatch.yaml")
	cmd.Dir = w.dir
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", w.o.Ippwatch, err)
	}
	lines := bufio.NewScanner(log)
	for w.base == "" && lines.Scan() {
		if m := webListens.FindStringSubmatch(lines.Text()); m != nil {
			w.base = m[1]
		}
	}
	wrong := make(chan string, 1)
	go func() {
		seen := ""
		for lines.Scan() {
			if strings.Contains(lines.Text(), `"level":"ERROR"`) && seen == "" {
				seen = lines.Text()
			}
		}
		wrong <- seen
	}()
	stop = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		if seen := <-wrong; seen != "" {
			err = errors.Join(err, fmt.Errorf("the daemon logged %s", seen))
		}
		return errors.Join(err, cmd.Wait())
	}
	if w.base == "" {
		return nil, errors.Join(errors.New("the daemon serves no pages"), stop())
	}
	reader := w.reader(0)
	defer reader.CloseIdleConnections()
	for _, page := range webPages {
		status, _, err := w.ask(ctx, reader, page)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		if status == http.StatusOK {
			w.pages = append(w.pages, page)
		}
	}
	return stop, nil
}

// reader is a browser at an address of its own: each of them counts for itself.
func (w *webBench) reader(n int) *http.Client {
	from := &net.TCPAddr{IP: net.IPv4(127, 82, byte(n/250), byte(n%250+1))}
	d := &net.Dialer{LocalAddr: from, Timeout: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 1}, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *webBench) ask(ctx context.Context, reader *http.Client, page string) (status int, size int64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+page, nil)
	if err != nil {
		return 0, 0, err
	}
	r.AddCookie(&http.Cookie{Name: "session", Value: w.session})
	res, err := reader.Do(r)
	if err != nil {
		return 0, 0, err
	}
	size, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, size, errors.Join(err, res.Body.Close())
}

// measure lets all begin at once, and the readers end when the writers have.
func (w *webBench) measure(ctx context.Context) ([]figure, error) {
	reading, enough := context.WithCancel(ctx)
	defer enough()
	var readers, writers sync.WaitGroup
	began := time.Now()
	for n := range w.o.Readers {
		readers.Go(func() { w.read(ctx, reading, n) })
	}
	const unlimited = "1000000"
	scan := exec.CommandContext(ctx, w.o.Ippwatch, "--config", "ippwatch.yaml", "--quiet", "scan", "--scope", "scope.yaml", "--port", fmt.Sprint(w.o.Port),
		"--rate", unlimited, "--per-network", unlimited, "--concurrency", fmt.Sprint(w.o.Flight), "--vantage", "bench")
	ingest := exec.CommandContext(ctx, w.o.Ippwatch, "--config", "ippwatch.yaml", "--quiet", "ingest", "shadowserver", "feed")
	lasted := make([]time.Duration, 2)
	failed := make([]error, 2)
	for i, cmd := range []*exec.Cmd{scan, ingest} {
		writers.Go(func() {
			cmd.Dir = w.dir
			var errs strings.Builder
			cmd.Stderr = &errs
			begun := time.Now()
			if err := cmd.Run(); err != nil {
				failed[i] = fmt.Errorf("%q: %w: %s", cmd.Args, err, errs.String())
			}
			lasted[i] = time.Since(begun)
		})
	}
	writers.Wait()
	wait := time.NewTimer(webLeast - time.Since(began))
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	enough()
	readers.Wait()
	span := time.Since(began)
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if w.failed > 0 {
		return nil, fmt.Errorf("%d of %d requests failed: the first: %w", w.failed, w.failed+len(w.took), w.first)
	}
	if len(w.took) == 0 {
		return nil, errors.New("nobody read anything")
	}
	slices.Sort(w.took)
	at := func(share float64) float64 {
		return float64(w.took[int(share*float64(len(w.took)-1))].Microseconds()) / 1000
	}
	return []figure{
		{What: "pages looked at, of all kinds that there are", Value: float64(len(w.pages)), Unit: "kinds"},
		{What: "requests, none of which failed", Value: float64(len(w.took)), Unit: "requests"},
		{What: "rate", Value: float64(len(w.took)) / span.Seconds(), Unit: "requests/s"},
		{What: "half of them within", Value: at(0.5), Unit: "ms", Most: 200},
		{What: "99 of 100 within", Value: at(0.99), Unit: "ms", Most: 2000},
		{What: "the slowest", Value: at(1), Unit: "ms"},
		{What: "size of a page", Value: float64(w.bytes) / float64(len(w.took)) / 1000, Unit: "kB"},
		{What: "the scan lasted", Value: lasted[0].Seconds(), Unit: "s"},
		{What: "the ingest lasted", Value: lasted[1].Seconds(), Unit: "s"},
	}, nil
}

// read looks at one page after the other until it is enough.
func (w *webBench) read(ctx, reading context.Context, n int) {
	reader := w.reader(n)
	defer reader.CloseIdleConnections()
	for i := n; ; i++ {
		pause := time.NewTimer(time.Duration(rand.Int64N(int64(2 * webThink)))) //nolint:gosec // no secret
		select {
		case <-reading.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		page := w.pages[i%len(w.pages)]
		begun := time.Now()
		status, size, err := w.ask(ctx, reader, page)
		took := time.Since(begun)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("GET %s: %d", page, status)
		}
		w.mu.Lock()
		if err != nil {
			w.failed++
			if w.first == nil {
				w.first = err
			}
		} else {
			w.took = append(w.took, took)
			w.bytes += size
		}
		w.mu.Unlock()
	}
}

// check counts whether anything was lost of what was written meanwhile.
func (w *webBench) check(ctx context.Context) error {
	st, err := store.Open(ctx, w.data)
	if err != nil {
		return err
	}
	defer st.Close()
	reported, found := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for e, err := range st.Exposures(ctx, access.CLI(time.Now()), store.Filter{}) {
		if err != nil {
			return err
		}
		if e.Addr.Less(webFeedBase) {
			found[e.Addr] = true
		} else {
			reported[e.Addr] = true
		}
	}
	if len(reported) != webFeeds*webFeedRows || len(found) != w.o.Hosts {
		return fmt.Errorf("%d of %d reported hosts and %d of %d scanned ones have cases: the rest is lost", len(reported), webFeeds*webFeedRows, len(found), w.o.Hosts)
	}
	return st.Check(ctx)
}
