// Package ipp reads IPP messages (RFC 8010) from strangers and writes the few
// requests that we make.
package ipp

import (
	"fmt"
	"slices"
)

const (
	headerSize = 8 // version, code, request-id: RFC 8010, section 3.1.1

	// What printers send on average; memory is taken by it.
	bytesPerAttribute = 64
	bytesPerValue     = 32

	slabMost = 512 // entries of one slab, but for a longer list
)

// Parse reads one message. It never fails: what a stranger sends is a result.
// What was good is kept, each break of RFC 8010 that was read over is named in
// Lenient, and Stopped tells why the rest could not be read.
//
// The message does not alias b. It holds one copy of it, in which all names
// and values are substrings.
func Parse(b []byte, lim Limits) Message {
	var p Parser
	return p.Parse(b, lim)
}

// A Parser reads one message after the other in the same memory: the groups of
// a message are good until the next is read, names and values for ever. The
// zero Parser is ready.
type Parser struct {
	attrs, attrSlab   []Attribute
	values, valueSlab []Value
}

// Parse does what the function [Parse] does.
func (p *Parser) Parse(b []byte, lim Limits) Message {
	m := Message{}
	if len(b) < headerSize {
		m.Stopped = fmt.Sprintf("header of %d bytes, %d present", headerSize, len(b))
		m.Size = len(b)
		return m
	}
	m.Version = Version(uint16(b[0])<<8 | uint16(b[1]))
	m.Code = uint16(b[2])<<8 | uint16(b[3])
	m.RequestID = uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7])

	r := reader{
		s: string(b), off: headerSize, lim: lim.orDefault(), m: &m,
		attrs: p.attrs[:0], values: p.values[:0], attrSlab: p.attrSlab[:0], valueSlab: p.valueSlab[:0],
	}
	if r.attrs == nil {
		r.attrs, r.values = make([]Attribute, 0, min(len(b)/bytesPerAttribute, 256)), make([]Value, 0, 16)
	}
	r.run()
	r.endGroup()
	m.Size = r.off
	p.attrs, p.values, p.attrSlab, p.valueSlab = r.attrs, r.values, r.attrSlab, r.valueSlab
	return m
}

// Forget lets go what the last message said, and all memory that is more than
// most messages need.
func (p *Parser) Forget() {
	p.attrs, p.attrSlab = emptied(p.attrs), emptied(p.attrSlab)
	p.values, p.valueSlab = emptied(p.values), emptied(p.valueSlab)
}

func emptied[T any](s []T) []T {
	if cap(s) > slabMost {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

// A reader holds the state of one Parse. Attributes and values under
// construction lie on two stacks; what is complete moves to a slab.
type reader struct {
	s   string
	off int
	lim Limits
	m   *Message

	open    bool  // a group is open
	group   Tag   // its tag
	frames  []box // the group, and each open collection within
	attrs   []Attribute
	values  []Value
	dropped int // open collections that are too deep

	attrSlab  []Attribute
	valueSlab []Value
	nAttrs    int
	nValues   int
}

// A box is a group or collection that is being filled.
type box struct {
	attrs  int // its first attribute on the stack
	values int // first value of the attribute under construction
	name   string
	naming bool // an attribute is under construction
	wants  bool // a memberAttrName was read, and no value yet
}

// run reads tags until the end of the message or of what can be read.
func (r *reader) run() {
	for r.m.Stopped == "" {
		if r.off >= len(r.s) {
			r.lenient(MissingEnd)
			return
		}
		tag := Tag(r.s[r.off])
		switch {
		case tag == TagEnd:
			r.off++
			return
		case tag == 0:
			// Reserved (RFC 8010, section 3.5.1); in practice padding, or a
			// message that lost its place.
			r.stop("reserved tag 0x00 at offset %d", r.off)
		case tag.Delimits():
			r.off++
			r.endGroup()
			r.beginGroup(tag)
		default:
			r.attribute(tag)
		}
	}
}

// attribute reads one attribute-with-one-value, additional value or piece of a
// collection (RFC 8010, sections 3.1.4 to 3.1.6): they share one form.
func (r *reader) attribute(tag Tag) {
	at := r.off
	r.off++
	name, ok := r.field("name")
	if !ok {
		r.off = at
		return
	}
	data, ok := r.field("value")
	if !ok {
		r.off = at
		return
	}
	if len(name) > r.lim.Name {
		name = name[:r.lim.Name]
		r.lenient(CutName)
	}
	if !r.open {
		r.lenient(AttributeOutsideGroup)
		r.beginGroup(0)
		if r.m.Stopped != "" {
			return
		}
	}
	if r.dropped > 0 {
		switch tag {
		case TagBegCollection:
			r.dropped++
		case TagEndCollection:
			r.dropped--
		}
		return
	}
	switch tag {
	case TagMemberName:
		r.memberName(name, data)
	case TagEndCollection:
		r.endCollection(name, data)
	default:
		r.value(tag, name, data)
	}
}

// field reads a length and as many bytes.
func (r *reader) field(what string) (string, bool) {
	left := len(r.s) - r.off
	if left < 2 {
		r.stop("%s of an attribute at offset %d: length cut off", what, r.off)
		return "", false
	}
	n := int(r.s[r.off])<<8 | int(r.s[r.off+1])
	if n > left-2 {
		r.stop("%s of an attribute at offset %d: %d bytes, %d left", what, r.off, n, left-2)
		return "", false
	}
	if n > 0x7fff {
		r.lenient(LongField)
	}
	r.off += 2 + n
	return r.s[r.off-n : r.off], true
}

// value takes the value of an attribute or member, or an additional one.
func (r *reader) value(tag Tag, name, data string) {
	if r.nValues++; r.nValues > r.lim.Values {
		r.stop("limit of %d values", r.lim.Values)
		return
	}
	f := r.top()
	inside := len(r.frames) > 1
	switch {
	case inside && name != "":
		r.lenient(NamedMember)
		if !f.wants {
			r.begin(name)
		}
	case name != "":
		r.begin(name)
	case !f.naming:
		r.lenient(ValueWithoutName)
		r.begin("")
	}
	if r.m.Stopped != "" {
		return
	}
	f.wants = false
	if tag == TagBegCollection {
		if data != "" {
			r.lenient(StuffedDelimiter)
		}
		r.beginCollection()
		return
	}
	r.check(tag, data)
	if len(data) > r.lim.Length {
		data = data[:r.lim.Length]
		r.lenient(CutValue)
	}
	r.values = append(r.values, Value{Tag: tag, Data: data})
}

// check names what is wrong with the bytes of a value.
func (r *reader) check(tag Tag, data string) {
	switch {
	case tag.outOfBand():
		if data != "" {
			r.lenient(StuffedOutOfBand)
		}
	case !tag.fits(data):
		r.lenient(BadValue)
	}
}

func (r *reader) memberName(name, data string) {
	if len(r.frames) == 1 {
		r.lenient(StrayMember)
		return
	}
	if name != "" {
		r.lenient(NamedMember)
	}
	if r.top().wants {
		r.lenient(MemberWithoutValue)
	}
	if data == "" {
		r.lenient(MemberWithoutName)
	}
	if len(data) > r.lim.Name {
		data = data[:r.lim.Name]
		r.lenient(CutName)
	}
	r.begin(data)
	r.top().wants = true
}

func (r *reader) beginCollection() {
	if len(r.frames) > r.lim.Depth {
		r.lenient(CutCollection)
		r.values = append(r.values, Value{Tag: TagBegCollection})
		r.dropped = 1
		return
	}
	r.frames = append(r.frames, box{attrs: len(r.attrs)})
}

func (r *reader) endCollection(name, data string) {
	if len(r.frames) == 1 {
		r.lenient(StrayMember)
		return
	}
	if name != "" || data != "" {
		r.lenient(StuffedDelimiter)
	}
	if r.top().wants {
		r.lenient(MemberWithoutValue)
	}
	r.closeCollection()
}

// closeCollection makes the innermost collection a value of what holds it.
func (r *reader) closeCollection() {
	members := r.take()
	r.values = append(r.values, Value{Tag: TagBegCollection, Members: members})
}

func (r *reader) beginGroup(tag Tag) {
	if len(r.m.Groups) >= r.lim.Groups {
		r.stop("limit of %d groups", r.lim.Groups)
		return
	}
	r.open, r.group = true, tag
	r.frames = append(r.frames[:0], box{})
}

// endGroup closes the group and every collection that is open in it.
func (r *reader) endGroup() {
	if !r.open {
		return
	}
	if r.dropped > 0 || len(r.frames) > 1 {
		r.lenient(UnclosedCollection)
		r.dropped = 0
		for len(r.frames) > 1 {
			r.closeCollection()
		}
	}
	r.m.Groups = append(r.m.Groups, Group{Tag: r.group, Attributes: r.take()})
	r.open = false
}

func (r *reader) top() *box { return &r.frames[len(r.frames)-1] }

// begin opens an attribute in the innermost box.
func (r *reader) begin(name string) {
	r.finish()
	if r.nAttrs++; r.nAttrs > r.lim.Attributes {
		r.stop("limit of %d attributes", r.lim.Attributes)
		return
	}
	f := r.top()
	f.name, f.naming, f.values = name, true, len(r.values)
}

// finish completes the attribute under construction, if there is one.
func (r *reader) finish() {
	f := r.top()
	if !f.naming {
		return
	}
	values := keep(&r.valueSlab, r.values[f.values:], len(r.s)/bytesPerValue)
	r.values = r.values[:f.values]
	r.attrs = append(r.attrs, Attribute{Name: f.name, Values: values})
	f.naming, f.wants = false, false
}

// take empties the innermost box and leaves it.
func (r *reader) take() []Attribute {
	r.finish()
	base := r.top().attrs
	attrs := keep(&r.attrSlab, r.attrs[base:], len(r.s)/bytesPerAttribute)
	r.attrs = r.attrs[:base]
	r.frames = r.frames[:len(r.frames)-1]
	return attrs
}

// keep copies src to the slab, so that many short slices share one allocation.
func keep[T any](slab *[]T, src []T, first int) []T {
	if len(src) == 0 {
		return nil
	}
	if cap(*slab)-len(*slab) < len(src) {
		size := min(max(2*cap(*slab), first, 8), slabMost)
		*slab = make([]T, 0, max(size, len(src)))
	}
	n := len(*slab)
	*slab = append(*slab, src...)
	return (*slab)[n:len(*slab):len(*slab)]
}

func (r *reader) lenient(name string) {
	if !slices.Contains(r.m.Lenient, name) {
		r.m.Lenient = append(r.m.Lenient, name)
	}
}

func (r *reader) stop(format string, args ...any) {
	if r.m.Stopped == "" {
		r.m.Stopped = fmt.Sprintf(format, args...)
	}
}
