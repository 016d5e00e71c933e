package phrase

import (
	"strings"
	"testing"
)

func book(t *testing.T) *Book {
	t.Helper()
	b, err := New(map[string]string{
		"TCP port {n} answered {whom}":                          "TCP-Port {n} antwortete {whom}",
		"TCP port {n} answered {whom} and described {printers}": "TCP-Port {n} antwortete {whom} und beschrieb {printers}",
		"whom = a stranger":                                     "einem Fremden",
		"printers = 1 printer: {names}":                         "1 Drucker: {names}",
		`it calls itself "{name}"`:                              `er nennt sich „{name}“`,
		"it is open: {said}":                                    "offen: {said}",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSay(t *testing.T) {
	b := book(t)
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"a sentence with a number", "TCP port 631 answered a stranger", "TCP-Port 631 antwortete einem Fremden", true},
		{"the form that says most fits first", `TCP port 631 answered a stranger and described 1 printer: "x"`, `TCP-Port 631 antwortete einem Fremden und beschrieb 1 Drucker: "x"`, true},
		{"a stranger's words are not translated", `it calls itself "a stranger"`, `er nennt sich „a stranger“`, true},
		{"an escaped quotation mark ends nothing", `it calls itself "a \" and b"`, `er nennt sich „a \" and b“`, true},
		{"a quotation mark of its own does", `it calls itself "a" and "b"`, `it calls itself "a" and "b"`, false},
		{"no number, no fit", "TCP port x answered a stranger", "TCP port x answered a stranger", false},
		{"a sentence within another", "it is open: TCP port 1 answered you", "offen: TCP-Port 1 antwortete you", true},
		{"a part alone is no sentence", "a stranger", "a stranger", false},
		{"what nobody knows", "something else", "something else", false},
		{"nothing", "", "", false},
		{"braces of a stranger are not gaps", `it calls itself "{name}{n}"`, `er nennt sich „{name}{n}“`, true},
	} {
		if got, ok := b.Say(c.in); got != c.want || ok != c.ok {
			t.Errorf("%s: Say(%q) = %q, %t, want %q, %t", c.name, c.in, got, ok, c.want, c.ok)
		}
	}
	long := "TCP port 631 answered " + strings.Repeat("a", maxText)
	if got, ok := b.Say(long); ok || got != long {
		t.Error("a sentence without bound was looked at")
	}
	var none *Book
	if got, ok := none.Say("x y"); ok || got != "x y" {
		t.Errorf("no book says %q", got)
	}
}

func TestNewComplains(t *testing.T) {
	for english, says := range map[string]string{"a {b} and {b}": "x", "a {b}": "{c}"} {
		if _, err := New(map[string]string{english: says}); err == nil {
			t.Errorf("New(%q: %q) does not complain", english, says)
		}
	}
}

func FuzzSay(f *testing.F) {
	b, err := New(map[string]string{"a {x} b {y}": "{y} {x}", `q "{z}"`: "{z}", "{n} w": "{n}"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`a q "1" b 2 w`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := b.Say(s); !ok && got != s {
			t.Errorf("Say(%q) = %q without a form", s, got)
		}
	})
}

func BenchmarkSayWhatHasNoForm(b *testing.B) {
	says := make(map[string]string)
	for i := range 200 {
		says["{a} of the sentence "+strings.Repeat("x", i)+" and {b}"] = "{a} {b}"
	}
	book, err := New(says)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		book.Say("polder-net: added by generated; network +198.18.132.0/22; contact +noc@polder.example (role abuse, language en)")
	}
}
