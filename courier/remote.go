package courier

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ippwatch/exposure"
)

// Path is where a receiver takes parcels.
const Path = "/v1/sensor"

// Keys are the files by which both sides know each other, in PEM.
type Keys struct {
	Certificate string // one's own
	Key         string
	CA          string // of the other side's certificate
}

var errKeys = errors.New("want a certificate, its key, and the CA of the other side")

// load reads the files.
func (k Keys) load() (tls.Certificate, *x509.CertPool, error) {
	if k.Certificate == "" || k.Key == "" || k.CA == "" {
		return tls.Certificate{}, nil, errKeys
	}
	own, err := tls.LoadX509KeyPair(k.Certificate, k.Key)
	if err != nil {
		return own, nil, fmt.Errorf("read certificate %s with key %s: %w", k.Certificate, k.Key, err)
	}
	text, err := os.ReadFile(k.CA)
	if err != nil {
		return own, nil, fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return own, nil, fmt.Errorf("read CA: %s has no certificate in PEM", k.CA)
	}
	return own, pool, nil
}

// A Remote delivers parcels to another ippwatch.
type Remote struct {
	Log    *slog.Logger // of what is refused
	url    string
	client *http.Client
}

// an envelope is a line: one of the two.
type envelope struct {
	Visit  *exposure.Visit  `json:"visit,omitempty"`
	Census *exposure.Census `json:"census,omitempty"`
}

// A Receipt is what became of a parcel.
type Receipt struct {
	Kept    int    `json:"kept"`    // new
	Refused int    `json:"refused"` // events
	Reason  string `json:"reason,omitempty"`
}

// NewRemote returns a way to a receiver, an https URL.
func NewRemote(to string, k Keys) (*Remote, error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("forward to %q: want a URL such as https://central.example.net:6310", to)
	}
	own, pool, err := k.load()
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", u.Host, err)
	}
	return &Remote{
		url: strings.TrimSuffix(u.String(), "/") + Path,
		client: &http.Client{
			Timeout: time.Minute,
			Transport: &http.Transport{
				TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: pool, MinVersion: tls.VersionTLS13},
				TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			},
			// Events go to whom the operator named, and to nobody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Deliver sends a parcel and waits for the receipt.
func (r *Remote) Deliver(ctx context.Context, p Parcel) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	e := json.NewEncoder(z)
	e.SetEscapeHTML(false)
	for i := range p.Censuses {
		if err := e.Encode(envelope{Census: &p.Censuses[i]}); err != nil {
			return err
		}
	}
	for i := range p.Visits {
		if err := e.Encode(envelope{Visit: &p.Visits[i]}); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, &b)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %.200q", r.url, resp.Status, strings.TrimSpace(string(text)))
	}
	var got Receipt
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("%s: receipt: %w", r.url, err)
	}
	if got.Refused > 0 && r.Log != nil {
		r.Log.Warn("the central ippwatch refuses events", "events", got.Refused, "why", got.Reason)
	}
	return nil
}
