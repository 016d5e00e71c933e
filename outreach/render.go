package outreach

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/notify"
	"ippwatch/report"
	"ippwatch/rule"
	"ippwatch/store"
)

// A Letter is a message in its final form.
type Letter struct {
	Mail    notify.Mail
	Event   notify.Event // of a webhook
	Version string       // of the texts
}

// Body is what a webhook gets.
func (l *Letter) Body() ([]byte, error) {
	b, err := json.Marshal(l.Event)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", l.Event.ID, err)
	}
	return b, nil
}

// xarfFiles is how many documents of XARF go as files of their own; more go in
// one archive. The specification wants one report for each incident.
const xarfFiles = 10

// errStale says that a message would not be true any more.
var errStale = errors.New("out of date")

// errUnfit says that a mail cannot be put into its envelope for this recipient:
// another may be asked.
var errUnfit = errors.New("no mail to this recipient")

// gather reads the exposures of a message as its recipient may see them, and
// checks once more that each is still as it was planned. An error that wraps
// errStale says what changed.
func (o *Office) gather(ctx context.Context, m *store.Message) ([]exposure.Exposure, []store.Place, *Party, error) {
	r := o.roll(ctx, o.Now())
	var seen []exposure.Exposure
	var places []store.Place
	var whose *Party
	for _, item := range m.Exposures {
		e, err := o.Store.Exposure(ctx, o.View, item.Key)
		if errors.Is(err, store.ErrNoExposure) {
			return nil, nil, nil, fmt.Errorf("%w: case %s is not known any more", errStale, item.Case())
		}
		if err != nil {
			return nil, nil, nil, err
		}
		wanted := e.Condition == exposure.Confirmed || e.Condition == exposure.Reported
		if m.Kind == advisoryFixed {
			wanted = e.Condition == exposure.Fixed
		}
		if !wanted || e.Ruling != exposure.NoRuling || e.MovedTo.IsValid() || e.Cycle != item.Cycle {
			return nil, nil, nil, fmt.Errorf("%w: case %s is %s", errStale, item.Case(), e.Word())
		}
		party, nearest, err := o.party(ctx, r, &e, m)
		if err != nil {
			return nil, nil, nil, err
		}
		clipped, err := o.Store.Exposure(ctx, party.view(&e, o.Now()), item.Key)
		if errors.Is(err, store.ErrNoExposure) {
			return nil, nil, nil, fmt.Errorf("%w: %s may not see case %s", errStale, m.Constituent, item.Case())
		}
		if err != nil {
			return nil, nil, nil, err
		}
		seen, whose = append(seen, clipped), party
		places = append(places, store.Place{Key: item.Key, Nearest: nearest})
	}
	if whose == nil {
		return nil, nil, nil, fmt.Errorf("%w: it is about nothing", errStale)
	}
	return seen, places, whose, nil
}

// party returns the party of the message as it answers for the exposure now,
// with the contact as it is now, and who is nearest to it.
func (o *Office) party(ctx context.Context, r *roll, e *exposure.Exposure, m *store.Message) (p *Party, nearest string, err error) {
	parties, err := o.answers(ctx, r, e)
	if err != nil {
		return nil, "", err
	}
	for i := range parties {
		if p := &parties[i]; p.Name == m.Constituent && p.Answers(e) {
			at := slices.IndexFunc(p.Contacts, func(c exposure.Recipient) bool { return c.Key() == m.To.Key() })
			switch {
			case at < 0:
				continue // of another range that was looked up
			case p.Contacts[at].OptOut:
				return nil, "", fmt.Errorf("%w: %s opted out", errStale, m.To.Address)
			case p.Contacts[at].Invalid:
				return nil, "", fmt.Errorf("%w: %s does not work", errStale, m.To.Address)
			}
			m.To = p.Contacts[at]
			return p, parties[0].Name, nil
		}
	}
	return nil, "", fmt.Errorf("%w: %s does not answer for case %s any more, or %s does not for it", errStale, m.Constituent, e.Case(), m.To.Address)
}

// Write puts the message into its final form: the very bytes that would be sent
// now, but for the link to the recipient's page, which is made when it is sent.
func (o *Office) Write(ctx context.Context, m *store.Message) (Letter, error) {
	return o.write(ctx, m, false)
}

// write is Write; with issue the link is made.
func (o *Office) write(ctx context.Context, m *store.Message, issue bool) (Letter, error) {
	seen, places, whose, err := o.gather(ctx, m)
	if err != nil {
		return Letter{}, err
	}
	n, keys, err := o.notice(ctx, m, seen, whose)
	if err != nil {
		return Letter{}, err
	}
	if n.Page, err = o.page(ctx, m, places, issue); err != nil {
		return Letter{}, err
	}
	texts, version, err := o.Texts(m.Template)
	if err != nil {
		return Letter{}, err
	}
	files, err := o.files(ctx, m, seen, whose)
	if err != nil {
		return Letter{}, err
	}
	for _, f := range files {
		n.Attached = append(n.Attached, f.Name)
	}
	words, err := texts.Mail(n)
	if err != nil {
		return Letter{}, fmt.Errorf("write message %s: %w", m.ID, err)
	}
	l := Letter{Version: version}
	if m.To.Medium == exposure.ByWebhook {
		l.Event = o.event(m, n, words)
		return l, nil
	}
	mail := notify.Message{
		Key: m.Key, Reference: m.ID, To: m.To.Address, Subject: words.Subject, Text: words.Text, Language: m.Language,
		Date: o.Now(), InReplyTo: keys, Attachments: files, PGPKey: m.To.PGPKey,
	}
	if slices.Contains(m.Forms, exposure.FormHTML) {
		mail.HTML = words.HTML
	}
	if l.Mail, err = o.Writer.Seal(mail); err != nil {
		return Letter{}, fmt.Errorf("%w: %w", errUnfit, err)
	}
	return l, nil
}

// notice returns what the mail says, and the send keys of the thread.
func (o *Office) notice(ctx context.Context, m *store.Message, seen []exposure.Exposure, whose *Party) (advisory.Notice, []string, error) {
	n := advisory.Notice{
		Kind: advisory.Kind(m.Kind), Language: advisory.Speak(m.Language), Reader: reader(whose, m.To), Reference: m.ID,
		Title: whose.Title, Date: o.Now(), Exposures: seen, Sender: o.Rules.Sender,
	}
	if n.Title == "" {
		n.Title = whose.Name
	}
	if m.To.Medium == exposure.ByMail {
		n.Unsubscribe = o.Writer.Unsubscribe(m.Key)
	}
	var keys []string
	for _, id := range m.InReplyTo {
		former, err := o.Store.Message(ctx, o.View, id)
		if errors.Is(err, store.ErrNoMessage) {
			continue
		}
		if err != nil {
			return n, nil, err
		}
		keys = append(keys, former.Key)
		to := former.To.Address
		if former.Constituent != m.Constituent {
			to = former.Constituent // who may not know our contact there
		}
		n.Earlier = append(n.Earlier, advisory.Earlier{At: former.Ended, To: to, Reference: former.ID})
	}
	return n, keys, nil
}

// reader is whose remedy stands first.
func reader(p *Party, r exposure.Recipient) advisory.Reader {
	switch {
	case p.By == ByCountry, r.Role == roleCERT, r.Role == "csirt", r.Source == exposure.NationalCSIRT:
		return advisory.CSIRT
	case p.By == ByASN, p.By == ByLookUp:
		return advisory.Provider
	}
	return advisory.Owner
}

// files are the attachments that the recipient wants.
func (o *Office) files(ctx context.Context, m *store.Message, seen []exposure.Exposure, whose *Party) ([]notify.Attachment, error) {
	if m.To.Medium != exposure.ByMail || m.Kind == advisoryFixed {
		return nil, nil
	}
	var files []notify.Attachment
	if slices.Contains(m.Forms, exposure.FormCSV) && o.Observe != nil {
		share := report.Share{Name: whose.Name, Title: whose.Title}
		type door struct {
			addr string
			port uint16
			over exposure.Transport
		}
		had := make(map[door]bool)
		for _, e := range seen {
			d := door{e.Addr.String(), e.Port, e.Transport}
			if had[d] {
				continue
			}
			row, ok, err := o.Observe(ctx, whose.view(&e, o.Now()), e)
			if err != nil {
				return nil, err
			}
			if had[d] = ok; ok {
				share.Rows = append(share.Rows, row)
			}
		}
		all, err := report.Files(share, report.Cover{Date: o.Now().UTC().Truncate(24 * time.Hour), Made: o.Now()})
		if err != nil {
			return nil, fmt.Errorf("files of message %s: %w", m.ID, err)
		}
		for _, f := range all {
			files = append(files, notify.Attachment{Name: f.Name, ContentType: f.ContentType, Body: f.Body})
		}
	}
	if slices.Contains(m.Forms, exposure.FormXARF) {
		xarf, err := o.xarf(seen)
		if err != nil {
			return nil, fmt.Errorf("files of message %s: %w", m.ID, err)
		}
		files = append(files, xarf...)
	}
	return files, nil
}

// xarf returns one document for each exposure, in one archive if they are many.
func (o *Office) xarf(seen []exposure.Exposure) ([]notify.Attachment, error) {
	from := o.Writer.From.Address
	_, domain, _ := strings.Cut(from, "@")
	by := report.Reporter{Organisation: o.Rules.Sender.Organisation, Contact: from, Domain: domain}
	var files []notify.Attachment
	for _, e := range seen {
		doc, err := report.XARF(by, e)
		if err != nil {
			return nil, err
		}
		files = append(files, notify.Attachment{Name: "xarf-" + e.Case() + ".json", ContentType: "application/json", Body: doc})
	}
	if len(files) <= xarfFiles {
		return files, nil
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.Name) // without a time: the same exposures make the same bytes
		if err == nil {
			_, err = w.Write(f.Body)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return []notify.Attachment{{Name: "xarf.zip", ContentType: "application/zip", Body: b.Bytes()}}, nil
}

// event is the message for a machine.
func (o *Office) event(m *store.Message, n advisory.Notice, words advisory.Mail) notify.Event {
	e := notify.Event{
		ID: notify.ID(strings.ToLower(m.ID)), Kind: notify.EventKind(m.Kind), Time: o.Now(), Reference: m.ID,
		Recipient: m.Constituent, Subject: words.Subject, Page: n.Page,
	}
	for _, x := range n.Exposures {
		known, _ := rule.ByID(x.Rule)
		remedy := known.Remedy.Owner
		switch n.Reader {
		case advisory.Provider:
			remedy = known.Remedy.Provider
		case advisory.CSIRT:
			remedy = known.Remedy.CSIRT
		}
		e.Cases = append(e.Cases, notify.EventCase{Case: x.Case(), Exposure: x, Title: known.Title, Remedy: remedy, Commands: known.Remedy.Commands})
	}
	return e
}
