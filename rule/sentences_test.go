package rule_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ippwatch/exposure"
	"ippwatch/rule"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// more are observations that make sentences which no other test needs.
func more() []*exposure.Observation {
	weak := threePosts
	weak.RatioIP = 0
	late := func(o *exposure.Observation) { o.IPP = &exposure.IPP{Stopped: "limit"} }
	return []*exposure.Observation{
		udp(exposure.CalledBack, calls(threePosts), from(exposure.Shadowserver)),
		udp(exposure.CalledBack, calls(weak)),
		tcp(exposure.Answered, jobs(0, 1)),
		tcp(exposure.Answered, offers(false), func(o *exposure.Observation) { o.TLS.Error = "EOF" }),
		tcp(exposure.Answered, offers(false), func(o *exposure.Observation) { o.TLS.Required = true }),
		tcp(exposure.Restricted, http(407)),
		tcp(exposure.Restricted),
		tcp(exposure.Answered, cups("CUPS/1.4", "1.4", true), printer("printer-name=a"), from(exposure.Shadowserver)),
		tcp(exposure.Answered, cups("CUPS/1.4", "1.4", true), printer("device-uri=x")),
		tcp(exposure.Answered, ipp(0), printer("printer-location=a", "printer-owner=b", "printer-contact=c", "printer-wifi-ssid=d")),
		tcp(exposure.Answered, printer(prints...), printer(prints...), printer(prints...), printer(prints...)),
		tcp(exposure.Answered, printer("operations-supported=11"), printer("operations-supported=11")),
		tcp(exposure.Answered, printer("operations-supported=11"), late),
		tcp(exposure.Answered, printer("printer-name=a"), printer("printer-name=b"), ipp(0)),
		tcp(exposure.Answered, cups("", "", true), pages(map[string]int{"/admin": 401, "/admin/x": 403})),
		tcp(exposure.Answered, ipp(0, operation(listing, 200, 0))),
	}
}

// sentences are what the rules say of all that the tests know, each once.
func sentences() []string {
	said := make(map[string]bool)
	hear := func(r rule.Rule, o *exposure.Observation) {
		if evidence, found := r.Look(o); found {
			said[evidence] = true
		}
		_, why := r.Cleared(o)
		said[why] = true
	}
	for _, r := range rule.All {
		for _, tt := range looks {
			hear(r, tt.o)
		}
		for _, tt := range clearings {
			hear(r, tt.o)
		}
		for _, tt := range alikes(r.ID) {
			hear(r, tt.o)
		}
		for _, o := range more() {
			hear(r, o)
		}
	}
	return slices.Sorted(maps.Keys(said))
}

// TestSentences keeps the file by which other packages know what the rules can
// say: each language has a form for each of its lines.
func TestSentences(t *testing.T) {
	got := strings.Join(sentences(), "\n") + "\n"
	name := filepath.Join("testdata", "sentences.golden")
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the rules say something else than %s: -update writes it, and the languages need it, too", name)
	}
	for where, piece := range literals(t) {
		if !strings.Contains(got, piece) {
			t.Errorf("%s: no test makes the rules say %q: nobody would notice that it is not translated", where, piece)
		}
	}
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-z]`)

// literals are the longest fixed pieces of the sentences in the source, by place:
// those of more than two words, outside the texts of the rules themselves.
func literals(t *testing.T) map[string]string {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				longest := ""
				for _, piece := range verb.Split(text, -1) {
					if piece = strings.TrimSpace(piece); len(piece) > len(longest) {
						longest = piece
					}
				}
				if strings.Count(longest, " ") > 1 {
					all[fset.Position(lit.Pos()).String()] = longest
				}
				return true
			})
		}
	}
	return all
}
