// Package api is the door for programs: version 1 of the JSON API, its OpenAPI
// document, and the page that explains both.
//
// huma reads and checks requests and writes the document; who comes and what they
// may is the gate's, and every failure is a [gate.Problem].
package api

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/archive"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/report"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/web"
)

//go:embed pages texts assets
var files embed.FS

// Root is where the API stands.
const Root = "/api/v1"

// Options are what the API is made of.
type Options struct {
	Site    *web.Site
	Store   *store.Store
	Archive *archive.Archive
	People  *people.Registry
	Tracker *track.Tracker
	Version v1.Version
	Street  Street
}

// Street is what the commands do, done for whoever looks.
type Street struct {
	Who       func(ctx context.Context, v access.View, a netip.Addr, at time.Time) (v1.Whose, error)
	Shares    func(ctx context.Context, v access.View, day time.Time) (shares []report.Share, contact string, err error)
	Customers func(ctx context.Context, v access.View, day time.Time) ([]lease.Count, error)
	Metrics   func(ctx context.Context, v access.View, q v1.MetricsQuery, at time.Time) (any, error)
	Surges    func(ctx context.Context, v access.View, days int, at time.Time) ([]v1.Surge, error)
	Tie       func(ctx context.Context, v access.View, day time.Time, at time.Time) ([]track.Tie, error)
}

// A door is the API while it is put together, and then serves.
type door struct {
	Options
	huma     huma.API
	registry huma.Registry
	routes   []gate.Route
	ops      []*op
	texts    struct{ json, yaml []byte }
}

// Roles that many operations are for.
var (
	everybody = access.Roles
	named     = access.Named
	staff     = []access.Role{access.RoleAnalyst, access.RoleOperator, access.RoleAuditor}
	hands     = []access.Role{access.RoleAnalyst, access.RoleOperator}
	owners    = []access.Role{access.RoleConstituent, access.RoleAnalyst, access.RoleOperator}
	auditors  = []access.Role{access.RoleOperator, access.RoleAuditor}
)

// Add puts the API into the site.
func Add(o Options) error {
	d := &door{Options: o}
	d.registry = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "ippwatch", Version: "1.0.0", Description: about},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: d.registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key":     {Type: "http", Scheme: "bearer", Description: "A key: ippwatch keys add."},
					"session": {Type: "apiKey", In: "cookie", Name: "session", Description: "Of somebody who has logged in; changes need the header X-CSRF-Token."},
				},
			},
			Security: []map[string][]string{{"key": {}}, {"session": {}}},
			Tags:     tags,
		},
		Formats: map[string]huma.Format{
			"application/json":         {Marshal: marshal, Unmarshal: unmarshal},
			"application/problem+json": {Marshal: marshal, Unmarshal: unmarshal},
		},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{catch},
	}
	d.huma = huma.NewAPI(config, d)
	d.cases()
	d.acts()
	d.hosts()
	d.organisations()
	d.messages()
	d.reports()
	d.numbers()
	d.filters()
	d.control()
	d.document()
	d.loosen()
	if err := d.write(); err != nil {
		return err
	}
	return o.Site.Add(web.Part{
		FS:     files,
		Nav:    []web.Link{{Path: Root + "/", Text: "api.title", Roles: named, Order: 970, Group: "house"}},
		Routes: append(d.routes, d.reference()),
	})
}

// about opens the document.
const about = `What ippwatch knows and does, for programs. Every answer holds what the caller may
see and nothing else; what is not shown is not there (404).

Lists come in pages: the header Link and the field next lead on. A GET has an ETag.
A POST may carry an Idempotency-Key. Failures are problem+json (RFC 9457).`

var tags = []*huma.Tag{
	{Name: "cases", Description: "What is wrong at which door, and what is decided about it."},
	{Name: "hosts", Description: "What was observed, and who came to the sensors."},
	{Name: "people", Description: "Whom it concerns."},
	{Name: "messages", Description: "What was written to whom."},
	{Name: "reports", Description: "The files of a day."},
	{Name: "numbers", Description: "Counts and figures."},
	{Name: "filters", Description: "Filters of exploitable ports, proven."},
	{Name: "control", Description: "Scans, exclusions, the audit log, and who you are."},
}

// An op is one operation: what the document and what the gate must know of it.
type op struct {
	method, path, id, tag string
	summary, about        string
	roles                 []access.Role
	needs                 access.Right
	personal              bool
	written               string // how the handler itself writes a change into the audit log
	stream                bool   // it may be an export
	strong                bool   // its ETag may stand in If-Match
	public                bool   // it is the same for everybody
	costly                bool   // it computes
	maxBody               int64
	status                int
	example               string // body of a request, in the reference
	query                 string // of the request in the reference
}

func (o *op) operation() huma.Operation {
	op := huma.Operation{
		Method: o.method, Path: Root + o.path, OperationID: o.id, Tags: []string{o.tag}, Summary: o.summary, Description: o.about,
		Metadata: map[string]any{"op": o}, DefaultStatus: o.status, Responses: map[string]*huma.Response{},
		MaxBodyBytes: -1, // the gate has bounded it
	}
	if o.status == 0 {
		op.DefaultStatus = http.StatusOK
	}
	if o.method == http.MethodGet {
		op.Parameters = append(op.Parameters, header("If-None-Match", "The ETag that the client has: 304 if it is still so."))
	} else {
		op.Parameters = append(op.Parameters, header("Idempotency-Key",
			"A word of the client's, for 24 hours: the same request with the same word is served once, and answered the same."))
	}
	if o.strong && o.method == http.MethodPost {
		op.Parameters = append(op.Parameters, header("If-Match", "The ETag of the case: 412 if it has changed since."))
	}
	return op
}

// headers are what the answers say in their headers.
func (o *op) headers(operation *huma.Operation) {
	for status, r := range operation.Responses {
		r.Headers = map[string]*huma.Param{}
		say := func(name, about string) {
			r.Headers[name] = &huma.Param{Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
		}
		say("RateLimit", "How much more you may ask at once, and in how many seconds it is one more.")
		say("X-Request-Id", "Name of the request in our log.")
		switch {
		case status == "default":
			say("Retry-After", "Seconds after which to ask again; of 429, 409 and 503.")
		case o.method == http.MethodPost:
			say("Idempotency-Replayed", "true: this was answered before, and nothing was done now.")
		case !strings.HasSuffix(o.id, "-export"):
			say("ETag", "Name of the content, for If-None-Match.")
		}
		if o.stream && status != "default" {
			say("Link", "Where it goes on: rel=\"next\" (RFC 8288).")
		}
	}
}

func header(name, about string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
}

// Handle makes a route of an operation of huma's; it is huma.Adapter.
func (d *door) Handle(operation *huma.Operation, handler func(huma.Context)) {
	o := operation.Metadata["op"].(*op)
	d.ops = append(d.ops, o)
	kind := gate.API
	if o.stream {
		kind = gate.Stream
	}
	d.routes = append(d.routes, gate.Route{
		Method: o.method, Pattern: Root + o.path, Kind: kind, Roles: o.roles, Needs: o.needs, Personal: o.personal, Written: o.written, Costly: o.costly, MaxBody: o.maxBody,
		Serve: func(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
			c := &call{door: d, op: o, v: v, r: r}
			return c.once(w, func() error {
				c.r = c.r.WithContext(context.WithValue(c.r.Context(), callKey{}, c))
				handler(humago.NewContext(operation, c.r, deaf{}))
				return c.err
			})
		},
	})
}

// ServeHTTP is never asked: the gate serves.
func (d *door) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }

// deaf takes what huma would answer: [call] answers.
type deaf struct{}

func (deaf) Header() http.Header         { return make(http.Header) }
func (deaf) Write(b []byte) (int, error) { return len(b), nil }
func (deaf) WriteHeader(int)             {}

// catch turns what huma complains about into a problem of ours.
func catch(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &gate.Problem{Status: m.Status, Code: "bad-request", Detail: m.Detail}
	if m.Status == http.StatusUnprocessableEntity {
		p.Code = "invalid"
	}
	var said []string
	for _, e := range m.Errors {
		if e == nil {
			continue
		}
		where := e.Location
		if where == "" {
			where = "request"
		}
		p.Faults = append(p.Faults, gate.Fault{Location: where, Detail: e.Message})
		said = append(said, where+": "+e.Message)
	}
	if len(said) > 0 {
		p.Detail = strings.Join(said, "; ")
	}
	if len(p.Detail) > 2000 {
		p.Detail = strings.ToValidUTF8(p.Detail[:2000], "") + "..."
	}
	callOf(ctx.Context()).err = p
	return v, nil
}

// out is the answer of an operation, for the document alone.
type out[T any] struct{ Body T }

// none is the input of an operation that takes nothing.
type none struct{}

// add adds an operation whose answer is one value.
func add[I, O any](d *door, o op, f func(ctx context.Context, v *gate.Visit, in *I) (O, error)) {
	huma.Register(d.huma, o.operation(), func(ctx context.Context, in *I) (*out[O], error) {
		c := callOf(ctx)
		body, err := f(ctx, c.v, in)
		if err != nil {
			return nil, c.fail(err)
		}
		c.body = func() ([]byte, error) { return encode(body) }
		return nil, nil
	})
}

// raw adds an operation whose answer is a file.
func raw[I any](d *door, o op, types []string, f func(ctx context.Context, v *gate.Visit, in *I) (contentType string, body []byte, err error)) {
	operation := o.operation()
	content := make(map[string]*huma.MediaType)
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	operation.Responses["200"] = &huma.Response{Description: "OK", Content: content}
	huma.Register(d.huma, operation, func(ctx context.Context, in *I) (*struct{}, error) {
		c := callOf(ctx)
		var body []byte
		c.contentType, body, c.err = f(ctx, c.v, in)
		c.body = func() ([]byte, error) { return body, nil }
		return nil, nil
	})
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := marshal(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// marshal leaves < and & as they are: the answer is no page.
func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// schemaName keeps apart what has one name in two packages.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	if path := t.PkgPath(); path != "" && !strings.HasSuffix(path, "/api/v1") {
		if prefix, ok := namesakes[path[strings.LastIndexByte(path, '/')+1:]+"."+name]; ok {
			return prefix
		}
	}
	return name
}

// namesakes are types of other packages that have a name of ours.
var namesakes = map[string]string{
	"lease.Count": "CustomerCount", "store.Message": "StoredMessage", "exposure.Constituent": "Organisation", "people.Reason": "ToldReason", "surge.Finding": "SurgeSign", "exposure.Assignment": "Lent",
}

// loosen makes the document say what encoding/json does, where huma does not know
// it: a pointer to an object may be null, and answers may get further fields.
func (d *door) loosen() {
	null := func() *huma.Schema { return &huma.Schema{Type: "null"} }
	asked := d.requests()
	for name, s := range d.registry.Map() {
		if !asked[name] {
			s.AdditionalProperties = nil
		}
		t := d.registry.TypeFromRef("#/components/schemas/" + name)
		for _, f := range reflect.VisibleFields(t) {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			p := s.Properties[tag]
			if p == nil || strings.Contains(options, "omit") {
				continue
			}
			switch {
			case f.Type.Kind() == reflect.Pointer && p.Ref != "":
				s.Properties[tag] = &huma.Schema{AnyOf: []*huma.Schema{{Ref: p.Ref}, null()}}
			case f.Type.Kind() == reflect.Map:
				s.Properties[tag] = &huma.Schema{AnyOf: []*huma.Schema{p, null()}}
			}
		}
	}
	if s := d.registry.Map()["IPP"]; s != nil { // exposure.IPP leaves its status out when there was none
		for i, name := range s.Required {
			if name == "status" {
				s.Required = append(s.Required[:i], s.Required[i+1:]...)
				break
			}
		}
	}
}

// requests are the schemas that requests have: what is not in them is a mistake.
func (d *door) requests() map[string]bool {
	asked := make(map[string]bool)
	var walk func(s *huma.Schema)
	walk = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name := strings.TrimPrefix(s.Ref, "#/components/schemas/"); name != s.Ref && !asked[name] {
			asked[name] = true
			walk(d.registry.Map()[name])
		}
		for _, p := range s.Properties {
			walk(p)
		}
		walk(s.Items)
	}
	for _, path := range d.huma.OpenAPI().Paths {
		if path.Post != nil && path.Post.RequestBody != nil {
			for _, m := range path.Post.RequestBody.Content {
				walk(m.Schema)
			}
		}
	}
	return asked
}

// write writes the document once.
func (d *door) write() error {
	problem := d.registry.Schema(reflect.TypeFor[gate.Problem](), true, "Problem")
	for _, path := range d.huma.OpenAPI().Paths {
		for _, operation := range []*huma.Operation{path.Get, path.Post} {
			if operation == nil {
				continue
			}
			operation.Responses["default"] = &huma.Response{
				Description: "A problem", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
			}
			o := operation.Metadata["op"].(*op)
			if len(o.roles) == len(everybody) {
				operation.Security = []map[string][]string{{}, {"key": {}}, {"session": {}}}
			}
			o.headers(operation)
		}
	}
	var err error
	if d.texts.json, err = json.MarshalIndent(d.huma.OpenAPI(), "", "  "); err != nil {
		return fmt.Errorf("write OpenAPI: %w", err)
	}
	if d.texts.yaml, err = d.huma.OpenAPI().YAML(); err != nil {
		return fmt.Errorf("write OpenAPI: %w", err)
	}
	return nil
}
