package form

import (
	"strconv"
	"strings"
	"time"
)

// A motion is how the values of an attribute change from day to day while the
// host stays the same.
type motion uint64

// The numbers are stored and never change their meaning.
const (
	still  motion = iota // not at all: the values are stable
	number               // the digits move, the text around them stays
	date                 // an RFC 3339 time
	word                 // any text, always as many values
	list                 // any text, any number of values
)

// volatile is the one table that splits what moves from what stays. Only what
// stays is hashed, so that a host that says the same every day costs tens of
// bytes a day. Each content row carries the motions it was written with: the
// table may grow, and old rows stay readable.
//
// Beside the attributes these fields move: Observed, Received, Reason,
// Exchange.Error, TLS.Error, the nonce in HTTP.Authenticate, Jobs.Listed and
// of Callback everything but From, UserAgent, Asked and Queue.
var volatile = []struct {
	attribute string
	motion    motion
}{
	// RFC 8011, section 5.4.
	{"printer-up-time", number},
	{"printer-current-time", date},
	{"printer-state", number},
	{"printer-state-reasons", list},
	{"printer-state-message", word},
	{"printer-is-accepting-jobs", word},
	{"queued-job-count", number},
	// RFC 3995, section 6.
	{"printer-state-change-time", number},
	{"printer-state-change-date-time", date},
	// PWG 5100.13: supplies, trays and alerts.
	{"printer-config-change-time", number},
	{"printer-config-change-date-time", date},
	{"printer-config-changes", number},
	{"printer-supply", number},
	{"printer-input-tray", number},
	{"printer-output-tray", number},
	{"printer-alert", list},
	{"printer-alert-description", list},
	{"printer-detailed-status-messages", list},
	// PWG 5100.15 and 5100.22: counters.
	{"printer-finisher", number},
	{"printer-finisher-supplies", number},
	{"printer-impressions-completed", number},
	{"printer-impressions-completed-col", number},
	{"printer-media-sheets-completed", number},
	{"printer-media-sheets-completed-col", number},
	{"printer-pages-completed", number},
	{"printer-pages-completed-col", number},
	// CUPS (https://www.cups.org/doc/spec-ipp.html).
	{"marker-levels", number},
	{"marker-message", word},
	{"marker-change-time", number},
}

var motions = func() map[string]motion {
	m := make(map[string]motion, len(volatile))
	for _, v := range volatile {
		m[v.attribute] = v.motion
	}
	return m
}()

// words are texts that move and are common; each costs one byte or two. A word's
// place in the list is stored: new ones go to the end.
var words = []string{
	"", "none", "true", "false", "no-value", "unknown", "other",
	"Idle.", "Ready", "Ready.", "Printing.", "Sleep mode", "Sleeping", "Processing.",
	"paused", "paused-report", "media-empty", "media-empty-report", "media-empty-warning", "media-empty-error",
	"media-needed", "media-needed-report", "media-needed-warning", "media-needed-error",
	"media-low", "media-low-report", "media-low-warning", "media-low-error",
	"media-jam", "media-jam-report", "media-jam-warning", "media-jam-error",
	"toner-low", "toner-low-report", "toner-low-warning", "toner-low-error",
	"toner-empty", "toner-empty-report", "toner-empty-warning", "toner-empty-error",
	"marker-supply-low-report", "marker-supply-low-warning", "marker-supply-low-error",
	"marker-supply-empty-report", "marker-supply-empty-warning", "marker-supply-empty-error",
	"marker-waste-almost-full-report", "marker-waste-almost-full-warning",
	"marker-waste-full-report", "marker-waste-full-warning", "marker-waste-full-error",
	"cover-open", "cover-open-report", "cover-open-warning", "cover-open-error",
	"door-open", "door-open-report", "door-open-warning", "door-open-error",
	"input-tray-missing", "input-tray-missing-report", "input-tray-missing-warning", "input-tray-missing-error",
	"offline", "offline-report", "shutdown", "stopped-partly", "stopping", "moving-to-paused",
	"connecting-to-device", "timed-out", "spool-area-full", "spool-area-full-report",
	"output-area-almost-full", "output-area-almost-full-report", "output-area-full", "output-area-full-warning",
	"other-report", "other-warning", "other-error", "wake-timed-out", "power-down", "hibernate", "standby", "deactivated",
	"cups-insecure-filter-warning", "cups-missing-filter-warning", "cups-waiting-for-job-completed",
}

var wordIndex = func() map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		m[w] = i
	}
	return m
}()

// text writes a text that moves: odd is the index of a word, even a length.
func (s *Sink) text(v string) {
	if i, ok := wordIndex[v]; ok {
		s.Uint(uint64(i)<<1 | 1)
		return
	}
	s.Uint(uint64(len(v)) << 1)
	*s = append(*s, v...)
}

func (s *Source) text() string {
	v := s.Uint()
	if v&1 == 0 {
		return s.take(v >> 1)
	}
	if v>>1 >= uint64(len(words)) {
		s.fail()
		return ""
	}
	return words[v>>1]
}

// numbers splits v at its decimal numbers: the text between them goes to
// stable, each piece with its length and whether a number follows. A number
// that would not come back as it was (a leading zero, more than 18 digits) is
// text.
func numbers(stable, moving *Sink, v string) {
	for {
		from, to := firstNumber(v)
		if from == to {
			stable.Uint(uint64(len(v)) << 1)
			*stable = append(*stable, v...)
			return
		}
		stable.Uint(uint64(from)<<1 | 1)
		*stable = append(*stable, v[:from]...)
		n, _ := strconv.ParseUint(v[from:to], 10, 64) // at most 18 digits
		moving.Uint(n)
		v = v[to:]
	}
}

func firstNumber(v string) (from, to int) {
	for i := 0; i < len(v); {
		if v[i] < '0' || v[i] > '9' {
			i++
			continue
		}
		end := i
		for end < len(v) && v[end] >= '0' && v[end] <= '9' {
			end++
		}
		if end-i <= 18 && (v[i] != '0' || end-i == 1) {
			return i, end
		}
		i = end
	}
	return 0, 0
}

func joinNumbers(stable, moving *Source) string {
	var room [64]byte
	b := room[:0]
	for {
		v := stable.Uint()
		b = append(b, stable.take(v>>1)...)
		if v&1 == 0 || stable.Err != nil || moving.Err != nil {
			return string(b)
		}
		b = strconv.AppendUint(b, moving.Uint(), 10)
	}
}

// splitDate writes an RFC 3339 time as its distance from the observation: a
// printer's clock is near ours. The zone stays; what is no such time moves as
// a text, with an empty zone.
func splitDate(stable, moving *Sink, observed time.Time, v string) {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.Format(time.RFC3339Nano) != v {
		stable.Str("")
		moving.text(v)
		return
	}
	zone := "Z"
	if !strings.HasSuffix(v, "Z") {
		zone = v[len(v)-len("+00:00"):]
	}
	stable.Str(zone)
	away := t.Unix() - observed.Unix()
	if t.Nanosecond() == 0 {
		moving.Int(away << 1)
		return
	}
	moving.Int(away<<1 | 1)
	moving.Uint(uint64(t.Nanosecond()))
}

func joinDate(stable, moving *Source, observed time.Time) string {
	zone := stable.Str()
	if zone == "" {
		return moving.text()
	}
	away, nsec := moving.Int(), uint64(0)
	if away&1 != 0 {
		nsec = moving.Uint()
	}
	loc := time.UTC
	if zone != "Z" {
		at, err := time.Parse("Z07:00", zone)
		if err != nil {
			stable.fail()
			return ""
		}
		_, offset := at.Zone()
		loc = time.FixedZone("", offset)
	}
	t := time.Unix(observed.Unix()+away>>1, int64(nsec%uint64(time.Second)))
	return t.In(loc).Format(time.RFC3339Nano)
}

// nonceMark is where the part of a challenge begins that a server makes anew
// for every answer (RFC 7616, section 3.3).
const nonceMark = `nonce="`

// splitNonce parts a challenge around its nonce: before, nonce, after.
func splitNonce(v string) (before, nonce, after string) {
	i := strings.Index(v, nonceMark)
	if i < 0 {
		return v, "", ""
	}
	i += len(nonceMark)
	end := strings.IndexByte(v[i:], '"')
	if end < 0 {
		return v, "", ""
	}
	return v[:i], v[i : i+end], v[i+end:]
}
