package outreach

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/rule"
	"ippwatch/tally"
)

// Rules are the section "outreach" of the configuration: who is told of what,
// when, and by whose decision. The first rule that fits an exposure counts.
type Rules struct {
	// Sender is who writes.
	Sender advisory.Sender `yaml:"sender"`
	// Template is a directory with the operator's own texts; what is not there is
	// taken from those that come with ippwatch.
	Template string `yaml:"template" config:"path"`
	// Webhooks are the receivers that a contact may name by its URL.
	Webhooks []notify.WebhookConfig `yaml:"webhooks"`

	Zone         string `yaml:"zone"` // of hours and days, such as Europe/Berlin; default UTC
	Hours        Hours  `yaml:"hours"`
	BusinessDays bool   `yaml:"business_days"` // Monday to Friday, and none of the holidays
	Holidays     []Date `yaml:"holidays"`

	// Interval is the least time between two messages to one recipient as the
	// contact of one constituent; a contact may want a longer one.
	Interval Span               `yaml:"interval"`
	Sources  []string           `yaml:"sources"` // own, import, security.txt, rdap, cert
	Media    []exposure.Channel `yaml:"media"`
	Forms    []exposure.Form    `yaml:"formats"` // of those who did not say
	Ladder   []Rung             `yaml:"ladder"`
	MaxMails int                `yaml:"max_mails"` // about one exposure, in one cycle
	// Patience is how long an answer stops the ladder.
	Patience Span `yaml:"patience"`
	// GiveUp is how long a server may put us off before the next contact is
	// asked.
	GiveUp Span `yaml:"give_up"`

	Holdout       tally.Holdout     `yaml:"holdout"`
	HoldoutExempt exposure.Severity `yaml:"holdout_exempt"` // this and worse is always told

	Limits Limits `yaml:"limits"`
	// ResendUncertain sends a message again, with the same Message-ID, of which a
	// crash left unknown whether it arrived. It may tell somebody twice.
	ResendUncertain bool `yaml:"resend_uncertain"`
	// Simulated tells of hosts that say of themselves that they are: to try it out.
	Simulated bool `yaml:"simulated"`

	Rules []Rule `yaml:"rules"`
}

// Limits say when a run waits for a person.
type Limits struct {
	Messages int     `yaml:"messages"` // in one run
	Surge    float64 `yaml:"surge"`    // times the median of the last 14 days with mail
}

// A Rule says for some exposures how they are told. What it leaves out is that
// of the section.
type Rule struct {
	Name string `yaml:"name"`

	Severity     exposure.Severity    `yaml:"severity"` // this and worse
	Findings     []string             `yaml:"findings"` // ids of ippwatch rules
	Conditions   []exposure.Condition `yaml:"conditions"`
	Constituents []string             `yaml:"constituents"`
	Except       []string             `yaml:"except"`
	Countries    []string             `yaml:"countries"`
	MinAge       Span                 `yaml:"min_age"`

	Sources      []string           `yaml:"sources"`
	Media        []exposure.Channel `yaml:"media"`
	Ladder       []Rung             `yaml:"ladder"`
	Template     string             `yaml:"template" config:"path"`
	Language     string             `yaml:"language"` // for all; else the contact's, the constituent's, en
	Forms        []exposure.Form    `yaml:"formats"`
	Interval     Span               `yaml:"interval"`
	Hours        Hours              `yaml:"hours"`
	BusinessDays *bool              `yaml:"business_days"`
	Thanks       bool               `yaml:"thanks"` // a message when the fix was verified
	Hold         bool               `yaml:"hold"`   // plan, but do not send
}

// A Rung is who is told when nobody has acted.
type Rung struct {
	After Span `yaml:"after"` // since the first message
	// Roles of contacts, those that are asked first at the head: a role by its
	// name, "cert" for the CSIRT above, "other" for whoever was not told yet.
	Roles []string `yaml:"roles"`
}

// Roles that stand for more than their name.
const (
	roleOther = "other"
	roleCERT  = "cert"
)

// DefaultRules are the rules of an empty section. They name no one: without a
// rule nothing is sent.
func DefaultRules() Rules {
	const day = Span(24 * time.Hour)
	return Rules{
		Zone: "UTC", Interval: day, Sources: []string{exposure.OwnData, sourceImport},
		Media: []exposure.Channel{exposure.ByMail, exposure.ByWebhook},
		Forms: []exposure.Form{exposure.FormText, exposure.FormHTML, exposure.FormCSV},
		Ladder: []Rung{
			{0, []string{"technical", "abuse", "noc", "security", roleOther}},
			{7 * day, []string{roleOther}},
			{21 * day, []string{"management", roleCERT, roleOther}},
		},
		MaxMails: 3, Patience: 14 * day, GiveUp: 5 * day,
		Limits: Limits{Messages: 500, Surge: 3},
	}
}

// sourceImport stands for every import.
const sourceImport = "import"

var (
	ruleName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	sources    = []string{exposure.OwnData, sourceImport, exposure.SecurityTxt, exposure.RDAP, exposure.NationalCSIRT}
	media      = []exposure.Channel{exposure.ByMail, exposure.ByWebhook}
	forms      = []exposure.Form{exposure.FormText, exposure.FormHTML, exposure.FormCSV, exposure.FormXARF}
	conditions = []exposure.Condition{exposure.Reported, exposure.Confirmed}
	languages  = []string{"en", "de", "ja"}
)

// Check complains about what cannot be, by key.
func (r *Rules) Check(complain func(key string, err error)) {
	if _, err := time.LoadLocation(r.Zone); err != nil {
		complain("zone", fmt.Errorf("%q: want a zone such as Europe/Berlin", r.Zone))
	}
	if r.Interval <= 0 {
		complain("interval", errors.New("want a time above 0, such as 1d"))
	}
	if r.MaxMails < 1 || r.MaxMails > 3 {
		complain("max_mails", fmt.Errorf("%d: want 1 to 3; more than three mails were never shown to help", r.MaxMails))
	}
	if r.GiveUp <= 0 {
		complain("give_up", errors.New("want a time above 0, such as 5d"))
	}
	if r.Limits.Messages < 1 {
		complain("limits.messages", fmt.Errorf("%d: want a number above 0", r.Limits.Messages))
	}
	if r.Limits.Surge < 1 {
		complain("limits.surge", fmt.Errorf("%g: want 1 or more", r.Limits.Surge))
	}
	if r.HoldoutExempt != "" {
		among(complain, "holdout_exempt", exposure.Severities, r.HoldoutExempt)
	}
	if r.Holdout.Percent > 0 && r.Holdout.Salt == "" {
		complain("holdout.salt", errors.New("missing: any words; other words draw another group"))
	}
	among(complain, "sources", sources, r.Sources...)
	among(complain, "media", media, r.Media...)
	among(complain, "formats", forms, r.Forms...)
	ladder(complain, "ladder", r.Ladder)
	for i, w := range r.Webhooks {
		if err := w.Check(); err != nil {
			complain(fmt.Sprintf("webhooks.%d", i), err)
		}
	}
	named := make(map[string]bool)
	for i := range r.Rules {
		r.Rules[i].check(fmt.Sprintf("rules.%d.", i), named, complain)
	}
}

func (r *Rule) check(at string, named map[string]bool, complain func(key string, err error)) {
	switch {
	case !ruleName.MatchString(r.Name):
		complain(at+"name", fmt.Errorf("%q: want small letters, digits and hyphens", r.Name))
	case named[r.Name]:
		complain(at+"name", fmt.Errorf("%q: another rule has that name", r.Name))
	}
	named[r.Name] = true
	if r.Severity != "" {
		among(complain, at+"severity", exposure.Severities, r.Severity)
	}
	for i, id := range r.Findings {
		if _, ok := rule.ByID(id); !ok {
			complain(fmt.Sprintf("%sfindings.%d", at, i), fmt.Errorf("%q: no such rule; ippwatch rules lists them", id))
		}
	}
	among(complain, at+"conditions", conditions, r.Conditions...)
	among(complain, at+"sources", sources, r.Sources...)
	among(complain, at+"media", media, r.Media...)
	among(complain, at+"formats", forms, r.Forms...)
	if r.Language != "" {
		among(complain, at+"language", languages, r.Language)
	}
	for i, c := range r.Countries {
		if len(c) != 2 || strings.ToUpper(c) != c {
			complain(fmt.Sprintf("%scountries.%d", at, i), fmt.Errorf("%q: want two capitals, such as DE", c))
		}
	}
	if len(r.Ladder) > 0 {
		ladder(complain, at+"ladder", r.Ladder)
	}
}

func among[T ~string](complain func(key string, err error), key string, allowed []T, words ...T) {
	for i, w := range words {
		if slices.Contains(allowed, w) {
			continue
		}
		at := key
		if len(words) > 1 {
			at = fmt.Sprintf("%s.%d", key, i)
		}
		var list []string
		for _, a := range allowed {
			list = append(list, string(a))
		}
		complain(at, fmt.Errorf("%q: want %s", string(w), strings.Join(list, ", ")))
	}
}

func ladder(complain func(key string, err error), key string, rungs []Rung) {
	if len(rungs) == 0 {
		complain(key, errors.New("no rung: nobody would be told"))
	}
	for i, r := range rungs {
		switch {
		case i == 0 && r.After != 0:
			complain(key+".0.after", errors.New("want 0d: the others count from the first message"))
		case i > 0 && r.After <= rungs[i-1].After:
			complain(fmt.Sprintf("%s.%d.after", key, i), errors.New("want a later day than that of the rung before"))
		}
		if len(r.Roles) == 0 {
			complain(fmt.Sprintf("%s.%d.roles", key, i), errors.New("no role: nobody would be told"))
		}
	}
}

// A Span is a length of time such as 7d, 36h or 30m.
type Span time.Duration

var errSpan = errors.New("want a time such as 7d, 36h or 30m")

// UnmarshalText reads a length of time.
func (s *Span) UnmarshalText(b []byte) error {
	text := string(b)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > 3650 {
			return fmt.Errorf("%q: %w", text, errSpan)
		}
		*s = Span(n) * Span(24*time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q: %w", text, errSpan)
	}
	*s = Span(d)
	return nil
}

// MarshalText writes what [Span.UnmarshalText] reads.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the span as people write it.
func (s Span) String() string {
	if day := Span(24 * time.Hour); s%day == 0 {
		return fmt.Sprintf("%dd", s/day)
	}
	text := time.Duration(s).String()
	text = strings.TrimSuffix(text, "0s")
	return strings.TrimSuffix(text, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(text, "h0m")]
}

// A Date is a day such as 2026-12-25.
type Date string

// UnmarshalText reads a day.
func (d *Date) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("%q: want a day such as 2026-12-25", b)
	}
	*d = Date(b)
	return nil
}

// Hours are a part of the day such as 08:00-18:00; the zero Hours are all of it.
type Hours struct{ from, to time.Duration }

var hours = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$`)

// UnmarshalText reads a part of the day.
func (h *Hours) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = Hours{}
		return nil
	}
	m := hours.FindStringSubmatch(string(b))
	at := func(i int) time.Duration {
		hour, _ := strconv.Atoi(m[i])
		minute, _ := strconv.Atoi(m[i+1])
		return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	}
	if m == nil || at(1) >= at(3) || at(3) > 24*time.Hour {
		return fmt.Errorf("%q: want hours such as 08:00-18:00", b)
	}
	h.from, h.to = at(1), at(3)
	return nil
}

// MarshalText writes what [Hours.UnmarshalText] reads.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// String returns the hours as people write them, "" for the whole day.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(h.from) + "-" + clock(h.to)
}
