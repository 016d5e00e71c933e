package advisory

import (
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "- "},
		{"one word", "word", "- word"},
		{"breaks between words", strings.Repeat("word ", 20), "- " + strings.TrimSpace(strings.Repeat("word ", 14)) + "\n  " + strings.TrimSpace(strings.Repeat("word ", 6))},
		{"a word that is too long stands alone", "a " + strings.Repeat("x", 80) + " b", "- a\n  " + strings.Repeat("x", 80) + "\n  b"},
		{"ideographs take two columns and need no blank", strings.Repeat("印", 40), "- " + strings.Repeat("印", 35) + "\n  " + strings.Repeat("印", 5)},
		{"no line begins with a full stop", strings.Repeat("印", 35) + "。刷", "- " + strings.Repeat("印", 34) + "\n  印。刷"},
		{"no line ends with an opening bracket", strings.Repeat("印", 34) + "「刷」", "- " + strings.Repeat("印", 34) + "\n  「刷」"},
	}
	for _, tt := range tests {
		if got := fold(tt.text, "- ", "  "); got != tt.want {
			t.Errorf("%s: fold = %q, want %q", tt.name, got, tt.want)
		}
	}
}
