package ipp

import (
	"testing"

	"github.com/OpenPrinting/goipp"
	"github.com/google/go-cmp/cmp"
)

func TestValueText(t *testing.T) {
	tests := []struct {
		name string
		in   Value
		want string
	}{
		{"a negative integer", Value{Tag: TagInteger, Data: "\xff\xff\xff\xfe"}, "-2"},
		{"an enum", Value{Tag: TagEnum, Data: "\x00\x00\x00\x03"}, "3"},
		{"a boolean", Value{Tag: TagBoolean, Data: "\x00"}, "false"},
		{"a range", Value{Tag: TagRange, Data: "\x00\x00\x00\x01\x00\x00\x00\x05"}, "1-5"},
		{"a resolution per inch", Value{Tag: TagResolution, Data: "\x00\x00\x02\x58\x00\x00\x02\x58\x03"}, "600x600dpi"},
		{"a resolution per centimetre", Value{Tag: TagResolution, Data: "\x00\x00\x00\x02\x00\x00\x00\x04\x04"}, "2x4dpcm"},
		{"a resolution in no unit", Value{Tag: TagResolution, Data: "\x00\x00\x00\x02\x00\x00\x00\x04\x09"}, "2x4 per unit 9"},
		{"a date in UTC", Value{Tag: TagDateTime, Data: "\x07\xea\x0b\x17\x09\x1e\x00\x00+\x00\x00"}, "2026-11-23T09:30:00Z"},
		{"a date west of it, with deciseconds", Value{Tag: TagDateTime, Data: "\x07\xea\x0b\x17\x09\x1e\x00\x05-\x08\x00"}, "2026-11-23T09:30:00.5-08:00"},
		{"a date in New Zealand", Value{Tag: TagDateTime, Data: "\x07\xea\x0b\x17\x09\x1e\x00\x00+\x0d\x00"}, "2026-11-23T09:30:00+13:00"},
		{"no value", Value{Tag: TagNoValue}, "no-value"},
		{"unknown", Value{Tag: TagUnknown}, "unknown"},
		{"unsupported", Value{Tag: TagUnsupportedValue}, "unsupported"},
		{"out of band without a name", Value{Tag: 0x1f}, "0x1f"},
		{"a name with its language", Value{Tag: TagNameLang, Data: "\x00\x02de\x00\x05B\xc3\xbcro"}, "Büro"},
		{"a text with a length that lies", Value{Tag: TagTextLang, Data: "\x00\x02de\x00\x09ab"}, "0x000264650009" + "6162"},
		{"an empty text with language", Value{Tag: TagTextLang, Data: "\x00\x00\x00\x00"}, ""},
		{"octets that can be read", Value{Tag: TagOctetString, Data: "type=toner;level=80;"}, "type=toner;level=80;"},
		{"octets that cannot", Value{Tag: TagOctetString, Data: "\x00\x01"}, "0x0001"},
		{"an unknown string tag", Value{Tag: 0x5e, Data: "words"}, "words"},
		{"an unknown tag", Value{Tag: 0x7e, Data: "ab"}, "0x6162"},
		{"a keyword, not escaped", Value{Tag: TagKeyword, Data: "a\x1b[31m\x00"}, "a\x1b[31m\x00"},
		{"a collection", Value{Tag: TagBegCollection, Members: []Attribute{
			{Name: "x", Values: []Value{{Tag: TagInteger, Data: "\x00\x00\x00\x01"}, {Tag: TagNoValue}}},
			{Name: "y", Values: []Value{{Tag: TagBegCollection}}},
		}}, "{x=1,no-value y={}}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.in.Text(); got != test.want {
				t.Errorf("Text = %q, want %q", got, test.want)
			}
		})
	}
}

func TestRequestIsWhatGoippReads(t *testing.T) {
	r := Request{
		Operation: GetPrinterAttributes, Version: Version11, ID: 9, URI: "ipp://[2001:db8::1]:631/ipp/print",
		Limit: 50, Requested: []string{"printer-name", "printer-uuid"},
	}
	got, err := goippDecode(r.Append(nil), false)
	if err != nil {
		t.Fatal(err)
	}
	want := goipp.NewRequest(goipp.MakeVersion(1, 1), goipp.OpGetPrinterAttributes, 9)
	want.Operation.Add(goipp.MakeAttribute("attributes-charset", goipp.TagCharset, goipp.String("utf-8")))
	want.Operation.Add(goipp.MakeAttribute("attributes-natural-language", goipp.TagLanguage, goipp.String("en")))
	want.Operation.Add(goipp.MakeAttribute("printer-uri", goipp.TagURI, goipp.String(r.URI)))
	want.Operation.Add(goipp.MakeAttribute("limit", goipp.TagInteger, goipp.Integer(50)))
	want.Operation.Add(goipp.MakeAttr("requested-attributes", goipp.TagKeyword, goipp.String("printer-name"), goipp.String("printer-uuid")))
	if !got.Equal(*want) {
		t.Errorf("request reads as %+v, want %+v", got, want)
	}

	bare, err := goippDecode(Request{Operation: CUPSGetPrinters, Version: Version20, ID: 1}.Append(nil), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(bare.Operation) != 2 || bare.Version.String() != "2.0" {
		t.Errorf("bare request reads as %+v, want charset and language only", bare)
	}
}

func TestNames(t *testing.T) {
	got := []string{
		GetPrinterAttributes.String(), CUPSGetPrinters.String(), Operation(0x0fff).String(), Operation(9).String(),
		StatusNotFound.String(), StatusOK.String(), Status(0x0fff).String(),
		TagPrinter.String(), TagURI.String(), Tag(0x7e).String(), Version20.String(),
	}
	want := []string{
		"Get-Printer-Attributes", "CUPS-Get-Printers", "0x0fff", "Get-Job-Attributes",
		"client-error-not-found", "successful-ok", "0x0fff",
		"printer-attributes-tag", "uri", "0x7e", "2.0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}
