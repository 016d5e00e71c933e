package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"ippwatch/exposure"
)

const (
	maxCustomer = 64 << 10 // bytes of an answer
	maxName     = 300
)

// parseCustomer reads {"customer": ..., "from": ..., "to": ...}; from and to are
// RFC 3339 and may be absent, empty or null. No customer is "not known".
func parseCustomer(a netip.Addr, text []byte) (exposure.Assignment, error) {
	var doc struct {
		Customer *string `json:"customer"`
		From     *string `json:"from"`
		To       *string `json:"to"`
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return exposure.Assignment{}, nil
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return exposure.Assignment{}, fmt.Errorf(`the answer is not {"customer": ..., "from": ..., "to": ...}: %w`, err)
	}
	if doc.Customer == nil || *doc.Customer == "" {
		return exposure.Assignment{}, nil
	}
	name := strings.TrimSpace(*doc.Customer)
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return exposure.Assignment{}, fmt.Errorf("the answer names a customer that cannot be shown: %q", bounded(name))
	}
	found := exposure.Assignment{Prefix: netip.PrefixFrom(a, a.BitLen()), Customer: name}
	for _, t := range []struct {
		key  string
		text *string
		into *time.Time
	}{{"from", doc.From, &found.From}, {"to", doc.To, &found.To}} {
		if t.text == nil || *t.text == "" {
			continue
		}
		when, err := time.Parse(time.RFC3339, *t.text)
		if err != nil || when.Year() < 1970 || when.Year() > 2261 {
			return exposure.Assignment{}, fmt.Errorf("the answer has a %s that is no time: %q", t.key, bounded(*t.text))
		}
		*t.into = when.UTC()
	}
	return found, nil
}

// fill puts address and time into a template; escape makes them fit for it.
func fill(template string, a netip.Addr, at time.Time, escape func(string) string) string {
	return strings.NewReplacer("{ip}", escape(a.String()), "{time}", escape(at.UTC().Format(time.RFC3339))).Replace(template)
}

// A Service is an HTTP service that knows customers, such as an IPAM.
type Service struct {
	client   *Client
	template string
	token    string
}

// NewService returns the service at the URL, in which {ip} and {time} stand for
// what is asked. A token is sent as Authorization: Bearer.
func (c *Client) NewService(template, token string) (*Service, error) {
	example := fill(template, netip.IPv4Unspecified(), time.Time{}, url.QueryEscape)
	u, err := url.Parse(example)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q: not a URL such as https://ipam.example.net/lease?ip={ip}&at={time}", bounded(template))
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !addr.IsLoopback()):
		return nil, fmt.Errorf("%q: want https: the answer names customers", bounded(template))
	case !strings.Contains(template, "{ip}") || !strings.Contains(template, "{time}"):
		return nil, fmt.Errorf("%q: want {ip} and {time} in it: an address belongs to a customer for a time", bounded(template))
	}
	return &Service{c, template, token}, nil
}

// Ask asks for the customer who has the address at the time.
func (s *Service) Ask(ctx context.Context, a netip.Addr, at time.Time) (exposure.Assignment, error) {
	u, err := url.Parse(fill(s.template, a, at, url.QueryEscape))
	if err != nil {
		return exposure.Assignment{}, err
	}
	got, err := s.client.ask(ctx, u, s.token)
	if err != nil {
		return exposure.Assignment{}, fmt.Errorf("ask %s: %w", u.Host, err)
	}
	switch got.status {
	case http.StatusNotFound, http.StatusNoContent:
		return exposure.Assignment{}, nil
	case http.StatusOK:
	default:
		return exposure.Assignment{}, fmt.Errorf("ask %s: HTTP %d", u.Host, got.status)
	}
	found, err := parseCustomer(a, got.body)
	if err != nil {
		return exposure.Assignment{}, fmt.Errorf("ask %s: %w", u.Host, err)
	}
	found.Source = "url " + u.Host
	return found, nil
}

// ask asks a service of the operator's own: it may stand in a private network,
// and is told the token, so redirects are not followed.
func (c *Client) ask(ctx context.Context, u *url.URL, token string) (answer, error) {
	own := New(Options{Timeout: c.o.Timeout, Agent: c.o.Agent, Local: true, Roots: c.o.Roots, Dial: c.o.Dial})
	if token != "" {
		own.bearer = token
	}
	return own.get(ctx, u, "application/json", maxCustomer, func(to *url.URL) error {
		return fmt.Errorf("redirected to %s: name the URL that answers", bounded(to.String()))
	})
}

// A Command is a program that knows customers, such as a script that asks
// RADIUS.
type Command struct {
	args    []string
	timeout time.Duration
}

// NewCommand returns the program and its arguments, in which {ip} and {time}
// stand for what is asked; where no argument has {ip}, both are appended. No
// shell reads them.
func NewCommand(args []string, timeout time.Duration) (*Command, error) {
	if len(args) == 0 || args[0] == "" {
		return nil, errors.New("no program is named")
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if !strings.Contains(strings.Join(args[1:], " "), "{ip}") {
		args = append(args[:len(args):len(args)], "{ip}", "{time}")
	}
	return &Command{args, timeout}, nil
}

// Ask runs the program. What it writes is the answer; nothing is "not known".
func (c *Command) Ask(ctx context.Context, a netip.Addr, at time.Time) (exposure.Assignment, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		args[i] = arg
		if i > 0 {
			args[i] = fill(arg, a, at, func(s string) string { return s })
		}
	}
	name := filepath.Base(args[0])
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the operator names the program
	out, errs := &limited{most: maxCustomer}, &limited{most: 4 << 10}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, errs, time.Second
	err := cmd.Run()
	switch {
	case out.over:
		return exposure.Assignment{}, fmt.Errorf("run %s: it writes more than %d bytes", name, maxCustomer)
	case ctx.Err() != nil:
		return exposure.Assignment{}, fmt.Errorf("run %s: no answer in %s", name, c.timeout)
	case err != nil:
		line, _, _ := strings.Cut(strings.TrimSpace(string(errs.text)), "\n")
		if line == "" {
			return exposure.Assignment{}, fmt.Errorf("run %s: %w", name, err)
		}
		return exposure.Assignment{}, fmt.Errorf("run %s: %w: %s", name, err, bounded(line))
	}
	found, err := parseCustomer(a, out.text)
	if err != nil {
		return exposure.Assignment{}, fmt.Errorf("run %s: %w", name, err)
	}
	found.Source = "command " + name
	return found, nil
}

// limited keeps the beginning of what is written.
type limited struct {
	text []byte
	most int
	over bool
}

func (l *limited) Write(b []byte) (int, error) {
	room := l.most - len(l.text)
	l.over = l.over || len(b) > room
	l.text = append(l.text, b[:min(len(b), room)]...)
	return len(b), nil
}

// An Asker knows customers.
type Asker interface {
	Ask(ctx context.Context, a netip.Addr, at time.Time) (exposure.Assignment, error)
}

// A Cache asks once what it may remember. Answers have an age: one with a
// customer is good for its lease, up to the moment at which it was given and for
// Keep from then; that nobody is known is remembered for Doubt, and for the same
// question only.
type Cache struct {
	Keep, Doubt time.Duration // 0: an hour, five minutes
	Now         func() time.Time
	From        Asker

	mu         sync.Mutex // guards what follows
	young, old map[netip.Addr][]remembered
}

type remembered struct {
	found exposure.Assignment
	at    time.Time // that was asked about
	asked time.Time
}

// maxCached bounds the addresses that are remembered, twice over.
const maxCached = 50_000

// Ask returns what is remembered, or asks.
func (c *Cache) Ask(ctx context.Context, a netip.Addr, at time.Time) (exposure.Assignment, error) {
	found, _, err := c.Look(ctx, a, at)
	return found, err
}

// Look is Ask with the time at which the answer was given.
func (c *Cache) Look(ctx context.Context, a netip.Addr, at time.Time) (found exposure.Assignment, asked time.Time, err error) {
	now := c.Now()
	if r, ok := c.recall(a, at, now); ok {
		return r.found, r.asked, nil
	}
	found, err = c.From.Ask(ctx, a, at)
	if err != nil {
		return found, now, err // a failure is not an answer
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxCached {
		c.old, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[netip.Addr][]remembered)
	}
	const most = 16 // times of one address
	list := append(c.young[a], remembered{found, at, now})
	c.young[a] = list[max(0, len(list)-most):]
	return found, now, nil
}

func (c *Cache) recall(a netip.Addr, at, now time.Time) (remembered, bool) {
	keep, doubt := c.Keep, c.Doubt
	if keep == 0 {
		keep = time.Hour
	}
	if doubt == 0 {
		doubt = 5 * time.Minute
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, all := range []map[netip.Addr][]remembered{c.young, c.old} {
		for _, r := range all[a] {
			age := now.Sub(r.asked)
			switch {
			case age < 0:
			case r.found.Customer == "":
				if age < doubt && at.Equal(r.at) {
					return r, true
				}
			case age >= keep:
			case at.Equal(r.at), r.found.Holds(at) && !r.found.From.IsZero() && !at.After(r.asked):
				return r, true
			}
		}
	}
	return remembered{}, false
}
