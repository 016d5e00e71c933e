package outreach

import (
	"testing"
	"time"

	"ippwatch/exposure"
)

func TestSpan(t *testing.T) {
	for text, want := range map[string]string{"7d": "7d", "36h": "36h", "24h": "1d", "90m": "1h30m", "0d": "0d", "30m": "30m", "45s": "45s"} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != want {
			t.Errorf("%q = %s, %v, want %s", text, s, err, want)
		}
	}
}

func TestOpens(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	office := policy{zone: berlin, business: true, holidays: []Date{"2026-12-25"}, Rule: Rule{Hours: Hours{8 * time.Hour, 18 * time.Hour}}}
	for _, c := range []struct {
		name     string
		policy   policy
		to       exposure.Recipient
		at, want string
	}{
		{"within the hours", office, exposure.Recipient{}, "2026-11-26T10:00:00+01:00", "2026-11-26T10:00:00+01:00"},
		{"before them", office, exposure.Recipient{}, "2026-11-26T07:59:59+01:00", "2026-11-26T08:00:00+01:00"},
		{"at their end it is over", office, exposure.Recipient{}, "2026-11-26T18:00:00+01:00", "2026-11-27T08:00:00+01:00"},
		{"on a Friday evening", office, exposure.Recipient{}, "2026-11-27T19:00:00+01:00", "2026-11-30T08:00:00+01:00"},
		{"before a holiday and a weekend", office, exposure.Recipient{}, "2026-12-24T19:00:00+01:00", "2026-12-28T08:00:00+01:00"},
		{"over the change to summer time", office, exposure.Recipient{}, "2026-03-27T19:00:00+01:00", "2026-03-30T08:00:00+02:00"},
		{"at any time", policy{zone: berlin}, exposure.Recipient{}, "2026-11-28T03:00:00+01:00", "2026-11-28T03:00:00+01:00"},
		{"a contact with business days", policy{zone: berlin}, exposure.Recipient{BusinessDays: true}, "2026-11-28T03:00:00+01:00", "2026-11-30T00:00:00+01:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, _ := time.Parse(time.RFC3339, c.at)
			want, _ := time.Parse(time.RFC3339, c.want)
			if got := c.policy.opens(at, c.to); !got.Equal(want) {
				t.Errorf("opens(%s) = %s, want %s", c.at, got, want)
			}
		})
	}
}
