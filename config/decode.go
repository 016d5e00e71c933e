package config

import (
	"encoding"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"ippwatch/strict"
)

// maxFile bounds a file, and each text in it.
const maxFile = 1 << 20

// A checker is a section that knows what cannot be. Its keys are relative to the
// section, as in "jobs.scan.cron"; the complaint names the line of the key.
type checker interface {
	Check(complain func(key string, err error))
}

// Decode reads strict YAML into the struct that into points to, which has the
// defaults. Fields have yaml tags; those with the tag config:"path" are paths,
// relative to the directory of the file. It is what [Parse] uses.
func Decode(name string, text []byte, into any) error {
	d := newDecoder(name)
	root := reflect.ValueOf(into).Elem()
	d.read(text, root)
	if d.Mistakes() == 0 {
		d.check(root, "")
	}
	return d.Err()
}

// A decoder is a file while it is read.
type decoder struct {
	strict.File
	dir string
	at  map[string]strict.Place // of each key that the file has
}

func newDecoder(name string) *decoder {
	return &decoder{File: strict.File{Name: name}, dir: filepath.Dir(name), at: make(map[string]strict.Place)}
}

func (d *decoder) read(text []byte, v reflect.Value) {
	if root := d.YAML(text, maxFile); root != nil {
		d.value(root, v, "", false)
	}
}

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	checkerType  = reflect.TypeFor[checker]()
)

// value reads a node into v. A key without a value, as people leave it, leaves
// the default.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, isPath bool) {
	if path != "" {
		d.at[path] = strict.PlaceOf(n)
	}
	if _, null := n.(*ast.NullNode); null {
		return
	}
	switch p := v.Addr(); {
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

// last is the key at the end of a path.
func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func (d *decoder) text(n ast.Node, p reflect.Value, path string) {
	s, ok := strict.Word(n)
	if !ok {
		d.Node(n, "%s: want one value, not %s", last(path), strict.Kind(n))
		return
	}
	if err := p.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		d.Node(n, "%s: %s", last(path), message)
	}
}

func (d *decoder) duration(n ast.Node, v reflect.Value, path string) {
	s, _ := strict.Word(n)
	t, err := time.ParseDuration(s)
	if err != nil {
		d.Node(n, "%s: %s: want a time such as 15s, 30m or 6h", last(path), strict.Shown(n))
		return
	}
	v.SetInt(int64(t))
}

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string, isPath bool) {
	key := last(path)
	digits := ""
	if w, ok := strict.Word(n); ok && strict.Kind(n) == "a number" {
		digits = strings.ReplaceAll(w, "_", "")
	}
	switch v.Kind() {
	case reflect.String:
		s, _ := d.Lines(key, n, maxFile)
		if isPath && s != "" && !filepath.IsAbs(s) {
			s = filepath.Join(d.dir, s)
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.Node(n, "%s: want true or false", key)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(digits, 10, v.Type().Bits())
		if err != nil {
			d.Node(n, "%s: %s: want a number", key, strict.Shown(n))
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := strconv.ParseUint(digits, 10, v.Type().Bits())
		if err != nil {
			d.Node(n, "%s: %s: want a number from 0 to %d", key, strict.Shown(n), uint64(1)<<(v.Type().Bits()-1)*2-1)
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(digits, v.Type().Bits())
		if err != nil {
			d.Node(n, "%s: %s: want a number", key, strict.Shown(n))
			return
		}
		v.SetFloat(f)
	default:
		d.Node(n, "%s: no file can say that", key)
	}
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
	for _, pair := range d.Pairs(n, last(path), keys...) {
		key := pair.Key.GetToken().Value
		f := fields[slices.Index(keys, key)]
		d.value(pair.Value, v.FieldByIndex(f.index), join(path, key), f.path)
		d.at[join(path, key)] = strict.PlaceOf(pair.Value)
		if _, nested := pair.Value.(ast.MapNode); nested {
			d.at[join(path, key)] = strict.PlaceOf(pair.Key)
		}
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string, isPath bool) {
	items := d.List(last(path), n)
	all := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		if _, null := item.(*ast.NullNode); null {
			d.Node(item, "%s: an empty entry", last(path))
			continue
		}
		d.value(item, all.Index(i), join(path, strconv.Itoa(i)), isPath)
	}
	v.Set(all)
}

func (d *decoder) entries(n ast.Node, v reflect.Value, path string) {
	all := reflect.MakeMap(v.Type())
	for _, pair := range d.Pairs(n, last(path)) {
		word := pair.Key.GetToken().Value
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.Value, entry, join(path, word), false)
		all.SetMapIndex(reflect.ValueOf(word).Convert(v.Type().Key()), entry)
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
			at := d.nearest(whole)
			d.At(at.Line, at.Column, "%s: %w", whole, err)
		})
	}
}

// nearest is the place of a key, or of what it would stand in.
func (d *decoder) nearest(path string) strict.Place {
	for path != "" {
		if p, ok := d.at[path]; ok {
			return p
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return strict.Place{Line: 1, Column: 1}
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
