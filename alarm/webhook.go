package alarm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"ippwatch/exposure"
)

// Signature is the header of a [Webhook] that has the HMAC-SHA-256 of the body
// under the shared secret, as "sha256=" and hexadecimal.
const Signature = "X-Ippwatch-Signature"

// A Webhook posts alerts as JSON. The body has a number and a phase, by which a
// receiver knows one that comes twice: after a crash between telling and noting.
type Webhook struct {
	URL    string
	Secret []byte
	Client *http.Client // nil: one with a time limit that follows no redirect
	Host   string       // names this installation
}

// posted is what a receiver gets.
type posted struct {
	exposure.Alert
	Phase string `json:"phase"` // began, rose, ended
	Text  string `json:"text"`  // all of it for people, as chat programs want it
	Host  string `json:"host"`
}

// Name is "webhook".
func (w *Webhook) Name() string { return "webhook" }

// Alert posts one.
func (w *Webhook) Alert(ctx context.Context, a exposure.Alert) error {
	body, err := json.Marshal(posted{a, phase(a), Text(a), w.Host})
	if err != nil {
		return fmt.Errorf("post alert: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post alert: %w", private(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ippwatch")
	mac := hmac.New(sha256.New, w.Secret)
	mac.Write(body)
	req.Header.Set(Signature, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	client := w.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post alert: %w", private(err))
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("post alert: the receiver says %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	return nil
}

// A Log writes alerts into the log.
type Log struct{ *slog.Logger }

// Name is "log".
func (l Log) Name() string { return "log" }

// Alert writes one line.
func (l Log) Alert(_ context.Context, a exposure.Alert) error {
	if a.Ended.IsZero() {
		l.Error("alert", "name", a.Name, "phase", phase(a), "detail", a.Detail, "step", a.Step, "began", a.Began)
	} else {
		l.Info("alert", "name", a.Name, "phase", phase(a), "began", a.Began, "lasted", a.Ended.Sub(a.Began).Round(time.Second).String())
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}
