package ipp

import (
	"encoding/binary"
	"time"
)

// mostField is the longest name or value that is written: the length is a
// SIGNED-SHORT (RFC 8010, section 3.1.4).
const mostField = 0x7fff

// Append appends the message: header, groups and end. Names and values that are
// too long for their length are cut. Lenient, Stopped and Size say how a message
// was read, and are not written.
func (m *Message) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(m.Version))
	b = binary.BigEndian.AppendUint16(b, m.Code)
	b = binary.BigEndian.AppendUint32(b, m.RequestID)
	for _, g := range m.Groups {
		b = append(b, byte(g.Tag))
		for _, a := range g.Attributes {
			b = a.Append(b)
		}
	}
	return append(b, byte(TagEnd))
}

// Append appends the attribute with all its values.
func (a Attribute) Append(b []byte) []byte {
	name := a.Name
	for _, v := range a.Values {
		b = v.append(b, name)
		name = "" // an additional value: RFC 8010, section 3.1.5
	}
	return b
}

// append appends one value under a name. It recurses as deep as the value is.
func (v Value) append(b []byte, name string) []byte {
	b = appendValue(b, v.Tag, name, v.Data)
	if v.Tag != TagBegCollection {
		return b
	}
	for _, member := range v.Members {
		b = appendValue(b, TagMemberName, "", member.Name)
		for _, one := range member.Values {
			b = one.append(b, "")
		}
	}
	return appendValue(b, TagEndCollection, "", "")
}

// Strings returns an attribute with values that are character strings.
func Strings(tag Tag, name string, values ...string) Attribute {
	a := Attribute{Name: name, Values: make([]Value, len(values))}
	for i, v := range values {
		a.Values[i] = Value{Tag: tag, Data: v}
	}
	return a
}

// Integers returns an attribute with integers or enums.
func Integers(tag Tag, name string, values ...int) Attribute {
	a := Attribute{Name: name, Values: make([]Value, len(values))}
	for i, v := range values {
		a.Values[i] = Integer(tag, v)
	}
	return a
}

// OutOfBand returns an attribute that says why it has no value.
func OutOfBand(tag Tag, name string) Attribute {
	return Attribute{Name: name, Values: []Value{{Tag: tag}}}
}

// Integer returns an integer or enum, cut to 32 bits.
func Integer(tag Tag, n int) Value { return Value{Tag: tag, Data: string(four(nil, n))} }

// Bool returns a boolean.
func Bool(yes bool) Value {
	if yes {
		return Value{Tag: TagBoolean, Data: "\x01"}
	}
	return Value{Tag: TagBoolean, Data: "\x00"}
}

// Range returns a rangeOfInteger.
func Range(low, high int) Value {
	return Value{Tag: TagRange, Data: string(four(four(nil, low), high))}
}

// DotsPerInch returns a resolution in dpi (RFC 8011, section 5.1.16).
func DotsPerInch(across, along int) Value {
	return Value{Tag: TagResolution, Data: string(append(four(four(nil, across), along), 3))}
}

// Date returns a dateTime in UTC: eleven octets (RFC 2579, section 2).
func Date(t time.Time) Value {
	t = t.UTC()
	b := binary.BigEndian.AppendUint16(nil, uint16(t.Year()))
	b = append(b, byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()),
		byte(t.Nanosecond()/int(100*time.Millisecond)), '+', 0, 0)
	return Value{Tag: TagDateTime, Data: string(b)}
}

func four(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }
