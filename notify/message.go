package notify

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// A Message is one mail to one recipient, finished but for its envelope. It has
// one recipient because the return path, the opt-out and the key are theirs
// alone.
type Message struct {
	// Key is the send key: what makes this message the same one after a crash.
	Key string
	// Reference is the number that people quote; it stands in the subject.
	Reference string
	To        string // an address, with or without a name
	Subject   string
	Text      string
	HTML      string // may be empty
	Language  string // such as "de"; may be empty
	Date      time.Time
	// InReplyTo are the send keys of the messages of the same thread, oldest
	// first: a reminder stands under what it reminds of.
	InReplyTo   []string
	Attachments []Attachment
	// PGPKey is the recipient's public key, armoured. With it the mail is
	// encrypted or refused, never sent in plain.
	PGPKey string
}

// An Attachment is a file in a mail.
type Attachment struct {
	Name        string // clipped to what every system takes for a file name
	ContentType string
	Body        []byte
}

// Mail is a message ready to be handed to a server: what an outbox keeps.
// Sending it again sends the same bytes under the same Message-ID.
type Mail struct {
	ID         ID     `json:"id"`
	ReturnPath string `json:"return_path"`
	To         string `json:"to"`
	Bytes      []byte `json:"bytes"`
}

// A Writer puts messages into their envelopes.
type Writer struct {
	From, ReplyTo     mail.Address // ReplyTo may be zero
	Domain            string
	Secret            Secret
	UnsubscribeURL    string // may be empty
	UnsubscribeMailto string // may be empty
}

// Bounds of a message. A subject is for one line of a list; the rest is what
// mail servers take without complaint.
const (
	subjectLimit     = 150
	attachmentLimit  = 64
	attachmentsBytes = 15 << 20
)

// Mistakes in a message, all of them ours.
var (
	errNoKey       = errors.New("no send key")
	errNoDate      = errors.New("no date")
	errNoText      = errors.New("no subject or no text")
	errReference   = errors.New("want letters, digits and hyphens, 40 at most")
	errAttachments = errors.New("too many or too large attachments")
)

var reference = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,39}$`)

// MessageID returns the Message-ID of the message with the send key, without
// its angle brackets. It carries a token: an answer to it proves that whoever
// writes has seen the message.
func (w *Writer) MessageID(key string) string {
	return w.Secret.Token(ForMessageID, w.Secret.ID(key)) + "@" + w.Domain
}

// Unsubscribe returns where the recipient of the message opts out, for the text
// of the mail: an URL if there is one, else an address.
func (w *Writer) Unsubscribe(key string) string {
	link, address := w.unsubscribe(w.Secret.ID(key))
	if link != "" {
		return link
	}
	return address
}

func (w *Writer) unsubscribe(id ID) (link, address string) {
	token := w.Secret.Token(ForUnsubscribe, id)
	if w.UnsubscribeURL != "" {
		link = strings.TrimRight(w.UnsubscribeURL, "/") + "/" + token
	}
	if local, domain, ok := cutLast(w.UnsubscribeMailto, "@"); ok {
		address = local + "+" + token + "@" + domain
	}
	return link, address
}

// Seal returns the mail that the message is.
func (w *Writer) Seal(m Message) (Mail, error) {
	fail := func(err error) (Mail, error) { return Mail{}, fmt.Errorf("write mail %q: %w", plain(m.Key, 60), err) }
	to, err := parseAddress(m.To)
	if err != nil {
		return fail(fmt.Errorf("to %q: %w", plain(m.To, 60), err))
	}
	if err := m.check(); err != nil {
		return fail(err)
	}
	id := w.Secret.ID(m.Key)
	out := Mail{ID: id, To: to.Address, ReturnPath: returnLocal + "+" + w.Secret.Token(ForReturnPath, id) + "@" + w.Domain}
	content, end := m.content(), ""
	if m.PGPKey != "" {
		inner, err := entity(content)
		if err != nil {
			return fail(err)
		}
		armoured, err := encrypt(inner, m.PGPKey, m.Date)
		if err != nil {
			return fail(err)
		}
		content, end = sealedContent(armoured)
	}
	if err := w.head(content, m, to, id); err != nil {
		return fail(err)
	}
	var b bytes.Buffer
	if _, err := content.WriteTo(&b); err != nil {
		return fail(err)
	}
	b.WriteString(end)
	out.Bytes = b.Bytes()
	return out, nil
}

// check refuses what no mail can be made of.
func (m *Message) check() error {
	size := 0
	for _, a := range m.Attachments {
		size += len(a.Body)
	}
	switch {
	case m.Key == "":
		return errNoKey
	case m.Date.IsZero():
		return errNoDate
	case strings.TrimSpace(m.Subject) == "" || m.Text == "":
		return errNoText
	case m.Reference != "" && !reference.MatchString(m.Reference):
		return fmt.Errorf("reference %q: %w", plain(m.Reference, 60), errReference)
	case len(m.Attachments) > attachmentLimit || size > attachmentsBytes:
		return fmt.Errorf("%w: %d with %d bytes", errAttachments, len(m.Attachments), size)
	}
	return nil
}

// head sets every header but those of the content.
func (w *Writer) head(msg *gomail.Msg, m Message, to mail.Address, id ID) error {
	msg.FromMailAddress(&w.From)
	msg.ToMailAddress(&to)
	if w.ReplyTo.Address != "" {
		msg.ReplyToMailAddress(&w.ReplyTo)
	}
	msg.Subject(m.subject())
	msg.SetDateWithValue(m.Date.UTC())
	msg.SetMessageIDWithValue(w.MessageID(m.Key))
	var thread []string
	for _, key := range m.InReplyTo {
		thread = append(thread, "<"+w.MessageID(key)+">")
	}
	if n := len(thread); n > 0 {
		msg.SetGenHeaderPreformatted(gomail.HeaderInReplyTo, thread[n-1])
		// RFC 5322, section 2.1.1: a line ends before its 998th character.
		msg.SetGenHeaderPreformatted(gomail.HeaderReferences, strings.Join(thread[max(0, n-20):], "\r\n "))
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetGenHeader("X-Auto-Response-Suppress", "OOF, AutoReply")
	if tag := languageTag.FindString(m.Language); tag != "" {
		msg.SetGenHeader(gomail.HeaderContentLang, tag)
	}
	link, address := w.unsubscribe(id)
	var ways []string
	if link != "" {
		if u, err := url.Parse(link); err != nil || u.Scheme != "https" {
			return fmt.Errorf("opt-out %q: want https", link)
		}
		ways = append(ways, "<"+link+">")
		msg.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	if address != "" {
		ways = append(ways, "<mailto:"+address+"?subject=unsubscribe>")
	}
	if len(ways) > 0 {
		msg.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, strings.Join(ways, ",\r\n "))
	}
	return nil
}

var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z]{2})?$`)

// subject is the subject with the reference before it, unless it has it.
func (m *Message) subject() string {
	s := unencoded(plain(m.Subject, subjectLimit))
	if m.Reference != "" && !strings.Contains(s, m.Reference) {
		s = "[" + m.Reference + "] " + s
	}
	return s
}

// unencoded returns the text with nothing in it that a reader would decode
// once more (RFC 2047).
func unencoded(s string) string { return strings.ReplaceAll(s, "=?", "= ?") }

// content returns the bodies and the files, without a header.
func (m *Message) content() *gomail.Msg {
	msg := empty()
	msg.SetBodyString(gomail.TypeTextPlain, crlf(m.Text))
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, crlf(m.HTML))
	}
	for i, a := range m.Attachments {
		msg.AttachReadSeeker(fileName(a.Name, i), bytes.NewReader(a.Body), gomail.WithFileContentType(gomail.ContentType(contentType(a.ContentType))))
	}
	return msg
}

func empty() *gomail.Msg {
	return gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithCharset(gomail.CharsetUTF8), gomail.WithEncoding(gomail.EncodingQP))
}

// crlf ends lines as mail does. NUL has no place in a mail (RFC 5322, section 2.2).
func crlf(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	return strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n", "\x00", "\ufffd").Replace(s)
}

var (
	unfit     = regexp.MustCompile(`[^0-9A-Za-z._-]+`)
	mediaType = regexp.MustCompile(`^[a-z]+/[a-z0-9.+-]+(; charset=[a-z0-9-]+)?$`)
)

// fileName returns a name that is one on every system: no path, no sign that a
// shell or a header would take apart, and not hidden.
func fileName(name string, i int) string {
	name = unfit.ReplaceAllString(path.Base(strings.ReplaceAll(name, `\`, "/")), "_")
	name = strings.Trim(name, "._-")
	if name == "" {
		return fmt.Sprintf("attachment-%d", i+1)
	}
	if limit := 120; len(name) > limit { // the end tells what it is
		name = name[len(name)-limit:]
	}
	return name
}

// contentType returns the type when it is one, else that of bytes.
func contentType(t string) string {
	if mediaType.MatchString(t) {
		return t
	}
	return "application/octet-stream"
}
