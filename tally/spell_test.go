package tally

import (
	"errors"
	"iter"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
)

var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// at returns the time so many days after the start.
func at(day float64) time.Time { return start.Add(time.Duration(day * 24 * float64(time.Hour))) }

// told returns a case and its steps from words such as "0:confirmed",
// "9:contact=notified" and "12:verdict=accepted". A number alone is a sighting.
func tale(t *testing.T, words string) (exposure.Exposure, []exposure.Transition) {
	t.Helper()
	e := exposure.Exposure{
		Key:      exposure.Key{Addr: netip.MustParseAddr("192.0.2.1"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
		Severity: exposure.High, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
	}
	var steps []exposure.Transition
	for word := range strings.FieldsSeq(words) {
		number, step, moved := strings.Cut(word, ":")
		day, err := time.ParseDuration(number + "h")
		if err != nil {
			t.Fatal(err)
		}
		when := start.Add(24 * day)
		tr := exposure.Transition{Key: e.Key, Axis: exposure.AxisCondition, To: step, At: when}
		if axis, to, other := strings.Cut(step, "="); other {
			tr.Axis, tr.To = exposure.Axis(axis), to
		}
		switch {
		case !moved:
		case tr.Axis == exposure.AxisContact:
			tr.From, e.Contact = string(e.Contact), exposure.Contact(tr.To)
		case tr.Axis == exposure.AxisVerdict:
			tr.From, e.Ruling = string(e.Ruling), exposure.Ruling(tr.To)
		default:
			tr.From = string(e.Condition)
			if e.Condition != "" && !e.Condition.Open() {
				e.Cycle++
			}
			e.Condition = exposure.Condition(tr.To)
		}
		if !moved || step == "confirmed" || step == "reported" {
			if e.FirstSeen.IsZero() {
				e.FirstSeen = when
			}
			e.LastSeen = when
		}
		if tr.Cycle = e.Cycle; moved {
			steps = append(steps, tr)
		}
	}
	return e, steps
}

func TestSpells(t *testing.T) {
	type spell struct {
		end                    End
		opened, last, shut     float64 // -1: never
		notified, answered     float64
		notices, bounces, more int
	}
	n := -1.0
	for _, c := range []struct {
		name, tale string
		want       []spell
	}{
		{"seen once", "0:confirmed", []spell{{StillOpen, 0, 0, n, n, n, 0, 0, 0}}},
		{"seen again and again", "0:confirmed 4 9", []spell{{StillOpen, 0, 9, n, n, n, 0, 0, 0}}},
		{"a report that we confirm", "0:reported 3:confirmed 5", []spell{{StillOpen, 0, 5, n, n, n, 0, 0, 0}}},
		{"fixed between the last sighting and the first clean probe", "0:confirmed 6 8:one_clean 10:fixed", []spell{{Fixed, 0, 6, 8, n, n, 0, 0, 0}}},
		{"one clean probe is no end", "0:confirmed 6 8:one_clean", []spell{{Pending, 0, 6, n, n, n, 0, 0, 0}}},
		{"a clean probe that was refuted", "0:confirmed 4:one_clean 5:confirmed 8:one_clean 9:fixed", []spell{{Fixed, 0, 5, 8, n, n, 0, 0, 0}}},
		{"a feed that contradicts the fix is not believed", "0:confirmed 6:one_clean 8:fixed 9", []spell{{Fixed, 0, 0, 6, n, n, 0, 0, 0}}},
		{"a feed that contradicts one clean probe neither", "0:confirmed 6:one_clean 7", []spell{{Pending, 0, 0, n, n, n, 0, 0, 0}}},
		{"silence", "0:confirmed 3 5:not_seen", []spell{{Silent, 0, 3, n, n, n, 0, 0, 0}}},
		{"silence that was broken", "0:confirmed 5:not_seen 7:confirmed", []spell{{StillOpen, 0, 7, n, n, n, 0, 0, 0}}},
		{"lapsed after silence", "0:confirmed 3 5:not_seen 63:lapsed", []spell{{Lapsed, 0, 3, n, n, n, 0, 0, 0}}},
		{"filtered", "0:confirmed 3 5:filtered", []spell{{Filtered, 0, 3, 5, n, n, 0, 0, 0}}},
		{"filtered after one clean probe", "0:confirmed 3 4:one_clean 6:filtered", []spell{{Filtered, 0, 3, 4, n, n, 0, 0, 0}}},
		{"reopened", "0:confirmed 4:one_clean 6:fixed 20:confirmed 22", []spell{{Fixed, 0, 0, 4, n, n, 0, 0, 14}, {StillOpen, 20, 22, n, n, n, 0, 0, 0}}},
		{"lapsed and back", "0:confirmed 60:lapsed 80:reported", []spell{{Lapsed, 0, 0, n, n, n, 0, 0, 20}, {StillOpen, 80, 80, n, n, n, 0, 0, 0}}},
		{"a false positive", "0:confirmed 4:one_clean 6:fixed 20:confirmed 21:verdict=false_positive", []spell{{FalsePositive, 0, 0, 4, n, n, 0, 0, 14}, {FalsePositive, 20, 20, n, n, n, 0, 0, 0}}},
		{"a false positive that was taken back", "0:confirmed 2:verdict=false_positive 3:verdict=none 5", []spell{{StillOpen, 0, 5, n, n, n, 0, 0, 0}}},
		{"accepted", "0:confirmed 4:verdict=accepted 9", []spell{{Accepted, 0, 4, n, n, n, 0, 0, 0}}},
		{"accepted, unseen since", "0:confirmed 2 4:verdict=accepted", []spell{{Accepted, 0, 2, n, n, n, 0, 0, 0}}},
		{"an acceptance that expired", "0:confirmed 4:verdict=accepted 6:verdict=none 9", []spell{{StillOpen, 0, 9, n, n, n, 0, 0, 0}}},
		{"fixed although it was accepted", "0:confirmed 4:verdict=accepted 6 8:one_clean 9:fixed", []spell{{Accepted, 0, 0, n, n, n, 0, 0, 0}}},
		{"accepted when it was closed already", "0:confirmed 6 8:one_clean 8.5:verdict=accepted 9:fixed", []spell{{Fixed, 0, 6, 8, n, n, 0, 0, 0}}},
		{"told, bounced, told again, answered", "0:confirmed 1:contact=notified 2:contact=undeliverable 3:contact=notified 5:contact=acknowledged 6:contact=claimed 7", []spell{{StillOpen, 0, 7, n, 1, 5, 2, 1, 0}}},
		{"each cycle has its own notices", "0:confirmed 1:contact=notified 4:one_clean 6:fixed 20:confirmed 23:contact=notified", []spell{{Fixed, 0, 0, 4, 1, n, 1, 0, 14}, {StillOpen, 20, 20, n, 23, n, 1, 0, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, steps := tale(t, c.tale)
			got := Of(e, nil, steps)
			if len(got) != len(c.want) {
				t.Fatalf("%d spells, want %d", len(got), len(c.want))
			}
			day := func(at time.Time) float64 {
				if at.IsZero() {
					return -1
				}
				return days(at.Sub(start))
			}
			for i, s := range got {
				more := 0
				if !s.Reopened.IsZero() {
					more = int(days(s.Reopened.Sub(s.Over)))
				}
				have := spell{s.End, day(s.Opened), day(s.LastOpen), day(s.Closed), day(s.Notified), day(s.Answered), s.Notices, s.Bounces, more}
				if have != c.want[i] {
					t.Errorf("spell %d is %+v, want %+v", i, have, c.want[i])
				}
				if s.Cycle != i+1 {
					t.Errorf("spell %d is of cycle %d", i, s.Cycle)
				}
			}
		})
	}
}

func TestAnEarlierSightingMovesTheBeginning(t *testing.T) {
	e, steps := tale(t, "5:confirmed 9")
	e.FirstSeen = at(2)
	if got := Of(e, nil, steps)[0]; !got.Opened.Equal(at(2)) {
		t.Errorf("opened %v", got.Opened)
	}
}

func TestAnExposureWithoutHistoryIsOpenSinceItWasSeen(t *testing.T) {
	e, _ := tale(t, "5:confirmed 9")
	got := Of(e, nil, nil)
	if len(got) != 1 || !got[0].Opened.Equal(at(5)) || !got[0].LastOpen.Equal(at(9)) {
		t.Errorf("spells %+v", got)
	}
	if e.Condition = exposure.Fixed; len(Of(e, nil, nil)) != 0 {
		t.Error("a fix of which nothing is known is counted")
	}
}

func TestADeviceThatMovedKeepsItsHistory(t *testing.T) {
	_, past := tale(t, "0:confirmed 1:contact=notified 4:one_clean 6:fixed 20:confirmed 21:contact=notified")
	e, steps := tale(t, "30:confirmed 33")
	e.FirstSeen, e.Cycle, e.MovedFrom = at(0), 2, netip.MustParseAddr("192.0.2.9")
	got := Of(e, [][]exposure.Transition{past}, steps)
	if len(got) != 2 || got[0].End != Fixed || !got[1].Opened.Equal(at(20)) || !got[1].LastOpen.Equal(at(33)) || !got[1].Notified.Equal(at(21)) {
		t.Errorf("spells %+v", got)
	}
}

func TestAnAddressThatAnotherDeviceTookOver(t *testing.T) {
	e, steps := tale(t, "0:confirmed 3 5:place=192.0.2.9 30:confirmed 33")
	steps[len(steps)-1].From = ""
	e.FirstSeen = at(30)
	if got := Of(e, nil, steps); len(got) != 1 || !got[0].Opened.Equal(at(30)) {
		t.Errorf("spells %+v", got)
	}
}

func TestACleanProbeWithoutControlIsNoEnd(t *testing.T) {
	e, steps := tale(t, "0:confirmed 3 5:one_clean 9:fixed")
	e.ClearedAt = at(7)
	if got := Of(e, nil, steps)[0]; !got.Closed.Equal(at(7)) {
		t.Errorf("closed %v", got.Closed)
	}
}

func sequence[T any](err error, all ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range all {
			if !yield(x, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

func TestSpellsJoinsTheStreams(t *testing.T) {
	first, a := tale(t, "0:confirmed 4:one_clean 6:fixed")
	second, b := tale(t, "1:confirmed 2")
	third, c := tale(t, "3:confirmed")
	second.Rule = "no-tls"
	for i := range b {
		b[i].Rule = "no-tls"
	}
	third.Addr = netip.MustParseAddr("2001:db8::1")
	for i := range c {
		c[i].Addr = third.Addr
	}
	gone := a[0]
	gone.Addr = netip.MustParseAddr("192.0.2.7") // of an exposure that is not there
	steps := []exposure.Transition{a[0], b[0], a[1], a[2], gone, c[0]}
	var ends []End
	for s, err := range Spells(sequence(nil, second, first, third), sequence(nil, steps...), nil) {
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, s.End)
	}
	if len(ends) != 3 || ends[0] != StillOpen || ends[1] != Fixed || ends[2] != StillOpen {
		t.Errorf("ends %v", ends)
	}
	broken := errors.New("broken")
	for name, stream := range map[string]iter.Seq2[Spell, error]{
		"exposures": Spells(sequence(broken, first), sequence(nil, steps...), nil),
		"steps":     Spells(sequence(nil, first, third), sequence(broken, a...), nil),
	} {
		var last error
		for _, err := range stream {
			last = err
		}
		if !errors.Is(last, broken) {
			t.Errorf("%s: the last is %v", name, last)
		}
	}
}

func TestHeldOut(t *testing.T) {
	const n = 20_000
	held, other, both := 0, 0, 0
	for i := range n {
		key := "recipient " + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()
		a, b := HeldOut(key, "one", 10), HeldOut(key, "two", 10)
		if a {
			held++
		}
		if b {
			other++
		}
		if a && b {
			both++
		}
		if a && !HeldOut(key, "one", 20) {
			t.Fatalf("%s is held out at 10 %% and not at 20 %%", key)
		}
		if HeldOut(key, "one", 0) || !HeldOut(key, "one", 100) {
			t.Fatalf("%s: 0 and 100 %% are not none and all", key)
		}
	}
	for what, count := range map[string]int{"one salt": held, "another": other} {
		if math.Abs(float64(count)-n/10) > 5*math.Sqrt(n*.1*.9) {
			t.Errorf("%s holds out %d of %d", what, count, n)
		}
	}
	if math.Abs(float64(both)-n/100) > 5*math.Sqrt(n*.01*.99) {
		t.Errorf("two salts agree on %d of %d", both, n)
	}
	if !HeldOut("recipient north", "2026", 70) || HeldOut("recipient north", "2026", 69) {
		t.Error("the draw of a key has changed: every control group of the past is lost")
	}
}

func TestHoldoutDrawsRecipients(t *testing.T) {
	e, _ := tale(t, "0:confirmed")
	other := e.Key
	other.Rule = "no-tls"
	h := Holdout{Percent: 50, Salt: "s"}
	if h.Unit(e.Key, "north") != h.Unit(other, "north") || h.Unit(e.Key, "") != h.Unit(other, "") {
		t.Error("two cases of one recipient, or of one host, are two units")
	}
	h.By = ByCase
	if h.Unit(e.Key, "north") == h.Unit(other, "north") {
		t.Error("two cases are one unit")
	}
	if (Holdout{}).Arm(e.Key, "north") != Told {
		t.Error("the zero holdout holds out")
	}
	var p Percent
	for text, want := range map[string]Percent{"10%": 10, "2.5": 2.5, " 0% ": 0} {
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%q reads as %v, %v", text, p, err)
		}
	}
	for _, bad := range []string{"", "ten", "-1%", "101%", "NaN"} {
		if p.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
