package surge

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

var sunday = time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)

const week = 7 * 24

// A feeder tells a detector hours that have a usual course, with some chance.
type feeder struct {
	d       *Detector
	r       *rand.Rand
	hour    int
	sensors []string
}

func feed(sensors ...string) *feeder {
	return &feeder{d: New(Config{}), r: rand.New(rand.NewPCG(1, 2)), sensors: sensors}
}

func (f *feeder) usual(hour int) float64 { return 20 + 10*math.Sin(float64(hour%24)/24*2*math.Pi) }

// go tells so many hours at so many times the usual, at the sensors that are named.
func (f *feeder) tell(hours int, times float64, at ...string) {
	for range hours {
		var counts []Count
		all := 0.0
		for _, s := range f.sensors {
			n := f.usual(f.hour)
			if len(at) == 0 || slices.Contains(at, s) {
				n *= times
			}
			n = math.Round(max(0, n+3*f.r.NormFloat64()))
			all += n
			counts = append(counts, Count{Sensor: s, Class: exposure.Solicitation, Metric: Networks, N: n})
		}
		counts = append(counts, Count{Sensor: All, Class: exposure.Solicitation, Metric: Networks, N: all})
		f.d.Hour(f.now(), counts)
		f.hour++
	}
}

func (f *feeder) now() time.Time { return sunday.Add(time.Duration(f.hour) * time.Hour) }

func (f *feeder) open() *Episode { return f.d.Open[string(exposure.Solicitation)] }

func TestAnEpisodeBeginsRisesAndEnds(t *testing.T) {
	f := feed("a", "b")
	f.tell(6*week, 1)
	if n := len(f.d.Closed); n > 0 || f.open() != nil {
		t.Fatalf("without a surge there were %d episodes: %+v", n, f.d.Closed)
	}
	learnt := f.d.Series["callback_solicitation networks a"].Total

	f.tell(2, 6, "a")
	e := f.open()
	if e == nil || e.Reason != Fast || e.Level != 0 || !slices.Equal(e.Sensors, []string{"a"}) || !e.All || e.Ratio() < 4 || e.Began != sunday.Add(6*week*time.Hour) {
		t.Fatalf("a surge at one sensor: %+v", e)
	}
	id := e.ID
	f.tell(3, 6)
	if e = f.open(); e.Level != 1 || len(e.Sensors) != 2 {
		t.Errorf("the second sensor sees it, too: %+v", e)
	}
	f.tell(3, 20)
	if e = f.open(); e.Level < 2 {
		t.Errorf("it is three times as high: %+v", e)
	}
	if now := f.d.Series["callback_solicitation networks a"].Total; now != learnt {
		t.Error("it learns from a surge")
	}
	alerts := Alerts(f.d, NewAims(), f.now())
	if len(alerts) != 1 || alerts[0].Name != "surge "+id || alerts[0].Level != e.Level || !strings.Contains(alerts[0].Detail, "a, b: at so many at once") {
		t.Errorf("alerts = %+v", alerts)
	}
	f.tell(4, 1)
	if f.open() == nil {
		t.Error("it is over after four hours")
	}
	f.tell(1, 8)
	f.tell(5, 1)
	if f.open() == nil {
		t.Error("it is over although it rose again")
	}
	f.tell(24, 1)
	if f.open() != nil || len(f.d.Closed) != 1 || f.d.Closed[0].ID != id || f.d.Closed[0].Ended.IsZero() || f.d.Closed[0].Note != "" {
		t.Errorf("it is not over: %+v, %+v", f.open(), f.d.Closed)
	}
	f.tell(week, 1)
	if len(f.d.Closed) != 1 || f.open() != nil {
		t.Errorf("it comes again: %+v", f.d.Closed)
	}
}

func TestASlowRiseIsFoundByTheSum(t *testing.T) {
	f := feed("a")
	f.tell(6*week, 1)
	for range 24 {
		f.tell(1, 1.8)
		if f.open() != nil {
			break
		}
	}
	if e := f.open(); e == nil || e.Reason != Slow {
		t.Errorf("twice as many: %+v", e)
	}
}

func TestTheWarmUpComparesDays(t *testing.T) {
	f := feed("a")
	f.tell(12*24, 1)
	if f.open() != nil {
		t.Fatalf("without a surge: %+v", f.open())
	}
	f.tell(20, 4)
	if e := f.open(); e == nil || e.Reason != Warmup || !strings.Contains(e.Detail(), "not known yet") {
		t.Errorf("four times as many in the second week: %+v", e)
	}
	f.tell(3*24, 1)
	if f.open() != nil {
		t.Errorf("it does not end: %+v", f.open())
	}
	f = feed("a")
	f.tell(48, 1)
	f.tell(20, 10)
	if f.open() != nil {
		t.Error("it says something after two days")
	}
}

func TestWhatLastsBecomesUsual(t *testing.T) {
	f := feed("a")
	f.tell(6*week, 1)
	f.tell(14*24+1, 5)
	if f.open() != nil || len(f.d.Closed) != 1 || f.d.Closed[0].Note == "" {
		t.Fatalf("after two weeks: %+v, %+v", f.open(), f.d.Closed)
	}
	f.tell(5*week, 5)
	if f.open() != nil || len(f.d.Closed) != 1 {
		t.Errorf("what is usual now is a surge: %+v", f.d.Closed)
	}
}

func TestSilenceIsNotZero(t *testing.T) {
	f := feed("a")
	f.tell(6*week, 1)
	before := f.d.Series["callback_solicitation networks a"].Total
	for range 3 * 24 { // the sensor tells nothing
		f.d.Hour(f.now(), nil)
		f.hour++
	}
	if f.d.Series["callback_solicitation networks a"].Total != before {
		t.Error("it learns from silence")
	}
	f.tell(week, 1)
	if f.open() != nil || len(f.d.Closed) > 0 {
		t.Errorf("the return of a sensor is a surge: %+v", f.d.Closed)
	}
}

// TestItGoesOnFromJSON stops and restores at every hour: what is kept must be all
// that there is, and the ids the same.
func TestItGoesOnFromJSON(t *testing.T) {
	run := func(restart bool) string {
		f := feed("a", "b")
		f.tell(5*week, 1)
		for i := range 60 {
			times := 1.0
			if i > 5 && i < 20 {
				times = 5
			}
			f.tell(1, times)
			if restart {
				b, err := json.Marshal(f.d)
				if err != nil {
					t.Fatal(err)
				}
				f.d = new(Detector)
				if err := json.Unmarshal(b, f.d); err != nil {
					t.Fatal(err)
				}
				f.d.Restored(Config{})
			}
		}
		b, err := json.Marshal(f.d.Episodes(time.Time{}))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	whole, parts := run(false), run(true)
	if whole != parts || !strings.Contains(whole, `"id"`) {
		t.Errorf("in one go\n%s\nwith restarts\n%s", whole, parts)
	}
}

func TestHoursComeOnce(t *testing.T) {
	d := New(Config{})
	d.Hour(sunday, []Count{{Class: exposure.Padded, N: 1}})
	d.Hour(sunday, []Count{{Class: exposure.Padded, N: 1}})
	d.Hour(sunday.Add(-time.Hour), []Count{{Class: exposure.Padded, N: 1}})
	if d.Refused != 2 || d.Series["callback padded "] != nil && len(d.Series) != 1 {
		t.Errorf("refused %d", d.Refused)
	}
	var many []Count
	for i := range mostSeries + 5 {
		many = append(many, Count{Sensor: fmt.Sprint(i), Class: exposure.Padded, N: 1})
	}
	d.Hour(sunday.Add(time.Hour), many)
	if len(d.Series) != mostSeries {
		t.Errorf("%d series are followed", len(d.Series))
	}
}

func TestExceeds(t *testing.T) {
	for _, test := range []struct{ n, mean, spread, want float64 }{
		{0, 5, 0, 1},
		{1, 1, 0, 1 - math.Exp(-1)},
		{10, 5, 0, 0.0318280573},  // of a table of Poisson
		{40, 20, 0, 5.2556e-5},    // 1 - ppois(39, 20)
		{60, 20, 0.25, 0.0042047}, // the sum over the distribution of shape 4, done elsewhere
	} {
		if got := exceeds(test.n, test.mean, test.spread); math.Abs(got-test.want) > 0.02*test.want {
			t.Errorf("exceeds(%v, %v, %v) = %v, want %v", test.n, test.mean, test.spread, got, test.want)
		}
	}
	// It falls with n, and rises with the spread far out.
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		mean, spread := math.Exp(r.Float64()*8), r.Float64()
		n := math.Round(mean * (1 + 4*r.Float64()))
		a, b := exceeds(n, mean, spread), exceeds(n+1+mean/10, mean, spread)
		if a < 0 || a > 1 || b > a*1.001+1e-12 {
			t.Errorf("mean %v, spread %v: of %v %v, of more %v", mean, spread, n, a, b)
		}
	}
}

func visit(after time.Duration, sensor, from, host string, r exposure.Relation) *exposure.Visit {
	return &exposure.Visit{
		Observed: sunday.Add(after), Sensor: sensor, Addr: netip.MustParseAddr(from), Class: exposure.Solicitation, Count: 1,
		Callback: &exposure.Solicited{Host: host, Addr: netip.MustParseAddr(host), Relation: r},
	}
}

func TestSigns(t *testing.T) {
	const a, b = "203.0.113.66", "203.0.113.9"
	listed := visit(0, "s1", b, a, exposure.ToThird)
	listed.Scanners = []exposure.Scanner{{Name: "x"}}
	for _, test := range []struct {
		name   string
		visits []*exposure.Visit
		after  time.Duration
		want   []string
	}{
		{"a scanner that names itself, at one sensor", []*exposure.Visit{visit(0, "s1", a, a, exposure.ToSelf)}, time.Hour, nil},
		{"the same at two", []*exposure.Visit{visit(0, "s1", a, a, exposure.ToSelf), visit(time.Hour, "s2", a, a, exposure.ToSelf)}, 2 * time.Hour, []string{"surge aimed " + a}},
		{"at two, but days apart", []*exposure.Visit{visit(0, "s1", a, a, exposure.ToSelf), visit(48*time.Hour, "s2", a, a, exposure.ToSelf)}, 49 * time.Hour, nil},
		{"a third party for the first time", []*exposure.Visit{visit(0, "s1", b, a, exposure.ToThird)}, time.Hour, []string{"surge third-party " + a}},
		{"a day later it is not new", []*exposure.Visit{visit(0, "s1", b, a, exposure.ToThird), visit(25*time.Hour, "s1", b, a, exposure.ToThird)}, 26 * time.Hour, nil},
		{"one's own network is the worst", []*exposure.Visit{visit(0, "s1", b, a, exposure.ToOwn), visit(0, "s2", b, a, exposure.ToOwn)}, time.Hour, []string{"surge inward " + a}},
		{"a listed scanner", []*exposure.Visit{listed}, time.Hour, nil},
		{"a name", []*exposure.Visit{{Observed: sunday, Sensor: "s1", Callback: &exposure.Solicited{Host: "a.example", Relation: exposure.ToName}}}, time.Hour, nil},
		{"nobody is to be called", []*exposure.Visit{{Observed: sunday, Sensor: "s1"}}, time.Hour, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			aims := NewAims()
			for _, v := range test.visits {
				aims.Visit(v)
			}
			var got []string
			for _, alert := range Alerts(New(Config{}), aims, sunday.Add(test.after)) {
				got = append(got, alert.Name)
				if alert.Detail == "" || alert.Step == "" || alert.Began != sunday {
					t.Errorf("alert = %+v", alert)
				}
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("alerts (-want +got):\n%s", d)
			}
		})
	}
}

func TestAimsAreBounded(t *testing.T) {
	aims := NewAims()
	host := netip.MustParseAddr("10.0.0.0")
	for i := range 2 * mostAims {
		aims.Visit(visit(time.Duration(i)*time.Second, fmt.Sprint("s", i%100), "203.0.113.9", host.String(), exposure.ToThird))
		host = host.Next()
	}
	for i := range 2 * mostSensors {
		aims.Visit(visit(0, fmt.Sprint("s", i), "203.0.113.9", "10.200.0.0", exposure.ToThird))
	}
	if len(aims.Hosts) > mostAims || len(aims.Hosts[netip.MustParseAddr("10.200.0.0")].Sensors) > mostSensors || aims.Dropped == 0 {
		t.Errorf("%d hosts are remembered, %d dropped", len(aims.Hosts), aims.Dropped)
	}
	thirds := 0
	for _, f := range aims.Findings(sunday.Add(time.Hour)) {
		if f.Sign == Third {
			thirds++
		}
	}
	if thirds > mostThird {
		t.Errorf("%d first times are told at once", thirds)
	}
}

// A fleet is what the archive would yield: one census a minute is too many for a
// test, so each sensor tells of an hour at once.
type fleet struct {
	censuses []exposure.Census
	visits   []exposure.Visit
	r        *rand.Rand
}

// hour adds what a sensor counted: so many networks, all of them its own.
func (f *fleet) hour(at time.Time, sensor string, networks int) {
	n := sketch.New()
	for range networks {
		n.Network(netip.AddrFrom4([4]byte{byte(f.r.IntN(223) + 1), byte(f.r.IntN(256)), byte(f.r.IntN(256)), 1}))
	}
	f.censuses = append(f.censuses,
		exposure.Census{Began: at, Sensor: sensor, Class: exposure.Solicitation, Networks: exposure.Distinct{Sketch: n.Bytes()}},
		exposure.Census{Began: at.Add(time.Minute), Sensor: sensor, Health: &exposure.Health{}})
}

func (f *fleet) sources() Sources {
	return Sources{
		Censuses: func(from, to time.Time) iter.Seq2[exposure.Census, error] {
			return between(f.censuses, from, to, func(c exposure.Census) time.Time { return c.Began })
		},
		Visits: func(from, to time.Time) iter.Seq2[exposure.Visit, error] {
			return between(f.visits, from, to, func(v exposure.Visit) time.Time { return v.Observed })
		},
	}
}

func between[T any](all []T, from, to time.Time, at func(T) time.Time) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if t := at(one); !t.Before(from) && t.Before(to) && !yield(one, nil) {
				return
			}
		}
	}
}

func TestStateAdvances(t *testing.T) {
	f := &fleet{r: rand.New(rand.NewPCG(5, 6))}
	dir := t.TempDir()
	at := sunday
	for range 5 * week {
		f.hour(at, "a", 15+f.r.IntN(10))
		f.hour(at, "b", 15+f.r.IntN(10))
		at = at.Add(time.Hour)
	}
	look := func() *State {
		t.Helper()
		s, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Advance(at.Add(grace), f.sources()); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(dir); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := look()
	if n := len(s.Alerts(at)); n != 0 || len(s.Detector.Closed) != 0 {
		t.Errorf("without a surge there are %d alerts, %+v", n, s.Detector.Closed)
	}
	if all := s.Detector.Series["callback_solicitation networks "]; all == nil || all.Hours != 5*week {
		t.Errorf("over all sensors: %+v", all)
	}
	// A sensor that comes, and one that is away for some hours, are no surge.
	for i := range 24 {
		f.hour(at, "a", 20)
		if i > 3 {
			f.hour(at, "b", 20)
		}
		f.hour(at, "c", 20)
		at = at.Add(time.Hour)
	}
	if s = look(); len(s.Alerts(at)) != 0 {
		t.Errorf("a sensor more: %+v", s.Alerts(at))
	}
	// The same hour is not taken in twice.
	again := s.Detector.Series["callback_solicitation networks a"].Hours
	if s = look(); s.Detector.Series["callback_solicitation networks a"].Hours != again {
		t.Error("an hour is learnt twice")
	}
	f.hour(at, "a", 300)
	f.hour(at, "b", 20)
	f.hour(at, "c", 20)
	f.visits = append(f.visits, *visit(at.Add(30*time.Minute).Sub(sunday), "a", "203.0.113.9", "203.0.113.66", exposure.ToThird))
	at = at.Add(time.Hour)
	alerts := look().Alerts(at)
	if len(alerts) != 2 || !strings.HasPrefix(alerts[0].Name, "surge ") || alerts[1].Name != "surge third-party 203.0.113.66" {
		t.Errorf("alerts = %+v", alerts)
	}
	f.censuses = append(f.censuses, exposure.Census{Began: at, Sensor: "a", Class: exposure.Solicitation, Networks: exposure.Distinct{Sketch: []byte("nonsense")}})
	at = at.Add(time.Hour)
	if got := look().Alerts(at); len(got) != 2 || got[0].Name != alerts[0].Name {
		t.Errorf("a sketch that is none: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := look().Alerts(at); len(got) != 2 || got[0].Name != alerts[0].Name {
		t.Errorf("computed anew it is another: %+v", got)
	}
}

// TestWhatNeverCameIsASurge: a sensor that was there for weeks and heard nothing
// of a class knows what is usual of it.
func TestWhatNeverCameIsASurge(t *testing.T) {
	f := &fleet{r: rand.New(rand.NewPCG(7, 8))}
	at := sunday
	for range 5 * week {
		f.hour(at, "a", 20)
		at = at.Add(time.Hour)
	}
	n := sketch.New()
	for i := range 8 {
		n.Network(netip.AddrFrom4([4]byte{203, 0, byte(i), 1}))
	}
	f.censuses = append(f.censuses, exposure.Census{Began: at, Sensor: "a", Class: exposure.Padded, Networks: exposure.Distinct{Sketch: n.Bytes()}})
	f.hour(at, "a", 20)
	at = at.Add(time.Hour)
	s := &State{V: version, Detector: New(Config{}), Aims: NewAims()}
	if err := s.Advance(at.Add(grace), f.sources()); err != nil {
		t.Fatal(err)
	}
	e := s.Detector.Open[string(exposure.Padded)]
	if e == nil || e.Reason != Fast || e.Expected > 0.1 || len(s.Detector.Open) != 1 {
		t.Fatalf("open: %+v", s.Detector.Open)
	}
	// The sensor dies. After a day the episode does not wait for it.
	for range 12 {
		s.Detector.Hour(at, nil)
		at = at.Add(time.Hour)
	}
	if len(s.Detector.Open) != 1 {
		t.Error("silence of half a day ends it")
	}
	for range 13 {
		s.Detector.Hour(at, nil)
		at = at.Add(time.Hour)
	}
	if len(s.Detector.Open) != 0 {
		t.Error("silence of more than a day does not end it")
	}
}
