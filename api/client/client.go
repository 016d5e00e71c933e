// Package client speaks version 1 of the JSON API of an ippwatch serve.
//
// Listings come page by page as one sequence; what fails for a while is asked
// again, and what is changed is changed once, however often it is asked.
package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "ippwatch/api/v1"
)

// KeyVariable is where a key may stand. There is no flag for it: one on the
// command line could be read by everybody on the machine.
const KeyVariable = "IPPWATCH_KEY"

// Options say whom to ask, and as whom.
type Options struct {
	URL   string // of the server, without /api
	Key   string // empty: a stranger
	Agent string
	HTTP  *http.Client // nil: one of its own
	// Attempts is how often a request is made at most; 0: 5.
	Attempts int
	// Wait waits; nil: a clock.
	Wait func(ctx context.Context, d time.Duration) error
}

// A Client asks one server. It may be used by many goroutines.
type Client struct {
	Options
	base *url.URL
}

// ErrCut says that an export ended before its last line: it is not all.
var ErrCut = errors.New("the export was cut: its last line did not come")

// A ProblemError is what the server said why it did not serve a request.
type ProblemError struct {
	v1.Problem
}

// Error is the problem in one line.
func (e *ProblemError) Error() string {
	text := cmp.Or(e.Detail, http.StatusText(e.Status), strconv.Itoa(e.Status))
	if e.Instance != "" && e.Status >= http.StatusInternalServerError {
		text += " (request " + e.Instance + ")"
	}
	return text
}

// Is reports whether the server answered with the status.
func Is(err error, status int) bool {
	p, ok := errors.AsType[*ProblemError](err)
	return ok && p.Status == status
}

// New returns a client. It refuses to send a key in the clear to another machine.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("%q: want the address of a server, such as https://ippwatch.example.net", o.URL)
	}
	if base.Scheme == "http" && o.Key != "" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("%s: the key would cross the network in the clear: want https", o.URL)
	}
	if strings.ContainsFunc(o.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the key has characters that no key has")
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/api/v1")
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	return &Client{Options: o, base: base}, nil
}

// transport gives up on a server that says nothing; an export may last.
func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = 2 * time.Minute
	return t
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Key reads the key from the file, or from the environment when no file is named.
func Key(file string) (string, error) {
	if file == "" {
		return strings.TrimSpace(os.Getenv(KeyVariable)), nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	if perm := info.Mode().Perm(); runtime.GOOS != "windows" && perm&0o077 != 0 {
		return "", fmt.Errorf("read key: %s has mode %04o: others may read it; want 0600", file, perm)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", fmt.Errorf("read key: %s is empty", file)
	}
	return key, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// A request is what is sent, as often as it takes.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	accept       string
	ifMatch      string
	word         string // Idempotency-Key
}

// do makes the request until it is answered, and returns an answer of the class
// 2xx, whose body the caller closes.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	if r.method == http.MethodPost {
		r.word = rand.Text() // the same for every attempt: it is done once
	}
	for attempt := 1; ; attempt++ {
		res, err := c.once(ctx, r)
		pause, again := c.pause(res, err, attempt)
		if ctx.Err() != nil {
			again = false
		}
		if !again {
			if err != nil {
				return nil, fmt.Errorf("ask %s: %w", c.base.Host, err)
			}
			if res.StatusCode >= 300 {
				return nil, problem(res)
			}
			return res, nil
		}
		if res != nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxProblem)) // so that the connection can be used again
			_ = res.Body.Close()
		}
		if err := c.Wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// maxProblem bounds what is read of an answer that is no success.
const maxProblem = 64 << 10

func (c *Client) once(ctx context.Context, r request) (*http.Response, error) {
	u := strings.TrimSuffix(c.base.String(), "/") + "/api/v1" + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Accept": cmp.Or(r.accept, "application/json"), "User-Agent": c.Agent, "If-Match": r.ifMatch, "Idempotency-Key": r.word,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.HTTP.Do(req)
}

// How long is waited between attempts, when the server does not say.
const (
	firstPause = 500 * time.Millisecond
	mostPause  = 30 * time.Second
	// Who is told to come back in an hour should not find the command still there.
	mostPatience = 2 * time.Minute
)

// pause tells whether to ask again, and after which time.
func (c *Client) pause(res *http.Response, err error, attempt int) (time.Duration, bool) {
	if attempt >= c.Attempts {
		return 0, false
	}
	switch {
	case err != nil:
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable, res.StatusCode == http.StatusBadGateway, res.StatusCode == http.StatusGatewayTimeout:
	case res.StatusCode == http.StatusConflict && res.Header.Get("Retry-After") != "": // our own word, still being worked on
	default:
		return 0, false
	}
	d := min(mostPause, firstPause<<(attempt-1))
	d = d/2 + jitter(d/2) // so that many do not come back at once
	if res != nil {
		if s, wrong := strconv.Atoi(res.Header.Get("Retry-After")); wrong == nil && s >= 0 {
			told := time.Duration(s) * time.Second
			if told > mostPatience {
				return 0, false
			}
			d = max(d, told)
		} else if at, wrong := http.ParseTime(res.Header.Get("Retry-After")); wrong == nil {
			told := time.Until(at)
			if told > mostPatience {
				return 0, false
			}
			d = max(d, told)
		}
	}
	return d, true
}

func jitter(most time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(most)+1))
	if err != nil {
		return most
	}
	return time.Duration(n.Int64())
}

// problem reads why the server did not serve.
func problem(res *http.Response) error {
	defer res.Body.Close()
	p := &ProblemError{}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, &p.Problem) != nil {
		p.Problem = v1.Problem{Status: res.StatusCode, Detail: fmt.Sprintf("the server answered %s, and not as ippwatch does: is it one?", res.Status)}
	}
	p.Status = res.StatusCode
	return p
}

// get gets one value.
func get[T any](ctx context.Context, c *Client, path string, query any) (T, string, error) {
	var v T
	res, err := c.do(ctx, request{method: http.MethodGet, path: path, query: values(query)})
	if err != nil {
		return v, "", err
	}
	tag := res.Header.Get("ETag")
	return v, tag, read(res, &v)
}

// post changes something, and returns what came of it.
func post[T any](ctx context.Context, c *Client, path, ifMatch string, body any) (T, error) {
	var v T
	text, err := json.Marshal(body)
	if err != nil {
		return v, err
	}
	res, err := c.do(ctx, request{method: http.MethodPost, path: path, body: text, ifMatch: ifMatch})
	if err != nil {
		return v, err
	}
	return v, read(res, &v)
}

func read(res *http.Response, v any) error {
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("read the answer of %s: %w", res.Request.URL.Path, err)
	}
	return nil
}

// pageSize is how many items are asked for at once.
const pageSize = 500

// pages yields a listing, page by page. most bounds it; 0: all.
func pages[T any](ctx context.Context, c *Client, path string, query any, most int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		q := values(query)
		for left := most; ; {
			size := pageSize
			if most > 0 {
				size = min(size, left)
			}
			q.Set("limit", strconv.Itoa(size))
			res, err := c.do(ctx, request{method: http.MethodGet, path: path, query: q})
			var page v1.Page[T]
			if err == nil {
				err = read(res, &page)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			left -= len(page.Items)
			if page.Next == "" || most > 0 && left <= 0 {
				return
			}
			q.Set("after", page.Next)
		}
	}
}

// maxLine bounds a line of an export.
const maxLine = 16 << 20

// lines yields an export as it comes. It ends with ErrCut when the last line does
// not come.
func lines[T any](ctx context.Context, c *Client, path string, query any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		res, err := c.do(ctx, request{method: http.MethodGet, path: path, query: values(query), accept: "application/x-ndjson"})
		if err != nil {
			yield(none, err)
			return
		}
		defer res.Body.Close()
		in := bufio.NewScanner(res.Body)
		in.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for in.Scan() {
			if line := in.Bytes(); bytes.HasPrefix(line, []byte(`{"complete":`)) {
				var end v1.End
				err := json.Unmarshal(line, &end)
				switch {
				case err != nil:
				case end.Problem != nil:
					err = &ProblemError{v1.Problem{Status: end.Problem.Status, Code: end.Problem.Code, Detail: end.Problem.Detail}}
				case !end.Complete || end.Count != n:
					err = ErrCut
				}
				if err != nil {
					yield(none, err)
				}
				return
			}
			var item T
			if err := json.Unmarshal(in.Bytes(), &item); err != nil {
				yield(none, fmt.Errorf("read line %d: %w", n+1, err))
				return
			}
			n++
			if !yield(item, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(none, err)
			return
		}
		yield(none, errors.Join(ErrCut, in.Err()))
	}
}

// values are the parameters of a query, by the tags that the server reads.
func values(query any) url.Values {
	q := url.Values{}
	if query != nil {
		put(q, reflect.ValueOf(query))
	}
	return q
}

func put(q url.Values, v reflect.Value) {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("query"), ",")
		if at, ok := f.Interface().(time.Time); ok {
			if !at.IsZero() {
				q.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
			continue
		}
		switch {
		case name == "" && f.Kind() == reflect.Struct:
			put(q, f)
		case name == "" || f.IsZero():
		case f.Kind() == reflect.Slice:
			for j := range f.Len() {
				q.Add(name, fmt.Sprint(f.Index(j).Interface()))
			}
		default:
			q.Set(name, fmt.Sprint(f.Interface()))
		}
	}
}
