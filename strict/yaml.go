package strict

import (
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on YAML. The time and the memory of the parser (goccy/go-yaml 1.19.2)
// grow with the square of each of these; 8,000 keys of one mapping take it
// seconds, as do 8,000 empty lines at the end of a text of many lines.
const (
	maxOpen   = 20      // brackets within brackets
	maxDashes = 20      // on one line
	maxColumn = 200     // of a dash or a key outside of brackets: they stand one in another
	maxKeys   = 100     // of one mapping outside of braces
	maxBlank  = 50      // lines without a word, one after another
	maxMoves  = 1 << 31 // of tokens: a dash or key without a value moves all that follow
)

// YAML returns what the one document of the text is, or nil: then there is
// none, or there is a complaint. Nothing in it stands for something else:
// anchors, aliases, merge keys and tags are refused.
func (f *File) YAML(text []byte, limit int) ast.Node {
	s, ok := f.Plain(text, limit)
	if !ok || !f.lines(s) {
		return nil
	}
	tokens := lexer.Tokenize(s)
	if !f.cheap(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if bad, ok := errors.AsType[yaml.Error](err); ok && bad.GetToken() != nil {
		f.token(bad.GetToken(), firstLine(bad.GetMessage()))
		return nil
	} else if err != nil {
		f.At(1, 1, "%s", firstLine(err.Error()))
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			return doc.Body
		}
	}
	return nil
}

// lines refuses what is read at great cost before there are tokens, and lines
// that are none for other programs.
func (f *File) lines(s string) bool {
	line, blank := 0, 0
	for text := range strings.Lines(s) {
		line++
		if blank++; strings.TrimSpace(text) != "" {
			blank = 0
		}
		switch {
		case strings.Contains(strings.TrimSuffix(text, "\r\n"), "\r"):
			f.At(line, 1, "the text has a CR that ends no line")
			return false
		case blank > maxBlank:
			f.At(line, 1, "more than %d empty lines in a row", maxBlank)
			return false
		}
	}
	return true
}

// A bracket is one that is open.
type bracket struct {
	brace bool
	value bool // a colon has come since its last comma
}

// A column is a mapping that is open, told by where its keys stand.
type column struct{ at, keys int }

// cheap refuses what the parser would read at great cost.
func (f *File) cheap(tokens token.Tokens) bool {
	var open []bracket
	var maps []column
	var last *token.Token // that is no comment
	var key int           // the column of the last key
	dashes, empty := 0, 0
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		at := t.Position.Column
		if last != nil && t.Position.Line != last.Position.Line {
			dashes = 0
			if len(open) == 0 && (last.Type == token.SequenceEntryType && at <= last.Position.Column ||
				last.Type == token.MappingValueType && (at < key || at == key && t.Type != token.SequenceEntryType)) {
				empty++
			}
		}
		why := ""
		switch t.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			why = "an anchor, alias or tag: write it out, or put the text in quotes"
		case token.MappingKeyType:
			why = "a question mark before a key: write key: value, or put the text in quotes"
		case token.DocumentHeaderType:
			if last != nil {
				why = "a second document: one file is one document"
			}
		case token.MappingStartType, token.SequenceStartType:
			open = append(open, bracket{brace: t.Type == token.MappingStartType})
		case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
			if len(open) == 0 {
				break
			}
			in := &open[len(open)-1]
			if last.Type == token.MappingValueType || in.brace && !in.value {
				empty++
			}
			if in.value = false; t.Type != token.CollectEntryType {
				open = open[:len(open)-1]
			}
		case token.SequenceEntryType, token.MappingValueType:
			if len(open) > 0 {
				open[len(open)-1].value = true
				break
			}
			if t.Type == token.SequenceEntryType {
				dashes++
			} else if last != nil {
				at, key = last.Position.Column, last.Position.Column
			}
			for len(maps) > 0 && maps[len(maps)-1].at > at {
				maps = maps[:len(maps)-1]
			}
			if t.Type == token.MappingValueType {
				if len(maps) == 0 || maps[len(maps)-1].at < at {
					maps = append(maps, column{at: at})
				}
				maps[len(maps)-1].keys++
			}
			if at > maxColumn {
				why = "too deep: a dash or a key that stands far to the right"
			} else if len(maps) > 0 && maps[len(maps)-1].keys > maxKeys {
				why = "too many keys below each other: put addresses that end in a colon in quotes"
			}
		}
		switch {
		case why != "":
		case last != nil && last.Type == token.DocumentEndType:
			why = "a second document: one file is one document"
		case len(open) > maxOpen:
			why = "too many brackets in brackets: write lists with dashes"
		case dashes > maxDashes:
			why = "too many dashes on one line"
		case empty*len(tokens) > maxMoves:
			why = "too many keys and dashes without a value for so long a file: leave them out"
		}
		if why != "" {
			f.token(t, why)
			return false
		}
		last = t
	}
	return true
}

func (f *File) token(t *token.Token, why string) {
	f.At(t.Position.Line, t.Position.Column, "%s", why)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// start is the first token of a node; that of a mapping is its first colon.
func start(n ast.Node) *token.Token {
	for {
		m, ok := n.(*ast.MappingNode)
		if !ok || len(m.Values) == 0 {
			return n.GetToken()
		}
		n = m.Values[0].Key
	}
}

// PlaceOf returns where a node begins.
func PlaceOf(n ast.Node) Place {
	p := start(n).Position
	return Place{p.Line, p.Column}
}

// Node complains about a node.
func (f *File) Node(n ast.Node, format string, args ...any) {
	p := PlaceOf(n)
	f.At(p.Line, p.Column, format, args...)
}

// Kind names what a node is, for somebody who does not know YAML well.
func Kind(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode:
		return "a key and its value"
	}
	return "this"
}

// Shown is what stands where a node begins, quoted.
func Shown(n ast.Node) string { return Quote(start(n).Value) }

// Text returns the text of a node that is text in YAML.
func Text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// Word returns the text of a node that is text, a number, true or false, as it
// was written.
func Word(n ast.Node) (string, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return Text(n)
}

// label is what complaints begin with: the key, if there is one.
func label(key string) string {
	if key == "" {
		return ""
	}
	return key + ": "
}

// Lines returns a text that prints, of any number of lines.
func (f *File) Lines(key string, n ast.Node, limit int) (string, bool) {
	s, ok := Text(n)
	if !ok {
		f.Node(n, "%swant text, not %s: put it in quotes", label(key), Kind(n))
		return "", false
	}
	if err := check(s, limit, true); err != nil {
		f.Node(n, "%s%w", label(key), err)
		return "", false
	}
	return s, true
}

// Line returns a text that prints on one line, without the spaces around it.
// Where there is none it complains, and returns "".
func (f *File) Line(key string, n ast.Node, limit int) string {
	s, ok := f.Lines(key, n, limit)
	s = strings.TrimSpace(s)
	switch err := CheckLine(s, limit); {
	case !ok:
	case s == "":
		f.Node(n, "%s is empty", key)
	case err != nil:
		f.Node(n, "%s%w", label(key), err)
	default:
		return s
	}
	return ""
}

// List returns the elements of a list.
func (f *File) List(key string, n ast.Node) []ast.Node {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.Node(n, "%swant a list, such as [a, b], not %s", label(key), Kind(n))
		return nil
	}
	return list.Values
}

// Pairs returns the keys of a mapping that are among those, with their values.
// Where none are named, every key is right. What names the mapping in complaints.
func (f *File) Pairs(n ast.Node, what string, keys ...string) []*ast.MappingValueNode {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		f.Node(n, "%swant keys and values, such as %s: ..., not %s", label(what), append(keys, "key")[0], Kind(n))
		return nil
	}
	if len(keys) == 0 {
		return m.Values
	}
	known := make([]*ast.MappingValueNode, 0, len(m.Values))
	for _, v := range m.Values {
		if key := v.Key.GetToken().Value; slices.Contains(keys, key) {
			known = append(known, v)
		} else {
			f.Node(v.Key, "unknown key %s%s", Quote(key), advice(key, keys))
		}
	}
	return known
}

// A Key is one of a mapping, and what reads its value.
type Key struct {
	Name string
	Must bool
	Read func(value ast.Node)
}

// Keys reads a mapping. A key without a value, as people leave it, is as good
// as none.
func (f *File) Keys(n ast.Node, what string, keys []Key) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	if _, ok := n.(*ast.MappingNode); !ok {
		f.Pairs(n, what, names...)
		return
	}
	seen := make([]bool, len(keys))
	for _, v := range f.Pairs(n, what, names...) {
		i := slices.Index(names, v.Key.GetToken().Value)
		seen[i] = true
		if _, null := v.Value.(*ast.NullNode); !null {
			keys[i].Read(v.Value)
		} else if keys[i].Must {
			f.Node(v.Key, "%s is empty", names[i])
		}
	}
	for i, k := range keys {
		if k.Must && !seen[i] {
			f.Node(n, "%s%s is missing", label(what), k.Name)
		}
	}
}
