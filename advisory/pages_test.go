package advisory

import (
	"os"
	"strings"
	"testing"

	"ippwatch/phrase"
	"ippwatch/rule"
)

// complete are the languages in which nothing may be missing.
var complete = []Language{English, German}

func TestPagesHaveEachRule(t *testing.T) {
	texts, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	english, err := texts.Pages(English)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range complete {
		all, err := texts.Pages(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rule.All {
			for _, what := range []string{"", ".about", ".owner", ".provider", ".csirt"} {
				key := "rule." + r.ID + what
				if all[key] == "" || l != English && all[key] == english[key] {
					t.Errorf("%s: %s is %q", l, key, all[key])
				}
			}
		}
	}
}

// TestSentencesAreSaid: each sentence that the tests of package rule make the rules
// say has a form in each complete language but English, in which it is kept.
func TestSentencesAreSaid(t *testing.T) {
	texts, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile("../rule/testdata/sentences.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range complete[1:] {
		all, err := texts.Pages(l)
		if err != nil {
			t.Fatal(err)
		}
		forms := make(map[string]string)
		for key, text := range all {
			if phrase.Is(key) {
				forms[key] = text
			}
		}
		book, err := phrase.New(forms)
		if err != nil {
			t.Fatal(err)
		}
		for sentence := range strings.Lines(string(said)) {
			sentence = strings.TrimSuffix(sentence, "\n")
			got, ok := book.Say(sentence)
			if !ok {
				t.Errorf("%s: there is no form for %s", l, sentence)
			}
			for _, word := range []string{" the ", " of ", " with ", " and ", " to ", " by ", " without ", "stranger", " fixed ", "printer ", "printers"} {
				if plain := strings.ReplaceAll(got, "Office printer of Jane", ""); l == German && strings.Contains(plain, word) {
					t.Errorf("%s: %s: %q is still in it", l, got, word)
				}
			}
		}
	}
}
