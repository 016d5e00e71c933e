package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/openrdap/rdap"
	"github.com/openrdap/rdap/bootstrap"
	"go4.org/netipx"

	"ippwatch/exposure"
)

// Bounds on an answer of RDAP.
const (
	maxNested   = 8   // entities within entities
	maxEntities = 200 // of one answer
	maxBoot     = 4 << 20
)

// A Bootstrap tells which RDAP server knows an address (RFC 9224): the files
// ipv4.json and ipv6.json of IANA, saved in a directory. It asks nobody.
type Bootstrap struct {
	v4, v6    *bootstrap.NetRegistry
	Published time.Time // the older of the two
}

// ReadBootstrap reads the files of a directory.
func ReadBootstrap(dir string) (*Bootstrap, error) {
	b := new(Bootstrap)
	for _, f := range []struct {
		name    string
		version int
		into    **bootstrap.NetRegistry
	}{{"ipv4.json", 4, &b.v4}, {"ipv6.json", 6, &b.v6}} {
		text, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			return nil, fmt.Errorf("read RDAP bootstrap: %w", err)
		}
		if len(text) > maxBoot {
			return nil, fmt.Errorf("read RDAP bootstrap: %s has more than %d bytes", f.name, maxBoot)
		}
		if *f.into, err = bootstrap.NewNetRegistry(text, f.version); err != nil {
			return nil, fmt.Errorf("read RDAP bootstrap: %s: %w", filepath.Join(dir, f.name), err)
		}
		when, err := time.Parse(time.RFC3339, (*f.into).File().Publication)
		if err == nil && (b.Published.IsZero() || when.Before(b.Published)) {
			b.Published = when.UTC()
		}
	}
	return b, nil
}

// Server returns the base URL of the server that knows the address: by https if
// it has one.
func (b *Bootstrap) Server(a netip.Addr) (*url.URL, error) {
	registry := b.v4
	if a.Is6() {
		registry = b.v6
	}
	got, err := registry.Lookup(&bootstrap.Question{Query: a.String()})
	if err != nil {
		return nil, fmt.Errorf("find the RDAP server of %s: %w", a, err)
	}
	for _, u := range got.URLs {
		if u.Scheme == "https" {
			return u, nil
		}
	}
	if len(got.URLs) > 0 {
		return got.URLs[0], nil
	}
	return nil, fmt.Errorf("find the RDAP server of %s: no registry has it", a)
}

// RDAP asks a server for the abuse contact of the address's network. Registries
// redirect to each other, so another host is followed; from https to http is not.
func (c *Client) RDAP(ctx context.Context, base *url.URL, a netip.Addr, now time.Time) (Found, error) {
	found := Found{Range: one(a), Source: exposure.RDAP}
	u := base.JoinPath("ip", a.String())
	found.Via = u.String()
	got, err := c.get(ctx, u, "application/rdap+json, application/json", maxAnswer, func(to *url.URL) error {
		if to.Scheme != "https" && to.Scheme != base.Scheme {
			return fmt.Errorf("redirected from %s to %s", base.Scheme, bounded(to.Scheme))
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("ask RDAP for %s: %w", a, err)
	}
	found.Via = got.url
	switch {
	case got.status == http.StatusNotFound:
		found.Notes = append(found.Notes, "the registry does not know the network")
		return found, nil
	case got.status == http.StatusTooManyRequests:
		return found, fmt.Errorf("ask RDAP for %s: %s asks for patience (HTTP 429, Retry-After %q)", a, u.Host, bounded(got.header.Get("Retry-After")))
	case got.status != http.StatusOK:
		return found, fmt.Errorf("ask RDAP for %s: %s answers HTTP %d", a, u.Host, got.status)
	}
	network, err := ParseRDAP(got.body)
	if err != nil {
		return found, fmt.Errorf("ask RDAP for %s: %s: %w", a, u.Host, err)
	}
	if network.Range.IsValid() {
		if !network.Range.Contains(a) {
			return found, fmt.Errorf("ask RDAP for %s: %s answers with %s", a, u.Host, network.Range)
		}
		found.Range = network.Range
	}
	for _, r := range network.Contacts {
		r.Source, r.Found = exposure.RDAP, now
		found.Contacts = append(found.Contacts, r)
	}
	if len(found.Contacts) == 0 {
		found.Notes = append(found.Notes, "the registry names no abuse contact")
	}
	return found, nil
}

// A Network is what RDAP says of a network (RFC 9083, section 5.4).
type Network struct {
	Range    netipx.IPRange
	Name     string
	Contacts []exposure.Recipient // with the role abuse, the outermost first
}

var errNotNetwork = errors.New("the answer is no IP network")

// ParseRDAP reads an answer.
func ParseRDAP(body []byte) (Network, error) {
	if depth := nesting(body); depth > 64 {
		return Network{}, errors.New("the answer is nested too deeply")
	}
	object, err := rdap.NewDecoder(body).Decode()
	if err != nil {
		return Network{}, fmt.Errorf("the answer is no RDAP: %w", err)
	}
	n, ok := object.(*rdap.IPNetwork)
	if !ok {
		return Network{}, errNotNetwork
	}
	var net Network
	from, errFrom := netip.ParseAddr(n.StartAddress)
	to, errTo := netip.ParseAddr(n.EndAddress)
	if errFrom == nil && errTo == nil && from.Zone() == "" && to.Zone() == "" {
		net.Range = netipx.IPRangeFrom(from, to)
	}
	net.Name = bounded(n.Name)
	left := maxEntities
	net.entities(n.Entities, maxNested, &left)
	return net, nil
}

// nesting is how deep brackets go in JSON, strings aside.
func nesting(body []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// entities takes the abuse contacts among the entities, and then those within
// them: some registries put the abuse contact inside the registrant.
func (n *Network) entities(all []rdap.Entity, deep int, left *int) {
	for i := range all {
		if *left--; *left < 0 || len(n.Contacts) >= maxContacts {
			return
		}
		e := &all[i]
		if e.VCard != nil && slices.ContainsFunc(e.Roles, func(s string) bool { return strings.EqualFold(s, "abuse") }) {
			n.card(e.VCard)
		}
	}
	if deep == 0 {
		return
	}
	for i := range all {
		n.entities(all[i].Entities, deep-1, left)
	}
}

// card takes the addresses of a jCard (RFC 7095): mail first.
func (n *Network) card(v *rdap.VCard) {
	name := printable(v.Name())
	put := func(r exposure.Recipient) {
		r.Role, r.Name = "abuse", name
		if len(n.Contacts) < maxContacts && !slices.ContainsFunc(n.Contacts, func(other exposure.Recipient) bool { return other.Key() == r.Key() }) {
			n.Contacts = append(n.Contacts, r)
		}
	}
	for _, p := range v.Get("email") {
		for _, value := range p.Values() {
			if address, ok := mailAddress(strings.TrimPrefix(strings.TrimSpace(value), "mailto:")); ok {
				put(exposure.Recipient{Medium: exposure.ByMail, Address: address})
			}
		}
	}
	for _, p := range v.Get("tel") {
		if slices.Contains(p.Parameters["type"], "fax") {
			continue
		}
		for _, value := range p.Values() {
			number, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(value), "tel:"), ";")
			if number = strings.ReplaceAll(number, " ", ""); isPhone(number) {
				put(exposure.Recipient{Medium: exposure.ByPhone, Address: number})
			}
		}
	}
}

// printable is a name that may be shown, else none.
func printable(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 200 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}
