package ipp

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Text returns the value as exposure.Printer shows it: numbers in decimal,
// booleans as "true" and "false", ranges as "1-5", resolutions as "600x600dpi",
// dates by RFC 3339, collections as "{name=value other=1,2}", out-of-band values
// as the words of RFC 8010, text and names without their language. Bytes that
// are not what their tag says, or of an unknown tag, are in hexadecimal after
// "0x"; an octetString only if it cannot be printed. Nothing is escaped.
func (v Value) Text() string {
	if v.Tag.characters() {
		return v.Data
	}
	if v.Tag.outOfBand() {
		return v.Tag.String()
	}
	if n, ok := v.Int(); ok {
		return strconv.Itoa(int(n))
	}
	if v.Tag == TagBoolean && len(v.Data) == 1 {
		return strconv.FormatBool(v.Data[0] != 0)
	}
	var room [64]byte
	return string(v.AppendText(room[:0]))
}

// AppendText appends what [Value.Text] returns.
func (v Value) AppendText(b []byte) []byte {
	switch {
	case v.Tag.characters():
		return append(b, v.Data...)
	case v.Tag.outOfBand():
		return append(b, v.Tag.String()...)
	case v.Tag == TagBegCollection:
		return appendMembers(b, v.Members)
	case !v.Tag.fits(v.Data):
		return appendHex(b, v.Data)
	}
	switch v.Tag {
	case TagInteger, TagEnum:
		return strconv.AppendInt(b, int64(integer(v.Data)), 10)
	case TagBoolean:
		return strconv.AppendBool(b, v.Data[0] != 0)
	case TagRange:
		b = strconv.AppendInt(b, int64(integer(v.Data)), 10)
		b = append(b, '-')
		return strconv.AppendInt(b, int64(integer(v.Data[4:])), 10)
	case TagResolution:
		return appendResolution(b, v.Data)
	case TagDateTime:
		t, _ := dateTime(v.Data)
		return t.AppendFormat(b, time.RFC3339Nano)
	case TagTextLang, TagNameLang:
		text, _ := withLanguage(v.Data)
		return append(b, text...)
	case TagOctetString:
		if printable(v.Data) {
			return append(b, v.Data...)
		}
	}
	return appendHex(b, v.Data)
}

// Int returns the value of an integer or enum.
func (v Value) Int() (int32, bool) {
	if (v.Tag != TagInteger && v.Tag != TagEnum) || len(v.Data) != 4 {
		return 0, false
	}
	return integer(v.Data), true
}

// appendMembers recurses no deeper than the reader that made the members.
func appendMembers(b []byte, members []Attribute) []byte {
	b = append(b, '{')
	for i, a := range members {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, a.Name...)
		b = append(b, '=')
		for j, v := range a.Values {
			if j > 0 {
				b = append(b, ',')
			}
			b = v.AppendText(b)
		}
	}
	return append(b, '}')
}

func appendHex(b []byte, data string) []byte {
	return hex.AppendEncode(append(b, "0x"...), []byte(data))
}

// appendResolution writes a resolution; the units 3 and 4 come from RFC 8011,
// section 5.1.16.
func appendResolution(b []byte, data string) []byte {
	b = strconv.AppendInt(b, int64(integer(data)), 10)
	b = append(b, 'x')
	b = strconv.AppendInt(b, int64(integer(data[4:])), 10)
	switch data[8] {
	case 3:
		return append(b, "dpi"...)
	case 4:
		return append(b, "dpcm"...)
	}
	b = append(b, " per unit "...)
	return strconv.AppendUint(b, uint64(data[8]), 10)
}

func integer(s string) int32 {
	return int32(uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3]))
}

// dateTime reads the eleven octets of DateAndTime (RFC 2579, section 2), which
// RFC 8010, section 3.9, refers to.
func dateTime(s string) (time.Time, bool) {
	if len(s) != 11 || s[2] < 1 || s[2] > 12 || s[3] < 1 || s[3] > 31 || s[4] > 23 || s[5] > 59 ||
		s[6] > 60 || s[7] > 9 || (s[8] != '+' && s[8] != '-') || s[9] > 14 || s[10] > 59 {
		return time.Time{}, false
	}
	year := int(s[0])<<8 | int(s[1])
	if year > 9999 { // RFC 3339 cannot write it
		return time.Time{}, false
	}
	zone := time.UTC
	if east := int(s[9])*3600 + int(s[10])*60; east != 0 {
		if s[8] == '-' {
			east = -east
		}
		zone = time.FixedZone("", east)
	}
	return time.Date(year, time.Month(s[2]), int(s[3]), int(s[4]), int(s[5]), int(s[6]),
		int(s[7])*int(100*time.Millisecond), zone), true
}

// withLanguage returns the text of a textWithLanguage or nameWithLanguage:
// two strings, each with its length (RFC 8010, section 3.9).
func withLanguage(s string) (string, bool) {
	if len(s) < 4 {
		return "", false
	}
	text := 2 + int(s[0])<<8 + int(s[1])
	if text+2 > len(s) || int(s[text])<<8+int(s[text+1]) != len(s)-text-2 {
		return "", false
	}
	return s[text+2:], true
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}
