package advisory

import (
	"strings"
	"time"

	"ippwatch/report"
)

// A LinkNotice is a mail with nothing but a link to the recipient's page: for who
// asks for another in the place of one that is over. It names no host, as it may
// lie in a mailbox for long.
type LinkNotice struct {
	Language    Language
	Reference   string
	Title       string // whose hosts the page shows
	Page        string
	Until       time.Time // when the link is over
	Unsubscribe string
	Sender      Sender
}

// linkProse is the name of its words.
const linkProse = "link"

// Link returns the notice in words, as plain text.
func (t *Texts) Link(n LinkNotice) (Mail, error) {
	s := &speaker{prose: t.prose[n.Language][linkProse]}
	s.data = &view{ // as in the other mails, so that the words of all fit
		Language: string(n.Language), Title: report.Plain(n.Title), Page: n.Page, Until: day(n.Language, n.Until),
		Unsubscribe: report.Plain(n.Unsubscribe), Reference: report.Plain(n.Reference), Sender: n.Sender,
	}
	var m Mail
	var b strings.Builder
	subject, err := s.word("subject")
	if err != nil {
		return m, err
	}
	m.Subject = strings.Join(strings.Fields(subject), " ")
	for _, name := range []string{"greeting", "opening", "", "closing", "opt-out"} {
		switch {
		case name == "":
			b.WriteString(n.Page + "\n\n")
			continue
		case name == "opt-out" && n.Unsubscribe == "":
			continue
		}
		text, err := s.word(name)
		if err != nil {
			return m, err
		}
		for _, p := range paragraphs(text) {
			b.WriteString(fold(p, "", "") + "\n\n")
		}
	}
	if n.Unsubscribe != "" {
		b.WriteString(report.Plain(n.Unsubscribe) + "\n\n")
	}
	b.WriteString("--\n")
	for _, line := range []string{n.Sender.Organisation, n.Sender.Contact, n.Sender.Phone, n.Sender.About} {
		if line != "" {
			b.WriteString(report.Plain(line) + "\n")
		}
	}
	m.Text = tidy(b.String())
	return m, nil
}

func sampleLink(l Language) LinkNotice {
	return LinkNotice{
		Language: l, Reference: "M-0123456789AB", Title: "Example University", Page: "https://ippwatch.example.org/o/token",
		Until: time.Date(2026, 12, 10, 0, 0, 0, 0, time.UTC), Unsubscribe: "https://ippwatch.example.org/unsubscribe/token",
		Sender: Sender{Organisation: "Example CSIRT", Contact: "csirt@example.org"},
	}
}
