package gate

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
)

// TokenField and TokenHeader are where a request has its CSRF token.
const (
	TokenField  = "csrf"
	TokenHeader = "X-CSRF-Token"
)

const (
	csrfCookie = "csrf"
	csrfBytes  = 32
)

// CSRF returns the token for a form of the page. It is another one each time, so
// that the length of a compressed page tells nothing of it. A stranger gets a
// cookie with it: ask for it before the answer begins.
func (v *Visit) CSRF(r *http.Request) string {
	if v.secret == nil {
		v.secret = v.planted(r)
	}
	if v.secret == nil {
		v.secret = make([]byte, csrfBytes)
		_, _ = rand.Read(v.secret)
		if v.w != nil {
			v.SetCookie(v.w, csrfCookie, base64.RawURLEncoding.EncodeToString(v.secret), 0)
		}
	}
	masked := make([]byte, 2*csrfBytes)
	_, _ = rand.Read(masked[:csrfBytes])
	subtle.XORBytes(masked[csrfBytes:], masked[:csrfBytes], v.secret)
	return base64.RawURLEncoding.EncodeToString(masked)
}

// planted is what a stranger's cookie has.
func (v *Visit) planted(r *http.Request) []byte {
	b, err := base64.RawURLEncoding.DecodeString(v.Cookie(r, csrfCookie))
	if err != nil || len(b) != csrfBytes {
		return nil
	}
	return b
}

// uncrossed refuses a change that another site may have sent.
func (g *Gate) uncrossed(r *http.Request, v *Visit) error {
	if !v.Route.changes() || v.Route.Tokenless != "" || v.Key.ID != "" {
		return nil // a key is nothing that a browser sends by itself
	}
	if err := g.crossing.Check(r); err != nil {
		return crossed
	}
	secret := v.secret
	if secret == nil {
		secret = v.planted(r)
	}
	token := r.Header.Get(TokenHeader)
	if token == "" && v.Route.Kind == Form {
		if err := readForm(r); err != nil {
			return err
		}
		token = r.PostFormValue(TokenField)
	}
	masked, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(masked) != 2*csrfBytes || secret == nil {
		return crossed
	}
	subtle.XORBytes(masked[csrfBytes:], masked[:csrfBytes], masked[csrfBytes:])
	if subtle.ConstantTimeCompare(masked[csrfBytes:], secret) != 1 {
		return crossed
	}
	return nil
}

// readForm reads a form, whose size is bounded already.
func readForm(r *http.Request) error {
	var err error
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		err = r.ParseMultipartForm(defaultMaxBody)
	} else {
		err = r.ParseForm()
	}
	if problem := problemOf(err); err != nil && problem.Status == http.StatusInternalServerError {
		return Bad("the form cannot be read")
	}
	return err
}
