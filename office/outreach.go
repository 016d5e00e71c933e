package office

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"iter"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/store"
	"ippwatch/web"
)

func outboxTable() *web.Table {
	return &web.Table{
		Name: "outbox", Title: "outreach.messages", Sort: "-planned", Empty: "outreach.empty",
		Columns: []web.Column{
			{Name: "message", Text: "outreach.message", Head: true, Sorts: true},
			{Name: "state", Text: "outreach.state", Sorts: true},
			{Name: "kind", Text: "outreach.kind", Sorts: true},
			{Name: "to", Text: "outreach.to", Long: true, Sorts: true},
			{Name: "constituent", Text: "cases.constituent", Sorts: true},
			{Name: "cases", Text: "outreach.cases", Number: true, Sorts: true},
			{Name: "planned", Text: "outreach.planned", Sorts: true},
			{Name: "next", Text: "outreach.next", Sorts: true},
			{Name: "ended", Text: "outreach.ended", Sorts: true},
			{Name: "reason", Text: "outreach.reason", Long: true},
			{Name: "run", Export: true},
			{Name: "rule", Export: true},
			{Name: "attempts", Export: true},
		},
		Fields: []web.Field{
			{Name: "state", Text: "outreach.state", Kind: web.Many, Options: web.Choices("message", store.MessageStates...)},
			{Name: "constituent", Text: "cases.constituent", Kind: web.Words},
			{Name: "to", Text: "outreach.to", Kind: web.Words},
			{Name: "run", Text: "outreach.run", Kind: web.Words},
		},
	}
}

type outboxData struct {
	Holds  []store.OutboxHold
	Counts []store.OutboxCount
	May    bool
}

// outbox lists messages, the newest first unless another order is asked for.
func (d *desk) outbox(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	x := outboxData{May: v.May(access.Change)}
	var err error
	if x.Holds, err = d.Store.OutboxHolds(r.Context()); err != nil {
		return err
	}
	if x.Counts, err = d.Store.OutboxCounts(r.Context(), v.View); err != nil {
		return err
	}
	return d.site.List(w, r, v, "outreach", outboxTable(), func(q web.Query) iter.Seq2[web.Row, error] {
		return func(yield func(web.Row, error) bool) {
			f := store.OutboxFilter{
				States: web.ValuesOf[store.MessageState](q, "state"), Run: q.Get("run"), Constituent: q.Get("constituent"), To: q.Get("to"),
				Order: store.OutboxOrder(q.Sort), Down: q.Down, Behind: q.After,
			}
			for m, err := range d.Store.Outbox(r.Context(), v.View, f) {
				if err != nil {
					yield(web.Row{}, err)
					return
				}
				if !yield(messageRow(&m), nil) {
					return
				}
			}
		}
	}, x)
}

func messageRow(m *store.Message) web.Row {
	constituent := web.Cell{Value: m.Constituent}
	if m.Constituent != "" {
		constituent.Link = "/constituents/" + url.PathEscape(m.Constituent)
	}
	next := web.Cell{Value: ""}
	if m.State.Open() {
		next.Value = m.Next
	}
	return row(m.ID, web.Cell{Value: m.ID, Link: "/outreach/" + m.ID, Code: true},
		web.Cell{Value: string(m.State), Key: "message." + string(m.State), Badge: stateBadge(m.State)}, web.Cell{Value: m.Kind},
		web.Cell{Value: m.To.Address}, constituent, web.Cell{Value: len(m.Exposures)}, web.Cell{Value: m.Planned}, next, web.Cell{Value: m.Ended},
		web.Cell{Value: m.Reason}, web.Cell{Value: m.Run}, web.Cell{Value: m.Rule}, web.Cell{Value: m.Attempts})
}

func stateBadge(s store.MessageState) string {
	switch s {
	case store.MessageFailed, store.MessageBounced:
		return "critical"
	case store.MessageUncertain, store.MessageDeferred:
		return "medium"
	case store.MessageHeld:
		return "high"
	}
	return "plain"
}

// hold stops delivery of a rule or of everything, or lets it go on.
func (d *desk) hold(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	name := clean(r, "rule")
	if len(name) > 200 {
		return gate.Bad("rule: that is too long")
	}
	if r.PostFormValue("off") != "" {
		if _, err := d.Store.ReleaseOutbox(r.Context(), name, v.Who, v.At); err != nil {
			return err
		}
		return gate.SeeOther("/outreach")
	}
	if err := d.Store.HoldOutbox(r.Context(), store.OutboxHold{Rule: name, Reason: clean(r, "reason"), Who: v.Who, At: v.At.UTC()}); err != nil {
		return err
	}
	return gate.SeeOther("/outreach")
}

type planData struct {
	Plan     outreach.Plan
	Messages *web.Listing
	Reasons  []reasonCount
	Silences *web.Listing
	Why      string // there is none
}

type reasonCount struct {
	Reason string
	N      int64
}

// plan shows what would be sent now, and why the rest would not.
func (d *desk) plan(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	o, err := d.Outreach(r.Context(), false)
	var x planData
	if err == nil {
		x.Plan, err = o.Plan(r.Context())
	}
	if err != nil {
		if r.Context().Err() != nil {
			return err
		}
		x.Why = firstLine(err.Error())
	}
	by := make(map[string]int64)
	for _, s := range x.Plan.Silences {
		by[s.Reason]++
	}
	for reason, n := range by {
		x.Reasons = append(x.Reasons, reasonCount{reason, n})
	}
	slices.SortFunc(x.Reasons, func(a, b reasonCount) int { return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.Reason, b.Reason)) })
	t, rows := plannedMessages(x.Plan.Messages)
	var done bool
	if x.Messages, done, err = d.site.Part(w, r, v, t, rows); err != nil || done {
		return err
	}
	t, rows = plannedSilences(x.Plan.Silences, slices.Sorted(maps.Keys(by)))
	if x.Silences, done, err = d.site.Part(w, r, v, t, rows); err != nil || done {
		return err
	}
	return d.site.Page(w, r, v, "plan", x)
}

func plannedMessages(all []store.Message) (*web.Table, web.Rows) {
	t := &web.Table{
		Name: "planned", Title: "plan.messages", Key: "m", Empty: "plan.nothing",
		Columns: []web.Column{
			{Name: "to", Text: "outreach.to", Head: true, Sorts: true, Long: true},
			{Name: "constituent", Text: "cases.constituent", Sorts: true},
			{Name: "kind", Text: "outreach.kind", Sorts: true},
			{Name: "cases", Text: "outreach.cases", Sorts: true, Number: true},
			{Name: "because", Text: "outreach.because", Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
	var rows []web.Row
	for i := range all {
		m := &all[i]
		rows = append(rows, row(m.ID, web.Cell{Value: m.To.Address}, web.Cell{Value: m.Constituent}, web.Cell{Value: m.Kind}, web.Cell{Value: len(m.Exposures)}, web.Cell{Value: m.Why}))
	}
	return t, web.Few(t, rows)
}

func plannedSilences(all []outreach.Silence, reasons []string) (*web.Table, web.Rows) {
	t := &web.Table{
		Name: "silences", Title: "plan.silences", Key: "s", Empty: "plan.no_silence",
		Columns: []web.Column{
			{Name: "case", Text: "cases.case", Head: true, Sorts: true},
			{Name: "severity", Text: "cases.severity", Sorts: true},
			{Name: "addr", Text: "cases.at", Sorts: true},
			{Name: "constituent", Text: "cases.constituent", Sorts: true},
			{Name: "reason", Text: "outreach.reason", Sorts: true},
			{Name: "detail", Text: "audit.detail", Long: true},
			{Name: "until", Text: "case.until", Sorts: true},
		},
		Fields: []web.Field{web.Find(), {Name: "reason", Text: "outreach.reason", Kind: web.Choice, Options: web.Choices("silence", reasons...)}},
	}
	return t, func(q web.Query) iter.Seq2[web.Row, error] {
		var rows []web.Row
		for i := range all {
			s := &all[i]
			if reason := q.Get("reason"); reason != "" && s.Reason != reason {
				continue
			}
			detail := s.Detail
			if s.Reason == "no_rule" {
				detail = ""
			}
			rows = append(rows, row(s.Case+" "+s.Addr.String(), web.Cell{Value: s.Case, Link: "/cases/" + s.Case, Code: true}, severityCell(s.Severity), web.Cell{Value: s.Addr},
				web.Cell{Value: s.Constituent}, web.Cell{Value: s.Reason, Key: "silence." + s.Reason}, web.Cell{Value: detail}, web.Cell{Value: s.Until}))
		}
		return web.Few(t, rows)(q)
	}
}

type messageData struct {
	outreach.Story
	Letter  *letter
	Why     string // there is no letter
	Written bool   // these are the very bytes that were sent
	May     bool
	Orders  []string
}

// message explains one message and shows it as it goes.
func (d *desk) message(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	ctx, id := r.Context(), r.PathValue("id")
	if _, err := d.Store.Message(ctx, v.View, id); err != nil {
		return missing(err)
	}
	o, err := d.Outreach(ctx, false)
	if err != nil {
		return err
	}
	x := messageData{May: v.May(access.Change)}
	if x.Story, err = o.Why(ctx, id); err != nil {
		return missing(err)
	}
	x.Orders = ordersOf(x.State)
	content, err := d.Store.Content(ctx, v.View, id)
	if err != nil {
		return err
	}
	switch {
	case len(content) > 0:
		x.Written = true
		x.Letter = readLetter(content, x.To.Medium)
	case x.State.Open():
		if x.Letter, err = d.draft(r, &x.Message); err != nil {
			if ctx.Err() != nil {
				return err
			}
			x.Why = why(err)
		}
	}
	return d.site.Page(w, r, v, "message", x)
}

// why says by the key of a text, or in its words, why there is no letter.
func why(err error) string {
	switch {
	case errors.Is(err, ErrNoRules):
		return "message.no_rules"
	case errors.Is(err, ErrNoMail):
		return "message.no_mail"
	}
	return firstLine(err.Error())
}

// draft is the message as it would go now.
func (d *desk) draft(r *http.Request, m *store.Message) (*letter, error) {
	o, err := d.Outreach(r.Context(), true)
	if err != nil {
		return nil, err
	}
	written, err := o.Write(r.Context(), m)
	if err != nil {
		return nil, err
	}
	body := written.Mail.Bytes
	if m.To.Medium == exposure.ByWebhook {
		if body, err = written.Body(); err != nil {
			return nil, err
		}
	}
	return readLetter(body, m.To.Medium), nil
}

// ordersOf are those that a message in the state takes.
func ordersOf(s store.MessageState) []string {
	switch s {
	case store.MessageHeld:
		return []string{"approve", "cancel"}
	case store.MessagePlanned, store.MessageApproved:
		return []string{"cancel"}
	case store.MessageDeferred:
		return []string{"retry", "cancel"}
	case store.MessageFailed, store.MessageUncertain:
		return []string{"retry"}
	}
	return nil
}

// order approves, cancels or retries a message.
func (d *desk) order(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	ctx, id := r.Context(), r.PathValue("id")
	m, err := d.Store.Message(ctx, v.View, id)
	if err != nil {
		return missing(err)
	}
	what := r.PathValue("order")
	if !slices.Contains([]string{"approve", "cancel", "retry"}, what) {
		return gate.NotFound
	}
	moved := &gate.Problem{Status: http.StatusConflict, Code: "moved", Detail: "the message is in another state by now"}
	if !slices.Contains(ordersOf(m.State), what) {
		return moved
	}
	o, err := d.Outreach(ctx, false)
	if err != nil {
		return err
	}
	by := outreach.Person{Who: v.Who, Reason: clean(r, "reason")}
	switch what {
	case "approve":
		_, err = o.Approve(ctx, by, []string{id})
	case "cancel":
		err = o.Cancel(ctx, by, id)
	default:
		err = o.Retry(ctx, by, id)
	}
	if errors.Is(err, store.ErrMoved) {
		return moved
	}
	if err != nil {
		return err
	}
	return gate.SeeOther("/outreach/" + id)
}

// A letter is a message for the eyes: its head, its text, and what is attached.
type letter struct {
	Head  []headLine
	Text  string
	HTML  bool // there is a part in HTML that says the same
	Files []attached
	Cut   bool
	Bytes int64
}

type headLine struct{ Name, Value string }

type attached struct {
	Name, Kind string
	Bytes      int64
}

// headNames are shown. Message-IDs and the address for opting out are not: who has
// them may answer in the name of the recipient.
var headNames = []string{"From", "To", "Reply-To", "Subject", "Date"}

// secret is what stands in the text for the recipient alone.
var secret = regexp.MustCompile(`(/o/|/unsubscribe/)[A-Za-z0-9_-]{16,}`)

// legible is a text for the eyes of others than its recipient.
func legible(b []byte) (string, bool) { return visible(secret.ReplaceAll(b, []byte("${1}…"))) }

// readLetter takes a message apart; what it cannot read is shown as it is.
func readLetter(b []byte, by exposure.Channel) *letter {
	l := &letter{Bytes: int64(len(b))}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if by == exposure.ByWebhook || err != nil {
		l.Text, l.Cut = legible(b)
		return l
	}
	words := new(mime.WordDecoder)
	for _, name := range headNames {
		if value := m.Header.Get(name); value != "" {
			if plain, err := words.DecodeHeader(value); err == nil {
				value = plain
			}
			value, _ = visible([]byte(value))
			l.Head = append(l.Head, headLine{name, value})
		}
	}
	l.part(partHeader(m.Header), m.Body, 0)
	return l
}

type partHeader map[string][]string

func (h partHeader) get(name string) string { return mail.Header(h).Get(name) }

// maxDepth bounds how deep parts may lie in parts.
const maxDepth = 5

func (l *letter) part(h partHeader, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(first(h.get("Content-Type"), "text/plain"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth < maxDepth {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return // its end, or what cannot be read any further
			}
			l.part(partHeader(p.Header), p, depth+1)
		}
	}
	switch strings.ToLower(h.get("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, _ := io.ReadAll(io.LimitReader(body, 32<<20)) // as far as it can be read
	disposition, how, _ := mime.ParseMediaType(h.get("Content-Disposition"))
	name, _ := visible([]byte(first(how["filename"], params["name"])))
	switch {
	case disposition != "attachment" && kind == "text/plain" && l.Text == "":
		l.Text, l.Cut = legible(content)
	case disposition != "attachment" && kind == "text/html":
		l.HTML = true
	default:
		l.Files = append(l.Files, attached{name, kind, int64(len(content))})
	}
}
