package alarm_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/alarm"
	"ippwatch/exposure"
	"ippwatch/store"
)

// A teller writes down what it is told, unless it is down.
type teller struct {
	name string
	told []string
	down error
}

func (r *teller) Name() string { return r.name }

func (r *teller) Alert(_ context.Context, a exposure.Alert) error {
	if r.down != nil {
		return r.down
	}
	phase := "began"
	switch {
	case !a.Ended.IsZero():
		phase = "ended"
	case a.Again:
		phase = fmt.Sprint("rose to ", a.Level)
	}
	r.told = append(r.told, phase+" "+a.Name)
	return nil
}

func (r *teller) want(t *testing.T, told ...string) {
	t.Helper()
	if !slices.Equal(r.told, told) {
		t.Errorf("%s told %q, want %q", r.name, r.told, told)
	}
	r.told = nil
}

type stand struct {
	board *alarm.Board
	now   time.Time
	there map[string][]string // what is wrong, by check
	level int                 // of all of it
	fails error
	log   bytes.Buffer
}

// newStand has a board on a store, with checks "feed" and "disk".
func newStand(t *testing.T, via ...alarm.Alerter) *stand {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s := &stand{now: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), there: make(map[string][]string)}
	s.board = s.boardOn(st, via...)
	return s
}

func (s *stand) boardOn(st alarm.Store, via ...alarm.Alerter) *alarm.Board {
	b := &alarm.Board{Store: st, Alerters: via, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
	for _, name := range []string{"feed", "disk"} {
		b.Checks = append(b.Checks, alarm.Check{Name: name, Look: func(context.Context, time.Time) ([]exposure.Alert, error) {
			var found []exposure.Alert
			for _, n := range s.there[name] {
				found = append(found, exposure.Alert{Name: n, Detail: fmt.Sprint("it is old ", s.level), Step: "look at it", Level: s.level})
			}
			return found, s.fails
		}})
	}
	return b
}

func (s *stand) round(t *testing.T) {
	t.Helper()
	s.board.Round(t.Context())
	s.now = s.now.Add(time.Minute)
}

func TestOnceWhenItBeginsAndOnceWhenItEnds(t *testing.T) {
	mail := &teller{name: "mail"}
	s := newStand(t, mail)
	s.round(t)
	mail.want(t)
	s.there["feed"] = []string{"feed shadowserver", "feed other"}
	s.round(t)
	mail.want(t, "began feed shadowserver", "began feed other")
	s.round(t)
	s.round(t)
	mail.want(t)
	s.there["disk"] = []string{"disk"}
	s.there["feed"] = []string{"feed other"}
	s.round(t)
	mail.want(t, "ended feed shadowserver", "began disk")
	// A check that cannot tell changes nothing.
	s.fails = errors.New("the store is locked")
	s.there["feed"] = nil
	s.round(t)
	s.round(t)
	mail.want(t)
	if n := strings.Count(s.log.String(), "the store is locked"); n != 2 {
		t.Errorf("two checks complained %d times:\n%s", n, &s.log)
	}
	s.fails = nil
	s.round(t)
	mail.want(t, "ended feed other")
	// What comes again is told again.
	s.there["feed"] = []string{"feed other"}
	s.round(t)
	mail.want(t, "began feed other")
	// A daemon that is started again has not forgotten.
	s.board = s.boardOn(s.board.Store, mail)
	s.round(t)
	mail.want(t)
}

// TestWhatGetsWorseIsToldAgain raises the level of an alert that is open.
func TestWhatGetsWorseIsToldAgain(t *testing.T) {
	mail, hook := &teller{name: "mail"}, &teller{name: "webhook", down: errors.New("connection refused")}
	s := newStand(t, mail, hook)
	s.there["disk"] = []string{"disk"}
	s.round(t)
	mail.want(t, "began disk")
	s.level = 2
	s.round(t)
	s.round(t)
	mail.want(t, "rose to 2 disk")
	s.level = 1 // that it is less bad is no news
	s.round(t)
	mail.want(t)
	s.level = 3
	s.round(t)
	mail.want(t, "rose to 3 disk")
	// Who could not be told of the beginning is told of it as it is now, once.
	hook.down = nil
	s.round(t)
	hook.want(t, "began disk")
	open, err := s.board.Store.Alerts(t.Context(), access.View{Tier: access.Operator}, s.now)
	if err != nil || len(open) != 1 || open[0].Detail != "it is old 3" || open[0].Level != 3 {
		t.Errorf("open: %+v, %v", open, err)
	}
	s.there["disk"] = nil
	s.round(t)
	s.round(t)
	mail.want(t, "ended disk")
	hook.want(t, "ended disk")
}

func TestADeliveryThatFailsIsMadeUpFor(t *testing.T) {
	mail, hook := &teller{name: "mail"}, &teller{name: "webhook", down: errors.New("connection refused")}
	s := newStand(t, mail, hook)
	s.there["disk"] = []string{"disk"}
	s.round(t)
	s.round(t)
	s.there["disk"] = nil
	s.round(t)
	mail.want(t, "began disk", "ended disk")
	hook.want(t)
	if n := strings.Count(s.log.String(), "connection refused"); n != 1 {
		t.Errorf("the log complains %d times:\n%s", n, &s.log)
	}
	hook.down = nil
	s.round(t)
	s.round(t)
	hook.want(t, "began disk", "ended disk")
}

func TestWebhook(t *testing.T) {
	status := http.StatusNoContent
	var body []byte
	var head http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		head = r.Header
		if status == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", status)
			return
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	w := &alarm.Webhook{URL: server.URL + "/T0KEN", Secret: []byte("s3cret"), Host: "edge-1"}
	began := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	a := exposure.Alert{Seq: 7, Name: "disk", Began: began, Detail: "1 MB is free", Step: "free some"}
	if err := w.Alert(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write(body)
	if got, want := head.Get(alarm.Signature), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("%s = %s, want %s", alarm.Signature, got, want)
	}
	want := `{"seq":7,"name":"disk","began":"2026-11-23T09:30:00Z","detail":"1 MB is free","step":"free some","phase":"began","text":"disk: 1 MB is free\nNext: free some","host":"edge-1"}`
	if string(body) != want {
		t.Errorf("posted\n%s\nwant\n%s", body, want)
	}
	a.Ended = began.Add(90 * time.Minute)
	if err := w.Alert(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var got struct{ Phase, Text string }
	if err := json.Unmarshal(body, &got); err != nil || got.Phase != "ended" || got.Text != "over after 1h30m0s: disk" {
		t.Errorf("posted %s, %v", body, err)
	}
	for _, status = range []int{http.StatusInternalServerError, http.StatusFound, http.StatusUnauthorized} {
		if err := w.Alert(t.Context(), a); err == nil {
			t.Errorf("%d is taken for a success", status)
		}
	}
	w.URL = "http://127.0.0.1:1/T0KEN" // nobody listens
	if err := w.Alert(t.Context(), a); err == nil || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("a receiver that is down: %v", err)
	}
}
