package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// A Value is one setting as it is in force.
type Value struct {
	Key  string // such as "scan.rate"
	Text string // as the file would have it; what opens something is masked
	Line int    // of the file; 0: it is the default
}

// masked stands for what opens something, or tells who is held out.
const masked = "••••••"

// Values are all settings in the order of the reference, with the lines of the
// text that the configuration was read from.
func (c *Config) Values(text []byte) ([]Value, error) {
	shown, err := c.Show()
	if err != nil {
		return nil, err
	}
	var all yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(shown, &all, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("read what is in force: %w", err)
	}
	d := newDecoder(File)
	read := Default()
	d.read(text, reflect.ValueOf(&read).Elem())
	var out []Value
	flatten(all, "", func(key, value string) {
		out = append(out, Value{Key: key, Text: mask(key, value), Line: d.line(key)})
	})
	return out, nil
}

// line is where the key, or the nearest thing around it that the file has,
// stands. What is around a key that is not there says nothing of it.
func (d *decoder) line(key string) int {
	if at, ok := d.at[key]; ok {
		return at.Line
	}
	return 0
}

// mask hides what opens something.
func mask(key, value string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	switch {
	case value == "" || value == `""`:
		return value
	case last == "url" && strings.Contains(key, "webhook"):
		return origin(value)
	case last == "salt", last == "password", last == "secret":
		return masked
	}
	return value
}

// flatten yields the leaves of a tree. A list of plain values is one leaf.
func flatten(node any, path string, yield func(key, value string)) {
	switch n := node.(type) {
	case yaml.MapSlice:
		for _, item := range n {
			flatten(item.Value, join(path, fmt.Sprint(item.Key)), yield)
		}
	case []any:
		if plain(n) {
			var words []string
			for _, v := range n {
				words = append(words, fmt.Sprint(v))
			}
			yield(path, strings.Join(words, ", "))
			return
		}
		for i, v := range n {
			flatten(v, join(path, fmt.Sprint(i)), yield)
		}
	case nil:
		yield(path, "")
	default:
		yield(path, fmt.Sprint(n))
	}
}

func plain(list []any) bool {
	for _, v := range list {
		switch v.(type) {
		case yaml.MapSlice, []any:
			return false
		}
	}
	return true
}
