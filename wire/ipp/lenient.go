package ipp

// The breaks of RFC 8010 that the reader knows how to read over, and the cuts
// that it makes itself. They appear in observations: they are stable.
const (
	// MissingEnd is a message that ends between two attributes, without the
	// end-of-attributes-tag of section 3.5.1.
	MissingEnd = "missing-end"
	// AttributeOutsideGroup is an attribute before the first group; it is kept
	// in a group with the tag 0.
	AttributeOutsideGroup = "attribute-outside-group"
	// ValueWithoutName is an additional value (section 3.1.5) with nothing
	// before it, or a collection's value without a member name; it is kept in
	// an attribute without a name.
	ValueWithoutName = "value-without-name"
	// StrayMember is a memberAttrName or endCollection outside a collection; it
	// is dropped.
	StrayMember = "stray-member"
	// NamedMember is an attribute with a name inside a collection, where
	// section 3.1.6 wants it empty. Pantum M7300FDW writes members that way.
	NamedMember = "named-member"
	// MemberWithoutValue is a member name that no value follows.
	MemberWithoutValue = "member-without-value"
	// MemberWithoutName is a memberAttrName whose value is empty.
	MemberWithoutName = "member-without-name"
	// StuffedDelimiter is a begCollection or endCollection that carries a
	// value, which is dropped.
	StuffedDelimiter = "stuffed-delimiter"
	// StuffedOutOfBand is an out-of-band value that carries bytes (section
	// 3.8 wants none).
	StuffedOutOfBand = "stuffed-out-of-band"
	// UnclosedCollection is a collection that a group, or the message, ends.
	UnclosedCollection = "unclosed-collection"
	// BadValue is a value whose bytes cannot be one of its tag (section 3.9):
	// an integer of three bytes, a date in month 13. The bytes are kept.
	BadValue = "bad-value"
	// LongField is a name or value longer than 32,767 bytes: the length is a
	// SIGNED-SHORT in section 3.1.4, and is read as unsigned.
	LongField = "long-field"

	// CutName is a name longer than Limits.Name.
	CutName = "cut-name"
	// CutValue is a value longer than Limits.Length.
	CutValue = "cut-value"
	// CutCollection is a collection deeper than Limits.Depth; its members are
	// dropped and what follows it is read.
	CutCollection = "cut-collection"
)

// Limits bound what is kept of a message; time and memory are linear in its
// bytes in any case. A zero field stands for that of [DefaultLimits].
type Limits struct {
	Groups     int // of the message
	Attributes int // of the message, members of collections included
	Values     int // of the message, members of collections included
	Name       int // bytes of a name
	Length     int // bytes of a value
	Depth      int // of collections within collections
}

// DefaultLimits returns limits that a CUPS server with hundreds of queues, each
// with all its attributes, does not reach. RFC 8011, section 5.1, bounds names
// to 255 bytes and text to 1,023.
func DefaultLimits() Limits {
	return Limits{Groups: 1024, Attributes: 1 << 16, Values: 1 << 17, Name: 255, Length: 4096, Depth: 16}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, or *int }{
		{&l.Groups, &d.Groups},
		{&l.Attributes, &d.Attributes},
		{&l.Values, &d.Values},
		{&l.Name, &d.Name},
		{&l.Length, &d.Length},
		{&l.Depth, &d.Depth},
	} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	return l
}
