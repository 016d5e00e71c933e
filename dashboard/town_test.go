package dashboard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/web"
)

// A town is a small dashboard with some days of hosts.
type town struct {
	t    *testing.T
	st   *store.Store
	ar   *archive.Archive
	gate *gate.Gate
	site *web.Site
}

// lastDay is the newest of the town's days.
var lastDay = time.Date(2024, 10, 31, 0, 0, 0, 0, time.UTC)

// hostile is what a printer may call itself.
const hostile = `=cmd|'/c calc'!A0<script>alert(1)</script>` + "\u202e\x1b[31m"

type household struct {
	country string
	n       int // hosts on an ordinary day
	vendor  string
}

var households = []household{
	{"US", 60, "HP"},
	{"DE", 42, "Brother"},
	{"KR", 30, "Samsung"},
	{"FR", 17, "Canon"},
	{"SG", 9, "Ricoh"},
	{"NL", 7, "Kyocera"},
	{"LU", 3, hostile},
	{"IS", 1, "HP"},
	{"", 6, "Zebra"},
}

// day is what is seen on a day: many more after 26 September 2024, and by UDP.
func hosts(day time.Time, source exposure.Source, r *rand.Rand) []exposure.Observation {
	var all []exposure.Observation
	run := fmt.Sprintf("%s %s", source, day.Format(time.DateOnly))
	host := 0
	for i, h := range households {
		n := h.n
		if day.After(time.Date(2024, 9, 25, 0, 0, 0, 0, time.UTC)) {
			n += n / 2
		}
		for k := range n {
			host++
			if source == exposure.Shadowserver && k%3 == 0 {
				continue // it sees less
			}
			o := exposure.Observation{
				V: exposure.Version, Run: run, Observed: day.Add(time.Duration(3600+r.IntN(60000)) * time.Second), Source: source, Vantage: "lab",
				Addr: netip.AddrFrom4([4]byte{10, byte(i), byte(k >> 8), byte(k)}), Port: 631, Transport: exposure.TCP, Probe: exposure.ProbeIPP,
				Verdict: exposure.Answered, Where: exposure.Where{Country: h.country, ASN: uint32(64496 + i)},
				Findings: []exposure.Finding{{Rule: "open-ipp", Severity: exposure.High, Evidence: "it answered"}},
				Printers: []exposure.Printer{{Attributes: map[string][]string{
					"printer-uuid": {fmt.Sprintf("urn:uuid:12345678-0000-4000-8000-%012d", host)}, "printer-device-id": {"MFG:" + h.vendor + ";MDL:Model " + fmt.Sprint(k%3) + ";"},
				}}},
			}
			if k%4 == 0 {
				o.CUPS = &exposure.CUPS{Server: "CUPS/2.4"}
			}
			o.Received = o.Observed
			o.ID = exposure.NewID(o.Run, o.Target(), o.Transport, o.Probe, 0)
			all = append(all, o)
		}
	}
	return all
}

// newTown counts the given number of days; the fifth from the end is one on which
// nobody looked.
func newTown(t *testing.T, days int, public bool) *town {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ar, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, st: st, ar: ar}
	t.Cleanup(func() {
		if err := ar.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	fill(t, ar, days)
	config := gate.Default()
	config.Rate, config.Public = 0, public
	c.gate, err = gate.New(gate.Options{
		Config: config, Keeper: st, Now: func() time.Time { return lastDay.Add(30 * time.Hour) }, Log: slog.New(slog.DiscardHandler),
		Views: func(_ context.Context, role access.Role, constituent, who string, at time.Time) (access.View, error) {
			v := role.View(who, at)
			if constituent != "" {
				v.Networks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")} // Germany
			}
			return v, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.site, err = web.New(web.Options{Store: st, Gate: c.gate, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := Add(c.site, Options{Store: st, Archive: ar, Web: config, Tags: []string{"open-ipp", "open-cups"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.site.Close(); err != nil {
		t.Fatal(err)
	}
	for name, role := range map[string]access.Role{"analyst": access.RoleAnalyst, "constituent": access.RoleConstituent} {
		a := store.Account{Name: name, Role: role}
		if role == access.RoleConstituent {
			a.Constituent = "de"
		}
		if err := st.AddAccount(t.Context(), a, "correct horse battery", "test", lastDay); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func fill(t testing.TB, ar *archive.Archive, days int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range days {
		day := lastDay.AddDate(0, 0, i+1-days)
		if i == days-5 {
			continue
		}
		all := hosts(day, exposure.Scan, r)
		if i != days-3 {
			all = append(all, hosts(day, exposure.Shadowserver, r)...)
		}
		if _, err := ar.Append(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if err := ar.Rollup(t.Context(), day); err != nil {
			t.Fatal(err)
		}
	}
}

// get asks as somebody, "" for a stranger.
func (c *town) get(path, who string, headers ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), "GET", "http://ippwatch.test"+path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if who != "" {
		at := lastDay.Add(30 * time.Hour)
		token, err := c.st.BeginSession(c.t.Context(), who, "192.0.2.1", "test", c.gate.Config.Life(), at)
		if err != nil {
			c.t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "session", Value: token})
	}
	w := httptest.NewRecorder()
	c.gate.ServeHTTP(w, r)
	return w
}

func (c *town) body(path, who string, headers ...string) string {
	c.t.Helper()
	w := c.get(path, who, headers...)
	b, err := io.ReadAll(w.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if w.Code != 200 {
		c.t.Errorf("GET %s as %q: %d %s", path, who, w.Code, strings.TrimSpace(string(b[:min(len(b), 300)])))
	}
	return string(b)
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
