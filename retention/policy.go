package retention

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Days is how long something is kept; the zero value is for ever.
type Days int

var (
	_ encoding.TextUnmarshaler = (*Days)(nil)
	_ encoding.TextMarshaler   = Days(0)
)

// UnmarshalText reads "400d" or "forever".
func (d *Days) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "forever" {
		*d = 0
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "d"), 10, 16)
	if err != nil || n == 0 || !strings.HasSuffix(s, "d") {
		return fmt.Errorf("%q: want a number of days such as 400d, or forever", s)
	}
	*d = Days(n)
	return nil
}

// MarshalText writes what [Days.UnmarshalText] reads.
func (d Days) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is "400d" or "forever".
func (d Days) String() string {
	if d == 0 {
		return "forever"
	}
	return strconv.Itoa(int(d)) + "d"
}

// Before returns the beginning of the first UTC day that is kept, and false if
// all are.
func (d Days) Before(now time.Time) (time.Time, bool) {
	if d == 0 {
		return time.Time{}, false
	}
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -int(d)), true
}

// Policy is the section "retention" of the configuration: how long each class
// of data is kept.
type Policy struct {
	Observations Days `yaml:"observations"`
	Cases        Days `yaml:"cases"`       // since they were closed
	Transitions  Days `yaml:"transitions"` // of cases that are not open
	Runs         Days `yaml:"runs"`        // with their ticks
	Audit        Days `yaml:"audit"`
	Parked       Days `yaml:"parked"`
	Messages     Days `yaml:"messages"`
	Alerts       Days `yaml:"alerts"`
}

// Default keeps what was seen for a year and a month, so that a year can be
// compared with the one before, and what we did to others for three years: so
// long somebody may ask.
func Default() Policy {
	return Policy{Observations: 400, Cases: 730, Transitions: 1095, Runs: 1095, Audit: 1826, Parked: 90, Messages: 1095, Alerts: 365}
}

// Check complains about what cannot be, by key.
func (p *Policy) Check(complain func(key string, err error)) {
	if p.Transitions != 0 && (p.Cases == 0 || p.Transitions < p.Cases) {
		complain("transitions", fmt.Errorf("%s: shorter than cases, %s: a case would outlive its history", p.Transitions, p.Cases))
	}
	if p.Runs != 0 && (p.Observations == 0 || p.Runs < p.Observations) {
		complain("runs", errors.New("shorter than observations: nobody could say under whose authority they were made"))
	}
}
