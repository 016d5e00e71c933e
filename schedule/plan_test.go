package schedule

import (
	"strings"
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone string
		after            string
		want             []string
	}{
		{
			"a fixed time in UTC", "30 3 * * *", "UTC", "2026-11-23T03:30:00Z",
			[]string{"2026-11-24T03:30:00Z", "2026-11-25T03:30:00Z"},
		},
		{
			"it follows the clock on the wall", "0 6 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28T05:00:00Z", "2026-03-29T04:00:00Z", "2026-03-30T04:00:00Z"},
		},
		{
			"a time that is left out runs right after it, once", "30 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		},
		{
			"several times that are left out run once", "0,15,30 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		},
		{
			"a time that comes twice runs the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		},
		{
			"asked in the hour that comes again", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z",
			[]string{"2026-10-26T01:30:00Z"},
		},
		{
			"every hour is about time that passes, where an hour comes twice", "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		},
		{
			"and where one is left out", "0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		},
		{
			"a zone that changes by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			// 02:00 to 02:30 is left out on 4 October.
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"},
		},
		{
			"midnight that is left out", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z",
			[]string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"},
		},
		{
			"the last of February", "0 5 29 2 *", "UTC", "2026-11-23T00:00:00Z",
			[]string{"2028-02-29T05:00:00Z"},
		},
		{
			"a word", "@daily", "Asia/Tokyo", "2026-11-23T00:00:00Z",
			[]string{"2026-11-23T15:00:00Z"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePlan(c.cron, zone(t, c.zone))
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				at = p.Next(at)
				if got := at.UTC().Format(time.RFC3339); got != want {
					t.Fatalf("Next = %s, want %s", got, want)
				}
			}
		})
	}
}

// TestNextIsLater walks two years of every zone that changes its clocks in an odd
// way: the next time is later, and none is more than a day and two hours away.
func TestNextIsLater(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"} {
		for _, cron := range []string{"30 2 * * *", "0 0 * * *", "*/20 1-3 * * *", "0 * * * *"} {
			p, err := ParsePlan(cron, zone(t, name))
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for at.Year() < 2028 {
				next := p.Next(at)
				if gap := next.Sub(at); gap <= 0 || gap > 26*time.Hour {
					t.Fatalf("%s in %s: %s is followed by %s", cron, name, at, next)
				}
				at = next
			}
		}
	}
}

func TestParsePlanRefuses(t *testing.T) {
	for _, c := range []struct{ name, cron, want string }{
		{"nothing", "", "want five fields"},
		{"four fields", "30 3 * *", "expected exactly 5 fields"},
		{"seconds", "0 30 3 * * *", "expected exactly 5 fields"},
		{"an hour that no clock has", "30 24 * * *", "above maximum"},
		{"a zone of its own", "TZ=Asia/Tokyo 30 3 * * *", "zone"},
		{"a distance", "@every 5m", "want times of the clock"},
		{"a day that never comes", "0 5 30 2 *", "there is no such day"},
		{"words", "every morning", "expected exactly 5 fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePlan(c.cron, time.UTC)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParsePlan(%q) = %v, want %q", c.cron, err, c.want)
			}
		})
	}
}

func FuzzParsePlan(f *testing.F) {
	for _, s := range []string{"30 3 * * *", "*/5 0-23/2 1,15 jan-mar mon", "@daily", "TZ=UTC 1 2 3 4 5", "0 0 31 2 *"} {
		f.Add(s)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlan(s, berlin)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
		for range 5 {
			next := p.Next(at)
			if next.IsZero() {
				return // beyond what the library looks ahead
			}
			if !next.After(at) {
				t.Fatalf("ParsePlan(%q): %s is followed by %s", s, at, next)
			}
			at = next
		}
	})
}
