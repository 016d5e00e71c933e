package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/dashboard"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/web"
)

// The aims of issue 6.
const (
	mostFirstPage     = 200 // ms
	mostWire          = 500 // kB
	leastDashboards   = 1000
	dashboardReaders  = 16
	dashboardMeasured = 4 * time.Second
	dashboardDays     = 365
)

func dashboardTitle(o options) string {
	return fmt.Sprintf("dashboard: a year of %d hosts a day, as strangers see it (%d of them at once)", o.Rows, dashboardReaders)
}

func measureDashboard(ctx context.Context, o options) ([]figure, error) {
	return inWorker(ctx, "dashboard", o)
}

// showYear counts one day of hosts, writes its counts down for each day of a year
// and asks for pages.
func showYear(ctx context.Context, o options) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "ippwatch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	st, err := store.Open(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	rolled, size, err := fillYear(ctx, data, o.Rows)
	if err != nil {
		return nil, err
	}
	figures = append(
		figures,
		figure{What: "counting one day", Value: rolled.Seconds(), Unit: "s"},
		figure{What: "counts of one day", Value: float64(size) / 1000, Unit: "kB"},
	)
	ar, err := archive.Open(ctx, data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ar.Close()) }()
	config := gate.Default()
	config.Public, config.Rate = true, 0
	g, err := gate.New(gate.Options{
		Config: config, Keeper: st, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Views: func(_ context.Context, role access.Role, _, who string, at time.Time) (access.View, error) {
			return role.View(who, at), nil
		},
	})
	if err != nil {
		return nil, err
	}
	site, err := web.New(web.Options{Store: st, Gate: g, Version: "bench"})
	if err != nil {
		return nil, err
	}
	if err := dashboard.Add(site, dashboard.Options{Store: st, Archive: ar, Web: config, Tags: benchTags}); err != nil {
		return nil, err
	}
	if err := site.Close(); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(serving, l) }()
	asked, err := askDashboard(ctx, "http://"+l.Addr().String())
	stop()
	return append(figures, asked...), errors.Join(err, <-ended)
}

var benchTags = []string{"open-ipp", "open-cups", "no-tls", "anonymous-print", "leaks-people"}

// fillYear returns how long one day took to be counted, and the bytes of its counts.
func fillYear(ctx context.Context, data string, hosts int) (took time.Duration, size int64, err error) {
	ar, err := archive.Open(ctx, data)
	if err != nil {
		return 0, 0, err
	}
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < hosts && err == nil; from += batchSize {
		var batch []exposure.Observation
		for i := from; i < min(from+batchSize, hosts); i++ {
			batch = append(batch, worldly(r, i, day))
		}
		_, err = ar.Append(ctx, batch)
	}
	began := time.Now()
	if err == nil {
		err = ar.Rollup(ctx, day)
	}
	took = time.Since(began)
	if err := errors.Join(err, ar.Close()); err != nil {
		return 0, 0, err
	}
	db, err := sql.Open("sqlite", filepath.Join(data, archive.File))
	if err != nil {
		return 0, 0, err
	}
	number := day.Unix() / 86400
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k+1 FROM n WHERE k+1 < ?)
		INSERT INTO day (day, changed, rolled, pruned) SELECT ? - k, 1, 1, 1 FROM n`, dashboardDays, number)
	if err == nil {
		_, err = db.ExecContext(ctx, `WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k+1 FROM n WHERE k+1 < ?)
		INSERT INTO digest (day, sheet, body) SELECT ? - k, sheet, body FROM n, digest WHERE digest.day = ?`, dashboardDays, number, number)
	}
	if err == nil {
		err = db.QueryRowContext(ctx, `SELECT sum(length(body)) FROM digest WHERE day = ?`, number).Scan(&size)
	}
	return took, size, errors.Join(err, db.Close())
}

// benchCountries are 200, the largest first.
var benchCountries = strings.Fields(`
US DE KR TW FR JP BR IT PL GB CA NL ES CN RU IN VN SE CH AT AD AE AF AG AI AL AM AO AR AS AU AW AX AZ BA BB BD BE BF BG
BH BI BJ BL BM BN BO BQ BS BT BV BW BY BZ CC CD CF CG CI CK CL CM CO CR CU CV CW CX CY CZ DJ DK DM DO DZ EC EE EG EH ER
ET FI FJ FK FM FO GA GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IO IQ IR IS JE JM
JO KE KG KH KI KM KN KP KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU
MV MW MX MY MZ NA NC NE NF NG NI NO NP NR NU NZ OM PA PE PF PG PH PK PM PN PR PS PT PW PY QA RE RO RS RW SA SB SC SD SG`)

// worldly is a host in one of 200 countries, few of which have most hosts.
func worldly(r *rand.Rand, i int, day time.Time) exposure.Observation {
	country := int(float64(len(benchCountries)) * r.Float64() * r.Float64() * r.Float64())
	o := exposure.Observation{
		V: exposure.Version, Run: "run", Observed: day.Add(time.Duration(r.IntN(80_000)) * time.Second), Source: exposure.Scan, Vantage: "bench",
		Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
		Verdict: exposure.Answered, Where: exposure.Where{Country: benchCountries[country], ASN: uint32(64496 + country*50 + r.IntN(50))},
		Printers: []exposure.Printer{{Attributes: map[string][]string{
			"printer-uuid":           {fmt.Sprintf("urn:uuid:12345678-0000-4000-8000-%012d", i)},
			"printer-make-and-model": {fmt.Sprintf("HP Model %d", r.IntN(300))},
		}}},
	}
	o.Received = o.Observed
	for _, tag := range benchTags {
		if r.IntN(2) == 0 {
			o.Findings = append(o.Findings, exposure.Finding{Rule: tag, Severity: exposure.Medium, Evidence: "it answered"})
		}
	}
	if i%3 == 0 {
		o.Source = exposure.Shadowserver
	}
	o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
	return o
}

var dashboardPages = []string{
	"/statistics/combined/map/",
	"/statistics/combined/map/?geo=DE",
	"/statistics/combined/time-series/?date_range=365",
	"/statistics/combined/time-series/?date_range=365&group_by=geo&stacking=stacked",
	"/statistics/combined/table/?tag=open-cups&source=scan",
	"/statistics/combined/bar/?group_by=tag",
	"/statistics/combined/tree/?scale=log",
	"/statistics/combined/map/?format=json",
	"/statistics/combined/map/?format=svg",
}

var linked = regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`)

func askDashboard(ctx context.Context, base string) ([]figure, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: dashboardReaders, DisableCompression: true}}
	defer client.CloseIdleConnections()
	get := func(path string, gzip bool) ([]byte, time.Duration, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
		if err != nil {
			return nil, 0, err
		}
		if gzip {
			req.Header.Set("Accept-Encoding", "gzip")
		}
		began := time.Now()
		res, err := client.Do(req)
		if err != nil {
			return nil, 0, err
		}
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("GET %s: %s", path, res.Status)
		}
		return body, time.Since(began), errors.Join(err, res.Body.Close())
	}
	var figures []figure
	names := []string{"first page: the map", "then: a country", "then: a year day by day", "then: a year by country"}
	for i, name := range names {
		_, took, err := get(dashboardPages[i], true)
		if err != nil {
			return nil, err
		}
		f := figure{What: name, Value: float64(took.Microseconds()) / 1000, Unit: "ms"}
		if i == 0 {
			f.Most = mostFirstPage
		}
		figures = append(figures, f)
	}
	// A year of different addresses reads the most.
	_, took, err := get("/statistics/combined/table/?data_set=unique_ips&date_range=365", true)
	if err != nil {
		return nil, err
	}
	figures = append(figures, figure{What: "then: different addresses of a year", Value: float64(took.Microseconds()) / 1000, Unit: "ms"})
	plain, _, err := get(dashboardPages[0], false)
	if err != nil {
		return nil, err
	}
	wire := 0
	for _, path := range append([]string{dashboardPages[0]}, assetsOf(plain)...) {
		body, _, err := get(path, true)
		if err != nil {
			return nil, err
		}
		wire += len(body)
	}
	figures = append(figures, figure{What: "first page with all that it loads, on the wire", Value: float64(wire) / 1000, Unit: "kB", Most: mostWire})
	for _, path := range dashboardPages { // so that all are kept
		if _, _, err := get(path, true); err != nil {
			return nil, err
		}
	}
	var done atomic.Int64
	var readers sync.WaitGroup
	errs := make(chan error, dashboardReaders)
	began := time.Now()
	for reader := range dashboardReaders {
		readers.Go(func() {
			for i := reader; time.Since(began) < dashboardMeasured; i++ {
				if _, _, err := get(dashboardPages[i%len(dashboardPages)], true); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	readers.Wait()
	close(errs)
	for err := range errs {
		return nil, err
	}
	rate := float64(done.Load()) / time.Since(began).Seconds()
	return append(figures, figure{What: "pages that are kept", Value: rate, Unit: "requests/s", Least: leastDashboards}), nil
}

func assetsOf(page []byte) []string {
	var all []string
	for _, m := range linked.FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	return all
}
