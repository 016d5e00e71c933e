package web

import (
	"errors"
	"net/http"
	"time"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/store"
)

// own is the part that every site has.
func (s *Site) own() Part {
	everybody, named := access.Roles, access.Named
	return Part{
		FS: own,
		Routes: []gate.Route{
			{Method: "GET", Pattern: "/assets/{file...}", Kind: gate.Asset, Roles: everybody, Serve: s.serveAsset},
			{Method: "GET", Pattern: "/login", Kind: gate.Page, Roles: everybody, Serve: s.loginPage},
			{Method: "POST", Pattern: "/login", Kind: gate.Form, Roles: everybody, Costly: true, Written: "login", Serve: s.login},
			{Method: "POST", Pattern: "/logout", Kind: gate.Form, Roles: named, Written: "session end", Serve: s.logout},
			{Method: "GET", Pattern: "/account", Kind: gate.Page, Roles: named, Serve: s.accountPage},
			{Method: "POST", Pattern: "/account/password", Kind: gate.Form, Roles: named, Costly: true, Written: "account password", Serve: s.changePassword},
			{Method: "POST", Pattern: "/account/sessions/end", Kind: gate.Form, Roles: named, Written: "session end", Serve: s.endSession},
			{Method: "GET", Pattern: "/preferences", Kind: gate.Page, Roles: everybody, Serve: s.preferences},
			{Method: "POST", Pattern: "/preferences", Kind: gate.Form, Roles: everybody, Written: "nothing: it is kept in the browser", Serve: s.prefer},
		},
	}
}

type loginData struct {
	Next, Name string
	Refused    bool
}

func (s *Site) loginPage(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	next := gate.LocalPath(r.URL.Query().Get("next"))
	if v.LoggedIn() {
		return gate.SeeOther(next)
	}
	return s.Page(w, r, v, "login", loginData{Next: next})
}

func (s *Site) login(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	next, name := gate.LocalPath(r.PostFormValue("next")), r.PostFormValue("name")
	err := s.Gate.LogIn(w, r, v, name, r.PostFormValue("password"))
	if errors.Is(err, store.ErrRefused) {
		return s.Page(w, r, v, "login", loginData{Next: next, Name: name[:min(len(name), 64)], Refused: true}, Show{Status: http.StatusUnauthorized})
	}
	if err != nil {
		return err
	}
	return gate.SeeOther(next)
}

func (s *Site) logout(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	if err := s.Gate.LogOut(w, r, v); err != nil {
		return err
	}
	return gate.SeeOther("/login")
}

type accountData struct {
	Account  store.Account
	Sessions []store.Session
	Here     string // the name of this session
	Mistake  string // key of a text
	Least    int
	Done     bool
}

func (s *Site) accountPage(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return s.account(w, r, v, "", 0, r.URL.Query().Has("done"))
}

func (s *Site) account(w http.ResponseWriter, r *http.Request, v *gate.Visit, mistake string, status int, done bool) error {
	if !v.LoggedIn() {
		return gate.NotFound
	}
	all, err := s.Store.Sessions(r.Context(), v.View, v.Account.Name, s.Gate.Config.Life())
	if err != nil {
		return err
	}
	return s.Page(w, r, v, "account", accountData{v.Account, all, v.Session.Name, mistake, store.MinPassword, done}, Show{Status: status})
}

// changePassword asks for the old password as a login does, with its lock: a
// browser that was left open is not enough.
func (s *Site) changePassword(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	if !v.LoggedIn() {
		return gate.NotFound
	}
	name, fresh := v.Account.Name, r.PostFormValue("new")
	if fresh != r.PostFormValue("again") {
		return s.account(w, r, v, "account.different", http.StatusUnprocessableEntity, false)
	}
	if _, err := s.Store.Login(r.Context(), name, r.PostFormValue("old"), v.At); errors.Is(err, store.ErrRefused) {
		return s.account(w, r, v, "account.wrong", http.StatusUnprocessableEntity, false)
	} else if err != nil {
		return err
	}
	err := s.Store.SetPassword(r.Context(), name, fresh, name, v.At)
	if _, bad := errors.AsType[store.BadAccountError](err); bad {
		return s.account(w, r, v, "account.weak", http.StatusUnprocessableEntity, false)
	}
	if err != nil {
		return err
	}
	if err := s.Gate.Renew(w, r, v); err != nil {
		return err
	}
	return gate.SeeOther("/account?done")
}

func (s *Site) endSession(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	if !v.LoggedIn() {
		return gate.NotFound
	}
	name := r.PostFormValue("session")
	if name == "" {
		if err := s.Store.EndOtherSessions(r.Context(), v.Account.Name, v.Token(), v.At); err != nil {
			return err
		}
		return gate.SeeOther("/account?done")
	}
	err := s.Store.EndSessionNamed(r.Context(), v.Account.Name, name, v.Account.Name, v.At)
	if errors.Is(err, store.ErrNoSession) {
		return gate.NotFound
	}
	if err != nil {
		return err
	}
	return gate.SeeOther("/account?done")
}

type preferData struct{ Back string }

func (s *Site) preferences(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return s.Page(w, r, v, "preferences", preferData{gate.LocalPath(r.URL.Query().Get("back"))})
}

// kept is how long a browser remembers what somebody prefers.
const kept = 365 * 24 * time.Hour

func (s *Site) prefer(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	v.SetCookie(w, themeCookie, theme(r.PostFormValue("theme")), kept)
	v.SetCookie(w, keysCookie, keys(r.PostFormValue("keys")), kept)
	lang := r.PostFormValue("lang")
	if _, known := s.books[lang]; !known {
		lang = ""
	}
	v.SetCookie(w, langCookie, lang, kept)
	return gate.SeeOther(r.PostFormValue("back"))
}

func theme(s string) string {
	if s == "light" || s == "dark" {
		return s
	}
	return "auto"
}

// keys are on unless somebody wants none: who speaks to the computer, or whose
// hand is not sure, must be able to turn them off (WCAG 2.2, 2.1.4).
func keys(s string) string {
	if s == "off" {
		return s
	}
	return "on"
}
