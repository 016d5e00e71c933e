package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits on a file. The parser takes time that grows with the square of open
// brackets, and of dashes on one line.
const (
	maxFile     = 1 << 20
	maxBrackets = 2000
	maxOpen     = 20
	maxDashes   = 100
	maxKeys     = 5000
	maxErrors   = 20
)

// A checker is a section that knows what cannot be. Its keys are relative to the
// section, as in "jobs.scan.cron"; the complaint names the line of the key.
type checker interface {
	Check(complain func(key string, err error))
}

// Decode reads strict YAML into the struct that into points to, which has the
// defaults. Fields have yaml tags; those with the tag config:"path" are paths,
// relative to the directory of the file. It is what [Parse] uses.
func Decode(name string, text []byte, into any) error {
	d := decoder{name: name, dir: filepath.Dir(name), at: make(map[string]place)}
	root := reflect.ValueOf(into).Elem()
	if node := d.parse(strings.TrimPrefix(string(text), "\ufeff")); node != nil {
		d.value(node, root, "", false)
	}
	if len(d.errs) == 0 {
		d.check(root, "")
	}
	return d.err()
}

type place struct{ line, column int }

// A decoder is a file while it is read.
type decoder struct {
	name, dir string
	errs      []complaint
	more      bool             // than maxErrors
	at        map[string]place // of each key that the file has
}

// A complaint is a mistake and its place, both counted from 1.
type complaint struct {
	place
	err error
}

func (d *decoder) complain(p place, format string, args ...any) {
	if d.more = d.more || len(d.errs) == maxErrors; !d.more {
		d.errs = append(d.errs, complaint{p, fmt.Errorf(format, args...)})
	}
}

func (d *decoder) node(n ast.Node, format string, args ...any) {
	d.complain(placeOf(n), format, args...)
}

func placeOf(n ast.Node) place {
	for {
		m, ok := n.(*ast.MappingNode)
		if !ok || len(m.Values) == 0 {
			break
		}
		n = m.Values[0].Key // the token of a mapping is its first colon
	}
	p := n.GetToken().Position
	return place{p.Line, p.Column}
}

// err returns the complaints in the order of the file, a line each, or nil.
func (d *decoder) err() error {
	slices.SortStableFunc(d.errs, func(a, b complaint) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var all []error
	for _, c := range d.errs {
		all = append(all, fmt.Errorf("%s:%d:%d: %w", d.name, c.line, c.column, c.err))
	}
	if d.more {
		all = append(all, errors.New("and more of the kind"))
	}
	return errors.Join(all...)
}

// parse returns the node of the one document, or nil: an empty file is right.
func (d *decoder) parse(text string) ast.Node {
	if line, err := readable(text); err != nil {
		d.complain(place{line, 1}, "%w", err)
		return nil
	}
	parsed, err := parser.ParseBytes([]byte(text), 0)
	if bad, ok := errors.AsType[yaml.Error](err); ok && bad.GetToken() != nil {
		p := bad.GetToken().Position
		message, _, _ := strings.Cut(bad.GetMessage(), "\n")
		d.complain(place{p.Line, p.Column}, "%s", message)
		return nil
	} else if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		d.complain(place{1, 1}, "%s", message)
		return nil
	}
	var body ast.Node
	for _, doc := range parsed.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			d.node(doc.Body, "a second document: a configuration is one document")
			return nil
		default:
			body = doc.Body
		}
	}
	if _, comment := body.(*ast.CommentGroupNode); comment {
		return nil
	}
	return body
}

// readable refuses what the parser would read at great cost, or wrongly.
func readable(text string) (line int, err error) {
	if len(text) > maxFile {
		return 1, fmt.Errorf("the file has %d bytes: the limit is %d", len(text), maxFile)
	}
	brackets, open, dashes, keys := 0, 0, 0, 0
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			err = errors.New("the text is not UTF-8")
		case r == 0 || r == '\r' && !strings.HasPrefix(text[i:], "\r\n"):
			err = errors.New("the text has a character that does not belong there")
		case r == '\n':
			dashes = 0
		case r == ':':
			keys++
		case r == '-':
			dashes++
		case r == '[' || r == '{':
			brackets++
			open++
		case r == ']' || r == '}':
			open = max(0, open-1)
		}
		if open > maxOpen || brackets > maxBrackets || dashes > maxDashes || keys > maxKeys {
			err = errors.New("too many brackets, dashes or colons")
		}
		if err != nil {
			return strings.Count(text[:i], "\n") + 1, err
		}
	}
	return 0, nil
}

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	bytesType    = reflect.TypeFor[yaml.BytesUnmarshaler]()
	anyType      = reflect.TypeFor[yaml.InterfaceUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	checkerType  = reflect.TypeFor[checker]()
)

// value reads a node into v. A key without a value, as people leave it, leaves
// the default.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, isPath bool) {
	if path != "" {
		d.at[path] = placeOf(n)
	}
	if _, null := n.(*ast.NullNode); null {
		return
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		d.node(n, "%san anchor, alias or tag: write it out", label(path))
		return
	}
	p := v.Addr()
	switch {
	case p.Type().Implements(bytesType) || p.Type().Implements(anyType):
		if err := yaml.NodeToValue(n, p.Interface(), yaml.Strict()); err != nil {
			d.foreign(n, path, err)
		}
		return
	case p.Type().Implements(textType):
		d.text(n, p, path)
		return
	case v.Type() == durationType:
		d.duration(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		d.value(n, fresh.Elem(), path, isPath)
		v.Set(fresh)
	case reflect.Slice:
		d.list(n, v, path, isPath)
	case reflect.Map:
		d.entries(n, v, path)
	default:
		d.scalar(n, v, path, isPath)
	}
}

func label(path string) string {
	if path == "" {
		return ""
	}
	return path[strings.LastIndexByte(path, '.')+1:] + ": "
}

// foreign complains with the error of a type that reads itself.
func (d *decoder) foreign(n ast.Node, path string, err error) {
	at := placeOf(n)
	message := err.Error()
	if bad, ok := errors.AsType[yaml.Error](err); ok {
		message = bad.GetMessage()
		if t := bad.GetToken(); t != nil && t.Position != nil {
			at = place{t.Position.Line, t.Position.Column}
		}
	}
	message, _, _ = strings.Cut(message, "\n")
	d.complain(at, "%s%s", label(path), message)
}

func (d *decoder) text(n ast.Node, p reflect.Value, path string) {
	s, ok := word(n)
	if !ok {
		d.node(n, "%swant one value", label(path))
		return
	}
	if err := p.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		d.node(n, "%s%s", label(path), message)
	}
}

func (d *decoder) duration(n ast.Node, v reflect.Value, path string) {
	s, ok := word(n)
	t, err := time.ParseDuration(s)
	if !ok || err != nil {
		d.node(n, "%s%q: want a time such as 15s, 30m or 6h", label(path), short(n.GetToken().Value))
		return
	}
	v.SetInt(int64(t))
}

// word returns what a node of one value says.
func word(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string, isPath bool) {
	switch v.Kind() {
	case reflect.String:
		var s string
		switch n := n.(type) {
		case *ast.StringNode:
			s = n.Value
		case *ast.LiteralNode:
			s = n.Value.Value
		default:
			d.node(n, "%swant text: put it in quotes", label(path))
			return
		}
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }) {
			d.node(n, "%s%q has a character that does not print", label(path), short(s))
			return
		}
		if isPath && s != "" && !filepath.IsAbs(s) {
			s = filepath.Join(d.dir, s)
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.node(n, "%swant true or false", label(path))
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s, _ := word(n)
		i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, v.Type().Bits())
		if _, number := n.(*ast.IntegerNode); !number || err != nil {
			d.node(n, "%s%q: want a number", label(path), short(n.GetToken().Value))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s, _ := word(n)
		most := uint64(1)<<(v.Type().Bits()-1)*2 - 1
		i, err := strconv.ParseUint(strings.ReplaceAll(s, "_", ""), 10, v.Type().Bits())
		if _, number := n.(*ast.IntegerNode); !number || err != nil {
			d.node(n, "%s%q: want a number from 0 to %d", label(path), short(n.GetToken().Value), most)
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		s, _ := word(n)
		f, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			d.node(n, "%s%q: want a number", label(path), short(n.GetToken().Value))
			return
		}
		v.SetFloat(f)
	default:
		if err := yaml.NodeToValue(n, v.Addr().Interface(), yaml.Strict()); err != nil {
			d.foreign(n, path, err)
		}
	}
}

// pairs returns the keys and values of a node.
func (d *decoder) pairs(n ast.Node, path string, keys []string) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	example := "key"
	if len(keys) > 0 {
		example = keys[0]
	}
	d.node(n, "%swant keys and values, such as %s: ...", label(path), example)
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	fields := Fields(v.Type())
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	for _, pair := range d.pairs(n, path, keys) {
		key := pair.Key.GetToken().Value
		i := slices.Index(keys, key)
		if i < 0 {
			d.node(pair.Key, "unknown key %q%s", short(key), advice(key, keys))
			continue
		}
		d.value(pair.Value, v.FieldByIndex(fields[i].index), join(path, key), fields[i].path)
		d.at[join(path, key)] = placeOf(pair.Key)
		if _, nested := pair.Value.(ast.MapNode); !nested {
			d.at[join(path, key)] = placeOf(pair.Value)
		}
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string, isPath bool) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.node(n, "%swant a list, such as [a, b]", label(path))
		return
	}
	all := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		if _, null := item.(*ast.NullNode); null {
			d.node(item, "%san empty entry", label(path))
			continue
		}
		d.value(item, all.Index(i), join(path, strconv.Itoa(i)), isPath)
	}
	v.Set(all)
}

func (d *decoder) entries(n ast.Node, v reflect.Value, path string) {
	all := reflect.MakeMap(v.Type())
	for _, pair := range d.pairs(n, path, nil) {
		key := reflect.New(v.Type().Key()).Elem()
		word := pair.Key.GetToken().Value
		if key.Kind() != reflect.String {
			d.node(pair.Key, "%sa key that is no text", label(path))
			continue
		}
		key.SetString(word)
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.Value, entry, join(path, word), false)
		all.SetMapIndex(key, entry)
	}
	v.Set(all)
}

// check asks every section, the inner ones first, what cannot be.
func (d *decoder) check(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			d.check(v.Elem(), path)
		}
		return
	case reflect.Slice:
		for i := range v.Len() {
			d.check(v.Index(i), join(path, strconv.Itoa(i)))
		}
		return
	case reflect.Map:
		for _, key := range v.MapKeys() {
			entry := reflect.New(v.Type().Elem()).Elem() // an entry of a map has no address
			entry.Set(v.MapIndex(key))
			d.check(entry, join(path, key.String()))
		}
		return
	case reflect.Struct:
	default:
		return
	}
	for _, f := range Fields(v.Type()) {
		d.check(v.FieldByIndex(f.index), join(path, f.Key))
	}
	if v.CanAddr() && v.Addr().Type().Implements(checkerType) {
		v.Addr().Interface().(checker).Check(func(key string, err error) {
			whole := join(path, key)
			d.complain(d.nearest(whole), "%s: %w", whole, err)
		})
	}
}

// nearest is the place of a key, or of what it would stand in.
func (d *decoder) nearest(path string) place {
	for path != "" {
		if p, ok := d.at[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return place{1, 1}
}

// A Field is a key of a section.
type Field struct {
	Key   string
	index []int
	path  bool
}

// Fields returns the keys of a struct type in their order. Embedded structs with
// the tag ",inline" have their keys beside the others.
func Fields(t reflect.Type) []Field {
	var all []Field
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("yaml")
		key, more, _ := strings.Cut(tag, ",")
		if !f.IsExported() || key == "-" || strings.Contains(more, "inline") || len(f.Index) > 1 && key == "" {
			continue
		}
		if key == "" {
			key = strings.ToLower(f.Name)
		}
		all = append(all, Field{key, f.Index, f.Tag.Get("config") == "path"})
	}
	return all
}

// secrets are names under which people write secrets into a file.
var secrets = []string{"secret", "password", "passwd", "token", "apikey", "api_key", "key", "hmac"}

// advice says what may have been meant by a key.
func advice(key string, keys []string) string {
	lower := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	if slices.Contains(secrets, lower) {
		for _, k := range keys {
			if strings.HasSuffix(k, "_file") && (strings.HasPrefix(k, lower) || strings.Contains(k, "secret")) {
				return fmt.Sprintf(": secrets do not stand in this file: name the file that has it with %s", k)
			}
		}
	}
	nearest, least := "", 4
	for _, k := range keys {
		if d := distance(lower, k); d < least && d <= max(1, len(k)/2) {
			nearest, least = k, d
		}
	}
	if nearest != "" {
		return fmt.Sprintf(": did you mean %s?", nearest)
	}
	return ": the keys are " + strings.Join(keys, ", ")
}

// distance is Levenshtein's, for words of a key's length.
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// short returns the beginning of a text, for an error.
func short(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
