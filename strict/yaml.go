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

// YAML returns what the one document of the text is, or nil: then there is
// none, or there is a complaint. Nothing in it stands for something else:
// anchors, aliases, merge keys and tags are refused.
func (f *File) YAML(text []byte, limit int) ast.Node {
	s, ok := f.Plain(text, limit)
	if !ok || !f.lines(s) {
		return nil
	}
	tokens := lexer.Tokenize(s)
	if t, why := dear(tokens); t != nil {
		f.token(t, why)
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
