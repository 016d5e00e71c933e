package ipp

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// header is a successful response in IPP/2.0 with request-id 7.
const header = "\x02\x00\x00\x00\x00\x00\x00\x07"

// field writes one attribute as RFC 8010, section 3.1.4, has it.
func field(tag Tag, name, value string) string {
	b := []byte{byte(tag)}
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return string(append(b, value...))
}

func begin(name string) string  { return field(TagBegCollection, name, "") }
func member(name string) string { return field(TagMemberName, "", name) }

const (
	printer = "\x04"
	end     = "\x03"
	endCol  = "\x37\x00\x00\x00\x00"
)

// outline writes a message on few lines: groups, names and values.
func outline(m Message) string {
	var b strings.Builder
	for _, g := range m.Groups {
		b.WriteString("[" + g.Tag.String() + "]")
		for _, a := range g.Attributes {
			b.WriteString(" " + a.Name + "=" + strings.Join(a.Text(), ","))
		}
	}
	return b.String()
}

func TestParseReadsOverBreaks(t *testing.T) {
	tests := []struct {
		name    string
		in      string
		want    string
		lenient []string
		stopped string
	}{
		{
			name: "a plain message", in: header + printer + field(TagKeyword, "a", "x") + field(TagKeyword, "", "y") + end,
			want: "[printer-attributes-tag] a=x,y",
		},
		{
			name: "repeated groups", in: header + printer + field(TagName, "a", "x") + printer + field(TagName, "a", "y") + end,
			want: "[printer-attributes-tag] a=x[printer-attributes-tag] a=y",
		},
		{
			name: "nested collections with values of both kinds after them",
			in: header + printer + begin("c") + member("m") + begin("") + member("k") + field(TagInteger, "", "\x00\x00\x00\x05") +
				endCol + field(TagKeyword, "", "two") + member("n") + field(TagBoolean, "", "\x01") + endCol + begin("") + endCol +
				field(TagKeyword, "d", "z") + end,
			want: "[printer-attributes-tag] c={m={k=5},two n=true},{} d=z",
		},
		{
			name: "no end tag", in: header + printer + field(TagKeyword, "a", "x"),
			want: "[printer-attributes-tag] a=x", lenient: []string{MissingEnd},
		},
		{
			name: "an attribute before any group", in: header + field(TagKeyword, "a", "x") + printer + field(TagKeyword, "b", "y") + end,
			want: "[0x00] a=x[printer-attributes-tag] b=y", lenient: []string{AttributeOutsideGroup},
		},
		{
			name: "an additional value without a first", in: header + printer + field(TagKeyword, "", "x") + end,
			want: "[printer-attributes-tag] =x", lenient: []string{ValueWithoutName},
		},
		{
			name: "a member and an end outside a collection", in: header + printer + member("m") + endCol + field(TagKeyword, "a", "x") + end,
			want: "[printer-attributes-tag] a=x", lenient: []string{StrayMember},
		},
		{
			name: "members written as attributes (Pantum M7300FDW)",
			in:   header + printer + begin("c") + field(TagKeyword, "m", "x") + field(TagKeyword, "n", "y") + endCol + end,
			want: "[printer-attributes-tag] c={m=x n=y}", lenient: []string{NamedMember},
		},
		{
			name: "a member without a value, in the middle and at the end",
			in:   header + printer + begin("c") + member("m") + member("n") + field(TagKeyword, "", "y") + member("o") + endCol + end,
			want: "[printer-attributes-tag] c={m= n=y o=}", lenient: []string{MemberWithoutValue},
		},
		{
			name: "a member with an empty name", in: header + printer + begin("c") + member("") + field(TagKeyword, "", "y") + endCol + end,
			want: "[printer-attributes-tag] c={=y}", lenient: []string{MemberWithoutName},
		},
		{
			name: "a value where a member name is due", in: header + printer + begin("c") + field(TagKeyword, "", "y") + endCol + end,
			want: "[printer-attributes-tag] c={=y}", lenient: []string{ValueWithoutName},
		},
		{
			name: "collections that a group and the end cut short",
			in:   header + printer + begin("c") + member("m") + begin("") + member("k") + field(TagKeyword, "", "x") + printer + begin("d") + end,
			want: "[printer-attributes-tag] c={m={k=x}}[printer-attributes-tag] d={}", lenient: []string{UnclosedCollection},
		},
		{
			name: "delimiters of a collection with values",
			in:   header + printer + field(TagBegCollection, "c", "z") + field(TagEndCollection, "", "z") + end,
			want: "[printer-attributes-tag] c={}", lenient: []string{StuffedDelimiter},
		},
		{
			name: "an integer of three bytes and a date in month 13",
			in:   header + printer + field(TagInteger, "i", "\x01\x02\x03") + field(TagDateTime, "d", "\x07\xea\x0d\x01\x00\x00\x00\x00+\x00\x00") + end,
			want: "[printer-attributes-tag] i=0x010203 d=0x07ea0d01000000002b0000", lenient: []string{BadValue},
		},
		{
			name: "an out-of-band value that carries bytes", in: header + printer + field(TagNoValue, "a", "x") + end,
			want: "[printer-attributes-tag] a=no-value", lenient: []string{StuffedOutOfBand},
		},
		{
			name: "a value longer than a signed short", in: header + printer + field(TagOctetString, "a", strings.Repeat("x", 0x8001)) + field(TagKeyword, "b", "y") + end,
			want: "[printer-attributes-tag] a=" + strings.Repeat("x", 4096) + " b=y", lenient: []string{LongField, CutValue},
		},
		{
			name: "a message cut within a value", in: header + printer + field(TagKeyword, "a", "x") + field(TagKeyword, "b", "yyyy")[:8],
			want: "[printer-attributes-tag] a=x", stopped: "value of an attribute at offset 20: 4 bytes, 2 left",
		},
		{
			name: "a message cut within a length", in: header + printer + "\x44\x00",
			want: "[printer-attributes-tag]", stopped: "name of an attribute at offset 10: length cut off",
		},
		{
			name: "NULs after good attributes", in: header + printer + field(TagKeyword, "a", "x") + "\x00\x00\x00",
			want: "[printer-attributes-tag] a=x", stopped: "reserved tag 0x00 at offset 16",
		},
		{
			name: "half a header", in: header[:5], stopped: "header of 8 bytes, 5 present",
		},
		{
			name: "nothing", in: "", stopped: "header of 8 bytes, 0 present",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Parse([]byte(test.in), Limits{})
			if got := outline(m); got != test.want {
				t.Errorf("Parse = %q, want %q", got, test.want)
			}
			if d := cmp.Diff(test.lenient, m.Lenient); d != "" {
				t.Errorf("Lenient (-want +got):\n%s", d)
			}
			if m.Stopped != test.stopped {
				t.Errorf("Stopped = %q, want %q", m.Stopped, test.stopped)
			}
		})
	}
}

func TestParseKeepsWithinLimits(t *testing.T) {
	deep := header + printer + begin("c")
	for range 999 {
		deep += member("m") + begin("")
	}
	deep += strings.Repeat(endCol, 1000) + field(TagKeyword, "after", "x") + end

	many := func(s string) string { return header + printer + strings.Repeat(s, 100) + end }
	tests := []struct {
		name    string
		in      string
		lim     Limits
		lenient string
		stopped string
		check   func(Message) bool
	}{
		{
			name: "collections nested 1,000 deep", in: deep, lenient: CutCollection,
			check: func(m Message) bool {
				c, _ := m.Groups[0].Get("c")
				return c.Text()[0] == strings.Repeat("{m=", 15)+"{m={}"+strings.Repeat("}", 16) && m.Get(TagPrinter, "after") == "x"
			},
		},
		{
			name: "attributes", in: many(field(TagKeyword, "a", "x")), lim: Limits{Attributes: 10}, stopped: "limit of 10 attributes",
			check: func(m Message) bool { return len(m.Groups[0].Attributes) == 10 },
		},
		{
			name: "values", in: many(field(TagKeyword, "", "x")), lim: Limits{Values: 10}, lenient: ValueWithoutName, stopped: "limit of 10 values",
			check: func(m Message) bool { return len(m.Groups[0].Attributes[0].Values) == 10 },
		},
		{
			name: "groups", in: many(printer), lim: Limits{Groups: 10}, stopped: "limit of 10 groups",
			check: func(m Message) bool { return len(m.Groups) == 10 },
		},
		{
			name: "names", in: header + printer + field(TagKeyword, "abcdef", "x") + end, lim: Limits{Name: 3}, lenient: CutName,
			check: func(m Message) bool { return m.Get(TagPrinter, "abc") == "x" },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Parse([]byte(test.in), test.lim)
			if m.Stopped != test.stopped {
				t.Errorf("Stopped = %q, want %q", m.Stopped, test.stopped)
			}
			if test.lenient != "" && !slices.Contains(m.Lenient, test.lenient) {
				t.Errorf("Lenient = %q, want %q in it", m.Lenient, test.lenient)
			}
			if !test.check(m) {
				t.Errorf("Parse = %.500s", outline(m))
			}
		})
	}
}

func TestParseDoesNotAlias(t *testing.T) {
	b := []byte(header + printer + field(TagKeyword, "name", "value") + end)
	m := Parse(b, Limits{})
	clear(b)
	if got := m.Get(TagPrinter, "name"); got != "value" {
		t.Errorf("value after the buffer was cleared = %q, want %q", got, "value")
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range captures(f) {
		f.Add(b)
	}
	f.Add([]byte(header + printer + begin("c") + field(TagKeyword, "m", "x") + endCol + end))
	f.Add([]byte(header + printer + begin("c") + strings.Repeat(member("m")+begin(""), 40)))
	other := captures(f)["cupsd-cups-get-printers.response.bin"]
	f.Fuzz(func(t *testing.T, b []byte) {
		var used Parser
		used.Parse(other, Limits{})
		used.Forget()
		if got, want := used.Parse(b, Limits{}), Parse(b, Limits{}); !reflect.DeepEqual(got, want) {
			t.Errorf("a parser that has read before: %+v, want %+v", got, want)
		}

		tight := Limits{Groups: 3, Attributes: 9, Values: 12, Name: 6, Length: 10, Depth: 2}
		bounded := Parse(b, tight)
		checkBounds(t, bounded, tight)

		checkBounds(t, Parse(b, Limits{}), DefaultLimits())

		wide := Limits{Groups: 1 << 24, Attributes: 1 << 24, Values: 1 << 24, Name: 1 << 16, Length: 1 << 16, Depth: 1000}
		m := Parse(b, wide)
		if m.Size > len(b) {
			t.Errorf("Size = %d of %d bytes", m.Size, len(b))
		}
		if len(m.Lenient) == 0 && m.Stopped == "" {
			if again := m.Append(nil); !bytes.Equal(again, b[:m.Size]) {
				t.Errorf("written again it is %x, want %x", again, b[:m.Size])
			}
		}
		want, err := goippDecode(b, true)
		if err != nil {
			return
		}
		if slices.Contains(m.Lenient, CutCollection) {
			return
		}
		if m.Stopped != "" {
			t.Fatalf("Parse stopped (%s) where goipp reads on", m.Stopped)
		}
		if d := differs(&m, want); d != "" {
			t.Errorf("Parse: %s", d)
		}
	})
}

// checkBounds walks the message as a reader would.
func checkBounds(t *testing.T, m Message, lim Limits) {
	t.Helper()
	attributes, values := 0, 0
	var walk func(list []Attribute, depth int)
	walk = func(list []Attribute, depth int) {
		if depth > lim.Depth && len(list) > 0 {
			t.Errorf("collections %d deep, limit %d", depth, lim.Depth)
		}
		for _, a := range list {
			attributes++
			if len(a.Name) > lim.Name {
				t.Errorf("name of %d bytes, limit %d", len(a.Name), lim.Name)
			}
			for _, v := range a.Values {
				values++
				if len(v.Data) > lim.Length {
					t.Errorf("value of %d bytes, limit %d", len(v.Data), lim.Length)
				}
				if !bytes.Equal([]byte(v.Text()), v.AppendText(nil)) {
					t.Errorf("Text and AppendText differ: %q", v.Text())
				}
				walk(v.Members, depth+1)
			}
		}
	}
	for _, g := range m.Groups {
		walk(g.Attributes, 0)
	}
	if len(m.Groups) > lim.Groups || attributes > lim.Attributes || values > lim.Values {
		t.Errorf("%d groups, %d attributes, %d values; limits %+v", len(m.Groups), attributes, values, lim)
	}
}

func BenchmarkParse(b *testing.B) {
	messages := captures(b)
	for _, name := range []string{"cupsd-cups-get-printers-min.response.bin", "ippeveprinter-gpa-all-ippprint.response.bin", "cupsd-cups-get-printers.response.bin"} {
		msg := messages[name]
		b.Run(strings.TrimSuffix(name, ".response.bin"), func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				Parse(msg, Limits{})
			}
		})
	}
	b.Run("one-parser", func(b *testing.B) {
		msg := messages["ippeveprinter-gpa-all-ippprint.response.bin"]
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		var p Parser
		for b.Loop() {
			p.Parse(msg, Limits{})
			p.Forget()
		}
	})
	deep := []byte(header + printer + begin("c") + strings.Repeat(member("m")+begin(""), 999) + strings.Repeat(endCol, 1000) + end)
	b.Run("nested-1000", func(b *testing.B) {
		b.SetBytes(int64(len(deep)))
		b.ReportAllocs()
		for b.Loop() {
			Parse(deep, Limits{})
		}
	})
}
