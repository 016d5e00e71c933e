package strict

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"
)

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A shelf is read with every reader that there is.
type shelf struct {
	owner, note string
	books       []string
	inner       int
}

func read(text string) (s shelf, err error) {
	f := File{Name: "f"}
	root := f.YAML([]byte(text), 1<<20)
	if root == nil {
		return s, f.Err()
	}
	f.Keys(root, "the shelf", []Key{
		{"owner", true, func(n ast.Node) { s.owner = f.Line("owner", n, 20) }},
		{"note", false, func(n ast.Node) { s.note, _ = f.Lines("note", n, 40) }},
		{"books", false, func(n ast.Node) {
			for _, item := range f.List("books", n) {
				if w, ok := Word(item); ok {
					s.books = append(s.books, w)
				} else {
					f.Node(item, "books: %s is %s", Shown(item), Kind(item))
				}
			}
		}},
		{"inner", false, func(n ast.Node) {
			for _, pair := range f.Pairs(n, "inner") {
				s.inner += PlaceOf(pair.Key).Line
			}
		}},
		{"secret_file", false, func(ast.Node) {}},
	})
	return s, f.Err()
}

func TestYAML(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       shelf
	}{
		{"nothing", "", shelf{}},
		{"a comment", "# x\n", shelf{}},
		{"a document without anything", "---\n", shelf{}},
		{"all keys", "owner: ' A '\nnote: |\n  one\n  two\nbooks:\n- a\n- 0x10\n- yes\n- 1.50\ninner: {x: y}\n", shelf{"A", "one\ntwo\n", []string{"a", "0x10", "yes", "1.50"}, 10}},
		{"with the ends of Windows", "\ufeffowner: A\r\nbooks: [a,\r\n  b]\r\n", shelf{owner: "A", books: []string{"a", "b"}}},
		{"keys without a value", "owner: A\nnote:\nbooks:\ninner:\n", shelf{owner: "A"}},
		{"keys after a list at their own column", "owner: A\nbooks:\n- a\nnote: b\n", shelf{owner: "A", note: "b", books: []string{"a"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(c.text)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(shelf{})); err != nil || diff != "" {
				t.Errorf("read: %v; -want +got\n%s", err, diff)
			}
		})
	}
}

func TestYAMLComplains(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no mapping", "- a", "f:1:1: the shelf: want keys and values, such as owner: ..., not a list"},
		{"a key that must be there", "\nnote: a", "f:2:1: the shelf: owner is missing"},
		{"a key that must have a value", "owner:", "f:1:1: owner is empty"},
		{"a text of nothing", "owner: ' '", "f:1:8: owner is empty"},
		{"a key that is nearly right", "ownr: a\nowner: b", `f:1:1: unknown key "ownr": did you mean owner?`},
		{"a key of another file", "owner: b\ncolour: a", `f:2:1: unknown key "colour": the keys are owner, note, books, inner, secret_file`},
		{"a key in capitals with a hyphen", "owner: b\nSecret-File: a", `f:2:1: unknown key "Secret-File": did you mean secret_file?`},
		{"a secret", "owner: b\npassword: a", `f:2:1: unknown key "password": secrets do not stand in this file: name the file that has it with secret_file`},
		{"a key twice", "owner: b\nowner: a", `f:2:1: mapping key "owner" already defined at [1:1]`},
		{"a number for a text", "owner: 12", "f:1:8: owner: want text, not a number: put it in quotes"},
		{"a list for a text", "owner: [a]", "f:1:8: owner: want text, not a list: put it in quotes"},
		{"a text for a list", "owner: a\nbooks: b", "f:2:8: books: want a list, such as [a, b], not text"},
		{"a text for a mapping", "owner: a\ninner: b", "f:2:8: inner: want keys and values, such as key: ..., not text"},
		{"a text of two lines", "owner: \"a\\nb\"", `f:1:8: owner: "a\nb" has a character that does not print`},
		{"an escape for the terminal", "owner: a\nnote: \"b\\e[2J\"", `f:2:7: note: "b\x1b[2J" has a character that does not print`},
		{"a long text", "owner: " + strings.Repeat("a", 21), "f:1:8: owner: has 21 bytes: the limit is 20"},
		{"what is in a list", "owner: a\nbooks: [~, [b], {c: d}, .inf]", "f:2:9: books: \"~\" is nothing\nf:2:12: books: \"[\" is a list\nf:2:18: books: \"c\" is a key and its value\nf:2:25: books: \".inf\" is a number"},
		{"in the order of the file", "note: 1\nx: 1\nowner: 2", "f:1:7: note: want text, not a number: put it in quotes\nf:2:1: unknown key \"x\": the keys are owner, note, books, inner, secret_file\nf:3:8: owner: want text, not a number: put it in quotes"},
		{"no YAML", "owner: [", "f:1:8: sequence end token ']' not found"},
		{"another encoding", "owner: a\nnote: \xff", "f:2:1: the text is not UTF-8"},
		{"a NUL", "owner: a\nnote: \x00", "f:2:1: the text has a NUL"},
		{"a CR alone", "owner: a\nnote: b\rc: d", "f:2:1: the text has a CR that ends no line"},
		{"two documents", "owner: a\n---\nowner: b", "f:2:1: a second document: one file is one document"},
		{"two documents, the first ended", "owner: a\n...\nowner: b", "f:3:1: a second document: one file is one document"},
		{"an anchor", "owner: &a b", "f:1:8: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"an alias", "owner: a\nnote: *a", "f:2:7: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"hours of a cron table", "owner: */5 * * * *", "f:1:8: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"a tag", "owner: !!str 1", "f:1:8: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"a merge key", "owner: a\n<<: {note: b}", "f:2:1: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"a question mark", "? owner\n: a", "f:1:1: a question mark before a key: write key: value, or put the text in quotes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := read(c.text); message(err) != c.want {
				t.Errorf("read says\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// TestYAMLBoundsItsWork: each of these would take minutes, or all memory, if it
// were parsed.
func TestYAMLBoundsItsWork(t *testing.T) {
	const n = 50_000
	each := func(format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	staircase := func(step string) string {
		var b strings.Builder
		for i := range 1000 {
			b.WriteString(strings.Repeat(" ", i) + step + "\n")
		}
		return b.String()
	}
	const laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"
	for _, c := range []struct{ name, text, want string }{
		{"a billion laughs", laughs, "f:1:4: an anchor, alias or tag: write it out, or put the text in quotes"},
		{"brackets without end", "a: " + strings.Repeat("[", n), "f:1:24: too many brackets in brackets: write lists with dashes"},
		{"brackets and braces without end", "a: " + strings.Repeat("[{a: ", n), "f:1:54: too many brackets in brackets: write lists with dashes"},
		{"dashes without end", strings.Repeat("- ", n), "f:1:41: too many dashes on one line"},
		{"keys without end", each("k%d: 1\n"), "f:101:5: too many keys below each other: put addresses that end in a colon in quotes"},
		{"keys without end, deeper, with remarks", "a:\n" + strings.Repeat("# b\n  k: [1,\n2]\n", n/2), "f:303:4: too many keys below each other: put addresses that end in a colon in quotes"},
		{"mappings in mappings", staircase("a:"), "f:81:82: too deep: a dash or a key that stands far to the right"},
		{"lists in lists", staircase("-"), "f:81:81: too deep: a dash or a key that stands far to the right"},
		{"dashes without a value", "a:\n" + strings.Repeat("  -\n", n), "f:42950:3: too many keys and dashes without a value for so long a file: leave them out"},
		{"keys without a value", "a:\n" + strings.Repeat("  - a:\n", n), ""},
		{"names in braces", "a: {" + each("k%d, ") + "}", ""},
		{"keys in braces without a value", "a: {" + each("k%d: , ") + "}", ""},
		{"empty mappings", "a: [" + strings.Repeat("{a}, ", n) + "]", ""},
		{"a long key above much", strings.Repeat("k", n) + ": [" + strings.Repeat("a,", n) + "]", "f:1:55371: too much below long keys"},
		{"a long key in braces", "{" + strings.Repeat("k", n) + ": [" + strings.Repeat("a,", n) + "]}", "f:1:55372: too much below long keys"},
		{"documents without end", strings.Repeat("--- a\n", n), "f:2:1: a second document: one file is one document"},
		{"empty lines without end", "a: |\n  b\n" + strings.Repeat("\n", n), "f:53:1: more than 50 empty lines in a row"},
		{"a text without end", strings.Repeat("# comment\n", 1<<20), "f:1:1: the file has 10485760 bytes: the limit is 1048576"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := File{Name: "f"}
			f.YAML([]byte(c.text), 1<<20)
			got := message(f.Err())
			if c.want == "" {
				c.want = "too many keys and dashes without a value for so long a file: leave them out"
				got = got[max(0, len(got)-len(c.want)):]
			}
			if got != c.want {
				t.Errorf("YAML: %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestYAMLReadsMuch: what is long and honest is read.
func TestYAMLReadsMuch(t *testing.T) {
	const n = 5_000
	for name, item := range map[string]string{
		"texts": "- 192.0.2.0/24 # [x] {y}\n", "lists": "- [a, b]\n", "braces": "- {a: b, c: [d]}\n",
		"mappings": "- a: 1\n  b:\n  - c\n  d: e\n\n# f\n", "mappings of lists": "- - a: 1\n    b: 2\n  - c: 3\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := File{Name: "f"}
			list, ok := f.YAML([]byte(strings.Repeat(item, n)), 1<<20).(*ast.SequenceNode)
			if err := f.Err(); err != nil || !ok || len(list.Values) != n {
				t.Errorf("YAML: %v", err)
			}
		})
	}
}

func TestFileEndsItsComplaints(t *testing.T) {
	f := File{Name: "f"}
	for i := range most {
		f.At(most-i, 1, "wrong")
	}
	if f.Full() || f.Mistakes() != most {
		t.Errorf("Full after %d complaints", f.Mistakes())
	}
	f.Add(errors.New("too late"))
	lines := strings.Split(message(f.Err()), "\n")
	if !f.Full() || len(lines) != most+1 || lines[0] != "f:1:1: wrong" || lines[most] != "and more of the kind" {
		t.Errorf("Full = %t, Err = %q", f.Full(), lines)
	}
	wrapped := errors.New("wrapped")
	f = File{Name: "f"}
	f.At(1, 2, "key: %w", wrapped)
	f.Add(errors.New("first"))
	if err := f.Err(); !errors.Is(err, wrapped) || err.Error() != "first\nf:1:2: key: wrapped" {
		t.Errorf("Err = %v", err)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b":                               `"a\x1b"`,
		strings.Repeat("a", 60):               `"` + strings.Repeat("a", 60) + `"`,
		strings.Repeat("a", 59) + "äa":        `"` + strings.Repeat("a", 59) + `…"`,
		strings.Repeat("\x00", 1000) + "tail": `"` + strings.Repeat(`\x00`, 60) + `…"`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// FuzzYAML: whatever the text is, reading ends; every complaint has its place in
// the text; and of what is read nothing stands for something else.
func FuzzYAML(f *testing.F) {
	f.Add([]byte("owner: a\nnote: |\n  b\nbooks: [a, 'b', 1]\ninner: {x: y}\n"))
	f.Add([]byte("? [a]\n: b\n--- !!str x\n...\n%YAML 1.2\n<<: *x\na: &x {b: *x}\n"))
	f.Add([]byte("books:\n-\n- a:\n- {b, c: , d}\n- 2001:db8::\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := read(string(text))
		lines := 1 + strings.Count(string(text), "\n")
		for complaint := range strings.Lines(message(err)) {
			var line, column int
			if complaint == "and more of the kind" {
				continue
			}
			if n, err := fmt.Sscanf(complaint, "f:%d:%d: ", &line, &column); n != 2 || line < 1 || line > lines || column < 1 {
				t.Errorf("no place, %v: %q", err, complaint)
			}
		}
		file := File{Name: "f"}
		if root := file.YAML(text, 1<<20); root != nil {
			ast.Walk(visitor(func(n ast.Node) {
				switch n.(type) {
				case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode, *ast.MappingKeyNode:
					t.Errorf("%T in what was read", n)
				}
				_, _ = PlaceOf(n), Kind(n)
			}), root)
		}
	})
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor { v(n); return v }
