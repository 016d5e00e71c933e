// Package fake plays Shadowserver's reports API and download server for tests:
// it checks the HMAC over the exact bytes, and fails in the ways that are known.
package fake

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Who may ask.
const (
	Key    = "fake-key-0123"
	Secret = "fake-secret-4567" //nolint:gosec // of a fake
)

// A Report is one that can be downloaded.
type Report struct {
	Day, Type, File, List string
	Body                  []byte
}

// A Server plays both. Its fields are set before it is asked.
type Server struct {
	*httptest.Server
	Reports    []Report
	Subscribed []string
	Types      []string // empty: those of the reports
	Status     string   // of the key; empty is active
	Access     []string // nil is reports

	// Fail answers a request in another way, if it returns true. n counts the
	// requests for the path, from 1.
	Fail func(w http.ResponseWriter, r *http.Request, n int) bool

	mu    sync.Mutex
	asked map[string]int
	wrong []string
}

// New returns a server that runs until it is closed.
func New() *Server {
	s := &Server{Subscribed: []string{"example"}, asked: make(map[string]int)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// URI is where the API is.
func (s *Server) URI() string { return s.URL + "/api2/" }

// Link is where the report with the number is.
func (s *Server) Link(n int) string { return fmt.Sprintf("%s/cap%04d", s.URL, n) }

// Asked returns how often the path was asked for.
func (s *Server) Asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// Wrong returns what a client did that it must not.
func (s *Server) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wrong)
}

func (s *Server) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked[r.URL.Path]++
	n := s.asked[r.URL.Path]
	s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.complain("%s: %v", r.URL.Path, err)
	}
	if s.Fail != nil && s.Fail(w, r, n) {
		return
	}
	if method, ok := strings.CutPrefix(r.URL.Path, "/api2/"); ok {
		s.api(w, r, method, body)
		return
	}
	s.download(w, r, body)
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why}) // the client has gone
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, method string, body []byte) {
	mac := hmac.New(sha256.New, []byte(Secret))
	mac.Write(body)
	var ask struct {
		APIKey  string   `json:"apikey"`
		Date    string   `json:"date"`
		Reports []string `json:"reports"`
		Types   []string `json:"types"`
		Limit   int      `json:"limit"`
	}
	switch {
	case r.Method != http.MethodPost:
		refuse(w, http.StatusMethodNotAllowed, "POST only")
		return
	case json.Unmarshal(body, &ask) != nil || ask.APIKey != Key:
		refuse(w, http.StatusUnauthorized, "no such apikey: "+ask.APIKey)
		return
	case !hmac.Equal([]byte(r.Header.Get("HMAC2")), []byte(hex.EncodeToString(mac.Sum(nil)))):
		refuse(w, http.StatusUnauthorized, "HMAC2 does not match")
		return
	case strings.Contains(r.URL.RawQuery, Key):
		s.complain("the key is in the URL")
	}
	var answer any
	switch method {
	case "test/ping":
		answer = map[string]string{"pong": time.Now().UTC().Format(time.DateTime)}
	case "key/info":
		access := s.Access
		if access == nil {
			access = []string{"reports"}
		}
		status := s.Status
		if status == "" {
			status = "active"
		}
		answer = []any{map[string]any{"apikey": Key, "status": status, "access": access, "query_limit": "0"}}
	case "reports/subscribed":
		answer = append([]string{}, s.Subscribed...)
	case "reports/types":
		answer = s.types()
	case "reports/list":
		answer = s.list(ask.Date, ask.Reports, ask.Types, ask.Limit)
	default:
		refuse(w, http.StatusNotFound, "no such method")
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}

func (s *Server) types() []string {
	types := append([]string{}, s.Types...)
	for _, r := range s.Reports {
		if !slices.Contains(types, r.Type) {
			types = append(types, r.Type)
		}
	}
	return types
}

// list returns the reports of the days, cut off at the limit as theirs is.
func (s *Server) list(date string, lists, types []string, limit int) []map[string]string {
	from, to, ranged := strings.Cut(date, ":")
	if !ranged {
		to = from
	}
	found := []map[string]string{}
	for n, r := range s.Reports {
		switch {
		case r.Day < from || r.Day > to,
			len(lists) > 0 && !slices.Contains(lists, r.List),
			len(types) > 0 && !slices.Contains(types, r.Type):
			continue
		}
		if len(found) == min(limit, 10_000) {
			break
		}
		found = append(found, map[string]string{
			"id": fmt.Sprintf("cap%04d", n), "type": r.Type, "file": r.File, "report": r.List, "timestamp": r.Day, "url": s.Link(n),
		})
	}
	return found
}

func (s *Server) download(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header.Get("HMAC2") != "" || bytes.Contains(body, []byte(Key)) || r.Header.Get("Referer") != "" {
		s.complain("a download carries %v", r.Header)
	}
	for n, rep := range s.Reports {
		if r.URL.Path == fmt.Sprintf("/cap%04d", n) {
			w.Header().Set("Content-Disposition", `attachment; filename="`+rep.File+`"`)
			_, _ = w.Write(rep.Body) // the client has gone
			return
		}
	}
	refuse(w, http.StatusNotFound, "no such report")
}
