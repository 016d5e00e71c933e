package year_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/demo/year"
	"ippwatch/exposure"
	"ippwatch/store"
	"ippwatch/surge"
)

var view = access.CLI(year.Now)

// A told is a year that was written.
type told struct {
	store   *store.Store
	archive *archive.Archive
}

func write(t *testing.T, o year.Options) told {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	ar, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ar.Close() })
	last := 0
	o.Step = func(percent int, what string) {
		if percent < last || percent > 100 || what == "" {
			t.Errorf("%d %% after %d %%: %q", percent, last, what)
		}
		last = percent
	}
	if err := year.Write(t.Context(), st, ar, o); err != nil {
		t.Fatal(err)
	}
	if last != 100 {
		t.Errorf("it ended at %d %%", last)
	}
	return told{st, ar}
}

func all[T any](t *testing.T, rows iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for r, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestPublished holds what was published, and that the rest adds up to it.
func TestPublished(t *testing.T) {
	sum, codes := 0, make(map[string]int)
	for _, c := range year.Countries() {
		if codes[c.Code] > 0 || len(c.Code) != 2 || c.Hosts < 1 {
			t.Errorf("%+v", c)
		}
		codes[c.Code] = c.Hosts
		sum += c.Hosts
	}
	if sum != 107_289 || codes["US"] <= 20_000 || codes["DE"] < 12_900 || codes["DE"] >= 13_000 || codes["NL"] != 2_500 {
		t.Errorf("%d hosts; US %d, DE %d, NL %d", sum, codes["US"], codes["DE"], codes["NL"])
	}
	for code, n := range codes {
		if code != "US" && code != "DE" && n > 12_000 {
			t.Errorf("%s has %d: of a third large country we know nothing", code, n)
		}
	}
}

// since is when the story becomes interesting.
var since = year.SensorsUp

// nobodys are the networks in which no host of anybody is.
var nobodys = []netip.Prefix{
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.0/24"),
}

func realAddress(a netip.Addr) bool {
	return !slices.ContainsFunc(nobodys, func(p netip.Prefix) bool { return p.Contains(a) })
}

func TestStory(t *testing.T) {
	o := year.Options{Seed: 1, Hosts: 80, Scaled: scaled}
	if scaled { // and of the half that matters, for the same reason
		o.Since = since
	}
	y := write(t, o)
	t.Run("the special report", y.special)
	t.Run("the year", y.year)
	t.Run("cases", y.cases)
	t.Run("sensors", y.sensors)
	t.Run("messages", y.messages)
}

func (y told) special(t *testing.T) {
	counts, addresses := make(map[string]int), make(map[netip.Addr]bool)
	q := archive.Query{From: year.Special, To: year.Special.AddDate(0, 0, 1), Source: exposure.Shadowserver}
	for r, err := range y.archive.Observations(t.Context(), view, q) {
		if err != nil {
			t.Fatal(err)
		}
		if addresses[r.Addr] || realAddress(r.Addr) || !r.Simulated || r.Verdict != exposure.CalledBack || !slices.Contains(r.Tags, "cups-browsed-callback") {
			t.Fatalf("%s: twice %t, simulated %t, %s, %v", r.Addr, addresses[r.Addr], r.Simulated, r.Verdict, r.Tags)
		}
		addresses[r.Addr] = true
		counts[r.Where.Country]++
	}
	for _, c := range year.Countries() {
		want := c.Hosts
		if scaled {
			want = max(c.Hosts*80/year.Published, 1)
		}
		if counts[c.Code] != want {
			t.Errorf("%s: %d hosts, want %d", c.Code, counts[c.Code], want)
		}
	}
	if !scaled && len(addresses) != 107_289 {
		t.Errorf("%d addresses", len(addresses))
	}
}

func (y told) year(t *testing.T) {
	daily, hostile := make(map[string]int), 0
	for r, err := range y.archive.Observations(t.Context(), view, archive.Query{Source: exposure.Scan}) {
		if err != nil {
			t.Fatal(err)
		}
		if realAddress(r.Addr) || !r.Simulated {
			t.Fatalf("%s: simulated %t", r.Addr, r.Simulated)
		}
		if r.Transport == exposure.UDP && r.Observed.Before(year.FirstUDP) {
			t.Fatalf("%s was asked over UDP on %s", r.Addr, r.Observed)
		}
		if r.Transport == exposure.TCP {
			daily[r.Observed.Format(time.DateOnly)]++
		}
		if len(r.Printers) > 0 && r.Printers[0].Get("printer-name") == year.Hostile {
			hostile++
		}
	}
	mean := func(from, to string, which ...time.Weekday) float64 {
		sum, n := 0, 0
		for day, count := range daily {
			at, err := time.Parse(time.DateOnly, day)
			if err != nil {
				t.Fatal(err)
			}
			if day >= from && day < to && (len(which) == 0 || slices.Contains(which, at.Weekday())) {
				sum, n = sum+count, n+1
			}
		}
		return float64(sum) / float64(max(n, 1))
	}
	first := year.Begin
	if scaled {
		first = since
	}
	for day := first; day.Before(year.End); day = day.AddDate(0, 0, 1) {
		text := day.Format(time.DateOnly)
		gap := slices.Contains([]string{"2024-02-17", "2024-02-18", "2024-05-09", "2024-07-20", "2024-07-21", "2024-07-22", "2024-11-12"}, text)
		if gap != (daily[text] == 0) {
			t.Errorf("%s has %d hosts", text, daily[text])
		}
	}
	if week, end := mean("2024-03-20", "2024-09-26", time.Tuesday, time.Thursday), mean("2024-03-20", "2024-09-26", time.Sunday); end > 0.95*week {
		t.Errorf("no rhythm: %.0f in the week, %.0f on Sundays", week, end)
	}
	if before, later := mean("2024-09-01", "2024-09-26"), mean("2024-12-01", "2025-01-01"); before < 55 || before > 105 || later > 0.85*before {
		t.Errorf("%.0f hosts a day in September, %.0f in December", before, later)
	}
	if hostile == 0 {
		t.Error("no printer has a hostile name")
	}
	if dirty, err := y.archive.DirtyDays(t.Context()); err != nil || len(dirty) > 0 {
		t.Errorf("not counted: %v %v", dirty, err)
	}
}

func (y told) cases(t *testing.T) {
	states, told, closed := make(map[exposure.Condition]int), [2]int{}, [2]int{}
	for e, err := range y.store.Exposures(t.Context(), view, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if realAddress(e.Addr) || !e.Simulated || e.LastSeen.Before(e.FirstSeen) || e.TimesSeen < 1 {
			t.Fatalf("%+v", e)
		}
		states[e.Condition]++
		which := 0
		if e.Contact != exposure.NotContacted && e.Contact != exposure.Undeliverable {
			which = 1
		}
		told[which]++
		if e.Condition == exposure.Fixed {
			closed[which]++
		}
	}
	for _, c := range []exposure.Condition{exposure.Confirmed, exposure.Fixed, exposure.NotSeen, exposure.Lapsed} {
		if states[c] == 0 {
			t.Errorf("no case is %s: %v", c, states)
		}
	}
	if told[1] == 0 || float64(closed[1])/float64(told[1]) < 1.3*float64(closed[0])/float64(told[0]) {
		t.Errorf("of those who were told %d of %d are fixed, of the others %d of %d", closed[1], told[1], closed[0], told[0])
	}
}

func (y told) sensors(t *testing.T) {
	for v, err := range y.archive.Visits(t.Context(), view, archive.VisitQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if realAddress(v.Addr) || realAddress(v.Callback.Addr) {
			t.Fatalf("a visit from %s for %s", v.Addr, v.Callback.Addr)
		}
	}
	dir := t.TempDir()
	state, err := surge.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = state.Advance(year.Special.AddDate(0, 0, 2), surge.Sources{
		Censuses: func(from, to time.Time) iter.Seq2[exposure.Census, error] {
			return y.archive.Censuses(t.Context(), view, from, to)
		},
		Visits: func(from, to time.Time) iter.Seq2[exposure.Visit, error] {
			return y.archive.Visits(t.Context(), view, archive.VisitQuery{From: from, To: to})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var began []string
	for _, e := range state.Detector.Episodes(year.SensorsUp) {
		began = append(began, fmt.Sprint(e.Class, " ", e.Began.Format(time.DateOnly)))
	}
	if len(began) != 1 || began[0] != "callback_solicitation 2024-09-26" {
		t.Errorf("episodes: %q", began)
	}
	if len(state.Aims.Findings(year.Special.AddDate(0, 0, 2))) == 0 {
		t.Error("no third party is named")
	}
}

func (y told) messages(t *testing.T) {
	states := make(map[store.MessageState]int)
	for _, m := range all(t, y.store.Messages(t.Context(), view, store.MessageFilter{})) {
		states[m.State]++
		if !strings.HasSuffix(m.To.Address, ".example") {
			t.Errorf("%s could be somebody", m.To.Address)
		}
	}
	if states[store.MessageSent] == 0 || states[store.MessageHeld] == 0 {
		t.Errorf("messages: %v", states)
	}
}

// TestSameSeed writes a year twice, and another one.
func TestSameSeed(t *testing.T) {
	sum := func(seed uint64) string {
		y := write(t, year.Options{Seed: seed, Hosts: 10, Scaled: true, Deaf: true, Since: year.End.AddDate(0, -1, 0)})
		h := sha256.New()
		e := json.NewEncoder(h)
		for _, r := range all(t, y.archive.Observations(t.Context(), view, archive.Query{})) {
			_ = e.Encode(r.Observation)
		}
		for _, c := range all(t, y.store.Exposures(t.Context(), view, store.Filter{})) {
			_ = e.Encode(c)
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	one, again, other := sum(1), sum(1), sum(2)
	if one != again {
		t.Error("the same seed wrote two years")
	}
	if one == other {
		t.Error("two seeds wrote one year")
	}
}
