package ipp

import "fmt"

// A Tag says what follows: a group, or a value of a syntax (RFC 8010, section
// 3.5).
type Tag uint8

// Delimiter tags (RFC 8010, section 3.5.1).
const (
	TagOperation   Tag = 0x01
	TagJob         Tag = 0x02
	TagEnd         Tag = 0x03
	TagPrinter     Tag = 0x04
	TagUnsupported Tag = 0x05
)

// Value tags (RFC 8010, section 3.5.2).
const (
	TagUnsupportedValue Tag = 0x10
	TagUnknown          Tag = 0x12
	TagNoValue          Tag = 0x13
	TagInteger          Tag = 0x21
	TagBoolean          Tag = 0x22
	TagEnum             Tag = 0x23
	TagOctetString      Tag = 0x30
	TagDateTime         Tag = 0x31
	TagResolution       Tag = 0x32
	TagRange            Tag = 0x33
	TagBegCollection    Tag = 0x34
	TagTextLang         Tag = 0x35
	TagNameLang         Tag = 0x36
	TagEndCollection    Tag = 0x37
	TagText             Tag = 0x41
	TagName             Tag = 0x42
	TagKeyword          Tag = 0x44
	TagURI              Tag = 0x45
	TagURIScheme        Tag = 0x46
	TagCharset          Tag = 0x47
	TagLanguage         Tag = 0x48
	TagMimeType         Tag = 0x49
	TagMemberName       Tag = 0x4a
	TagExtension        Tag = 0x7f
)

// Delimits reports whether the tag begins a group, or ends the message.
func (t Tag) Delimits() bool { return t < 0x10 }

func (t Tag) outOfBand() bool { return t >= 0x10 && t < 0x20 }

// characters reports whether values of the tag are character strings; RFC
// 8010, section 3.5.2, sets the range aside, unknown tags included.
func (t Tag) characters() bool { return t >= 0x40 && t < 0x60 }

// fits reports whether data can be a value of the tag (RFC 8010, section 3.9).
func (t Tag) fits(data string) bool {
	switch t {
	case TagInteger, TagEnum:
		return len(data) == 4
	case TagBoolean:
		return len(data) == 1
	case TagRange:
		return len(data) == 8
	case TagResolution:
		return len(data) == 9
	case TagDateTime:
		_, ok := dateTime(data)
		return ok
	case TagTextLang, TagNameLang:
		_, ok := withLanguage(data)
		return ok
	case TagExtension:
		return len(data) >= 4 && data[0] < 0x80
	}
	return true
}

// String returns the name of the tag in RFC 8010, or its number: "0x7e".
func (t Tag) String() string {
	if name := tagNames[t]; name != "" {
		return name
	}
	return fmt.Sprintf("0x%02x", uint8(t))
}

var tagNames = [256]string{
	TagOperation:        "operation-attributes-tag",
	TagJob:              "job-attributes-tag",
	TagEnd:              "end-of-attributes-tag",
	TagPrinter:          "printer-attributes-tag",
	TagUnsupported:      "unsupported-attributes-tag",
	0x06:                "subscription-attributes-tag",
	0x07:                "event-notification-attributes-tag",
	0x08:                "resource-attributes-tag",
	0x09:                "document-attributes-tag",
	0x0a:                "system-attributes-tag",
	TagUnsupportedValue: "unsupported",
	0x11:                "default",
	TagUnknown:          "unknown",
	TagNoValue:          "no-value",
	0x15:                "not-settable",
	0x16:                "delete-attribute",
	0x17:                "admin-define",
	TagInteger:          "integer",
	TagBoolean:          "boolean",
	TagEnum:             "enum",
	TagOctetString:      "octetString",
	TagDateTime:         "dateTime",
	TagResolution:       "resolution",
	TagRange:            "rangeOfInteger",
	TagBegCollection:    "begCollection",
	TagTextLang:         "textWithLanguage",
	TagNameLang:         "nameWithLanguage",
	TagEndCollection:    "endCollection",
	TagText:             "textWithoutLanguage",
	TagName:             "nameWithoutLanguage",
	TagKeyword:          "keyword",
	TagURI:              "uri",
	TagURIScheme:        "uriScheme",
	TagCharset:          "charset",
	TagLanguage:         "naturalLanguage",
	TagMimeType:         "mimeMediaType",
	TagMemberName:       "memberAttrName",
	TagExtension:        "extension",
}
