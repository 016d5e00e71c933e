package gate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

// A Visit is one request and who makes it.
type Visit struct {
	ID      string // of the request, in the log and in problems
	At      time.Time
	Route   *Route
	Address netip.Addr // who asks, also behind a proxy that we trust
	Secure  bool       // it came over TLS

	// Who is the name of the account, or "key ID"; empty: a stranger.
	Who     string
	Role    access.Role
	Account store.Account // of a session
	Session store.Session
	Key     store.APIKey
	// View is what the visitor sees; hand it to every read.
	View access.View

	scopes []access.Right // of a key
	token  string         // of the session
	secret []byte         // what the CSRF token is made of; nil: not known yet
	w      http.ResponseWriter
}

type visitKey struct{}

func with(ctx context.Context, v *Visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

// Of returns the visit of a request's context, for handlers that are behind
// another router; nil outside of the gate.
func Of(ctx context.Context) *Visit {
	v, _ := ctx.Value(visitKey{}).(*Visit)
	return v
}

// May reports whether the visitor may do it.
func (v *Visit) May(what access.Right) bool {
	return v.Role.May(what) && (v.scopes == nil || slices.Contains(v.scopes, what))
}

// LoggedIn reports whether there is a session.
func (v *Visit) LoggedIn() bool { return v.token != "" }

// name is who it was, for the audit log.
func (v *Visit) name() string { return cmp.Or(v.Who, "stranger") }

// arrive begins a visit with what is known of everybody.
func (g *Gate) arrive(r *http.Request) *Visit {
	v := &Visit{ID: rand.Text()[:12], At: g.Now(), Role: access.RolePublic}
	v.Address, v.Secure = g.client(r)
	return v
}

// Names of our cookies. A browser takes a __Host- cookie only over TLS, from the
// very host, for all of it: no other host of the domain can set one.
func cookie(name string, secure bool) string {
	if secure {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie of ours: never for scripts, never for other sites.
// Without an age it ends with the browser.
func (v *Visit) SetCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: cookie(name, v.Secure), Value: value, Path: "/", HttpOnly: true, Secure: v.Secure, SameSite: http.SameSiteLaxMode}
	switch {
	case value == "":
		c.MaxAge = -1
	case age > 0:
		c.MaxAge = int(age.Seconds())
	}
	http.SetCookie(w, c)
}

// Cookie returns the value of a cookie of ours.
func (v *Visit) Cookie(r *http.Request, name string) string {
	c, err := r.Cookie(cookie(name, v.Secure))
	if err != nil || len(c.Value) > 200 {
		return ""
	}
	return c.Value
}

const sessionCookie = "session"

// identify finds out who comes: by a signature, a key, or a session. A wrong key
// is told; a session that is over makes a stranger.
func (g *Gate) identify(w http.ResponseWriter, r *http.Request, v *Visit) error {
	v.w = w
	err := g.whose(w, r, v)
	if errors.Is(err, store.ErrNoKey) {
		if !g.costly.take(near(v.Address), v.At) {
			return tooMany
		}
		return unauthorised
	}
	if err != nil || v.Who == "" {
		return err
	}
	if !g.accounts.take(v.Who, v.At) {
		return tooMany
	}
	return nil
}

func (g *Gate) whose(w http.ResponseWriter, r *http.Request, v *Visit) error {
	if v.Route.Kind == Signed {
		return g.signed(r, v)
	}
	if auth := r.Header.Get("Authorization"); auth != "" {
		scheme, token, _ := strings.Cut(auth, " ")
		if v.Route.Kind != API && v.Route.Kind != Stream {
			return &Problem{Status: http.StatusUnauthorized, Code: "unauthorised", Detail: "keys are for the API"}
		}
		if !strings.EqualFold(scheme, "Bearer") {
			return store.ErrNoKey
		}
		k, err := g.Keeper.Key(r.Context(), strings.TrimSpace(token), v.At)
		if err != nil {
			return err
		}
		v.hasKey(k)
		return nil
	}
	token := v.Cookie(r, sessionCookie)
	if token == "" {
		return nil
	}
	sess, account, err := g.Keeper.Session(r.Context(), token, g.Config.life(), v.At)
	if errors.Is(err, store.ErrNoSession) {
		v.SetCookie(w, sessionCookie, "", 0)
		return nil
	}
	if err != nil {
		return err
	}
	v.Session, v.Account, v.Who, v.Role = sess, account, account.Name, account.Role
	v.token, v.secret = token, sess.CSRF
	return nil
}

func (v *Visit) hasKey(k store.APIKey) {
	v.Key, v.Who, v.Role, v.scopes = k, "key "+k.ID, k.Role, k.Scopes
	if v.scopes == nil {
		v.scopes = []access.Right{}
	}
}

// signed reads a signed request. The handler reads the same bytes again.
func (g *Gate) signed(r *http.Request, v *Visit) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var has struct {
		Key string `json:"apikey"`
	}
	if err := json.Unmarshal(body, &has); err != nil {
		return &Problem{Status: http.StatusUnauthorized, Code: "unauthorised", Detail: "the body is no JSON object with an apikey"}
	}
	k, err := g.Keeper.SignedKey(r.Context(), has.Key, body, r.Header.Get("HMAC2"), v.At)
	if err != nil {
		return err
	}
	v.hasKey(k)
	return nil
}

// LogIn begins a session, or returns store.ErrRefused. The session that there was
// ends: a token that somebody planted opens nothing.
func (g *Gate) LogIn(w http.ResponseWriter, r *http.Request, v *Visit, name, password string) error {
	a, err := g.Keeper.Login(r.Context(), name, password, v.At)
	if err != nil {
		return err
	}
	return g.begin(w, r, v, a.Name)
}

// Renew begins the session of the visitor anew, as after a change of its
// password, which ends all.
func (g *Gate) Renew(w http.ResponseWriter, r *http.Request, v *Visit) error {
	return g.begin(w, r, v, v.Account.Name)
}

func (g *Gate) begin(w http.ResponseWriter, r *http.Request, v *Visit, account string) error {
	if v.token != "" {
		if err := g.Keeper.EndSession(r.Context(), v.token, v.name(), v.At); err != nil {
			return err
		}
	}
	token, err := g.Keeper.BeginSession(r.Context(), account, v.Address.String(), r.UserAgent(), g.Config.life(), v.At)
	if err != nil {
		return err
	}
	v.SetCookie(w, sessionCookie, token, g.Config.Session)
	return nil
}

// LogOut ends the session.
func (g *Gate) LogOut(w http.ResponseWriter, r *http.Request, v *Visit) error {
	if v.token == "" {
		return nil
	}
	v.SetCookie(w, sessionCookie, "", 0)
	// A page that a browser keeps would still show what it showed.
	w.Header().Set("Clear-Site-Data", `"cache"`)
	return g.Keeper.EndSession(r.Context(), v.token, v.name(), v.At)
}

// Token is the secret of the session, for ending all others.
func (v *Visit) Token() string { return v.token }

// String is for logs.
func (v *Visit) String() string { return fmt.Sprintf("%s (%s) from %s", v.name(), v.Role, v.Address) }
