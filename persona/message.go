package persona

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"ippwatch/desk"
	"ippwatch/wire/ipp"
)

const (
	maxRequest = 64 << 10 // bytes of a request body that we read
	mediaType  = "application/ipp"
)

var errNotIPP = errors.New("not an IPP request")

// readRequest reads a bounded request. An error means that it is none.
func readRequest(r *http.Request) (*desk.Request, error) {
	if r.Header.Get("Content-Type") != mediaType {
		return nil, fmt.Errorf("content type %q: %w", r.Header.Get("Content-Type"), errNotIPP)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return nil, err
	}
	m := ipp.Parse(body, ipp.Limits{})
	if m.Stopped != "" {
		return nil, fmt.Errorf("%s: %w", m.Stopped, errNotIPP)
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // of net/http, which wrote it
	return &desk.Request{
		Message: &m, Host: r.Host, Path: r.URL.Path, From: from.Addr(), TLS: r.TLS != nil,
		Document: int64(len(body) - m.Size), Now: time.Now(),
	}, nil
}
