package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"
)

// A WebhookConfig is the section of the configuration about one receiver of
// events.
type WebhookConfig struct {
	// URL is where events are posted. It may be an address of the house: the
	// operator names it, nobody else can.
	URL        string        `yaml:"url"`
	SecretFile string        `yaml:"secret_file" config:"path"` // shared with the receiver
	CAFile     string        `yaml:"ca_file" config:"path"`     // when the receiver's certificate is not of the system's roots
	Timeout    time.Duration `yaml:"timeout"`                   // of one event; default 30s
}

// Headers of a signed event. The signature is
// "t=UNIXSECONDS,v1=HEX", where HEX is the HMAC-SHA256 with the shared secret
// over the seconds, a full stop and the exact body.
const (
	SignatureHeader = "Ippwatch-Signature"
	EventIDHeader   = "Ippwatch-Event-Id"
)

// signatureAge is how old a signature may be, and how far ahead.
const signatureAge = 5 * time.Minute

// A Webhook posts signed events.
type Webhook struct {
	url     string
	secret  []byte
	timeout time.Duration
	client  *http.Client
}

// Check returns every mistake that can be seen without opening a file.
func (c WebhookConfig) Check() error {
	var all []error
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		all = append(all, fmt.Errorf("url: want https://host/path, not %q", c.URL))
	case u.User != nil:
		all = append(all, errors.New("url: a password has no place here: the signature proves who sends"))
	case u.Scheme == "http" && !loopback(u.Hostname()):
		all = append(all, fmt.Errorf("url: %q: want https, as hosts and people are named in what is sent; http is for this machine", c.URL))
	}
	if c.SecretFile == "" {
		all = append(all, errors.New("secret_file: missing: events are signed with what it holds"))
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		all = append(all, fmt.Errorf("timeout: %s: want up to 1h", c.Timeout))
	}
	return errors.Join(all...)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Open reads the files that the section names.
func (c WebhookConfig) Open() (*Webhook, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("webhook configuration: %w", err)
	}
	secret, err := readPrivate(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("webhook configuration: secret_file: %w", err)
	}
	if len(secret) < secretMin {
		return nil, fmt.Errorf("webhook configuration: secret_file: %s: %w", c.SecretFile, errSecret)
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("webhook configuration: ca_file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("webhook configuration: ca_file: %s holds no certificate", c.CAFile)
		}
	}
	return &Webhook{
		url: c.URL, secret: []byte(secret), timeout: cmp.Or(c.Timeout, 30*time.Second),
		client: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
				MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment,
			},
			// A redirect leads to where the operator has not said.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Send posts one event. Now stands in the signature.
func (w *Webhook) Send(ctx context.Context, e Event, now time.Time) Outcome {
	o := Outcome{ID: e.ID, Stage: "http"}
	body, err := e.encode()
	if err != nil {
		o.Result, o.Said, o.Ours = Refused, plain(err.Error(), saidLimit), true
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		o.Result, o.Said, o.Ours = Later, plain(err.Error(), saidLimit), true
		return o
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ippwatch")
	req.Header.Set(EventIDHeader, string(e.ID))
	req.Header.Set(SignatureHeader, sign(w.secret, now, body))
	resp, err := w.client.Do(req)
	if err != nil {
		o.Result, o.Said, o.Ours = Later, plain(err.Error(), saidLimit), true
		return o
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status decides
	o.Code, o.Said = resp.StatusCode, plain(string(said), saidLimit)
	o.Result, o.Ours = classify(resp.StatusCode)
	if o.Result == Later {
		o.Wait = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return o
}

// classify says what a status means. An event may be posted twice, as its
// receiver knows its id: so nothing is ever unsure.
func classify(status int) (r Result, ours bool) {
	switch {
	case status >= 200 && status < 300:
		return Accepted, false
	case status >= 300 && status < 400:
		return Later, true // the URL in the configuration is not the last one
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status == http.StatusProxyAuthRequired:
		return Later, true // of the secret or the URL, not of this event
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests,
		status == http.StatusConflict, status == http.StatusLocked, status >= 500:
		return Later, false
	}
	return Refused, false
}

// retryAfter reads the header (RFC 9110, section 10.2.3), up to a day.
func retryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(max(n, 0), 86400)) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), 24*time.Hour)
}

func sign(secret []byte, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(seconds + "."))
	h.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

// Verify reports whether a signature is of the body, made with the secret, and
// of these minutes. It is what a receiver does.
func Verify(secret, body []byte, signature string, now time.Time) bool {
	var seconds int64
	var mac string
	if n, err := fmt.Sscanf(signature, "t=%d,v1=%64s", &seconds, &mac); n != 2 || err != nil {
		return false
	}
	at := time.Unix(seconds, 0)
	if now.Sub(at).Abs() > signatureAge {
		return false
	}
	return hmac.Equal([]byte(sign(secret, at, body)), []byte(signature))
}
