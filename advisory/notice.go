package advisory

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/report"
	"ippwatch/rule"
)

// What one mail shows of a network: enough to act on, and not so much that
// nobody reads it. The rest is in the attachment.
const (
	doorsPerRule = 25
	rowsOfTable  = 100
)

// The views are what the templates see; docs/outreach-mail.md lists them. Every
// string in them is bounded and printable.
type (
	view struct {
		Kind, Language, Reader string
		Reference, Title       string
		Date, Again            string // Again is empty when it is not said
		Page, Unsubscribe      string
		Until                  string // of the mail that has only a link: when that is over
		Sender                 Sender
		Earlier                []earlierView
		Attached               []string
		Hosts, Cases           int
		Severity, Worst        string // the worst: its word in English, and in the language
		Rules                  []ruleView
		Table                  []doorView
		More                   int    // rows that the table leaves out
		Confirmed, Reported    int    // hosts that we saw; hosts that only a feed saw
		Simulated              string // "all", "some" or ""
	}
	earlierView struct{ At, To, Reference string }
	ruleView    struct {
		ID, Title, About                 string
		Severity, Word                   string
		Owner, Provider, CSIRT           string
		Commands                         []string
		Doors                            []doorView
		Hosts, Confirmed, Reported, More int
	}
	doorView struct {
		Case, Addr, Port, Hostname string
		First, Last                string // as 2026-11-23
		Condition, State           string // the word of the data, and in the language
		Evidence                   string
		Severity                   string
		Simulated                  bool
	}
)

var (
	errNoExposures = errors.New("nothing to tell")
	errKind        = errors.New("want first, reminder, escalation or fixed")
)

// Mail returns the notice in words.
func (t *Texts) Mail(n Notice) (Mail, error) {
	if len(n.Exposures) == 0 {
		return Mail{}, errNoExposures
	}
	prose, ok := t.prose[n.Language][string(n.Kind)]
	if !ok {
		return Mail{}, fmt.Errorf("mail %q in %q: %w", n.Kind, n.Language, errKind)
	}
	s := &speaker{prose: prose}
	v, err := t.view(n, s)
	if err != nil {
		return Mail{}, err
	}
	s.data = v
	var m Mail
	if m.Subject, err = s.word("subject"); err != nil {
		return Mail{}, err
	}
	m.Subject = strings.Join(strings.Fields(m.Subject), " ")
	if m.Text, err = s.write(t.text); err != nil {
		return Mail{}, err
	}
	m.Text = tidy(m.Text)
	if m.HTML, err = s.writeHTML(t.html); err != nil {
		return Mail{}, err
	}
	return m, nil
}

// tidy leaves one empty line where a template left several, and no blanks at
// the end of a line.
func tidy(text string) string {
	var b strings.Builder
	empty := true
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \t\r\n"); line == "--" {
			line = "-- " // the signature begins (RFC 3676, section 4.3)
		}
		if line == "" {
			if !empty {
				b.WriteString("\n")
			}
			empty = true
			continue
		}
		empty = false
		b.WriteString(line + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (t *Texts) view(n Notice, s *speaker) (*view, error) {
	v := &view{
		Kind: string(n.Kind), Language: string(n.Language), Reader: string(n.Reader), Reference: report.Plain(n.Reference), Title: report.Plain(n.Title),
		Date: day(n.Language, n.Date), Page: report.Plain(n.Page), Unsubscribe: report.Plain(n.Unsubscribe),
		Sender: n.Sender, Cases: len(n.Exposures),
	}
	if !n.Again.IsZero() {
		v.Again = day(n.Language, n.Again)
	}
	for _, e := range n.Earlier {
		v.Earlier = append(v.Earlier, earlierView{day(n.Language, e.At), report.Plain(e.To), report.Plain(e.Reference)})
	}
	for _, name := range n.Attached {
		v.Attached = append(v.Attached, report.Plain(name))
	}
	s.data = v
	simulated, worst := 0, exposure.Severity("")
	for _, e := range n.Exposures {
		if e.Simulated {
			simulated++
		}
		if e.Severity.Rank() < worst.Rank() {
			worst = e.Severity
		}
	}
	v.Severity = string(worst)
	v.Hosts, v.Confirmed, v.Reported = tally(n.Exposures)
	switch {
	case simulated == len(n.Exposures):
		v.Simulated = "all"
	case simulated > 0:
		v.Simulated = "some"
	}
	var err error
	if v.Worst, err = s.word("severity-" + string(known(worst))); err != nil {
		return nil, err
	}
	if v.Rules, err = t.ruleViews(n.Language, n.Exposures, s, doorsPerRule); err != nil {
		return nil, err
	}
	v.Table, v.More, err = table(n.Exposures, s, rowsOfTable)
	return v, err
}

// known returns the severity when it is one of the five.
func known(s exposure.Severity) exposure.Severity {
	if s.AtLeast(exposure.Info) {
		return s
	}
	return exposure.Info
}

// ruleViews gathers the exposures by rule, worst first.
func (t *Texts) ruleViews(l Language, all []exposure.Exposure, s *speaker, limit int) ([]ruleView, error) {
	byRule := make(map[string][]exposure.Exposure)
	for _, e := range all {
		byRule[e.Rule] = append(byRule[e.Rule], e)
	}
	var views []ruleView
	for id, list := range byRule {
		r, ok := rule.ByID(id)
		w := t.rules[l][id]
		if !ok {
			w = words{Title: report.Plain(id)} // of a later version
		}
		severity := known(list[0].Severity)
		v := ruleView{
			ID: report.Plain(id), Title: w.Title, About: w.About, Owner: w.Owner, Provider: w.Provider, CSIRT: w.CSIRT,
			Commands: r.Remedy.Commands, Severity: string(severity),
		}
		var err error
		if v.Word, err = s.word("severity-" + string(severity)); err != nil {
			return nil, err
		}
		if v.Doors, v.More, err = doors(list, s, limit); err != nil {
			return nil, err
		}
		v.Hosts, v.Confirmed, v.Reported = tally(list)
		views = append(views, v)
	}
	order := func(id string) int { return slices.IndexFunc(rule.All, func(r rule.Rule) bool { return r.ID == id }) }
	slices.SortFunc(views, func(a, b ruleView) int {
		return cmp.Or(exposure.Severity(a.Severity).Rank()-exposure.Severity(b.Severity).Rank(), order(a.ID)-order(b.ID), strings.Compare(a.ID, b.ID))
	})
	return views, nil
}

// tally counts hosts: all, those that we saw, and those that only a feed saw.
// A host that we saw at one door and a feed at another is one that we saw.
func tally(list []exposure.Exposure) (hosts, confirmed, reported int) {
	best := make(map[netip.Addr]exposure.Condition)
	for _, e := range list {
		a := e.Addr.Unmap()
		if best[a] != exposure.Confirmed && (best[a] != exposure.Reported || e.Condition == exposure.Confirmed) {
			best[a] = e.Condition
		}
	}
	for _, c := range best {
		switch c {
		case exposure.Confirmed:
			confirmed++
		case exposure.Reported:
			reported++
		}
	}
	return len(best), confirmed, reported
}

func doors(list []exposure.Exposure, s *speaker, limit int) ([]doorView, int, error) {
	slices.SortFunc(list, byAddress)
	more := max(0, len(list)-limit)
	var views []doorView
	for _, e := range list[:len(list)-more] {
		state, err := s.word("state-" + string(e.Condition))
		if err != nil {
			return nil, 0, err
		}
		views = append(views, doorView{
			Case: e.Case(), Addr: e.Addr.Unmap().WithZone("").String(), Port: strings.ToUpper(report.Plain(string(e.Transport))) + " " + strconv.Itoa(int(e.Port)),
			Hostname: report.Plain(e.Where.Hostname), First: date(e.FirstSeen), Last: date(e.LastSeen),
			Condition: string(e.Condition), State: state, Evidence: report.Plain(e.Evidence), Severity: string(known(e.Severity)), Simulated: e.Simulated,
		})
	}
	return views, more, nil
}

func byAddress(a, b exposure.Exposure) int {
	return cmp.Or(a.Addr.Unmap().Compare(b.Addr.Unmap()), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Rule, b.Rule))
}

// table is one row for each door of each host: the oldest and the newest
// sighting, the worst that was found there.
func table(all []exposure.Exposure, s *speaker, limit int) ([]doorView, int, error) {
	type key struct {
		addr      netip.Addr
		transport exposure.Transport
		port      uint16
	}
	at := make(map[key]int)
	var rows []exposure.Exposure
	for _, e := range all {
		k := key{e.Addr.Unmap(), e.Transport, e.Port}
		i, ok := at[k]
		if !ok {
			at[k] = len(rows)
			rows = append(rows, e)
			continue
		}
		r := &rows[i]
		if e.FirstSeen.Before(r.FirstSeen) {
			r.FirstSeen = e.FirstSeen
		}
		if e.LastSeen.After(r.LastSeen) {
			r.LastSeen = e.LastSeen
		}
		if e.Severity.Rank() < r.Severity.Rank() {
			r.Severity = e.Severity
		}
		if e.Condition == exposure.Confirmed {
			r.Condition = e.Condition
		}
	}
	return doors(rows, s, limit)
}

// date is a day where there are many of them.
func date(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format(time.DateOnly)
}

// day is a date as people write it; a zero one is not known.
func day(l Language, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	switch l {
	case German:
		months := [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}
		return fmt.Sprintf("%d. %s %d", t.Day(), months[t.Month()-1], t.Year())
	case Japanese:
		return fmt.Sprintf("%d年%d月%d日", t.Year(), t.Month(), t.Day())
	}
	return t.Format("2 January 2006")
}
