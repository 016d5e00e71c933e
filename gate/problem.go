package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"ippwatch/store"
)

// A Problem is why a request was not served, as RFC 9457 writes it. It is safe to
// show to whoever asked.
type Problem struct { //nolint:errname // RFC 9457 calls it so
	Type     string `json:"type"` // always about:blank
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"` // what would help
	Code     string `json:"code"`           // a word that stays; pages translate it
	Instance string `json:"instance,omitempty"`
	// Faults are what is wrong with single values of the request.
	Faults []Fault `json:"errors,omitempty"`
}

// A Fault is what is wrong with one value of a request.
type Fault struct {
	Location string `json:"location"` // such as "query.limit", "body.reason"
	Detail   string `json:"detail"`
}

// Error is the problem in one line.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return http.StatusText(p.Status)
	}
	return p.Detail
}

// Problems that many routes have. They are values; nobody changes them.
//
//nolint:errname // they are answers first
var (
	NotFound     = &Problem{Status: http.StatusNotFound, Code: "not-found", Detail: "there is nothing here, or nothing that you may see"}
	Forbidden    = &Problem{Status: http.StatusForbidden, Code: "forbidden", Detail: "your role may not do that"}
	unauthorised = &Problem{Status: http.StatusUnauthorized, Code: "unauthorised", Detail: "log in, or send a key that is right: Authorization: Bearer KEY"}
	tooMany      = &Problem{Status: http.StatusTooManyRequests, Code: "too-many", Detail: "too many requests: wait a little"}
	crossed      = &Problem{
		Status: http.StatusForbidden, Code: "csrf", Detail: "the form is too old, or the request came from another site",
		Hint: "load the page again and repeat",
	}
)

// Bad is a request that cannot be understood: the mistake is the client's.
func Bad(format string, args ...any) error {
	return &Problem{Status: http.StatusBadRequest, Code: "bad-request", Detail: fmt.Sprintf(format, args...)}
}

// Invalid is a request of which one value cannot be; location is such as
// "query.limit".
func Invalid(location, format string, args ...any) error {
	detail := fmt.Sprintf(format, args...)
	return &Problem{
		Status: http.StatusUnprocessableEntity, Code: "invalid", Detail: location + ": " + detail, Faults: []Fault{{location, detail}},
	}
}

// problemOf is what is shown of an error.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		shown := *p
		return &shown
	}
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Detail: fmt.Sprintf("the limit is %d bytes", big.Limit)}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Problem{Status: http.StatusServiceUnavailable, Code: "busy", Detail: "that took too long: try again"}
	}
	if trouble := store.TroubleOf(err); trouble != store.NoTrouble {
		return &Problem{Status: http.StatusServiceUnavailable, Code: "store-" + string(trouble), Detail: "the data directory cannot be used now: " + string(trouble)}
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "it is our fault, and it is in our log"}
}

// write writes the problem as problem+json.
func (p *Problem) write(w http.ResponseWriter) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`) // it has only strings and a number
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // who is gone needs none
}

// WriteProblem is how an API that has its own router shows a problem.
func WriteProblem(w http.ResponseWriter, p Problem) { p.write(w) }

// A redirect sends the visitor elsewhere.
type redirect struct {
	to     string
	status int
}

func (r redirect) Error() string { return "see " + r.to }

// SeeOther sends the visitor to a page of ours, as after a form.
func SeeOther(path string) error { return redirect{LocalPath(path), http.StatusSeeOther} }

// LocalPath returns the path if it leads to this server, and otherwise "/".
func LocalPath(s string) string {
	if len(s) > 2000 || len(s) == 0 || s[0] != '/' || len(s) > 1 && (s[1] == '/' || s[1] == '\\') {
		return "/"
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '\\' || s[i] == 0x7f {
			return "/"
		}
	}
	return s
}
