package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestGuardShowsWhatCouldAct(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain text", "a,b\nc\n", "a,b\nc\n"},
		{"an escape sequence", "\x1b[2Jred\n", `\x1b[2Jred` + "\n"},
		{"a control of Latin 1", "a\u009bb\n", `a\u009bb` + "\n"},
		{"text written backwards", "\u202egnp\n", `\u202egnp` + "\n"},
		{"letters of all sorts", "Zürich 東京\n", "Zürich 東京\n"},
		{"bytes of no character", "a\xffb\n", `a\xffb` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var whole, split bytes.Buffer
			if _, err := (&guard{w: &whole}).Write([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			bytewise := &guard{w: &split}
			for i := range len(c.in) {
				if _, err := bytewise.Write([]byte{c.in[i]}); err != nil {
					t.Fatal(err)
				}
			}
			if whole.String() != c.want || split.String() != c.want {
				t.Errorf("guard shows %q, and byte by byte %q, want %q", whole.String(), split.String(), c.want)
			}
		})
	}
}

func TestProgressFitsTheTerminal(t *testing.T) {
	began := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	p := Progress{At: began.Add(time.Minute), Started: began, Total: 65_280, Sent: 6000, Finished: 5990, Answered: 12, Found: 3, Paused: true}
	for _, columns := range []int{1, 20, 40, 80, 120, 300} {
		if line := []rune(fit(p, columns)); len(line) >= max(columns, 2) {
			t.Errorf("in %d columns the line has %d: %s", columns, len(line), string(line))
		}
	}
	if line := fit(p, 200); !strings.HasPrefix(line, "[==                      ] 9% sent 6000 of 65280") {
		t.Errorf("the wide line is %q", line)
	}
	// A scan that stands still must say why, and promise no end, on any terminal.
	if line := fit(p, 80); !strings.HasSuffix(line, ", PAUSED (ippwatch pause --off)") || strings.Contains(line, " left") {
		t.Errorf("the line of a paused scan is %q", line)
	}
}
