package grab

import (
	"time"

	"ippwatch/wire/ipp"
)

// Limits bound what one target can cost. A zero field stands for that of
// [DefaultLimits].
type Limits struct {
	Body       int // bytes of the body of one answer
	Page       int // bytes of an HTML page, of which only the title is wanted
	Head       int // bytes of the header of one answer, 1xx included
	Redirects  int // followed for one request, on the same address and port
	Printers   int // of one answer
	Attributes int // of one printer
	Values     int // of one attribute
	Text       int // bytes of one value

	FirstByte time.Duration // from the request to the first byte
	Handshake time.Duration // of TLS
	Again     time.Duration // before a second handshake, where the first was cut off
	// An answer may last Grace after its first byte, or as long as it keeps up
	// Rate bytes a second on average.
	Grace time.Duration
	Rate  int
}

// DefaultLimits returns the limits of a scan. A CUPS server with 50 queues
// sends some 60 KiB for what we ask.
func DefaultLimits() Limits {
	return Limits{
		Body: 256 << 10, Page: 8 << 10, Head: 16 << 10, Redirects: 2,
		Printers: 50, Attributes: 128, Values: 128, Text: 1024,
		FirstByte: 5 * time.Second, Handshake: 5 * time.Second, Again: time.Second, Grace: 3 * time.Second, Rate: 256,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ have, or *int }{
		{&l.Body, &d.Body},
		{&l.Page, &d.Page},
		{&l.Head, &d.Head},
		{&l.Redirects, &d.Redirects},
		{&l.Printers, &d.Printers},
		{&l.Attributes, &d.Attributes},
		{&l.Values, &d.Values},
		{&l.Text, &d.Text},
		{&l.Rate, &d.Rate},
	} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	for _, f := range []struct{ have, or *time.Duration }{
		{&l.FirstByte, &d.FirstByte},
		{&l.Handshake, &d.Handshake},
		{&l.Again, &d.Again},
		{&l.Grace, &d.Grace},
	} {
		if *f.have <= 0 {
			*f.have = *f.or
		}
	}
	return l
}

// message returns the limits of one IPP message: room for the printers, and
// for the operation and unsupported attributes.
func (l Limits) message() ipp.Limits {
	return ipp.Limits{
		Groups:     l.Printers + 4,
		Attributes: (l.Printers + 4) * l.Attributes,
		Values:     (l.Printers + 4) * l.Attributes * 4,
		Length:     l.Text,
	}
}
