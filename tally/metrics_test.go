package tally

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
)

var update = flag.Bool("update", false, "rewrite golden files")

// spells returns n spells that are made by f from their number.
func spells(n int, f func(i int) Spell) []Spell {
	out := make([]Spell, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

// steady is open from day 0, seen every day, and found closed on the day.
func steady(day float64) Spell {
	return Spell{Cycle: 1, End: Fixed, Opened: at(0), LastOpen: at(day - 1), Closed: at(day), Over: at(day + 1)}
}

func collect(o Options, groups map[string][]Spell) Report {
	c := New(o)
	for _, name := range []string{"a", "b", "<script>\u202e&"} {
		for i := range groups[name] {
			c.Add(&groups[name][i], Place{Group: name})
		}
	}
	return c.Report()
}

func TestReport(t *testing.T) {
	o := Options{Until: at(100), FirstLook: at(-10)}
	all := spells(20, func(i int) Spell {
		s := steady(float64(i + 1))
		if i < 10 {
			s.Notified, s.Notices, s.Reached = at(.5), 1, true
		}
		if i < 5 {
			s.Answered = at(3)
		}
		if i == 9 {
			s.Bounces, s.Reached = 1, false
		}
		return s
	})
	all = append(all, Spell{Cycle: 1, End: FalsePositive, Opened: at(0), LastOpen: at(50)})
	r := collect(o, map[string][]Spell{"a": all})
	g := r.All
	if g.Spells != 20 || g.Events != 20 || g.Censored != 0 || g.LeftOut != 1 || g.Ends[FalsePositive] != 1 {
		t.Errorf("counts %+v", g)
	}
	near(t, "half-life", g.HalfLife.Value, 9.5, 1e-6) // the tenth, between day 9 and day 10
	near(t, "fixed at 14", g.Closed[0].Value, 14./20, 1e-6)
	near(t, "fixed at 30", g.Closed[1].Value, 1, 1e-6)
	near(t, "delivered", g.Delivered.Value, .9, 1e-9)
	near(t, "bounced", g.Bounced.Value, .1, 1e-9)
	// Wilson for 1 of 10, as every table has it.
	near(t, "bounced, low", g.Bounced.Low, .0179, 5e-5)
	near(t, "bounced, high", g.Bounced.High, .4042, 5e-5)
	near(t, "exposure-days", g.ExposureDays, 200, .05) // .5 + 1.5 + ... + 19.5
	// Ten of twenty were told; the others ended untold on days 12 to 21.
	near(t, "time to notice", g.Notice.Value, .5, 1e-6)
	// Five of ten answered after 2.5 days; the other five ended on days 7 to 11.
	near(t, "time to acknowledge", g.Answer.Value, 2.5, 1e-6)
	if r.Prevalent != 0 || r.Test != nil {
		t.Errorf("report %+v", r)
	}
}

func TestOptions(t *testing.T) {
	young := spells(20, func(i int) Spell { return steady(float64(i + 1)) })
	old := spells(20, func(i int) Spell {
		s := steady(float64(i + 1))
		s.Opened = at(-60)
		return s
	})
	groups := map[string][]Spell{"a": young, "b": old}
	for _, c := range []struct {
		name                    string
		o                       Options
		cases, before, prevails int
		half                    float64
	}{
		{"all", Options{Until: at(100), FirstLook: at(-60)}, 40, 0, 20, 19.5},
		{"new only", Options{Until: at(100), FirstLook: at(-60), NewOnly: true}, 20, 0, 20, 9.5},
		// What was old enters at the age of 60 days, when nothing young is left:
		// the curve cannot say how the ones grew as old as the others.
		{"since", Options{Until: at(100), Since: at(0)}, 40, 0, 0, math.NaN()},
		{"since, some were over", Options{Until: at(100), Since: at(0.6)}, 38, 2, 0, 10.5},
		{"turnbull has no late entry", Options{Until: at(100), Since: at(0), Turnbull: true}, 20, 20, 0, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := collect(c.o, groups)
			if r.All.Spells != c.cases || r.Before != c.before || r.Prevalent != c.prevails {
				t.Errorf("%d cases, %d before, %d of the first look; want %d, %d, %d", r.All.Spells, r.Before, r.Prevalent, c.cases, c.before, c.prevails)
			}
			if c.name == "since, some were over" {
				return // all of them enter late by then
			}
			near(t, "half-life", r.All.HalfLife.Value, c.half, 1e-4)
		})
	}
}

// TestTooLittleIsSaid holds that no number is given that means nothing.
func TestTooLittleIsSaid(t *testing.T) {
	open := func(i int) Spell {
		return Spell{Cycle: 1, End: StillOpen, Opened: at(0), LastOpen: at(float64(20 + i))}
	}
	for _, c := range []struct {
		name       string
		spells     []Spell
		half, at30 Word
	}{
		{"none", nil, TooFew, TooFew},
		{"nine", spells(9, func(i int) Spell { return steady(float64(i + 1)) }), TooFew, TooFew},
		{"ten", spells(10, func(i int) Spell { return steady(float64(i + 1)) }), "", ""},
		{"none is fixed yet", spells(20, open), NotReached, ""},
		{"followed for 29 days at most", spells(10, open), NotReached, TooEarly},
		{"four fixes", append(spells(4, func(i int) Spell { return steady(float64(i + 1)) }), spells(20, open)...), TooFew, ""},
		{"one survivor at 30", append(spells(8, func(i int) Spell { return steady(float64(i + 1)) }), append(spells(8, func(int) Spell { return open(-10) }), open(40))...), NotReached, TooFew},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := collect(Options{Until: at(100)}, map[string][]Spell{"a": c.spells}).All
			if g.HalfLife.Word != c.half || g.Closed[1].Word != c.at30 {
				t.Errorf("half-life %+v, at 30 days %+v; want %q and %q", g.HalfLife, g.Closed[1].Figure, c.half, c.at30)
			}
		})
	}
}

func TestFiguresInWords(t *testing.T) {
	nan := math.NaN()
	for want, f := range map[string]Figure{
		"12.3 d (8.1 to 20)": {Value: 12.34, Low: 8.06, High: 20},
		"12 d (8 to ?)":      {Value: 12, Low: 8, High: nan},
		"12 d":               {Value: 12, Low: nan, High: nan},
		"> 45 d":             {Value: nan, Low: 45, High: nan, Word: NotReached},
		"too few":            without(TooFew),
	} {
		if got := f.Days(); got != want {
			t.Errorf("%+v reads %q, want %q", f, got, want)
		}
	}
	b, err := json.Marshal(Figure{Value: .12345, Low: nan, High: math.Inf(1), Word: TooFew})
	if err != nil || string(b) != `{"value":0.123,"low":null,"high":null,"why":"too few"}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestArmsAreComparedAsTheyWereDrawn(t *testing.T) {
	c := New(Options{Until: at(100), Arms: true, ByArm: true})
	for i := range 60 {
		s, arm := steady(float64(i%20+1)), Told
		if i%3 == 0 {
			s, arm = steady(float64(2*(i%20)+5)), Held
		}
		s.Notified, s.Notices, s.Reached = at(.5), 1, true
		c.Add(&s, Place{Group: string(arm), Arm: arm, Unit: fmt.Sprint(i/3*3, arm)})
	}
	r := c.Report()
	if r.Test == nil || r.Drawn == nil || r.Drawn.Units != 40 || r.Test.P > .05 || len(r.Differences) != 2 {
		t.Fatalf("report %+v, %+v, %+v", r.Test, r.Drawn, r.Differences)
	}
	d := r.Differences[0]
	told, held := r.named(string(Told)), r.named(string(Held))
	near(t, "points at 14", d.Closed.Value, told.Closed[0].Value-held.Closed[0].Value, 1e-9)
	if d.Hazard.Value <= 0 || d.Closed.Low >= d.Closed.Value {
		t.Errorf("difference %+v", d)
	}
	if held.Notice.Word != NoCase {
		t.Errorf("time to notice of the held out is %+v", held.Notice)
	}
}

func TestSVG(t *testing.T) {
	o := Options{Until: at(100)}
	groups := map[string][]Spell{
		"a": spells(30, func(i int) Spell { return steady(float64(i + 1)) }),
		"b": append(spells(12, func(i int) Spell { return steady(float64(3*i + 5)) }), spells(6, func(i int) Spell {
			return Spell{Cycle: 1, End: StillOpen, Opened: at(0), LastOpen: at(float64(8 * (i + 1)))}
		})...),
		"<script>\u202e&": spells(11, func(int) Spell { return steady(20) }),
	}
	for name, c := range map[string]struct {
		o      Options
		groups map[string][]Spell
	}{
		"curves": {o, groups}, "turnbull": {Options{Until: at(100), Turnbull: true}, map[string][]Spell{"b": groups["b"]}}, "none": {o, nil},
	} {
		r := collect(c.o, c.groups)
		var b bytes.Buffer
		missing, err := SVG(&b, &r, "How long <they> stay open")
		if err != nil || missing != 0 {
			t.Fatalf("%s: %d missing, %v", name, missing, err)
		}
		wellFormed(t, name, b.Bytes())
		golden := filepath.Join("testdata", name+".svg.golden")
		if *update {
			if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s differs from %s; look at it and run go test -update", name, golden)
		}
	}
}

func wellFormed(t *testing.T, name string, text []byte) {
	t.Helper()
	if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Inf")) || bytes.ContainsRune(text, '\u202e') {
		t.Errorf("%s has what nobody can draw", name)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e, ok := token.(xml.StartElement); ok && strings.EqualFold(e.Name.Local, "script") {
			t.Errorf("%s runs a script", name)
		}
	}
}

// TestALargePictureIsSmall: as many steps as dots, not as cases.
func TestALargePictureIsSmall(t *testing.T) {
	r := collect(Options{Until: at(400)}, map[string][]Spell{"a": spells(50_000, func(i int) Spell {
		s := steady(2 + 300*math.Sqrt(float64(i)/50_000))
		if i%2 == 0 {
			s.End, s.Closed, s.Over = StillOpen, time.Time{}, time.Time{}
		}
		return s
	})})
	var b bytes.Buffer
	if _, err := SVG(&b, &r, "large"); err != nil || b.Len() > 100_000 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
}

func TestEveryEndIsListed(t *testing.T) {
	for _, end := range []End{StillOpen, Fixed, Filtered, Pending, Silent, Lapsed, Accepted, FalsePositive} {
		if end.index() < 0 {
			t.Errorf("%s is not listed", end)
		}
	}
	for _, c := range []exposure.Condition{exposure.Fixed, exposure.Filtered, exposure.Lapsed} {
		if End(c).index() < 0 {
			t.Errorf("the end of %s has another name", c)
		}
	}
}

func BenchmarkKaplanMeier(b *testing.B) {
	lives := make([]Life, 1_000_000)
	for i := range lives {
		t := math.Mod(float64(i)*0.7548776662, 1) * 300
		lives[i] = Life{-1, t, t + 1}
		if i%3 == 0 {
			lives[i].Hi = never64
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if c := KaplanMeier(lives); c.N != len(lives) {
			b.Fatal(c.N)
		}
	}
}

func BenchmarkTurnbull(b *testing.B) {
	lives := make([]Life, 1_000_000)
	for i := range lives {
		t := math.Mod(float64(i)*0.7548776662, 1) * 300
		lives[i] = Life{-1, t, t + 1}
		if i%3 == 0 {
			lives[i].Hi = never64
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		rounded, _ := coarse(lives)
		t := NewTurnbull(rounded)
		b.ReportMetric(float64(t.Iterations), "iterations")
		b.ReportMetric(t.Gap, "gap")
	}
}
