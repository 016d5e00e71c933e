package ipp

import "encoding/binary"

// A Request is one of the reads that we make.
type Request struct {
	Operation Operation
	Version   Version
	ID        uint32
	URI       string // printer-uri; left out when empty, as CUPS-Get-Printers wants
	Limit     int    // left out when 0
	Requested []string
}

// Append appends the message. Operation attributes stand in the order of RFC
// 8011, section 4.1.4: charset, natural language, target, the rest.
func (r Request) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(r.Version))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Operation))
	b = binary.BigEndian.AppendUint32(b, r.ID)
	b = append(b, byte(TagOperation))
	b = appendValue(b, TagCharset, "attributes-charset", "utf-8")
	b = appendValue(b, TagLanguage, "attributes-natural-language", "en")
	if r.URI != "" {
		b = appendValue(b, TagURI, "printer-uri", r.URI)
	}
	if r.Limit > 0 {
		var limit [4]byte
		binary.BigEndian.PutUint32(limit[:], uint32(r.Limit))
		b = appendValue(b, TagInteger, "limit", string(limit[:]))
	}
	name := "requested-attributes"
	for _, want := range r.Requested {
		b = appendValue(b, TagKeyword, name, want)
		name = "" // an additional value: RFC 8010, section 3.1.5
	}
	return append(b, byte(TagEnd))
}

// appendValue appends one value.
func appendValue(b []byte, tag Tag, name, value string) []byte {
	name, value = name[:min(len(name), mostField)], value[:min(len(value), mostField)]
	b = append(b, byte(tag))
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}
