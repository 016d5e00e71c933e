package ipp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/OpenPrinting/goipp"
)

// captures returns the IPP messages of the captures, HTTP taken off, by name.
func captures(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/captures/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %d files, %v", len(files), err)
	}
	messages := make(map[string][]byte)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok {
			t.Fatalf("%s: no end of the HTTP header", name)
		}
		messages[filepath.Base(name)] = body
	}
	return messages
}

func goippDecode(b []byte, workarounds bool) (*goipp.Message, error) {
	var m goipp.Message
	err := m.DecodeEx(bytes.NewReader(b), goipp.DecoderOptions{EnableWorkarounds: workarounds})
	return &m, err
}

// differs returns where our message is not goipp's, or "".
func differs(got *Message, want *goipp.Message) string {
	if Version(want.Version) != got.Version || uint16(want.Code) != got.Code || want.RequestID != got.RequestID {
		return fmt.Sprintf("header: got %v %#x %d, want %v %#x %d",
			got.Version, got.Code, got.RequestID, want.Version, uint16(want.Code), want.RequestID)
	}
	if len(got.Groups) != len(want.Groups) {
		return fmt.Sprintf("got %d groups, want %d", len(got.Groups), len(want.Groups))
	}
	for i, g := range want.Groups {
		if Tag(g.Tag) != got.Groups[i].Tag {
			return fmt.Sprintf("group %d: got %v, want %v", i, got.Groups[i].Tag, g.Tag)
		}
		if d := attributesDiffer(got.Groups[i].Attributes, g.Attrs); d != "" {
			return fmt.Sprintf("group %d: %s", i, d)
		}
	}
	return ""
}

func attributesDiffer(got []Attribute, want goipp.Attributes) string {
	if len(got) != len(want) {
		return fmt.Sprintf("got %d attributes, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || len(g.Values) != len(w.Values) {
			return fmt.Sprintf("got %q with %d values, want %q with %d", g.Name, len(g.Values), w.Name, len(w.Values))
		}
		for j, v := range w.Values {
			if d := valueDiffers(g.Values[j], v.T, v.V); d != "" {
				return fmt.Sprintf("%q, value %d: %s", w.Name, j, d)
			}
		}
	}
	return ""
}

func valueDiffers(got Value, tag goipp.Tag, want goipp.Value) string {
	if got.Tag != Tag(tag) {
		return fmt.Sprintf("got tag %v, want %v", got.Tag, tag)
	}
	text := want.String()
	switch want := want.(type) {
	case goipp.Collection:
		return attributesDiffer(got.Members, goipp.Attributes(want))
	case goipp.Void:
		if !got.Tag.outOfBand() && got.Tag != TagEndCollection {
			return "got a value, want none"
		}
		return ""
	case goipp.Binary:
		if got.Data != string(want) {
			return fmt.Sprintf("got %x, want %x", got.Data, []byte(want))
		}
		return ""
	case goipp.TextWithLang:
		text = want.Text
	case goipp.Time:
		if want.Year() > 9999 {
			return ""
		}
		have, err := time.Parse(time.RFC3339Nano, got.Text())
		if err != nil || !have.Equal(want.Time) {
			return fmt.Sprintf("got %s, want %s", got.Text(), want)
		}
		return ""
	case goipp.Resolution:
		if want.Units != goipp.UnitsDpi && want.Units != goipp.UnitsDpcm {
			text = fmt.Sprintf("%dx%d per unit %d", want.Xres, want.Yres, uint8(want.Units))
		}
	}
	if got.Text() != text {
		return fmt.Sprintf("got %q, want %q", got.Text(), text)
	}
	return ""
}

// randomMessage makes a message that RFC 8010 allows.
func randomMessage(rnd *rand.Rand) *goipp.Message {
	m := goipp.NewResponse(goipp.Version(rnd.UintN(0x10000)), goipp.Status(rnd.UintN(0x10000)), rnd.Uint32())
	groups := goipp.Groups{}
	for range rnd.IntN(5) {
		g := goipp.Group{Tag: goipp.TagOperationGroup}
		if rnd.IntN(2) == 0 {
			g.Tag = goipp.TagPrinterGroup + goipp.Tag(rnd.IntN(12))
		}
		for range rnd.IntN(6) {
			g.Attrs.Add(randomAttribute(rnd, 0))
		}
		groups = append(groups, g)
	}
	m.Groups = groups
	return m
}

func randomAttribute(rnd *rand.Rand, depth int) goipp.Attribute {
	a := goipp.Attribute{Name: fmt.Sprintf("name-%d", rnd.IntN(50))}
	for range 1 + rnd.IntN(3) {
		a.Values.Add(randomValue(rnd, depth))
	}
	return a
}

func randomValue(rnd *rand.Rand, depth int) (goipp.Tag, goipp.Value) {
	str := func() string {
		b := make([]byte, rnd.IntN(40))
		for i := range b {
			b[i] = byte(rnd.UintN(256))
		}
		return string(b)
	}
	number := func() int { return int(int32(rnd.Uint32())) }
	switch n := rnd.IntN(12); {
	case n == 0:
		return goipp.TagInteger, goipp.Integer(number())
	case n == 1:
		return goipp.TagEnum, goipp.Integer(number())
	case n == 2:
		return goipp.TagBoolean, goipp.Boolean(rnd.IntN(2) == 0)
	case n == 3:
		return goipp.TagRange, goipp.Range{Lower: number(), Upper: number()}
	case n == 4:
		return goipp.TagResolution, goipp.Resolution{Xres: number(), Yres: number(), Units: goipp.Units(rnd.IntN(6))}
	case n == 5:
		zone := time.FixedZone("", rnd.IntN(2*11*60)*60-11*3600)
		return goipp.TagDateTime, goipp.Time{Time: time.Date(rnd.IntN(3000), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(28),
			rnd.IntN(24), rnd.IntN(60), rnd.IntN(60), rnd.IntN(10)*1e8, zone)}
	case n == 6:
		return goipp.TagTextLang, goipp.TextWithLang{Lang: "de", Text: str()}
	case n == 7:
		return goipp.TagNoValue, goipp.Void{}
	case n == 8:
		return goipp.Tag(0x60 + rnd.IntN(0x1f)), goipp.Binary(str()) // unknown tags
	case n <= 10 && depth < 6:
		var c goipp.Collection
		for range rnd.IntN(4) {
			c.Add(randomAttribute(rnd, depth+1))
		}
		return goipp.TagBeginCollection, c
	}
	return goipp.TagKeyword, goipp.String(str())
}

func TestParseAgreesWithGoippOnCaptures(t *testing.T) {
	for name, b := range captures(t) {
		want, err := goippDecode(b, false)
		if err != nil {
			t.Fatalf("%s: goipp: %v", name, err)
		}
		got := Parse(b, Limits{})
		if got.Stopped != "" || got.Lenient != nil {
			t.Errorf("Parse(%s): stopped %q, lenient %q, want neither", name, got.Stopped, got.Lenient)
		}
		if d := differs(&got, want); d != "" {
			t.Errorf("Parse(%s): %s", name, d)
		}
	}
}

func TestParseAgreesWithGoippOnGeneratedMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		b, err := randomMessage(rnd).EncodeBytes()
		if err != nil {
			t.Fatal(err)
		}
		want, err := goippDecode(b, false)
		if err != nil {
			t.Fatalf("message %d: goipp does not read what it wrote: %v", i, err)
		}
		got := Parse(b, Limits{})
		if got.Stopped != "" || got.Lenient != nil {
			t.Errorf("message %d: stopped %q, lenient %q, want neither", i, got.Stopped, got.Lenient)
		}
		if d := differs(&got, want); d != "" {
			t.Fatalf("message %d (%x): %s", i, b, d)
		}
	}
}
