package dashboard

import (
	"errors"
	"net/http"
	"sync"

	"ippwatch/gate"
)

// Bounds of what is kept.
const (
	mostAnswers = 300
	mostPages   = 2000
	mostBytes   = 64 << 20 // of pages
)

// A shelf keeps answers and finished pages until the counts change. The zero
// shelf is empty.
type shelf struct {
	mu      sync.Mutex
	answers map[string]*pending[*Answer]
	pages   map[string]*pending[*kept]
	bytes   int
	age     int // counts the clearings
}

var errBroken = errors.New("the answer broke while it was made")

// A pending is made once, by the first who asks; others wait.
type pending[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (p *pending[T]) get(create func() (T, error)) (T, error) {
	p.once.Do(func() {
		p.err = errBroken // if create panics
		p.value, p.err = create()
	})
	return p.value, p.err
}

func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers, s.pages, s.bytes = nil, nil, 0
	s.age++
}

func (s *shelf) answer(key string, create func() (*Answer, error)) (*Answer, error) {
	s.mu.Lock()
	if s.answers == nil || len(s.answers) >= mostAnswers {
		s.answers = map[string]*pending[*Answer]{}
	}
	p := s.answers[key]
	if p == nil {
		p = new(pending[*Answer])
		s.answers[key] = p
	}
	s.mu.Unlock()
	a, err := p.get(create)
	if err != nil {
		s.mu.Lock()
		if s.answers[key] == p {
			delete(s.answers, key) // an error is nobody's answer but his who met it
		}
		s.mu.Unlock()
	}
	return a, err
}

func (s *shelf) page(key string, create func() (*kept, error)) (*kept, error) {
	s.mu.Lock()
	if s.pages == nil || len(s.pages) >= mostPages || s.bytes > mostBytes {
		s.pages, s.bytes = map[string]*pending[*kept]{}, 0
	}
	p := s.pages[key]
	if p == nil {
		p = new(pending[*kept])
		s.pages[key] = p
	}
	age := s.age
	s.mu.Unlock()
	fresh := false
	k, err := p.get(func() (*kept, error) {
		fresh = true
		return create()
	})
	if !fresh && err == nil {
		return k, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && s.pages[key] == p:
		delete(s.pages, key)
	case err == nil && age == s.age:
		s.bytes += len(key) + len(k.plain) + len(k.gzipped)
	}
	return k, err
}

// A kept is an answer in bytes.
type kept struct {
	kind    string
	name    string // of the file, if it is to be saved as one
	tag     string
	plain   []byte
	gzipped []byte // nil: no smaller
}

func newKept(kind, name string, body []byte) *kept {
	k := &kept{kind: kind, name: name, tag: gate.ETag(body), plain: body}
	if kind != "image/png" {
		if z := gate.Gzip(body); len(z) < len(body) {
			k.gzipped = z
		}
	}
	return k
}

func (k *kept) send(w http.ResponseWriter, r *http.Request, cache string) error {
	h := w.Header()
	h.Set("Content-Type", k.kind)
	h.Set("Cache-Control", cache)
	h.Set("ETag", k.tag)
	h.Set("Vary", "Accept-Encoding, Cookie, Accept-Language")
	if k.name != "" {
		h.Set("Content-Disposition", `attachment; filename="`+k.name+`"`)
	}
	if gate.Matches(r, k.tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body := k.plain
	if k.gzipped != nil && gate.TakesGzip(r) {
		body = k.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	return gate.SendRaw(w, r, http.StatusOK, body)
}
