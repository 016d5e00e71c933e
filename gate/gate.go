// Package gate is the door for HTTP: the routes that there are, who comes, what
// they may, and the server under them.
//
// Nothing is served that is not a [Route], and every route says what it is and
// who may use it. What a visitor sees of the data is [Visit.View], which the
// handlers hand on to every read.
package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

// A Keeper knows accounts, sessions and keys, and writes down who did what;
// package store is one.
type Keeper interface {
	Login(ctx context.Context, name, password string, at time.Time) (store.Account, error)
	BeginSession(ctx context.Context, account, remote, agent string, life store.Life, at time.Time) (string, error)
	Session(ctx context.Context, token string, life store.Life, at time.Time) (store.Session, store.Account, error)
	EndSession(ctx context.Context, token, who string, at time.Time) error
	Key(ctx context.Context, token string, at time.Time) (store.APIKey, error)
	SignedKey(ctx context.Context, id string, body []byte, mac string, at time.Time) (store.APIKey, error)
	Record(ctx context.Context, a store.Action) error
}

// Options are what a gate needs.
type Options struct {
	Config Config
	Keeper Keeper
	// Views says what somebody sees; package people knows the networks of a
	// constituent.
	Views func(ctx context.Context, role access.Role, constituent, who string, at time.Time) (access.View, error)
	Now   func() time.Time
	Log   *slog.Logger
	// Page shows a problem to people; programs get problem+json. Nil: plain text.
	Page func(w http.ResponseWriter, r *http.Request, v *Visit, p *Problem)
	// Front is where a stranger who comes to / is sent; empty: to log in.
	Front string
}

// A Gate is an http.Handler for its routes.
type Gate struct {
	Options
	proxies   []prefix
	host      string // the only one that is answered; empty: any
	mux       *http.ServeMux
	routes    []*Route
	crossing  *http.CrossOriginProtection
	addresses *limiter[prefix]
	costly    *limiter[prefix]
	accounts  *limiter[string]
	ending    context.Context // done when Run ends: a stream must end then
	end       context.CancelFunc
	besides   sync.WaitGroup // work that goes on behind an answer
}

// costlyPerMinute is how often one address may log in, ask for a probe, or be
// wrong about a key.
const costlyPerMinute = 20

// New returns a gate without routes.
func New(o Options) (*Gate, error) {
	proxies, err := o.Config.proxies()
	if err != nil {
		return nil, err
	}
	g := &Gate{
		Options: o, proxies: proxies, mux: http.NewServeMux(), crossing: http.NewCrossOriginProtection(),
		addresses: newLimiter[prefix](float64(o.Config.Rate), float64(10*o.Config.Rate)),
		costly:    newLimiter[prefix](costlyPerMinute/60.0, costlyPerMinute),
		accounts:  newLimiter[string](float64(o.Config.Rate), float64(10*o.Config.Rate)),
	}
	g.ending, g.end = context.WithCancel(context.Background())
	if o.Config.URL != "" {
		u, err := url.Parse(o.Config.URL)
		if err != nil {
			return nil, fmt.Errorf("web.url: %w", err)
		}
		g.host = u.Host
	}
	return g, nil
}

// Add adds routes, before the gate serves. It refuses what does not say who may
// use it, and two that are the same.
func (g *Gate) Add(routes ...Route) (err error) {
	for i := range routes {
		if err := g.add(&routes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gate) add(r *Route) (err error) {
	if err := r.check(); err != nil {
		return fmt.Errorf("route %s %s: %w", r.Method, r.Pattern, err)
	}
	defer func() {
		if wrong := recover(); wrong != nil { // so the mux tells of two that clash
			err = fmt.Errorf("route %s %s: %v", r.Method, r.Pattern, wrong)
		}
	}()
	g.mux.Handle(r.Method+" "+r.Pattern, r)
	g.routes = append(g.routes, r)
	return nil
}

// Routes returns all routes, in the order in which they were added.
func (g *Gate) Routes() []Route {
	all := make([]Route, 0, len(g.routes))
	for _, r := range g.routes {
		all = append(all, *r)
	}
	return all
}

// ServeHTTP serves one request: it finds the route, who comes and whether they
// may, and lets the route answer.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := g.arrive(r)
	out := &answer{ResponseWriter: w}
	defer g.depart(out, r, v)
	defer g.rescue(out, r, v)
	g.protect(out, v)
	if err := g.serve(out, r, v); err != nil {
		g.fail(out, r, v, err)
	}
}

func (g *Gate) serve(w *answer, r *http.Request, v *Visit) error {
	if err := g.admit(r, v); err != nil {
		return err
	}
	route, err := g.find(w, r)
	if err != nil {
		return err
	}
	v.Route = route
	if route.secret() {
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	if route.Kind == Stream {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(g.ending, cancel)()
		r = r.WithContext(ctx)
		w.stream = true
		_ = http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Time{}) // a test's writer has none
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), servePatience)
		defer cancel()
		r = r.WithContext(ctx)
	}
	if route.MaxBody > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		limit := route.maxBody()
		if r.ContentLength > limit {
			return &Problem{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Detail: fmt.Sprintf("the limit is %d bytes", limit)}
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	if route.Kind != Asset {
		err := g.identify(w, r, v)
		g.tell(w.Header(), v)
		if err != nil {
			return err
		}
	}
	if err := g.permit(r, v); err != nil {
		return err
	}
	if err := g.uncrossed(r, v); err != nil {
		return err
	}
	if route.Costly && !g.costly.take(near(v.Address), v.At) {
		return tooMany
	}
	if route.Kind != Asset {
		if v.View, err = g.view(r.Context(), v); err != nil {
			return err
		}
	}
	if err := g.note(r, v); err != nil {
		return err
	}
	return route.Serve(w, r.WithContext(with(r.Context(), v)), v)
}

// admit turns away whoever asks too much, and who means another server.
func (g *Gate) admit(r *http.Request, v *Visit) error {
	if !g.addresses.take(near(v.Address), v.At) {
		return tooMany
	}
	if g.host != "" && !strings.EqualFold(r.Host, g.host) {
		return &Problem{Status: http.StatusMisdirectedRequest, Code: "host", Detail: "this server answers for another name: " + g.Config.URL}
	}
	return nil
}

// find returns the route of a request, or what the mux would say of it.
func (g *Gate) find(w http.ResponseWriter, r *http.Request) (*Route, error) {
	h, pattern := g.mux.Handler(r)
	if route, ok := h.(*Route); ok && pattern != "" {
		// Once more through the mux, for it alone sets the values of the path; the
		// route as a handler does nothing.
		g.mux.ServeHTTP(w, r)
		return route, nil
	}
	said := &said{header: make(http.Header)}
	h.ServeHTTP(said, r)
	switch {
	case said.status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", said.header.Get("Allow"))
		return nil, &Problem{Status: said.status, Code: "method", Detail: "this address takes " + said.header.Get("Allow")}
	case said.status >= 300 && said.status < 400:
		return nil, redirect{said.header.Get("Location"), said.status}
	}
	return nil, NotFound
}

// permit reports whether the visitor may use the route.
func (g *Gate) permit(r *http.Request, v *Visit) error {
	if slices.Contains(v.Route.Roles, v.Role) && v.May(v.Route.Needs) {
		return nil
	}
	switch {
	case v.Who != "":
		return Forbidden
	case v.Route.Kind == Page && r.URL.Path == "/" && g.Front != "":
		return redirect{g.Front, http.StatusSeeOther}
	case v.Route.Kind == Page || v.Route.Kind == Form:
		to := "/login"
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		return redirect{to, http.StatusSeeOther}
	}
	return unauthorised
}

// view is what the visitor sees of the data.
func (g *Gate) view(ctx context.Context, v *Visit) (access.View, error) {
	if v.Role == access.RolePublic {
		return v.Role.View(v.Who, v.At), nil
	}
	constituent := v.Account.Constituent
	if v.Key.ID != "" {
		constituent = v.Key.Constituent
	}
	view, err := g.Views(ctx, v.Role, constituent, v.Who, v.At)
	view.Scopes = v.scopes
	return view, err
}

// lookPatience is how long a page waits until the look at it is written down.
const lookPatience = 2 * time.Second

// note writes down a change that the handler does not write down itself, and a
// look at personal data. What cannot be written down does not happen; but who
// must act because the disk is full has to see what there is: then the log has
// the look, and the log alone.
func (g *Gate) note(r *http.Request, v *Visit) error {
	did := store.Action{At: v.At, Who: v.name(), Detail: r.Method + " " + v.Route.shown(r)}
	switch {
	case v.Route.changes() && v.Route.Written == "":
		did.What = "change"
	case v.Route.Personal && v.Role != access.RolePublic:
		did.What = "look"
		return g.noteLook(r.Context(), v, did)
	default:
		return nil
	}
	return g.Keeper.Record(r.Context(), did)
}

func (g *Gate) noteLook(ctx context.Context, v *Visit, did store.Action) error {
	soon, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	err := g.Keeper.Record(soon, did)
	if store.TroubleOf(err) == store.NoTrouble && (ctx.Err() != nil || soon.Err() == nil) {
		return err
	}
	g.Log.Warn("the audit log cannot be written: here is the look", "request", v.ID, "who", did.Who, "detail", did.Detail, "err", err.Error())
	return nil
}

// rescue catches a panic. An answer that had begun is broken off, so that nobody
// takes it for a whole one.
func (g *Gate) rescue(w *answer, r *http.Request, v *Visit) {
	wrong := recover()
	if wrong == nil {
		return
	}
	if wrong == http.ErrAbortHandler { //nolint:errorlint // it is compared so in net/http
		panic(wrong)
	}
	g.Log.Error("panic", "request", v.ID, "what", fmt.Sprint(wrong), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	g.fail(w, r, v, &Problem{Status: http.StatusInternalServerError, Code: "internal"})
}

// depart logs a request: no query, no header, and of the path only what is no
// secret.
func (g *Gate) depart(w *answer, r *http.Request, v *Visit) {
	level, route := slog.LevelInfo, ""
	if v.Route != nil {
		route = v.Route.shown(r)
		if v.Route.Kind == Asset {
			level = slog.LevelDebug
		}
	}
	g.Log.Log(context.WithoutCancel(r.Context()), level, "request", "request", v.ID, "method", method(r), "path", route, "status", w.status,
		"bytes", w.bytes, "took", g.Now().Sub(v.At).Round(time.Microsecond).String(), "from", v.Address.String(), "who", v.Who)
}

// method is one that exists, for a log that strangers write into.
func method(r *http.Request) string {
	if len(r.Method) > 10 {
		return "other"
	}
	return r.Method
}

// fail answers a request that cannot be served.
func (g *Gate) fail(w *answer, r *http.Request, v *Visit, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		w.status = cmp.Or(w.status, statusGone)
		return // nobody is there
	}
	if to, ok := errors.AsType[redirect](err); ok {
		http.Redirect(w, r, to.to, to.status)
		return
	}
	p := problemOf(err)
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && v.May(access.Administer) {
		p.Hint = h.Hint()
	}
	if p.Status >= http.StatusInternalServerError {
		g.Log.Error("cannot answer", "request", v.ID, "err", err.Error())
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	p.Instance = v.ID
	switch {
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="ippwatch"`)
	case (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) && w.Header().Get("Retry-After") == "":
		w.Header().Set("Retry-After", "10")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Del("ETag")
	switch {
	case v.Route != nil && v.Route.Fail != nil:
		v.Route.Fail(w, r, v, p)
	case g.Page != nil && forPeople(r, v):
		g.Page(w, r, v, p)
	default:
		p.write(w)
	}
}

// forPeople reports whether somebody looks at the answer in a browser.
func forPeople(r *http.Request, v *Visit) bool {
	if v.Route != nil {
		return v.Route.Kind == Page || v.Route.Kind == Form
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api")
}

// statusGone is logged when the client went away: no number of HTTP's.
const statusGone = 499
