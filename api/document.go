package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"ippwatch/gate"
)

// document adds the OpenAPI document itself.
func (d *door) document() {
	for _, form := range []struct {
		ext, kind string
		body      *[]byte
	}{{"json", "application/openapi+json", &d.texts.json}, {"yaml", "application/openapi+yaml", &d.texts.yaml}} {
		raw(d, op{
			method: "GET", path: "/openapi." + form.ext, id: "get-openapi-" + form.ext, tag: "control", roles: everybody, public: true,
			summary: "Get this description in OpenAPI 3.1, as " + strings.ToUpper(form.ext),
		}, []string{form.kind}, func(context.Context, *gate.Visit, *none) (string, []byte, error) { return form.kind, *form.body, nil })
	}
}

// A chapter is a tag of the document on the reference page.
type chapter struct {
	Name, About string
	Operations  []operation
}

// An operation is what the reference page shows of one.
type operation struct {
	ID, Method, Path, Summary, About string
	Roles                            []string
	Right                            string
	Tables                           []table
	Lines                            bool // it can be had as NDJSON
	Curl                             string
}

// A table is the values of a request, of its body, or of the answer.
type table struct {
	Head string // key of the catalogue
	Name string // of the schema
	Rows []parameter
}

// A parameter is one value of a request or an answer.
type parameter struct {
	Name, In, Type, About, Default string
	Required                       bool
	Words                          []string
}

// reference is the page that explains the API to people.
func (d *door) reference() gate.Route {
	chapters := d.chapters()
	base := d.Site.Gate.Config.URL
	if base == "" {
		base = "https://ippwatch.example"
	}
	type data struct {
		Chapters []chapter
		Base     string
	}
	return gate.Route{
		Method: "GET", Pattern: Root + "/{$}", Kind: gate.Page, Roles: everybody,
		Serve: func(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
			return d.Site.Page(w, r, v, "api", data{chapters, strings.TrimSuffix(base, "/")})
		},
	}
}

// chapters reads the document as a program would.
func (d *door) chapters() []chapter {
	var all []chapter
	doc := d.huma.OpenAPI()
	for _, t := range tags {
		c := chapter{Name: t.Name, About: t.Description}
		for _, o := range d.ops {
			if o.tag != t.Name {
				continue
			}
			item := doc.Paths[Root+o.path]
			of := item.Get
			if o.method == http.MethodPost {
				of = item.Post
			}
			c.Operations = append(c.Operations, d.operation(o, of))
		}
		all = append(all, c)
	}
	return all
}

func (d *door) operation(o *op, of *huma.Operation) operation {
	shown := operation{ID: o.id, Method: o.method, Path: of.Path, Summary: of.Summary, About: of.Description, Right: string(o.needs), Curl: curl(o, of)}
	if o.needs == "" {
		shown.Right = "read"
	}
	for _, r := range o.roles {
		shown.Roles = append(shown.Roles, string(r))
	}
	put := func(head, name string, rows []parameter) {
		if len(rows) > 0 {
			shown.Tables = append(shown.Tables, table{head, name, rows})
		}
	}
	var parameters []parameter
	for _, p := range of.Parameters {
		one := d.parameter(p.Name, p.Schema, p.Required)
		one.In = p.In
		if p.Description != "" {
			one.About = p.Description
		}
		parameters = append(parameters, one)
	}
	put("api.parameters", "", parameters)
	if of.RequestBody != nil {
		if m := of.RequestBody.Content["application/json"]; m != nil {
			name, rows := d.fields(m.Schema)
			put("api.body", name, rows)
		}
	}
	for _, status := range []string{"200", "201"} {
		if r := of.Responses[status]; r != nil {
			shown.Lines = shown.Lines || r.Content[ndjson] != nil
			if m := r.Content["application/json"]; m != nil {
				name, rows := d.fields(m.Schema)
				put("api.answer", name, rows)
			}
		}
	}
	return shown
}

// fields are those of an object, in the order of their names.
func (d *door) fields(s *huma.Schema) (string, []parameter) {
	name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
	if s.Ref != "" {
		s = d.registry.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return name, nil
	}
	var all []parameter
	for field, p := range s.Properties {
		all = append(all, d.parameter(field, p, slices.Contains(s.Required, field)))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return name, all
}

func (d *door) parameter(name string, s *huma.Schema, required bool) parameter {
	p := parameter{Name: name, Required: required}
	if s == nil {
		return p
	}
	p.Type, p.About = typeOf(s), s.Description
	of := s
	if s.Items != nil && s.Items.Ref == "" {
		of = s.Items
	}
	for _, w := range of.Enum {
		p.Words = append(p.Words, fmt.Sprint(w))
	}
	if s.Default != nil {
		p.Default = fmt.Sprint(s.Default)
	}
	return p
}

// typeOf is the type of a value in a word or two.
func typeOf(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case len(s.AnyOf) > 0:
		var words []string
		for _, one := range s.AnyOf {
			words = append(words, typeOf(one))
		}
		return strings.Join(words, " | ")
	case s.Items != nil:
		return typeOf(s.Items) + "[]"
	case s.Format != "" && s.Type == huma.TypeString:
		return s.Format
	case s.Type == "":
		return "any"
	}
	return s.Type
}

// curl is the request as one types it.
func curl(o *op, of *huma.Operation) string {
	path := of.Path
	for _, p := range of.Parameters {
		if p.In != "path" {
			continue
		}
		value := strings.ToUpper(p.Name)
		if p.Schema != nil && len(p.Schema.Examples) > 0 {
			value = fmt.Sprint(p.Schema.Examples[0])
		}
		path = strings.ReplaceAll(path, "{"+p.Name+"}", value)
	}
	words := []string{"curl"}
	if len(o.roles) < len(everybody) {
		words = append(words, `-H "Authorization: Bearer $IPPWATCH_KEY"`)
	}
	if o.method == http.MethodPost {
		words = append(words, `-H "Idempotency-Key: $(uuidgen)"`, `-H 'Content-Type: application/json'`)
		if o.example != "" && json.Valid([]byte(o.example)) {
			words = append(words, "-d '"+strings.ReplaceAll(o.example, "'", `'\''`)+"'")
		}
	}
	return strings.Join(append(words, `"$IPPWATCH`+path+o.query+`"`), " \\\n  ")
}
