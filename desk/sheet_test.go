package desk

import (
	"strings"
	"testing"
	"time"

	"ippwatch/wire/ipp"
)

func TestParseSheet(t *testing.T) {
	s := Scene{Host: "127.0.63.1:8631", Queue: "office", Now: time.Unix(1_800_000_000, 0), Started: time.Unix(1_799_999_900, 0)}
	for _, test := range []struct {
		name, line, want string
		tag              ipp.Tag
	}{
		{"an integer", "ATTR integer a 5", "5", ipp.TagInteger},
		{"several keywords", "ATTR keyword a x,y", "x|y", ipp.TagKeyword},
		{"a comma in quotes", `ATTR text a "x, y"`, "x, y", ipp.TagText},
		{"an escape", `ATTR text a "\x1b\x00\u202e"`, "\x1b\x00\u202e", ipp.TagText},
		{"a range", "ATTR rangeOfInteger a 1-99", "1-99", ipp.TagRange},
		{"a resolution", "ATTR resolution a 600x300dpi", "600x300dpi", ipp.TagResolution},
		{"a date", "ATTR dateTime a $now", "2027-01-15T08:00:00Z", ipp.TagDateTime},
		{"the up-time", "ATTR integer a $up", "101", ipp.TagInteger},
		{"a URI", `ATTR uri a "ipp://$host/printers/$queue"`, "ipp://127.0.63.1:8631/printers/office", ipp.TagURI},
		{"no value", "ATTR no-value a", "no-value", ipp.TagNoValue},
		{"a nested collection", "ATTR collection a {b=1 c={d=x e=-2}}", "{b=1 c={d=x e=-2}}", ipp.TagBegCollection},
		{"two collections", "ATTR collection a {b=1},{b=2}", "{b=1}|{b=2}", ipp.TagBegCollection},
		{"the later line", "ATTR integer a 5\n# comment\n\nATTR integer a 6", "6", ipp.TagInteger},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := ParseSheet(test.line)
			if err != nil || len(list) != 1 {
				t.Fatalf("ParseSheet(%q) = %d lines, %v", test.line, len(list), err)
			}
			a, err := list[0].attribute(s.words())
			if err != nil || strings.Join(a.Text(), "|") != test.want || a.Values[0].Tag != test.tag {
				t.Errorf("ParseSheet(%q) = %s %q, %v, want %s %q", test.line, a.Values[0].Tag, a.Text(), err, test.tag, test.want)
			}
		})
	}
}

func TestParseSheetRefuses(t *testing.T) {
	for _, line := range []string{
		"integer a 5", "ATTR", "ATTR integer", "ATTR int a 5", "ATTR integer a x", "ATTR boolean a maybe", "ATTR resolution a 600",
		`ATTR text a "open`, "ATTR collection a {b=1", "ATTR collection a b", "ATTR collection a {b}", "ATTR dateTime a yesterday",
	} {
		if list, err := ParseSheet(line); err == nil {
			t.Errorf("ParseSheet(%q) = %v, want an error", line, list)
		}
	}
}
