package ipp

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsWrittenReadsAsTheSame(t *testing.T) {
	at := time.Date(2026, 11, 26, 14, 30, 5, 300_000_000, time.UTC)
	for _, test := range []struct {
		name string
		a    Attribute
		want string
	}{
		{"strings", Strings(TagKeyword, "a", "x", "y"), "x,y"},
		{"integers", Integers(TagEnum, "a", 3, -1), "3,-1"},
		{"a boolean", Attribute{Name: "a", Values: []Value{Bool(true), Bool(false)}}, "true,false"},
		{"a range", Attribute{Name: "a", Values: []Value{Range(-5, 7)}}, "-5-7"},
		{"a resolution", Attribute{Name: "a", Values: []Value{DotsPerInch(600, 300)}}, "600x300dpi"},
		{"a date", Attribute{Name: "a", Values: []Value{Date(at)}}, "2026-11-26T14:30:05.3Z"},
		{"no value", OutOfBand(TagNoValue, "a"), "no-value"},
		{"a collection in another", Attribute{Name: "a", Values: []Value{{Tag: TagBegCollection, Members: []Attribute{
			Integers(TagInteger, "b", 1, 2), {Name: "c", Values: []Value{{Tag: TagBegCollection, Members: []Attribute{Strings(TagName, "d", "e")}}}},
		}}}}, "{b=1,2 c={d=e}}"},
		{"a value that is too long", Strings(TagText, "a", strings.Repeat("x", 40_000)), strings.Repeat("x", mostField)},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := Message{Version: Version20, Code: uint16(StatusOK), RequestID: 7, Groups: []Group{{Tag: TagPrinter, Attributes: []Attribute{test.a}}}}
			b := m.Append(nil)
			got := Parse(b, Limits{Length: 1 << 16})
			if got.Stopped != "" || len(got.Lenient) > 0 || got.Size != len(b) || got.RequestID != 7 {
				t.Fatalf("read as %+v", got)
			}
			a, _ := got.Groups[0].Get("a")
			if text := strings.Join(a.Text(), ","); text != test.want {
				t.Errorf("it says %.80q, want %.80q", text, test.want)
			}
			if _, err := goippDecode(b, false); err != nil {
				t.Errorf("goipp: %v", err)
			}
		})
	}
}
