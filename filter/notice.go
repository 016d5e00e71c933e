package filter

import (
	_ "embed" // the texts
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	"text/template"
	"time"

	"ippwatch/acl"
)

// What a provider owes to those who are filtered (BITAG, "Port Blocking", 2013):
// to say publicly what is blocked and why, to let customers out who have a
// reason, to ask regularly whether the reason still stands, and to have a place
// where it can be complained about. Both texts have all four.

//go:embed notice.md
var noticeText string

//go:embed disclosure.md
var disclosureText string

//go:embed disclosure.html
var disclosurePage string

// A Notice is what the texts are made of. Nothing in it names an exception's
// owner or host: those are not for the public.
type Notice struct {
	Who, Contact string
	Profile      acl.Profile
	Ports        string
	Drops        []DroppedLeg
	Permits      []DroppedLeg
	Networks     []string
	Exceptions   int
	Review       string
	From         string // the day on which it begins; of a change alone
	Counting     bool   // nothing is dropped yet
	SynOnly      bool
	Made         string
}

// A DroppedLeg is one way in words for a customer.
type DroppedLeg struct{ What, Why string }

var publicLegs = map[string]DroppedLeg{
	"in_tcp":  {"connections (TCP) from the Internet to %s of our customers", "printers and print servers that anybody can reach give away documents, names and places, and are taken over"},
	"in_udp":  {"UDP packets from the Internet to %s of our customers", "a single packet makes some systems contact an attacker (CVE-2024-47176); there is no other use for it on the Internet"},
	"out_udp": {"UDP packets from our customers to %s on the Internet", "such packets come from infected or misconfigured systems, and would be used against others"},
	"out_tcp": {"connections (TCP) from our customers to %s on the Internet", "our policy for this part of the network"},
}

// NewNotice gathers what the public is told of a policy.
func NewNotice(p acl.Policy, now, from time.Time, counting bool) Notice {
	ports := make([]string, len(p.Ports))
	for i, port := range p.Ports {
		ports[i] = fmt.Sprint(port)
	}
	n := Notice{
		Who: p.Owner, Contact: p.Contact, Profile: p.Profile, Ports: strings.Join(ports, ", "), Review: p.Review.Add(-time.Second).UTC().Format(time.DateOnly),
		Counting: counting, SynOnly: p.TCP == acl.SynOnly, Made: now.UTC().Format(time.DateOnly),
	}
	if !from.IsZero() {
		n.From = from.Format(time.DateOnly)
	}
	what := "port " + n.Ports
	if len(p.Ports) > 1 {
		what = "the ports " + n.Ports
	}
	for _, leg := range acl.AllLegs {
		one := publicLegs[leg.Name]
		one.What = fmt.Sprintf(one.What, what)
		if p.Legs.Drops(leg) {
			n.Drops = append(n.Drops, one)
		} else {
			n.Permits = append(n.Permits, one)
		}
	}
	for _, network := range p.Networks {
		n.Networks = append(n.Networks, network.String())
	}
	for _, e := range p.Exceptions {
		if e.Holds(now) {
			n.Exceptions++
		}
	}
	return n
}

// Notices are the texts, by name.
var Notices = []string{"change", "disclosure"}

// Write writes one of the texts as Markdown.
func (n Notice) Write(w io.Writer, kind string) error {
	text := noticeText
	if kind == "disclosure" {
		text = disclosureText
	}
	t, err := template.New(kind).Funcs(template.FuncMap{"md": markdown}).Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(w, n)
}

// WritePage writes the disclosure as a page of its own, without scripts.
func (n Notice) WritePage(w io.Writer) error {
	t, err := htmltemplate.New("page").Parse(disclosurePage)
	if err != nil {
		return err
	}
	return t.Execute(w, n)
}

// markdown escapes what Markdown would take for marks.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#|!", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
