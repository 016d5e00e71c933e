package desk

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"ippwatch/wire/ipp"
)

// A Request is one IPP request, read to its end.
type Request struct {
	*ipp.Message
	Host string     // as the client named it, with the port
	Path string     // of the POST
	From netip.Addr // of the connection, and of nothing that the client says
	TLS  bool
	// Document is how many bytes followed the attributes.
	Document int64
	Now      time.Time
}

// An Answer is what the clerk says.
type Answer struct {
	ipp.Message
	Job int // that the request made or meant; 0: none
	// Login says that a cupsd answers with HTTP 401 instead: the operation is for
	// administrators.
	Login bool
	// Refused says that ippeveprinter answers with HTTP 400 instead.
	Refused bool
}

// A Clerk answers IPP as one CUPS server or one device does. It is safe for use
// by many goroutines.
type Clerk interface {
	Answer(q *Request) Answer
}

// operation returns the text of an operation attribute, or "".
func (q *Request) operation(name string) string { return q.Get(ipp.TagOperation, name) }

// number returns an integer of the operation attributes.
func (q *Request) number(name string) (int, bool) {
	a, ok := q.first(name)
	if !ok || len(a.Values) == 0 {
		return 0, false
	}
	n, ok := a.Values[0].Int()
	return int(n), ok
}

func (q *Request) first(name string) (ipp.Attribute, bool) {
	for _, g := range q.Groups {
		if g.Tag == ipp.TagOperation {
			return g.Get(name)
		}
	}
	return ipp.Attribute{}, false
}

// asked is the requested-attributes.
func (q *Request) asked() []string {
	a, _ := q.first("requested-attributes")
	return a.Text()
}

// reply starts an answer with the attributes that RFC 8011, section 4.1.4.2
// requires; a text becomes the status-message.
func (q *Request) reply(status ipp.Status, text string) Answer {
	a := Answer{Message: ipp.Message{Version: q.Version, Code: uint16(status), RequestID: q.RequestID}}
	group := ipp.Group{Tag: ipp.TagOperation, Attributes: []ipp.Attribute{
		ipp.Strings(ipp.TagCharset, "attributes-charset", "utf-8"),
		ipp.Strings(ipp.TagLanguage, "attributes-natural-language", "en"),
	}}
	if text != "" {
		group.Attributes = append(group.Attributes, ipp.Strings(ipp.TagText, "status-message", clip(text, 1023)))
	}
	a.Groups = append(a.Groups, group)
	return a
}

// unsupported adds the group that says what was not understood (RFC 8011,
// section 4.1.7).
func (a Answer) unsupported(attrs ...ipp.Attribute) Answer {
	if len(attrs) > 0 {
		a.Groups = append(a.Groups, ipp.Group{Tag: ipp.TagUnsupported, Attributes: attrs})
	}
	return a
}

func (a *Answer) add(tag ipp.Tag, attrs []ipp.Attribute) {
	a.Groups = append(a.Groups, ipp.Group{Tag: tag, Attributes: attrs})
}

// words are what cupsd and ippeveprinter say differently of the same mistake.
// TestDeskBesideTheRealOnes, in package lab, asks them.
type words struct {
	requestID   string     // with the number
	charset     ipp.Status // for one that is none of theirs
	noJob       string     // with the number
	noJobToTell string     // the same, for Get-Job-Attributes
	noFile      string
	format      ipp.Status // for a document-format that is not supported
	formatText  string     // with the value
	compression string     // with the value
}

// flaw returns what is wrong with every operation alike, in the order in which
// cupsd and ippeveprinter look.
func (q *Request) flaw(w words) (ipp.Status, string) {
	switch v := q.Version; {
	case v.Major() != 1 && v.Major() != 2:
		return ipp.StatusVersionNotSpoken, fmt.Sprintf("Bad request version number %s.", v)
	case int32(q.RequestID) <= 0:
		return ipp.StatusBadRequest, fmt.Sprintf(w.requestID, int32(q.RequestID))
	case len(q.Groups) == 0 || len(q.Groups[0].Attributes) == 0 && len(q.Groups) == 1:
		return ipp.StatusBadRequest, "No attributes in request."
	}
	last := q.Groups[0].Tag
	for _, g := range q.Groups[1:] {
		if g.Tag < last && g.Tag != 0 {
			return ipp.StatusBadRequest, fmt.Sprintf("Attribute groups are out of order (%x < %x).", uint8(g.Tag), uint8(last))
		}
		last = g.Tag
	}
	first := q.Groups[0].Attributes
	if len(first) < 2 || first[0].Name != "attributes-charset" || len(first[0].Values) == 0 || first[0].Values[0].Tag != ipp.TagCharset ||
		first[1].Name != "attributes-natural-language" || len(first[1].Values) == 0 || first[1].Values[0].Tag != ipp.TagLanguage {
		return ipp.StatusBadRequest, missing
	}
	if set := first[0].Values[0].Text(); !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
		return w.charset, fmt.Sprintf("Unsupported character set %q.", clip(set, 255))
	}
	return ipp.StatusOK, ""
}

const missing = "Missing required attributes."

// A target is what printer-uri or job-uri names.
type target struct {
	name string // of the attribute; "" when neither is there
	uri  string
	path string
}

func (q *Request) target() target {
	for _, name := range []string{"printer-uri", "job-uri"} {
		if a, ok := q.first(name); ok && len(a.Values) > 0 && a.Values[0].Tag == ipp.TagURI {
			t := target{name: name, uri: a.Values[0].Text()}
			if u, err := url.Parse(t.uri); err == nil {
				t.path = u.Path
			}
			return t
		}
	}
	return target{}
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
