package shadowserver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ippwatch/feed"
)

// Limits of the API (facts/shadowserver.md 2).
const (
	mostResults = 10_000 // of one query; more are cut off without a word
	callTimeout = time.Minute
	maxAnswer   = 64 << 20
	stall       = time.Minute // without a byte of a download
	tries       = 3
)

// downloadHost is where reports lie. A link there opens a report to everybody
// who has it.
const downloadHost = "dl.shadowserver.org"

// A Client asks the reports API.
type Client struct {
	cred Credentials
	http *http.Client
	wait func(ctx context.Context, try int) error // between two tries
}

// NewClient returns a client. The API is asked over TLS only, but for one on a
// loopback address, which is a test's.
func NewClient(c Credentials) (*Client, error) {
	u, err := url.Parse(c.uri)
	if err != nil || u.Host == "" || !safe(u) {
		return nil, errors.New("the uri of the API: want https://HOST/PATH/")
	}
	return &Client{
		cred: c,
		// A redirect would carry the key, or a link that is a capability, to
		// whoever is named there.
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		wait: backOff,
	}, nil
}

func safe(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "http" && loopback(u) }

func loopback(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback()
}

// backOff waits a second, then four.
func backOff(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try*try) * time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Hosts are those whose links lead to reports.
func (c *Client) Hosts() []string {
	hosts := []string{downloadHost}
	if u, err := url.Parse(c.cred.uri); err == nil && loopback(u) {
		hosts = append(hosts, u.Host)
	}
	return hosts
}

// An APIError is what the API said instead of an answer.
type APIError struct {
	Status int
	Says   string
}

// Error says what the API said.
func (e *APIError) Error() string {
	if e.Says == "" {
		return fmt.Sprintf("HTTP %d", e.Status)
	}
	return fmt.Sprintf("HTTP %d: %q", e.Status, e.Says)
}

// Hint says what would help.
func (e *APIError) Hint() string {
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "the key or the secret is wrong, expired or not allowed this; ask Shadowserver for a new one"
	case e.Status/100 == 3:
		return "the API is somewhere else now: see uri in the file of the key; the key was not sent there"
	case e.Status/100 == 5:
		return "nothing is lost: the next run looks back over the days that are missing"
	}
	return ""
}

// call asks a method. It tries again when that can help.
func (c *Client) call(ctx context.Context, method string, ask map[string]any, to any) error {
	var err error
	for try := 1; ; try++ {
		err = c.once(ctx, method, ask, to)
		if err == nil {
			return nil
		}
		if try == tries || ctx.Err() != nil || !passing(err) {
			break
		}
		if wrong := c.wait(ctx, try); wrong != nil {
			err = wrong
			break
		}
	}
	return fmt.Errorf("ask %s: %w", method, err)
}

// passing reports whether what went wrong may be over in a moment.
func passing(err error) bool {
	if e, ok := errors.AsType[*APIError](err); ok {
		return e.Status/100 == 5 || e.Status == http.StatusTooManyRequests
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

func (c *Client) once(ctx context.Context, method string, ask map[string]any, to any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body := map[string]any{"apikey": c.cred.key}
	for k, v := range ask {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cred.uri+method, bytes.NewReader(text))
	if err != nil {
		return unlinked(err)
	}
	mac := hmac.New(sha256.New, []byte(c.cred.secret))
	mac.Write(text)
	req.Header.Set("HMAC2", hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return unlinked(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", unlinked(err))
	}
	if len(answer) > maxAnswer {
		return errors.New("the answer is too long")
	}
	return c.answer(res.StatusCode, answer, to)
}

// answer reads what came back. An error may come with any status.
func (c *Client) answer(status int, text []byte, to any) error {
	var wrong struct {
		Error json.RawMessage `json:"error"`
	}
	isObject := json.Unmarshal(text, &wrong) == nil
	if status != http.StatusOK || isObject && len(wrong.Error) > 0 {
		return &APIError{Status: status, Says: c.says(wrong.Error)}
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("the answer is no JSON that we know: %w", err)
	}
	return nil
}

// says returns what the API said, bounded, should it repeat the key without it.
func (c *Client) says(text json.RawMessage) string {
	var word string
	if json.Unmarshal(text, &word) != nil {
		word = string(text)
	}
	for _, secret := range []string{c.cred.key, c.cred.secret} {
		word = strings.ReplaceAll(word, secret, "[secret]")
	}
	return feed.Clip(word, 200)
}

// unlinked takes the URL out of an error of net/http: it may be a capability.
func unlinked(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// A Listed is a report that can be downloaded.
type Listed struct {
	ID     string `json:"id"` // a capability
	Type   string `json:"type"`
	File   string `json:"file"`
	Report string `json:"report"` // the list that it was made for
	Day    string `json:"timestamp"`
	URL    string `json:"url"` // a capability
}

// String hides what opens the report.
func (l Listed) String() string { return l.File }

// link is where the report lies.
func (l Listed) link() string { return cmp.Or(l.URL, "https://"+downloadHost+"/"+url.PathEscape(l.ID)) }

// Ref names the report in the register.
func (l Listed) Ref() string { return Ref(l.link()) }

// Ref returns a name for what a link leads to that opens nothing.
func Ref(link string) string { return feed.Ref("report", link) }

// A Window is the days that are asked for, both included, and what of them.
type Window struct {
	From, To time.Time
	Lists    []string // names of lists; empty is all
	Types    []string // empty is all
}

func (w Window) ask() map[string]any {
	ask := map[string]any{"date": w.From.Format(time.DateOnly) + ":" + w.To.Format(time.DateOnly), "limit": mostResults}
	if w.From.Equal(w.To) {
		ask["date"] = w.From.Format(time.DateOnly)
	}
	if len(w.Lists) > 0 {
		ask["reports"] = w.Lists
	}
	if len(w.Types) > 0 {
		ask["types"] = w.Types
	}
	return ask
}

// ErrCut means that a list was cut off, whatever was tried.
var ErrCut = errors.New("one day has more reports of one type than the API lists: name the list or the type")

// List returns the reports of the window, each once. Where the API would cut
// the list off, it is asked day by day and then type by type.
func (c *Client) List(ctx context.Context, w Window) ([]Listed, error) {
	all, err := c.list(ctx, w)
	if err != nil || len(all) < mostResults {
		return all, err
	}
	if w.From.Before(w.To) {
		all = nil
		for day := w.From; !day.After(w.To); day = day.AddDate(0, 0, 1) {
			part := w
			part.From, part.To = day, day
			found, err := c.List(ctx, part)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	}
	if len(w.Types) == 1 {
		return nil, ErrCut
	}
	types := w.Types
	if len(types) == 0 {
		if types, err = c.Types(ctx, w.From); err != nil {
			return nil, err
		}
	}
	all = nil
	for _, typ := range types {
		part := w
		part.Types = []string{typ}
		found, err := c.List(ctx, part)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

func (c *Client) list(ctx context.Context, w Window) ([]Listed, error) {
	var found []Listed
	if err := c.call(ctx, "reports/list", w.ask(), &found); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(found))
	once := found[:0]
	for _, l := range found {
		if !seen[l.link()] {
			seen[l.link()] = true
			once = append(once, l)
		}
	}
	return once, nil
}

// Subscribed returns the names of the lists that the key may read.
func (c *Client) Subscribed(ctx context.Context) ([]string, error) {
	var names []string
	return names, c.call(ctx, "reports/subscribed", nil, &names)
}

// Types returns the types of which there were reports on the day.
func (c *Client) Types(ctx context.Context, day time.Time) ([]string, error) {
	var names []string
	ask := map[string]any{}
	if !day.IsZero() {
		ask["date"] = day.Format(time.DateOnly)
	}
	return names, c.call(ctx, "reports/types", ask, &names)
}

// A Key is what the API says of our key.
type Key struct {
	Status string   `json:"status"`
	Access []string `json:"access"`
}

// KeyInfo returns what the API says of our key.
func (c *Client) KeyInfo(ctx context.Context) (Key, error) {
	var keys []Key
	if err := c.call(ctx, "key/info", nil, &keys); err != nil {
		return Key{}, err
	}
	if len(keys) == 0 {
		return Key{}, errors.New("ask key/info: the API knows no such key")
	}
	return keys[0], nil
}

// Download opens a report. Neither key nor secret goes there: the link is
// enough, and therefore a secret.
func (c *Client) Download(ctx context.Context, l Listed) (feed.Document, io.Closer, error) {
	doc, body, err := c.Fetch(ctx, l.link())
	if l.File != "" {
		doc.Name = path.Base(strings.ReplaceAll(l.File, `\`, "/"))
	}
	if err != nil {
		return doc, nil, fmt.Errorf("download %s: %w", l.File, err)
	}
	return doc, body, nil
}

// Fetch opens what a link leads to.
func (c *Client) Fetch(ctx context.Context, link string) (feed.Document, io.Closer, error) {
	doc := feed.Document{Name: "download", Ref: Ref(link)}
	u, err := url.Parse(link)
	if err != nil || !safe(u) {
		return doc, nil, errors.New("a link that is not https is not followed")
	}
	for try := 1; ; try++ {
		body, name, err := c.fetch(ctx, u)
		if err == nil {
			doc.Reader = body
			if name != "" {
				doc.Name = name
			}
			return doc, body, nil
		}
		if try == tries || ctx.Err() != nil || !passing(err) {
			return doc, nil, err
		}
		if err := c.wait(ctx, try); err != nil {
			return doc, nil, err
		}
	}
}

func (c *Client) fetch(ctx context.Context, u *url.URL) (*download, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &download{cancel: cancel}
	d.watch = time.AfterFunc(stall, func() {
		d.stalled.Store(true)
		cancel()
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		_ = d.Close()
		return nil, "", unlinked(err)
	}
	res, err := c.http.Do(req) //nolint:bodyclose // download.Close closes it
	if err != nil {
		_ = d.Close()
		if d.stalled.Load() {
			err = errStalled
		}
		return nil, "", unlinked(err)
	}
	d.body = res.Body
	if res.StatusCode != http.StatusOK {
		_ = d.Close()
		return nil, "", &APIError{Status: res.StatusCode}
	}
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return d, "", nil //nolint:nilerr // the name is a courtesy
	}
	return d, feed.Clip(path.Base(strings.ReplaceAll(params["filename"], `\`, "/")), 200), nil
}

// A download ends when no byte has come for a while.
type download struct {
	body    io.ReadCloser
	cancel  context.CancelFunc
	watch   *time.Timer
	stalled atomic.Bool
}

var errStalled = errors.New("the download stopped moving")

func (d *download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	switch {
	case n > 0 && err == nil:
		d.watch.Reset(stall)
	case d.stalled.Load():
		err = errStalled
	case err != nil && !errors.Is(err, io.EOF):
		err = unlinked(err)
	}
	return n, err
}

func (d *download) Close() error {
	d.watch.Stop()
	d.cancel()
	if d.body == nil {
		return nil
	}
	return d.body.Close()
}

// WhyNone asks why a window has no report: because of the key, of what is
// subscribed, of the filter, or of the days.
func (c *Client) WhyNone(ctx context.Context, w Window) (string, error) {
	days := w.From.Format(time.DateOnly) + " to " + w.To.Format(time.DateOnly)
	key, err := c.KeyInfo(ctx)
	if err != nil {
		return "", err
	}
	if key.Status != "active" {
		return fmt.Sprintf("the key is not active but %q: ask Shadowserver for a new one", feed.Clip(key.Status, 40)), nil
	}
	if !slices.Contains(key.Access, "reports") {
		return fmt.Sprintf("the key may not read reports, only %q: ask Shadowserver for access to reports", key.Access[:min(len(key.Access), 8)]), nil
	}
	lists, err := c.Subscribed(ctx)
	if err != nil {
		return "", err
	}
	if len(lists) == 0 {
		return "the key is subscribed to no list of reports: ask Shadowserver to subscribe it to yours", nil
	}
	for _, name := range w.Lists {
		if !slices.Contains(lists, name) {
			return fmt.Sprintf("the key is not subscribed to the list %q, but to %q", name, lists[:min(len(lists), 8)]), nil
		}
	}
	types, err := c.Types(ctx, time.Time{})
	if err != nil {
		return "", err
	}
	subscribed := slices.ContainsFunc(w.Types, func(t string) bool { return slices.Contains(types, t) })
	if len(w.Types) > 0 && !subscribed {
		return fmt.Sprintf("none of the types that were asked for (%s) is among those that your lists have ever had: the filter is too narrow, or nothing was found",
			strings.Join(w.Types, ", ")), nil
	}
	return fmt.Sprintf("your lists have reports of these types, but none of %s: nothing was found in those days, or they are not out yet; try an earlier --since", days), nil
}
