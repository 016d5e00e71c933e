package web

import "testing"

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext, auf Deutsch: ß":    "plain\n\ttext, auf Deutsch: ß",
		"\x1b[31mred\x07":                  "\ufffd[31mred\ufffd",
		"a\u202egnp.exe":                   "a\ufffdgnp.exe",
		"\u2066x\u2069 \u200f\ufeff\u0085": "\ufffdx\ufffd \ufffd\ufffd\ufffd",
		"no text: \xff":                    "no text: \ufffd",
		"می\u200cخواهم 👨\u200d👩\u200d👧":    "می\u200cخواهم 👨\u200d👩\u200d👧",
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
		if got := string(still([]byte(in))); got != want {
			t.Errorf("still(%q) = %q, want %q", in, got, want)
		}
	}
}
