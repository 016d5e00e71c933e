package advisory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/report"
	"ippwatch/rule"
)

// A Report is what an advisory is made of: every case of somebody's networks,
// open or not. An advisory says no more than stands in them.
type Report struct {
	Language  Language
	Reader    Reader
	Title     string // for whom, such as an organisation; empty for everybody
	Country   string // ISO 3166-1 alpha-2, when it is about one
	Date      time.Time
	Exposures []exposure.Exposure
	Sender    Sender
}

// networksShown is how many networks are counted one by one.
const networksShown = 20

// What the template of an advisory sees.
type (
	documentView struct {
		Language, Reader, Title, Country string
		Date                             string
		Oldest, Newest                   string // the first and the last sighting of what is open
		Sender                           Sender
		Hosts, Confirmed, Reported, Rest int
		Cases                            int
		Conditions                       []countView // cases, by what is known
		Rules                            []ruleView
		Networks                         []networkView
		MoreNetworks                     int
		Table                            []doorView
		More                             int
		Filter                           string // for nftables
		Sources                          []string
		Simulated                        bool
	}
	countView struct {
		Condition, State string
		Cases            int
	}
	networkView struct {
		Name                       string
		Hosts, Confirmed, Reported int
	}
)

// Document returns the advisory in Markdown.
func (t *Texts) Document(r Report) (string, error) {
	layout, ok := t.document[r.Language]
	if !ok {
		return "", fmt.Errorf("advisory in %q: want en, de or ja", r.Language)
	}
	s := &speaker{prose: layout}
	v, err := t.documentView(r, s)
	if err != nil {
		return "", err
	}
	s.data = v
	text, err := s.write(layout)
	if err != nil {
		return "", err
	}
	return tidy(text), nil
}

func (t *Texts) documentView(r Report, s *speaker) (*documentView, error) {
	v := &documentView{
		Language: string(r.Language), Reader: string(r.Reader), Title: report.Plain(r.Title), Country: report.Plain(r.Country),
		Date: day(r.Language, r.Date), Sender: r.Sender, Filter: filter(r.Reader),
	}
	// The words about a state need no data of their own.
	s.data = v
	var open []exposure.Exposure
	tallied := make(map[exposure.Condition]int)
	var oldest, newest time.Time
	for _, e := range r.Exposures {
		if e.Ruling == exposure.FalsePositive {
			continue
		}
		tallied[e.Condition]++
		if !e.Condition.Open() {
			continue
		}
		open = append(open, e)
		if oldest.IsZero() || e.FirstSeen.Before(oldest) {
			oldest = e.FirstSeen
		}
		if e.LastSeen.After(newest) {
			newest = e.LastSeen
		}
		v.Simulated = v.Simulated || e.Simulated
	}
	v.Cases, v.Oldest, v.Newest = len(open), day(r.Language, oldest), day(r.Language, newest)
	v.Hosts, v.Confirmed, v.Reported = tally(open)
	v.Rest = v.Hosts - v.Confirmed - v.Reported
	for _, c := range []exposure.Condition{
		exposure.Confirmed, exposure.Reported, exposure.OneClean, exposure.NotSeen, exposure.Fixed, exposure.Filtered, exposure.Lapsed,
	} {
		state, err := s.word("state-" + string(c))
		if err != nil {
			return nil, err
		}
		v.Conditions = append(v.Conditions, countView{string(c), state, tallied[c]})
	}
	var err error
	if v.Rules, err = t.ruleViews(r.Language, open, s, 0); err != nil {
		return nil, err
	}
	v.Networks, v.MoreNetworks = networks(open)
	// A CSIRT's advisory is passed on: it counts and names no host.
	if r.Reader != CSIRT {
		if v.Table, v.More, err = table(open, s, 2*rowsOfTable); err != nil {
			return nil, err
		}
	}
	v.Sources = sources(v.Rules)
	return v, nil
}

// networks counts the hosts by AS, the most first.
func networks(open []exposure.Exposure) (views []networkView, more int) {
	by := make(map[string][]exposure.Exposure)
	for _, e := range open {
		name := ""
		if e.Where.ASN != 0 {
			name = strings.TrimSpace(fmt.Sprintf("AS%d %s", e.Where.ASN, report.Plain(e.Where.ASName)))
		}
		by[name] = append(by[name], e)
	}
	for name, list := range by {
		v := networkView{Name: name}
		v.Hosts, v.Confirmed, v.Reported = tally(list)
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b networkView) int { return cmp.Or(b.Hosts-a.Hosts, strings.Compare(a.Name, b.Name)) })
	more = max(0, len(views)-networksShown)
	return views[:len(views)-more], more
}

// sources are the authorities of the rules that found something.
func sources(rules []ruleView) []string {
	var all []string
	for _, v := range rules {
		r, _ := rule.ByID(v.ID)
		for _, a := range r.Authority {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// filter is the filter for nftables: on the host itself, or on the way to
// many. It looks at the protocol behind IPv6's extension headers, as "ip6
// nexthdr" does not (facts/filters-and-outreach.md 0).
func filter(r Reader) string {
	chain, hook := "from_internet", "forward"
	if r == Owner {
		hook = "input"
	}
	return fmt.Sprintf(`table inet epf631 {
	set allowed4 { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } }
	set allowed6 { type ipv6_addr; flags interval; elements = { 2001:db8::/32 } }
	chain %s {
		type filter hook %s priority filter; policy accept;
		ip saddr @allowed4 accept
		ip6 saddr @allowed6 accept
		meta l4proto { tcp, udp } th dport 631 counter drop
	}
}
`, chain, hook)
}

// markdown escapes what Markdown would take for markup, or for a link.
func markdown(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\`*_[]<>|~&#!", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return strings.NewReplacer("://", `\://`, "www.", `www\.`, "WWW.", `WWW\.`, "@", `\@`).Replace(b.String())
}

// SampleReport is an advisory's data about the sample.
func SampleReport(l Language, r Reader) Report {
	return Report{Language: l, Reader: r, Title: "Universität Beispiel", Date: sampleDay, Exposures: sampleExposures(), Sender: sampleSender}
}
