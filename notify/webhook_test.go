package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/exposure"
	"ippwatch/notify"
)

const shared = "a secret that we share with the ticket system"

func event(t testing.TB) notify.Event {
	t.Helper()
	return notify.Event{
		ID: secret(t).ID("first/university"), Kind: notify.EventFirst, Time: noon, Reference: "IPPW-7F3A9C", Recipient: "university",
		Subject: "Open print services", Page: "https://ippwatch.example.org/o/x", Again: noon.AddDate(0, 0, 7),
		Cases: []notify.EventCase{{
			Case: exposure.Key{Addr: netip.MustParseAddr("198.51.100.7"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}.Case(),
			Exposure: exposure.Exposure{
				Key:      exposure.Key{Addr: netip.MustParseAddr("198.51.100.7"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"},
				Severity: exposure.High, Condition: exposure.Confirmed, Contact: exposure.NotContacted, Ruling: exposure.NoRuling, Cycle: 1,
				FirstSeen: noon, LastSeen: noon, Evidence: "</script>\u202e\x00\nTCP port 631 answered",
			},
			Title: "A print service answers strangers", Remedy: "Close it.", Commands: []string{"cupsctl --no-remote-any"},
		}},
	}
}

// receiver is a ticket system of its own that checks what it gets.
// It counts what it got, in handlers that outlive a connection that they close.
func receiver(t *testing.T, answer http.HandlerFunc) (*notify.Webhook, *atomic.Int32) {
	t.Helper()
	var got atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if !notify.Verify([]byte(shared), body, r.Header.Get(notify.SignatureHeader), noon.Add(time.Minute)) {
			t.Errorf("signature %q does not verify", r.Header.Get(notify.SignatureHeader))
		}
		if r.Header.Get(notify.EventIDHeader) == "" || r.Method != http.MethodPost {
			t.Error("no id, or no POST")
		}
		got.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	ca, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret")
	for name, b := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), key: []byte(shared + "\n")} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hook, err := notify.WebhookConfig{URL: s.URL + "/hook", SecretFile: key, CAFile: ca, Timeout: time.Minute}.Open()
	if err != nil {
		t.Fatal(err)
	}
	return hook, &got
}

func TestWebhook(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   notify.Outcome
	}{
		{"taken", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ticket 17") }, notify.Outcome{Result: notify.Accepted, Code: 200, Said: "ticket 17"}},
		{"malformed, they say", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }, notify.Outcome{Result: notify.Refused, Code: 400}},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, notify.Outcome{Result: notify.Refused, Code: 410}},
		{"a wrong secret", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, notify.Outcome{Result: notify.Later, Code: 401, Ours: true}},
		{"too many", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, notify.Outcome{Result: notify.Later, Code: 429, Wait: 2 * time.Minute}},
		{"down until a time", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", noon.Add(time.Hour).Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, notify.Outcome{Result: notify.Later, Code: 503, Wait: time.Hour}},
		{"down for ever, they say", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999999")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, notify.Outcome{Result: notify.Later, Code: 503, Wait: 24 * time.Hour}},
		{
			"elsewhere", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
			},
			notify.Outcome{Result: notify.Later, Code: 307, Ours: true},
		},
		{"a hostile answer", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "\x1b[2J\n"+strings.Repeat("x", 1<<20))
		}, notify.Outcome{Result: notify.Later, Code: 500, Said: "[2J " + strings.Repeat("x", 296) + "…"}},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, notify.Outcome{Result: notify.Later, Ours: true, Said: "*"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hook, got := receiver(t, tt.answer)
			e := event(t)
			o := hook.Send(t.Context(), e, noon)
			if tt.want.Said == "*" {
				tt.want.Said = o.Said
			}
			tt.want.ID, tt.want.Stage = e.ID, "http"
			if o != tt.want {
				t.Errorf("Send = %+v\nwant %+v", o, tt.want)
			}
			if n := got.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestWebhookStopsAndVerifiesTLS(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hook, _ := receiver(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	if o := hook.Send(ctx, event(t), noon); o.Result != notify.Later {
		t.Errorf("Send = %+v", o)
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	key := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(key, []byte(shared), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger, err := notify.WebhookConfig{URL: s.URL, SecretFile: key}.Open()
	if err != nil {
		t.Fatal(err)
	}
	if o := stranger.Send(t.Context(), event(t), noon); o.Result != notify.Later || !strings.Contains(o.Said, "certificate") {
		t.Errorf("Send to an unknown certificate = %+v", o)
	}
}

func TestWebhookConfigRefuses(t *testing.T) {
	for u, want := range map[string]string{
		"": "want https://host/path", "ftp://x.example/": "want https://host/path", "http://tickets.example/": "want https, as hosts",
		"https://user:secret@tickets.example/": "a password has no place here", //nolint:gosec // an example
	} {
		if err := (notify.WebhookConfig{URL: u, SecretFile: "x"}).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%s) = %v, want %q", u, err, want)
		}
	}
	for _, u := range []string{"https://10.0.0.7/hook", "http://127.0.0.1:8080/hook", "http://[::1]/", "http://localhost/"} {
		if err := (notify.WebhookConfig{URL: u, SecretFile: "x"}).Check(); err != nil {
			t.Errorf("Check(%s) = %v", u, err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	body := []byte(`{"v":1}`)
	hook, got := receiver(t, func(http.ResponseWriter, *http.Request) {})
	hook.Send(t.Context(), event(t), noon)
	if got.Load() != 1 {
		t.Fatal("nothing came")
	}
	for _, signature := range []string{"", "t=1,v1=", "t=x", "t=1795435200,v1=" + strings.Repeat("0", 64)} {
		if notify.Verify([]byte(shared), body, signature, noon) {
			t.Errorf("Verify(%q) = true", signature)
		}
	}
}

func TestLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(`{"v":1,"cut":"sho`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := notify.NewLines(file)
	for range 2 {
		if o := l.Send(event(t)); o.Result != notify.Accepted {
			t.Fatalf("Send = %+v", o)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) != 3 || lines[1] != lines[2] || !json.Valid([]byte(lines[1])) {
		t.Errorf("the file holds\n%s", b)
	}
	var out bytes.Buffer
	if o := notify.NewLinesTo(&out).Send(event(t)); o.Result != notify.Accepted || out.String() != lines[1]+"\n" {
		t.Errorf("Send = %+v, %q", o, out.String())
	}
	if o := notify.NewLines(t.TempDir()).Send(event(t)); o.Result != notify.Later || !o.Ours {
		t.Errorf("Send into a directory = %+v", o)
	}
	if o := l.Send(notify.Event{}); o.Result != notify.Refused {
		t.Errorf("Send of nothing = %+v", o)
	}
}

// TestEventSchema holds the documentation to what is sent.
func TestEventSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../docs/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []notify.Event{event(t), {ID: event(t).ID, Kind: notify.EventTest, Time: noon, Recipient: "university"}} {
		var out bytes.Buffer
		notify.NewLinesTo(&out).Send(e)
		value, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%v", err)
		}
	}
}
