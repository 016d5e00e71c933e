package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"ippwatch/access"
	"ippwatch/gate"
	"ippwatch/store"
)

// A call is one request on its way through huma and back.
type call struct {
	door *door
	op   *op
	v    *gate.Visit
	r    *http.Request

	err         error
	body        func() ([]byte, error)
	contentType string // of the body; empty: JSON
	link        string // to the next page
	file        string // name of the answer as a file
	stream      func(w http.ResponseWriter, r *http.Request) error
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// fail keeps the error for the gate; huma is told of none, or it would answer.
func (c *call) fail(err error) error { //nolint:unparam // that it is nil is what it is for
	c.err = err
	return nil
}

// fresh lets a browser or a client keep an answer, and makes it ask each time
// whether it is still so.
const fresh = "private, no-cache"

// send answers with what the operation returned.
func (c *call) send(w http.ResponseWriter) error {
	if c.stream != nil {
		return c.stream(w, c.r)
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	return c.answer(w, cmp.Or(c.op.status, http.StatusOK), cmp.Or(c.contentType, "application/json"), body)
}

func (c *call) answer(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Add("Vary", "Accept")
	if c.op.public {
		return gate.Send(w, c.r, status, contentType, "public, max-age=300", body)
	}
	h.Add("Vary", "Authorization")
	h.Add("Vary", "Cookie")
	if c.file != "" {
		attachment(h, c.file)
	}
	if c.link != "" {
		h.Set("Link", "<"+c.link+`>; rel="next"`)
	}
	switch {
	case c.op.strong:
		// It names the bytes, so that If-Match may compare it (RFC 9110, section
		// 13.1.1); a compressed answer would be other bytes.
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", fresh)
		tag := strongTag(body)
		h.Set("ETag", tag)
		if c.r.Method != http.MethodPost && gate.Matches(c.r, tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		return gate.SendRaw(w, c.r, status, body)
	case c.r.Method == http.MethodPost:
		return gate.Send(w, c.r, status, contentType, gate.Private, body)
	}
	return gate.Send(w, c.r, status, contentType, fresh, body)
}

func strongTag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
}

// changed is the answer to who would change what is not any more as it was.
var changed = &gate.Problem{
	Status: http.StatusPreconditionFailed, Code: "changed", Detail: "it has changed since you read it",
	Hint: "read it again, and decide anew",
}

// unchanged reports whether what is there is what the client has read.
func (c *call) unchanged(tag string) bool {
	want := c.r.Header.Get("If-Match")
	if want == "" {
		return true
	}
	for part := range strings.SplitSeq(want, ",") {
		if part = strings.TrimSpace(part); part == "*" || part == tag {
			return true
		}
	}
	return false
}

// maxKey bounds an Idempotency-Key.
const maxKey = 255

// once serves the request, or answers what it was answered when it came before.
func (c *call) once(w http.ResponseWriter, serve func() error) error {
	key := c.r.Header.Get("Idempotency-Key")
	if key == "" || c.r.Method != http.MethodPost {
		if err := serve(); err != nil {
			return err
		}
		return c.send(w)
	}
	if len(key) > maxKey || strings.IndexFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return gate.Invalid("header.Idempotency-Key", "want 1 to %d characters of ASCII", maxKey)
	}
	asked, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	c.r.Body = io.NopCloser(bytes.NewReader(asked))
	// A key that was given to somebody else, or got another role, is another
	// caller: it must not see what was answered before.
	caller := strings.Join([]string{c.v.Who, string(c.v.Role), c.v.View.Who, cmp.Or(c.v.Key.Constituent, c.v.Account.Constituent)}, "\x00")
	digest := sha256.New()
	for _, part := range []string{c.r.Method, c.r.URL.RequestURI(), c.r.Header.Get("Content-Type"), c.r.Header.Get("If-Match")} {
		_, _ = digest.Write([]byte(part + "\x00")) // a hash takes all
	}
	_, _ = digest.Write(asked)
	st, ctx := c.door.Store, c.r.Context()
	was, err := st.BeginRepeat(ctx, caller, key, digest.Sum(nil), c.v.At)
	switch {
	case errors.Is(err, store.ErrRepeatOther):
		return &gate.Problem{Status: http.StatusUnprocessableEntity, Code: "idempotency-key-reused", Detail: "this Idempotency-Key was sent with another request", Faults: []gate.Fault{{Location: "header.Idempotency-Key", Detail: "it belongs to another request"}}}
	case errors.Is(err, store.ErrRepeatRunning):
		w.Header().Set("Retry-After", "1")
		return &gate.Problem{Status: http.StatusConflict, Code: "in-progress", Detail: "the request with this Idempotency-Key is being worked on"}
	case err != nil:
		return err
	case was != nil:
		return c.repeat(w, was)
	}
	kept := false
	defer func() {
		if !kept {
			// Whoever asked may be gone, and a panic may be on its way: all the same.
			_ = st.DropRepeat(context.WithoutCancel(ctx), caller, key) // it is forgotten after minutes anyway
		}
	}()
	failed := serve()
	answer := store.Repeat{Status: cmp.Or(c.op.status, http.StatusOK), ContentType: cmp.Or(c.contentType, "application/json")}
	if p, ok := errors.AsType[*gate.Problem](failed); ok && lasting(p.Status) {
		answer.Status, answer.ContentType = p.Status, "application/problem+json"
		if answer.Body, err = json.Marshal(p); err != nil {
			return err
		}
	} else if failed != nil {
		return failed
	} else if answer.Body, err = c.body(); err != nil {
		return err
	}
	if err := st.EndRepeat(context.WithoutCancel(ctx), caller, key, answer); err != nil {
		return err
	}
	kept = true
	if failed != nil {
		return failed
	}
	return c.answer(w, answer.Status, answer.ContentType, answer.Body)
}

// lasting reports whether a failure would be the same the next time.
func lasting(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// repeat answers as before.
func (c *call) repeat(w http.ResponseWriter, was *store.Repeat) error {
	w.Header().Set("Idempotency-Replayed", "true")
	if was.ContentType != "application/problem+json" {
		return c.answer(w, was.Status, was.ContentType, was.Body)
	}
	p := new(gate.Problem)
	if err := json.Unmarshal(was.Body, p); err != nil {
		return err
	}
	return p
}

// notThere turns errors that say that something is not there into the answer that
// tells nothing more.
func notThere(err error, none ...error) error {
	for _, n := range none {
		if errors.Is(err, n) {
			return gate.NotFound
		}
	}
	return err
}

// whole reports whether the view sees all.
func whole(v access.View) bool { return v.Tier == access.Operator }
