package year

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

// A Party is a constituent of the story.
type Party struct {
	Name, Title, Language, Contact string
	networks                       []netip.Prefix
	country                        string
}

func (p *Party) holds(a netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// parties have their networks where the hosts of their countries stand.
func parties() []Party {
	net := func(text ...string) (all []netip.Prefix) {
		for _, t := range text {
			all = append(all, netip.MustParsePrefix(t))
		}
		return all
	}
	return []Party{
		{Name: "cert-example", Title: "CERT of the example (generated)", Language: "en", Contact: "reports@cert.example", country: "DE"},
		{Name: "example-isp", Title: "Example Internet provider (generated)", Language: "de", Contact: "abuse@isp.example", networks: net("198.18.80.0/20")},
		{Name: "city-hospital", Title: "City hospital (generated)", Language: "de", Contact: "it@hospital.example", networks: net("198.18.96.0/22")},
		{Name: "example-university", Title: "Example university (generated)", Language: "en", Contact: "cert@university.example", networks: net("198.18.100.0/22")},
		{Name: "polder-net", Title: "Polder network (generated)", Language: "en", Contact: "noc@polder.example", networks: net("198.18.132.0/22")},
		{Name: "north-county", Title: "North County (generated)", Language: "en", Contact: "security@county.example", networks: net("198.18.16.0/20")},
	}
}

// source is who says that they are there.
const source = "generated"

func (w *writer) people(ctx context.Context) error {
	var all []exposure.Constituent
	for _, p := range parties() {
		c := exposure.Constituent{
			Name: p.Name, Title: p.Title, Networks: p.networks, Language: p.Language,
			Contacts: []exposure.Recipient{{Medium: exposure.ByMail, Address: p.Contact, Role: "abuse", Language: p.Language}},
		}
		if p.country != "" {
			c.Countries = []string{p.country}
		}
		all = append(all, c)
	}
	hand := people.Hand{View: access.CLI(Begin), Who: source, At: Begin}
	if _, err := people.NewRegistry(w.store).Import(ctx, hand, source, "generated", all, false); err != nil {
		return err
	}
	// Some customers of the provider: one who moved in the middle of the year.
	var rows []exposure.Assignment
	moved := Begin.AddDate(0, 5, 0)
	for i, h := range w.ofParty("example-isp") {
		if !h.addr.Is4() || i >= 12 {
			continue
		}
		a := exposure.Assignment{Prefix: netip.PrefixFrom(h.addr, 32), Customer: fmt.Sprintf("customer-%d", 1000+i/3), From: Begin.AddDate(-1, 0, 0), Source: source}
		if i%4 == 3 {
			a.To = moved
			b := a
			b.From, b.To, b.Customer = moved, time.Time{}, "customer-2000"
			rows = append(rows, b)
		}
		rows = append(rows, a)
	}
	slices.SortFunc(rows, store.CompareAssignments)
	_, err := w.store.ImportAssignments(ctx, store.AssignmentImport{
		Import: store.Import{Source: source, File: "generated", At: Begin, Who: source}, Rows: rows, Complete: true,
	})
	return err
}

// ofParty are the hosts in the networks of a constituent.
func (w *writer) ofParty(name string) []*host {
	var all []*host
	for i := range w.hosts {
		if w.hosts[i].party == name {
			all = append(all, &w.hosts[i])
		}
	}
	return all
}

// outreach are the mails of three days after the special report, and what waits
// for approval on the last morning.
func (w *writer) outreach(ctx context.Context) error {
	for i, p := range parties() {
		if p.country != "" {
			continue
		}
		byDay := make(map[int][]*host)
		for _, h := range w.ofParty(p.Name) {
			if h.told > 0 {
				byDay[h.told] = append(byDay[h.told], h)
			}
			if h.gone == yearDays && h.born < yearDays-30 {
				byDay[yearDays] = append(byDay[yearDays], h) // again, on the last morning
			}
		}
		for _, day := range slices.Sorted(keysOf(byDay)) {
			if err := w.message(ctx, &p, i, day, byDay[day]); err != nil {
				return err
			}
		}
	}
	return nil
}

func keysOf[V any](m map[int]V) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// mostItems is how many cases one message names: in a year of a country a provider
// would have ten thousands, and no mail has.
const mostItems = 1000

func (w *writer) message(ctx context.Context, p *Party, i, day int, hosts []*host) error {
	at := Begin.AddDate(0, 0, day).Add(7*time.Hour + time.Duration(i)*time.Minute)
	key := string(id(w.Seed, uint64(i), uint64(day), 4)) //nolint:gosec // days of a year
	m := store.Message{
		ID: "M-" + strings.ToUpper(key[:12]), Key: key, Kind: "first", Rule: "everything", Constituent: p.Name, Language: p.Language,
		To:  exposure.Recipient{Medium: exposure.ByMail, Address: p.Contact, Role: "abuse", Language: p.Language},
		Why: "the contact of " + p.Title, Day: at.Format(time.DateOnly), Planned: at, Forms: []exposure.Form{"csv"},
	}
	if day == yearDays {
		m.Kind = "reminder"
	}
	for _, h := range hosts {
		for _, c := range w.casesOf(h) {
			m.Exposures = append(m.Exposures, store.Item{Key: c.Key, Cycle: 1, By: "everything", Severity: c.Severity})
		}
	}
	if len(m.Exposures) == 0 {
		return nil
	}
	m.Exposures = m.Exposures[:min(len(m.Exposures), mostItems)]
	run := "outreach-" + m.Day + "-" + p.Name
	if day == yearDays {
		_, err := w.store.PutRun(ctx, run, []store.Message{m}, store.MessageHeld, "every message waits for approval: this year is generated")
		return err
	}
	if _, err := w.store.PutRun(ctx, run, []store.Message{m}, store.MessageApproved, "approved by "+source); err != nil {
		return err
	}
	mail := strings.ToLower(m.ID) + "@example.net"
	content := fmt.Sprintf("From: ippwatch demo <nobody@example.net>\r\nTo: %s\r\nSubject: [%s] %d open print services in your networks (generated)\r\n"+
		"Date: %s\r\nMessage-ID: <%s>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThis mail is part of a generated year. It was never sent.\r\n",
		p.Contact, m.ID, len(hosts), at.Format(time.RFC1123Z), mail)
	if ok, err := w.store.ClaimMessage(ctx, m.ID, mail, "generated", "nobody@example.net", []byte(content), at); err != nil || !ok {
		return fmt.Errorf("claim %s: %t, %w", m.ID, ok, err)
	}
	if err := w.store.BeginMessage(ctx, m.ID, at); err != nil {
		return err
	}
	state, said := store.MessageSent, "250 2.0.0 generated"
	if p.Name == "north-county" && day%3 == 0 {
		state, said = store.MessageFailed, "550 5.1.1 no such user (generated)"
	}
	return w.store.SettleMessage(ctx, m.ID, store.Settlement{
		Was: store.MessageSending, State: state, Reason: said, Begun: at, Ended: at.Add(2 * time.Second), At: at,
		Attempt: &store.Attempt{At: at, Result: string(state), Stage: "data", Said: said},
	})
}
