package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	v1 "ippwatch/api/v1"
	"ippwatch/gate"
)

const ndjson = "application/x-ndjson"

// An entry is an item of a listing, with the place behind it.
type entry[T any] struct {
	item  T
	place []string
}

// A reader yields the items behind a place in their order, n at most. place is nil
// for the beginning, and otherwise one that the reader gave out, or a forgery.
type reader[I, T any] func(ctx context.Context, v *gate.Visit, in *I, place []string, n int) iter.Seq2[entry[T], error]

// badPlace is told to who sends a place that is none.
func badPlace() error { return gate.Invalid("query.after", "it is no place in this list") }

// exportPage is how many items of an export are read at once: no read lasts, and
// what is in memory does not grow.
const exportPage = 500

// list adds an operation that returns pages, or all of it as NDJSON. I embeds
// v1.Paging.
func list[I, T any](d *door, o op, read reader[I, T]) {
	o.stream = true
	operation := o.operation()
	operation.Parameters = append(operation.Parameters, header("Accept", ndjson+": all of it, a line for each item, and a last one that says whether it is all."))
	field, ok := reflect.TypeFor[I]().FieldByName("Paging")
	if !ok {
		panic("api: a list without pages: " + o.id)
	}
	huma.Register(d.huma, operation, func(ctx context.Context, in *I) (*out[v1.Page[T]], error) {
		c := callOf(ctx)
		p := reflect.ValueOf(in).Elem().FieldByIndex(field.Index).Interface().(v1.Paging)
		place, err := parsePlace(o.id, p.After)
		if err != nil {
			return nil, c.fail(err)
		}
		if wantsLines(c.r) {
			c.stream = func(w http.ResponseWriter, _ *http.Request) error {
				return export(w, c, func(place []string) iter.Seq2[entry[T], error] { return read(ctx, c.v, in, place, exportPage) }, place)
			}
			return nil, nil
		}
		page, err := pageOf(o.id, read(ctx, c.v, in, place, p.Limit+1), p.Limit)
		if err != nil {
			return nil, c.fail(err)
		}
		if page.Next != "" {
			q := c.r.URL.Query()
			q.Set("after", page.Next)
			c.link = (&url.URL{Path: c.r.URL.Path, RawQuery: q.Encode()}).String()
		}
		c.body = func() ([]byte, error) { return encode(page) }
		return nil, nil
	})
	d.lines(operation.Path, reflect.TypeFor[T]())
}

// export adds /export beside a list: the same as its NDJSON, for who cannot set
// headers.
func exported[I, T any](d *door, o op, read reader[I, T]) {
	list(d, o, read)
	o.path, o.id, o.stream = o.path+"/export", o.id+"-export", true
	o.summary += ", all of it as NDJSON"
	operation := o.operation()
	operation.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{}}
	huma.Register(d.huma, operation, func(ctx context.Context, in *I) (*struct{}, error) {
		c := callOf(ctx)
		for _, name := range paging {
			if c.r.URL.Query().Has(name) {
				return nil, c.fail(gate.Invalid("query."+name, "an export is all of it"))
			}
		}
		c.stream = func(w http.ResponseWriter, _ *http.Request) error {
			return export(w, c, func(place []string) iter.Seq2[entry[T], error] { return read(ctx, c.v, in, place, exportPage) }, nil)
		}
		return nil, nil
	})
	d.lines(operation.Path, reflect.TypeFor[T]())
	get := d.huma.OpenAPI().Paths[operation.Path].Get
	get.Parameters = slices.DeleteFunc(get.Parameters, func(p *huma.Param) bool { return slices.Contains(paging, p.Name) || p.Name == "If-None-Match" })
}

// paging are the parameters of [v1.Paging].
var paging = []string{"limit", "after"}

// lines documents the NDJSON of an operation.
func (d *door) lines(path string, item reflect.Type) {
	get := d.huma.OpenAPI().Paths[path].Get
	get.Responses["200"].Content[ndjson] = &huma.MediaType{Schema: &huma.Schema{
		Description: "Each line is an item; the last one tells whether it is all. A stream without it was cut.",
		AnyOf:       []*huma.Schema{d.registry.Schema(item, true, ""), d.registry.Schema(reflect.TypeFor[v1.End](), true, "")},
	}}
}

// pageOf takes the items of one page of what was read, which is one more if it goes
// on.
func pageOf[T any](list string, items iter.Seq2[entry[T], error], limit int) (v1.Page[T], error) {
	page := v1.Page[T]{Items: []T{}}
	var last []string
	for e, err := range items {
		if err != nil {
			return page, err
		}
		if len(page.Items) == limit {
			page.Next = formatPlace(list, last)
			break
		}
		page.Items, last = append(page.Items, e.item), e.place
	}
	return page, nil
}

// wantsLines reports whether the client prefers NDJSON.
func wantsLines(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		kind, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case ndjson, "application/jsonl":
			return true
		case "application/json":
			return false
		}
	}
	return false
}

// export writes all items, and says in a last line whether that was all.
func export[T any](w http.ResponseWriter, c *call, read func(place []string) iter.Seq2[entry[T], error], place []string) error {
	h := w.Header()
	h.Set("Cache-Control", gate.Private)
	h.Add("Vary", "Accept")
	h.Set("X-Accel-Buffering", "no")
	if c.r.Method == http.MethodHead {
		h.Set("Content-Type", ndjson)
		return gate.SendRaw(w, c.r, http.StatusOK, nil)
	}
	rc := http.NewResponseController(w)
	end := v1.End{Complete: true}
	for {
		// What is read is written only when the read has ended: a slow client holds
		// up nobody, and a failure at the beginning is an answer like any other.
		page, n := []byte(nil), 0
		var failed error
		for e, err := range read(place) {
			if err != nil {
				failed = err
				break
			}
			line, err := encode(e.item)
			if err != nil {
				failed = err
				break
			}
			page, place = append(page, line...), e.place
			n++
		}
		if failed != nil && end.Count == 0 && n == 0 {
			return failed
		}
		h.Set("Content-Type", ndjson)
		if _, err := w.Write(page); err != nil {
			return context.Canceled // who asked is gone
		}
		_ = rc.Flush() // a test's writer has none
		end.Count += n
		if failed == nil {
			failed = c.r.Context().Err()
		}
		if failed != nil {
			end.Complete, end.Problem = false, reasonOf(failed)
			line, err := encode(end)
			if err == nil {
				_, _ = w.Write(line) // it is broken off in any case
				_ = rc.Flush()
			}
			return failed // the gate breaks the connection off
		}
		if n < exportPage {
			break
		}
	}
	line, err := encode(end)
	if err != nil {
		return err
	}
	_, _ = w.Write(line) // who is gone needs none
	return nil
}

// reasonOf is what may be shown of an error in the middle of a stream.
func reasonOf(err error) *v1.Reason {
	if p, ok := errors.AsType[*gate.Problem](err); ok {
		return &v1.Reason{Status: p.Status, Code: p.Code, Detail: p.Detail}
	}
	return &v1.Reason{Status: http.StatusInternalServerError, Code: "internal", Detail: "it ended early; ask again from where it is"}
}

// A place is written as base64 of a JSON array: the list, and what the list needs.
func formatPlace(list string, place []string) string {
	b, err := json.Marshal(append([]string{list}, place...))
	if err != nil {
		return "" // strings can be written
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parsePlace reads what formatPlace wrote for the list, and nothing else.
func parsePlace(list, s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, badPlace()
	}
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil || len(all) < 2 || all[0] != list || formatPlace(list, all[1:]) != s {
		return nil, badPlace()
	}
	return all[1:], nil
}

// kept reads a list that is in memory, sorted by keys that stay; when the key of
// the place is gone, it goes on with the one that would have come behind it.
func kept[T any](all []T, key func(*T) string, less func(a, b string) bool, place []string) iter.Seq2[entry[T], error] {
	return func(yield func(entry[T], error) bool) {
		from := 0
		if len(place) > 0 {
			if from = slices.IndexFunc(all, func(x T) bool { return less(place[0], key(&x)) }); from < 0 {
				return
			}
		}
		for _, x := range all[from:] {
			if !yield(entry[T]{x, []string{key(&x)}}, nil) {
				return
			}
		}
	}
}

func rising(a, b string) bool  { return a < b }
func falling(a, b string) bool { return a > b }

// failing is a listing that fails.
func failing[T any](err error) iter.Seq2[entry[T], error] {
	return func(yield func(entry[T], error) bool) { yield(entry[T]{}, err) }
}
