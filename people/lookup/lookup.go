// Package lookup asks others who is responsible for an address: security.txt at
// its host name, the RDAP abuse contact of its network, the national CSIRT out
// of a file, and for customers an HTTP service or a command.
//
// Whatever comes back is a stranger's: it is bounded, checked, and returned as a
// value. Nobody is told anything because a look-up found him.
package lookup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"go4.org/netipx"

	"ippwatch/exposure"
	"ippwatch/space"
)

// Bounds on what a server may take and say.
const (
	defaultTimeout = 10 * time.Second
	maxSecurityTxt = 64 << 10
	maxAnswer      = 1 << 20 // of RDAP
	maxRedirects   = 3
	maxContacts    = 10
)

// Found is what a look-up found: no contact is a value.
type Found struct {
	Range    netipx.IPRange // of which addresses it is said
	Source   string         // one of the sources of a recipient
	Contacts []exposure.Recipient
	Via      string    // the URL or file that said so
	Expires  time.Time // zero: it does not say
	Notes    []string  // for a person: why there is none, or what else was found
}

// Options say how to ask. The zero Options ask the Internet.
type Options struct {
	Timeout time.Duration // for one question with its redirects; 0: 10 s
	Agent   string        // the User-Agent, with a way to reach us
	// Local allows servers at special-purpose addresses. Names and redirects are
	// other people's, and must not lead us into our own networks.
	Local bool
	Roots *tls.Config // whom to believe; nil: the system's
	// Dial connects; nil: as the system does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Client asks. It may be used by several goroutines.
type Client struct {
	o      Options
	http   *http.Transport
	bearer string // of a service of the operator's own
}

// New returns a client. It sends nothing before it is asked to.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	c := &Client{o: o}
	dial := o.Dial
	if dial == nil {
		d := &net.Dialer{Timeout: o.Timeout, ControlContext: c.control}
		dial = d.DialContext
	}
	c.http = &http.Transport{
		DialContext: dial, TLSClientConfig: o.Roots, TLSHandshakeTimeout: o.Timeout, ResponseHeaderTimeout: o.Timeout,
		MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
	return c
}

var errSpecial = errors.New("a special-purpose address, where nobody of the Internet is")

// control is asked with the address that a name turned out to be.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if block, special := space.SpecialPurpose(to.Addr().Unmap().WithZone("")); special && !c.o.Local {
		return fmt.Errorf("%s (%s): %w", to.Addr(), block.Name, errSpecial)
	}
	return nil
}

// An answer is what a server said, whole.
type answer struct {
	url    string // the last, after redirects
	status int
	header http.Header
	body   []byte
}

// get asks for a URL; may says of each redirect whether it is followed.
func (c *Client) get(ctx context.Context, from *url.URL, accept string, most int64, may func(to *url.URL) error) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", c.o.Agent)
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	client := http.Client{Transport: c.http, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return may(next.URL)
	}}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return answer{}, fmt.Errorf("read %s: %w", res.Request.URL, err)
	}
	if int64(len(body)) > most {
		return answer{}, fmt.Errorf("read %s: more than %d bytes", res.Request.URL, most)
	}
	return answer{res.Request.URL.String(), res.StatusCode, res.Header, body}, nil
}

// one is the range of a single address.
func one(a netip.Addr) netipx.IPRange { return netipx.IPRangeFrom(a, a) }

// mailAddress returns what a stranger calls a mail address, if it is one that
// we would write to.
func mailAddress(s string) (string, bool) {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(s) > 254 || !isHostname(domain) {
		return "", false
	}
	for _, c := range local {
		if c <= ' ' || c > '~' || strings.ContainsRune(`()<>[]:;@\,"`, c) {
			return "", false
		}
	}
	return s, true
}

// isHostname reports whether the text is a name of the Internet: labels of
// letters, digits and hyphens, two at least, and no address.
func isHostname(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
