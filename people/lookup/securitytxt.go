package lookup

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ippwatch/exposure"
)

// maxLines bounds a file of a stranger.
const maxLines = 1000

// A SecurityTxt is what a host says of how to reach those who look after its
// security (RFC 9116).
type SecurityTxt struct {
	Contacts  []exposure.Recipient
	Pages     []string // https contacts: for a person, not for a program
	Canonical []string
	Expires   time.Time
	Signed    bool // it looks signed; the signature is not verified
}

// Why a file is not used.
var (
	errNoExpires = errors.New("has no Expires field, which RFC 9116 wants")
	errExpired   = errors.New("has expired")
	errNoContact = errors.New("has no contact")
)

// ParseSecurityTxt reads a file. It returns an error for one that must not be
// used at the time. The first contact is the preferred one (section 2.5.3).
func ParseSecurityTxt(text []byte, now time.Time) (SecurityTxt, error) {
	var f SecurityTxt
	if !utf8.Valid(text) {
		return f, errors.New("is not UTF-8 (section 2.1)")
	}
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n"), "\n")
	if len(lines) > maxLines {
		return f, fmt.Errorf("has more than %d lines", maxLines)
	}
	lines, f.Signed = unsigned(lines)
	var language, key string
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || strings.HasPrefix(line, "#") || value == "" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "contact":
			f.contact(value)
		case "expires":
			if !f.Expires.IsZero() {
				return f, errors.New("has two Expires fields")
			}
			t, err := time.Parse(time.RFC3339, value)
			if err != nil || t.Year() < 1970 || t.Year() > 2261 {
				return f, fmt.Errorf("has an Expires field that is no time: %q", bounded(value))
			}
			f.Expires = t.UTC()
		case "preferred-languages":
			first, _, _ := strings.Cut(value, ",")
			language = strings.TrimSpace(first)
		case "encryption":
			if hash, ok := strings.CutPrefix(strings.ToLower(value), "openpgp4fpr:"); ok && key == "" && isHex(hash) {
				key = strings.ToUpper(hash)
			}
		case "canonical":
			f.Canonical = append(f.Canonical, value)
		}
	}
	for i := range f.Contacts {
		if isLanguage(language) {
			f.Contacts[i].Language = language
		}
		f.Contacts[i].PGPKey = key
	}
	switch {
	case f.Expires.IsZero():
		return f, errNoExpires
	case !now.Before(f.Expires):
		return f, fmt.Errorf("%w at %s", errExpired, f.Expires.Format(time.RFC3339))
	case len(f.Contacts)+len(f.Pages) == 0:
		return f, errNoContact
	}
	return f, nil
}

// unsigned returns the lines that a signature covers (RFC 4880, section 7); all
// of a file that is not signed.
func unsigned(lines []string) (inner []string, signed bool) {
	const begin, end = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
	start := slices.IndexFunc(lines, func(s string) bool { return strings.TrimRight(s, " \t") == begin })
	if start < 0 {
		return lines, false
	}
	lines = lines[start+1:]
	if blank := slices.IndexFunc(lines, func(s string) bool { return strings.TrimSpace(s) == "" }); blank >= 0 {
		lines = lines[blank+1:] // behind the armour headers
	}
	for _, line := range lines {
		if strings.TrimRight(line, " \t") == end {
			break
		}
		inner = append(inner, strings.TrimPrefix(line, "- "))
	}
	return inner, true
}

// contact takes one contact, a URI (section 2.5.3).
func (f *SecurityTxt) contact(value string) {
	if len(f.Contacts)+len(f.Pages) == maxContacts {
		return
	}
	r := exposure.Recipient{Role: "security"}
	u, err := url.Parse(value)
	switch {
	case err == nil && strings.EqualFold(u.Scheme, "https") && u.Host != "" && len(value) <= 300:
		f.Pages = append(f.Pages, u.String())
		return
	case err == nil && strings.EqualFold(u.Scheme, "tel"):
		r.Medium, r.Address = exposure.ByPhone, u.Opaque
		if !isPhone(r.Address) {
			return
		}
	default:
		address := value // without mailto:, as many write it though it is no URI
		if err == nil && strings.EqualFold(u.Scheme, "mailto") {
			if address, err = url.PathUnescape(u.Opaque); err != nil {
				return
			}
		}
		var ok bool
		if address, ok = mailAddress(address); !ok {
			return
		}
		r.Medium, r.Address = exposure.ByMail, address
	}
	if !slices.ContainsFunc(f.Contacts, func(other exposure.Recipient) bool { return other.Key() == r.Key() }) {
		f.Contacts = append(f.Contacts, r)
	}
}

func isPhone(s string) bool {
	return len(s) >= 5 && len(s) <= 32 && s[0] == '+' && strings.Trim(s[1:], "0123456789-.()") == ""
}

func isLanguage(s string) bool {
	if len(s) < 2 || len(s) > 35 {
		return false
	}
	for i, c := range strings.ToLower(s) {
		if (c < 'a' || c > 'z') && (i < 2 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s[len(s)-1] != '-'
}

func isHex(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// SecurityTxt asks the host for its security.txt, over https only. Redirects are
// followed to the same host alone: another's file would speak for another.
func (c *Client) SecurityTxt(ctx context.Context, a netip.Addr, host string, now time.Time) (Found, error) {
	found := Found{Range: one(a), Source: exposure.SecurityTxt}
	if !isHostname(host) {
		found.Notes = append(found.Notes, fmt.Sprintf("%q is no host name that could be asked", bounded(host)))
		return found, nil
	}
	u := &url.URL{Scheme: "https", Host: strings.ToLower(host), Path: "/.well-known/security.txt"}
	found.Via = u.String()
	got, err := c.get(ctx, u, "text/plain", maxSecurityTxt, func(to *url.URL) error {
		if to.Scheme != "https" || !strings.EqualFold(to.Host, u.Host) {
			return fmt.Errorf("redirected to %s://%s: want https and the same host", bounded(to.Scheme), bounded(to.Host))
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("ask for %s: %w", u, err)
	}
	found.Via = got.url
	kind, _, _ := mime.ParseMediaType(got.header.Get("Content-Type"))
	switch {
	case got.status == http.StatusNotFound || got.status == http.StatusGone:
		found.Notes = append(found.Notes, "the host has none")
		return found, nil
	case got.status != http.StatusOK:
		return found, fmt.Errorf("ask for %s: HTTP %d", u, got.status)
	case kind != "text/plain":
		found.Notes = append(found.Notes, "what it sent is no text/plain (section 3)")
		return found, nil
	}
	f, why := readFile(got, u.String(), now)
	if why != "" {
		found.Notes = append(found.Notes, "its file "+why)
		return found, nil
	}
	found.Expires = f.Expires
	for _, r := range f.Contacts {
		r.Source, r.Found = exposure.SecurityTxt, now
		found.Contacts = append(found.Contacts, r)
	}
	for _, page := range f.Pages {
		found.Notes = append(found.Notes, "a page for a person: "+page)
	}
	if f.Signed {
		found.Notes = append(found.Notes, "signed; the signature was not verified")
	}
	return found, nil
}

// readFile reads what a host sent, and says why it must not be used.
func readFile(got answer, asked string, now time.Time) (f SecurityTxt, why string) {
	f, err := ParseSecurityTxt(got.body, now)
	switch {
	case err != nil:
		return f, err.Error()
	case len(f.Canonical) > 0 && !slices.Contains(f.Canonical, got.url) && !slices.Contains(f.Canonical, asked):
		return f, "is not one of its own canonical URLs (section 2.5.2)"
	}
	return f, ""
}

// bounded is the beginning of a stranger's text, for an error.
func bounded(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
