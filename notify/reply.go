package notify

import (
	"bufio"
	"bytes"
	"errors"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // people answer in theirs
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// A ReplyKind is what a mail that came back is.
type ReplyKind string

// Kinds. Only a mail with a token of ours can be a bounce or an opt-out of a
// message; without one it is somebody's word about nothing.
const (
	HardBounce ReplyKind = "hard-bounce" // this address will not take it
	SoftBounce ReplyKind = "soft-bounce" // not delivered, for a reason that may pass
	Delayed    ReplyKind = "delayed"     // not yet delivered; their server goes on trying
	Delivered  ReplyKind = "delivered"   // delivered, or passed on to a server that tells nothing more
	AutoReply  ReplyKind = "auto-reply"  // out of office, ticket opened ...
	OptOut     ReplyKind = "opt-out"     // wants no more
	Answer     ReplyKind = "reply"       // a person writes
	Unknown    ReplyKind = "unknown"     // none of these, or no mail at all
)

// A Reply is one mail that came back.
type Reply struct {
	Source string    `json:"source"` // the same for ever: remember it, and it is not read again
	File   string    `json:"file"`
	Kind   ReplyKind `json:"kind"`
	// Message is the message of ours that it is about, proven by a token; empty
	// when there is none.
	Message ID `json:"message,omitempty"`
	// Forged says that something like a token is in it that is none of ours.
	Forged bool `json:"forged,omitempty"`
	// What follows is a stranger's word, bounded and printable.
	Recipient string    `json:"recipient,omitempty"` // of a bounce
	Status    string    `json:"status,omitempty"`    // of RFC 3463, such as "5.1.1"
	Said      string    `json:"said,omitempty"`      // the diagnostic, or the first line of a person
	From      string    `json:"from,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Date      time.Time `json:"date"` // as the mail says; zero when it does not
}

// Bounds of one mail.
const (
	partsMax   = 50
	depthMax   = 6
	headerMax  = 128 << 10
	textMax    = 64 << 10
	wordsLimit = 200 // characters of a stranger's word
)

// ParseReply says what a mail is. It never fails: bytes that are no mail are
// of an unknown kind.
func ParseReply(b []byte, s Secret) Reply {
	e, err := message.ReadWithOptions(bytes.NewReader(b), &message.ReadOptions{MaxHeaderBytes: headerMax})
	if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return Reply{Kind: Unknown, Said: "not a mail"}
	}
	p := parsed{secret: s}
	p.header(&e.Header)
	p.walk(e, 0)
	return p.judge()
}

// parsed is what was gathered from one mail.
type parsed struct {
	secret Secret
	reply  Reply

	bounced, optedOut, answered ID // by the tokens for each purpose
	returned                    ID // by the tokens in a returned mail
	forged                      bool

	daemon, automatic, empty, report bool
	dsn                              []recipientStatus
	text                             string // the first text for people
	html                             string
	parts                            int
}

// A recipientStatus is one recipient's fields in a DSN (RFC 3464, section 2.3).
type recipientStatus struct{ recipient, action, status, diagnostic string }

var (
	tokenShape = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])([a-z2-7]{32})@`)
	daemons    = regexp.MustCompile(`(?i)\b(mailer-daemon|mail delivery (sub)?system|postmaster@|system administrator)`)
	// Out of office, in the languages that we write and their neighbours.
	away = regexp.MustCompile(`(?i)^(re: *|aw: *)?(auto(matic|matische)?[ -]?(reply|response|antwort)|automatische antwort|out of (the )?office|abwesenheit|autoreply|auto:|自動返信|自動応答|不在)`)
)

// header reads what the header of the mail tells.
func (p *parsed) header(h *message.Header) {
	text := func(name string) string {
		v, err := h.Text(name)
		if err != nil {
			v = h.Get(name)
		}
		return v
	}
	p.reply.Subject = plain(text("Subject"), wordsLimit)
	p.reply.From = plain(text("From"), wordsLimit)
	mh := mail.Header{Header: *h}
	if at, err := mh.Date(); err == nil && at.Year() >= 2000 && at.Year() < 3000 {
		p.reply.Date = at.UTC()
	}
	for _, name := range []string{"To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "Original-Recipient"} {
		for _, v := range h.Values(name) {
			p.tokens(v, ForReturnPath, &p.bounced)
			p.tokens(v, ForUnsubscribe, &p.optedOut)
		}
	}
	for _, name := range []string{"In-Reply-To", "References"} {
		for _, v := range h.Values(name) {
			p.tokens(v, ForMessageID, &p.answered)
		}
	}
	p.daemon = daemons.MatchString(p.reply.From) || h.Has("X-Failed-Recipients")
	p.empty = strings.TrimSpace(h.Get("Return-Path")) == "<>"
	auto := strings.ToLower(strings.TrimSpace(h.Get("Auto-Submitted")))
	precedence := strings.ToLower(strings.TrimSpace(h.Get("Precedence")))
	p.automatic = auto != "" && auto != "no" || precedence == "auto_reply" || away.MatchString(p.reply.Subject)
	for _, name := range []string{"X-Autoreply", "X-Autorespond", "X-Autoresponse", "X-Auto-Response", "X-Vacation"} {
		p.automatic = p.automatic || h.Has(name)
	}
}

// tokens opens what looks like a token; the last one that is ours counts, as
// the newest stands last in a thread.
func (p *parsed) tokens(text string, purpose Purpose, to *ID) {
	if len(text) > textMax {
		text = text[:textMax]
	}
	for _, m := range tokenShape.FindAllStringSubmatch(text, 64) {
		if id, ok := p.secret.Open(purpose, m[1]); ok {
			*to = id
		} else if !slices.ContainsFunc([]Purpose{ForMessageID, ForReturnPath, ForUnsubscribe}, func(other Purpose) bool {
			_, ok := p.secret.Open(other, m[1])
			return ok
		}) {
			p.forged = true
		}
	}
}

// walk reads the parts of the mail.
func (p *parsed) walk(e *message.Entity, depth int) {
	if p.parts++; p.parts > partsMax || depth > depthMax {
		return
	}
	kind, params, err := e.Header.ContentType()
	if err != nil {
		kind = "text/plain"
	}
	if kind == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status") {
		p.report = true
	}
	if r := e.MultipartReader(); r != nil {
		for {
			part, err := r.NextPart()
			if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) || part == nil {
				return
			}
			p.walk(part, depth+1)
		}
	}
	body := func() []byte {
		b, err := io.ReadAll(io.LimitReader(e.Body, textMax))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return b // as far as it can be read
		}
		return b
	}
	switch {
	case kind == "message/delivery-status" || kind == "message/global-delivery-status":
		p.status(body())
	case depth > 0 && (kind == "message/rfc822" || kind == "message/global" || kind == "text/rfc822-headers" || kind == "message/global-headers"):
		p.returnedMail(body())
	case kind == "text/plain" && p.text == "":
		p.text = string(body())
	case kind == "text/html" && p.html == "":
		p.html = string(body())
	}
}

// returnedMail looks for our Message-ID in a mail, or its head, that came back.
func (p *parsed) returnedMail(b []byte) {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(b)))
	if err != nil && h.Len() == 0 {
		return
	}
	p.tokens(h.Get("Message-Id"), ForMessageID, &p.returned)
	p.tokens(h.Get("Return-Path"), ForReturnPath, &p.returned)
}

// status reads the fields about each recipient, which stand behind the first
// empty line.
func (p *parsed) status(b []byte) {
	in := bufio.NewReader(bytes.NewReader(b))
	for n := 0; n < partsMax; n++ {
		h, err := textproto.ReadHeader(in)
		value := func(name string) string {
			v := h.Get(name)
			if kind, rest, typed := strings.Cut(v, ";"); typed && !strings.Contains(kind, " ") {
				v = rest // "rfc822;" or "smtp;"
			}
			return plain(v, saidLimit)
		}
		if action := strings.ToLower(strings.TrimSpace(h.Get("Action"))); action != "" {
			r := recipientStatus{value("Final-Recipient"), action, "", value("Diagnostic-Code")}
			if m := statusCode.FindStringSubmatch(" " + h.Get("Status") + " "); m != nil {
				r.status = m[1]
			}
			p.dsn = append(p.dsn, r)
		}
		if err != nil {
			return
		}
	}
}

// judge says what the mail is, by all that was gathered.
func (p *parsed) judge() Reply {
	r := p.reply
	r.Forged = p.forged
	switch {
	case p.report || len(p.dsn) > 0:
		p.judgeDSN(&r)
	case p.daemon, p.empty && p.bounced != "" && !p.automatic:
		r.Message = first(p.bounced, p.returned, p.inText(), p.answered)
		r.Kind, r.Status, r.Said = bounceText(p.words())
	case p.automatic:
		r.Kind, r.Message = AutoReply, first(p.bounced, p.answered, p.optedOut)
	case p.optedOut != "":
		r.Kind, r.Message = OptOut, p.optedOut
	default:
		r.Message = first(p.answered, p.bounced)
		r.Said = firstLine(p.words())
		r.Kind = Answer
		if r.Message != "" && stopWord(r.Said) {
			r.Kind = OptOut
		}
		if r.Message == "" && p.forged {
			r.Kind = Unknown
		}
	}
	if r.Message == "" && slices.Contains([]ReplyKind{HardBounce, SoftBounce, Delayed, Delivered, OptOut}, r.Kind) {
		r.Kind = Unknown // whoever sent it has seen no message of ours
	}
	return r
}

// judgeDSN takes the worst of what a DSN says.
func (p *parsed) judgeDSN(r *Reply) {
	r.Message, r.Kind = first(p.bounced, p.returned, p.answered), Unknown
	rank := []string{"delivered", "relayed", "expanded", "delayed", "failed"}
	worst := -1
	for _, d := range p.dsn {
		i := slices.Index(rank, d.action)
		if i <= worst {
			continue
		}
		worst = i
		r.Recipient, r.Status, r.Said = d.recipient, d.status, d.diagnostic
		switch d.action {
		case "failed":
			r.Kind = failed(d.status)
		case "delayed":
			r.Kind = Delayed
		default:
			r.Kind = Delivered
		}
	}
	if worst < 0 {
		r.Kind, r.Status, r.Said = bounceText(p.words())
	}
}

// failed is the kind of a failure by its status (RFC 3463, section 3). A full
// mailbox (X.2.2), a system that takes no mail (X.3), a content (X.6) and a policy
// (X.7: our sender, our address on a block list) are permanent for this mail and
// tell nothing of the address.
func failed(status string) ReplyKind {
	for _, other := range []string{"5.3.", "5.6.", "5.7."} {
		if strings.HasPrefix(status, other) {
			return SoftBounce
		}
	}
	if strings.HasPrefix(status, "5.") && status != "5.2.2" || status == "" {
		return HardBounce
	}
	return SoftBounce
}

func first(ids ...ID) ID {
	for _, id := range ids {
		if id != "" {
			return id
		}
	}
	return ""
}

// inText looks for the copy of our mail that old servers put into the text.
func (p *parsed) inText() ID {
	var id ID
	p.tokens(p.text, ForMessageID, &id)
	if id == "" {
		p.tokens(p.text, ForReturnPath, &id)
	}
	return id
}

var (
	statusCode = regexp.MustCompile(`(?:^|[^0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\.?[^0-9.]|\.?$)`)
	smtpCode   = regexp.MustCompile(`(?:^|[^0-9.])([45])[0-9]{2}[ -][^0-9]`)
	copyBegins = regexp.MustCompile(`(?im)^(-+ *(below this line is a copy|this is a copy|original message|enclosed|returned message|the header)|return-path:|received:).*$`)
	forEver    = regexp.MustCompile(`(?i)permanent error|user unknown|no such (user|mailbox|person)|does not exist|mailbox unavailable|unrouteable address`)
)

// bounceText reads a bounce that is written for people: qmail's, Exim's, and
// those of old gateways. Where it gives no reason, nothing is held against the
// address for ever.
func bounceText(text string) (kind ReplyKind, status, said string) {
	if at := copyBegins.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	text = text[:min(len(text), 8<<10)]
	line := func(at int) string {
		from := strings.LastIndexByte(text[:at], '\n') + 1
		to := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			to = at + i
		}
		return plain(text[from:to], saidLimit)
	}
	if m := statusCode.FindStringSubmatchIndex(text); m != nil {
		status = text[m[2]:m[3]]
		switch {
		case strings.HasPrefix(status, "2."):
			return Delivered, status, line(m[2])
		default:
			return failed(status), status, line(m[2])
		}
	}
	if m := smtpCode.FindStringSubmatchIndex(text); m != nil {
		if text[m[2]] == '5' {
			return HardBounce, "", line(m[2])
		}
		return SoftBounce, "", line(m[2])
	}
	if m := forEver.FindStringIndex(text); m != nil {
		return HardBounce, "", line(m[0])
	}
	return SoftBounce, "", firstLine(text)
}

var (
	unseen  = regexp.MustCompile(`(?is)<(style|script|head)\b.*?</(style|script|head)>`)
	breaks  = regexp.MustCompile(`(?i)<(br|/p|/div|/tr|/h[1-6])\b[^>]*>`)
	anyTags = regexp.MustCompile(`<[^>]*>`)
)

// words is the text for people; of a mail in HTML alone what is between the tags.
func (p *parsed) words() string {
	if strings.TrimSpace(p.text) != "" || p.html == "" {
		return p.text
	}
	text := unseen.ReplaceAllString(p.html, "")
	text = breaks.ReplaceAllString(text, "\n")
	return html.UnescapeString(anyTags.ReplaceAllString(text, ""))
}

// firstLine is the first line that is not quoted.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		line = plain(line, wordsLimit)
		if line != "" && !strings.HasPrefix(line, ">") {
			return line
		}
	}
	return ""
}

// stopWords are what the mails tell people to write, and what they write
// instead.
var stopWords = []string{"stop", "unsubscribe", "abmelden", "abbestellen", "abmeldung", "配信停止", "停止", "配信停止希望", "配信を停止してください"}

func stopWord(line string) bool {
	line = strings.ToLower(strings.TrimFunc(line, func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSpace(r) }))
	return slices.Contains(stopWords, line)
}
