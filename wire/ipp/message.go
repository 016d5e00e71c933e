package ipp

import "strconv"

// A Message is what could be read of one IPP message (RFC 8010, section 3.1).
type Message struct {
	Version Version
	// Code is the operation of a request or the status of a response: see
	// [Message.Operation] and [Message.Status].
	Code      uint16
	RequestID uint32
	// Groups are all groups in their order; those with the same tag, such as
	// the printers of a list, are not merged.
	Groups []Group
	// Lenient names each break of RFC 8010 that was read over, once, in the
	// order of appearance; see the constants.
	Lenient []string
	// Stopped says why the reader stopped before the end of the message; it is
	// empty when the end was reached. What was read until then is kept.
	Stopped string
	// Size is the number of bytes that were read: what follows them is a
	// document, or is not ours.
	Size int
}

// Operation returns the code of a request.
func (m *Message) Operation() Operation { return Operation(m.Code) }

// Status returns the code of a response.
func (m *Message) Status() Status { return Status(m.Code) }

// Get returns the text of the first value of the attribute in the first group
// with the tag that has it, or "".
func (m *Message) Get(group Tag, name string) string {
	for _, g := range m.Groups {
		if g.Tag != group {
			continue
		}
		if a, ok := g.Get(name); ok && len(a.Values) > 0 {
			return a.Values[0].Text()
		}
	}
	return ""
}

// A Version is the version of IPP: the major number in the upper byte, the
// minor in the lower (RFC 8011, section 4.1.8).
type Version uint16

// Versions that we speak.
const (
	Version11 Version = 0x0101
	Version20 Version = 0x0200
)

// Major returns the number before the dot. There is IPP/1.x and IPP/2.x; any
// other says that the bytes are not IPP.
func (v Version) Major() int { return int(v >> 8) }

// String returns the version as in ipp-versions-supported: "2.0".
func (v Version) String() string {
	return strconv.Itoa(int(v>>8)) + "." + strconv.Itoa(int(v&0xff))
}

// A Group is a sequence of attributes under one delimiter tag (RFC 8010,
// section 3.1.2).
type Group struct {
	Tag        Tag
	Attributes []Attribute
}

// Get returns the first attribute of that name.
func (g Group) Get(name string) (Attribute, bool) {
	for _, a := range g.Attributes {
		if a.Name == name {
			return a, true
		}
	}
	return Attribute{}, false
}

// An Attribute is a name with its values: of a group, or a member of a
// collection. It has no value only where the message left it out
// ([MemberWithoutValue]).
type Attribute struct {
	Name   string
	Values []Value
}

// Text returns the text of each value.
func (a Attribute) Text() []string {
	if len(a.Values) == 0 {
		return nil
	}
	text := make([]string, len(a.Values))
	for i, v := range a.Values {
		text[i] = v.Text()
	}
	return text
}

// A Value is one value of an attribute.
type Value struct {
	Tag Tag
	// Data are the bytes as they were received, at most Limits.Length of them;
	// those of an unknown tag too.
	Data string
	// Members are the contents of a collection (RFC 8010, section 3.1.6).
	Members []Attribute
}
