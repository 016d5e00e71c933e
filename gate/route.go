package gate

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"ippwatch/access"
)

// A Kind is what a route is, and so how it is guarded and how it fails.
type Kind string

// Kinds.
const (
	// Page is HTML for people. Who must log in first is sent to do so.
	Page Kind = "page"
	// Form is what a page posts to. It has the CSRF token in the field "csrf".
	Form Kind = "form"
	// API is for programs with a key, and for the scripts of our pages, which send
	// the token in X-CSRF-Token when they change something. It fails in
	// problem+json.
	API Kind = "api"
	// Stream is an API whose answer may take for ever, as long as somebody reads.
	Stream Kind = "stream"
	// Signed is an API whose requests are signed as Shadowserver's are: JSON with
	// "apikey", and the header HMAC2. Nobody else is known there.
	Signed Kind = "signed"
	// Asset is a file without secrets that is the same for everybody. Nobody is
	// looked for behind such a request.
	Asset Kind = "asset"
)

var kinds = []Kind{Page, Form, API, Stream, Signed, Asset}

// A Handler answers a request. What it returns is shown as a [Problem], or logged
// and shown as a failure of ours.
type Handler func(w http.ResponseWriter, r *http.Request, v *Visit) error

// A Route is one address that is served.
type Route struct {
	Method  string // GET serves HEAD too
	Pattern string // of http.ServeMux, without method and host
	Kind    Kind
	Roles   []access.Role // who may use it; everybody: access.Roles
	Needs   access.Right  // and what they must be allowed to; empty: access.Read
	// Personal marks what shows whose hosts are exposed, or names: each look is
	// written into the audit log.
	Personal bool
	// Written says how the handler writes a change into the audit log itself, in
	// the transaction of the change. Empty: the gate writes the request down.
	Written string
	// Costly limits an address to a few requests a minute.
	Costly bool
	// Tokenless says why there is no CSRF token: RFC 8058 asks for none.
	Tokenless string
	MaxBody   int64 // bytes; 0: 1 MiB
	Serve     Handler
	// Fail shows a problem in another dialect than that of the kind.
	Fail func(w http.ResponseWriter, r *http.Request, v *Visit, p *Problem)
}

const defaultMaxBody = 1 << 20

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// check refuses a route that does not say what it must, and sets what it may
// leave out.
func (r *Route) check() error {
	if r.Needs == "" {
		r.Needs = access.Read
	}
	switch {
	case !slices.Contains(methods, r.Method):
		return fmt.Errorf("method %q", r.Method)
	case !strings.HasPrefix(r.Pattern, "/"):
		return errors.New("the pattern does not begin with /")
	case !slices.Contains(kinds, r.Kind):
		return fmt.Errorf("kind %q", r.Kind)
	case len(r.Roles) == 0:
		return errors.New("it does not say who may use it")
	case r.Serve == nil:
		return errors.New("nobody serves it")
	case r.Kind == Form != (r.changes() && r.Kind != API && r.Kind != Stream && r.Kind != Signed):
		return fmt.Errorf("a %s by %s", r.Kind, r.Method)
	case r.Kind == Asset && !slices.Contains(r.Roles, access.RolePublic):
		return errors.New("an asset is for everybody")
	}
	for _, role := range r.Roles {
		if !slices.Contains(access.Roles, role) {
			return fmt.Errorf("role %q", role)
		}
		if !role.May(r.Needs) {
			return fmt.Errorf("the role %s may not %s", role, r.Needs)
		}
	}
	return nil
}

// changes reports whether the method may change something.
func (r *Route) changes() bool { return r.Method != http.MethodGet }

func (r *Route) maxBody() int64 {
	if r.MaxBody > 0 {
		return r.MaxBody
	}
	return defaultMaxBody
}

// secret reports whether there is a secret in the path.
func (r *Route) secret() bool { return strings.Contains(r.Pattern, "{token") }

// shown is the path as it may be logged: a value that is called token is a
// secret.
func (r *Route) shown(req *http.Request) string {
	if r.secret() {
		return r.Pattern
	}
	path := req.URL.EscapedPath()
	return path[:min(len(path), 300)]
}

// ServeHTTP does nothing: a route is what the mux finds, and the gate serves it.
func (r *Route) ServeHTTP(http.ResponseWriter, *http.Request) {}
