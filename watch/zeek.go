package watch

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/wire/browse"
)

// A row is a line of a log of Zeek: values by the name of their column.
type row func(name string) string

// columns reads a line of a log in columns, or of its head.
func (l *Log) columns(line string) {
	if rest, ok := strings.CutPrefix(line, "#"); ok {
		l.heading(rest)
		return
	}
	if l.fields == nil {
		l.bad(1, "a line before #fields")
		return
	}
	values := strings.Split(line, l.sep)
	if len(values) != len(l.fields) {
		l.bad(0, strconv.Itoa(len(values))+" columns, where #fields names "+strconv.Itoa(len(l.fields)))
		return
	}
	l.row(l.path, func(name string) string {
		at := slices.Index(l.fields, name)
		if at < 0 || values[at] == l.unset || values[at] == l.empty {
			return ""
		}
		return values[at]
	})
}

// heading reads a line that begins with #. What separates columns is told in
// hexadecimal: "separator \x09".
func (l *Log) heading(text string) {
	if rest, ok := strings.CutPrefix(text, "separator "); ok {
		if c, err := strconv.Unquote(`"` + rest + `"`); err == nil && c != "" {
			l.sep = c
		}
		return
	}
	word, rest, _ := strings.Cut(text, l.sep)
	switch word {
	case "fields":
		l.fields = strings.Split(rest, l.sep)
		if l.path == "" {
			l.path = pathOf(func(name string) bool { return slices.Contains(l.fields, name) })
		}
	case "path":
		l.path = rest
	case "set_separator":
		l.set = rest
	case "empty_field":
		l.empty = rest
	case "unset_field":
		l.unset = rest
	}
}

// zeek reads a line of a log in JSON. It does not say of which log it is: its
// fields do.
func (l *Log) zeek(line []byte) {
	var object map[string]any
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		l.badJSON(err)
		return
	}
	get := func(name string) string {
		switch v := object[name].(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		case []any:
			words := make([]string, 0, len(v))
			for _, one := range v {
				if s, ok := one.(string); ok {
					words = append(words, s)
				}
			}
			return strings.Join(words, l.set)
		}
		return ""
	}
	l.row(pathOf(func(name string) bool {
		_, has := object[name]
		return has
	}), get)
}

// pathOf says which log it is by the fields that it has, where it does not say so.
func pathOf(has func(field string) bool) string {
	switch {
	case has("browse_uri"):
		return "cups_browse"
	case has("conn_state"):
		return "conn"
	case has("method"):
		return "http"
	case has("answers"):
		return "dns"
	}
	return ""
}

// row reads what is the same in both forms.
func (l *Log) row(path string, get row) {
	switch path {
	case "conn", "http", "dns", "cups_browse":
	default:
		return
	}
	if path == "dns" {
		for answer := range strings.SplitSeq(get("answers"), l.set) {
			l.name(get("query"), answer)
		}
		return
	}
	at, err := epoch(get("ts"))
	if err != nil {
		if at, err = time.Parse(time.RFC3339Nano, get("ts")); err != nil {
			l.bad(0, "no time in ts")
			return
		}
	}
	from, ok1 := addrPort(get("id.orig_h"), number(get("id.orig_p")))
	to, ok2 := addrPort(get("id.resp_h"), number(get("id.resp_p")))
	if !ok1 || !ok2 {
		l.bad(0, "no addresses in id.orig_h and id.resp_h")
		return
	}
	at = at.UTC()
	switch proto := get("proto"); {
	case path == "cups_browse":
		l.sink.Packet(Packet{
			At: at, From: from, To: to, Where: l.where(), Read: true, Bytes: number(get("bytes")),
			Browse: browse.Packet{URI: get("browse_uri")},
		})
	case path == "http":
		l.sink.Call(Call{
			At: at, From: from, To: to, Where: l.where(),
			Method: get("method"), Host: get("host"), URI: get("uri"), UserAgent: get("user_agent"),
		})
	case proto == "udp" && to.Port() == 631:
		l.sink.Packet(Packet{At: at, From: from, To: to, Where: l.where(), Bytes: number(get("orig_bytes"))})
	case proto == "tcp":
		l.sink.Call(Call{At: at, From: from, To: to, Where: l.where(), Bytes: number(get("orig_bytes"))})
	}
}

// number reads a count; what is none is 0.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
