package people

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ippwatch/exposure"
	"ippwatch/strict"
)

// What a person may write, wherever it stands: in YAML, in CSV, on the command
// line. The errors do not name the place.

// Limits on what one value may hold.
const (
	maxText     = 300      // bytes of a title or an address
	maxKey      = 64 << 10 // of an armoured PGP key
	maxInterval = 366 * 24 * time.Hour
)

// reserved are names that reports use for themselves.
var reserved = []string{"all", "unassigned"}

var (
	constituentName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	countryCode     = regexp.MustCompile(`^[A-Za-z]{2}$`)
	languageTag     = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`) // BCP 47, roughly
	phoneNumber     = regexp.MustCompile(`^\+[0-9][0-9 ()./-]{3,30}$`)
	fingerprint     = regexp.MustCompile(`^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$`)
)

const armour = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// checkName accepts what may become part of file names.
func checkName(s string) error {
	switch {
	case len(s) > 64 || !constituentName.MatchString(s):
		return fmt.Errorf("%s: want small letters, digits and single hyphens, as it becomes part of file names", strict.Quote(s))
	case slices.Contains(reserved, s):
		return fmt.Errorf("%q is what reports call something else", s)
	}
	return nil
}

// checkText accepts what pages, mails and terminals show.
func checkText(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return strict.CheckLine(s, maxText)
}

func parseLanguage(s string) (string, error) {
	if !languageTag.MatchString(s) {
		return "", fmt.Errorf("%s: want a tag such as de or pt-BR", strict.Quote(s))
	}
	return s, nil
}

// parseNetwork reads a prefix or an address.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, errAddr := netip.ParseAddr(s)
		if errAddr != nil || a.Zone() != "" {
			return p, fmt.Errorf("%s: not a prefix or an address", strict.Quote(s))
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q: an IPv4-mapped address: write it as IPv4", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q: bits are set after the prefix length: write %s for the network or %s for the address", s, p.Masked(), p.Addr())
	}
	return p, nil
}

func parseASN(s string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(s), "AS"), 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s: want a number from 1 to 4294967295", strict.Quote(s))
	}
	return uint32(n), nil
}

func parseCountry(s string) (string, error) {
	up := strings.ToUpper(s)
	switch {
	case !countryCode.MatchString(up):
		return "", fmt.Errorf("%s: want two letters of ISO 3166-1, such as DE", strict.Quote(s))
	case up == "UK":
		return "", errors.New("UK is GB in ISO 3166-1")
	}
	return up, nil
}

// contactKeys are the fields of a contact that a person writes.
var contactKeys = []string{
	"address", "name", "role", "language", "medium", "format", "pgp_key", "interval", "business_days", "opt_out",
}

// setField sets one field of a contact from its text.
func setField(r *exposure.Recipient, key, s string) (err error) {
	switch key {
	case "address":
		if err = checkText(s); err == nil {
			r.Address = s
		}
	case "name":
		if err = checkText(s); err == nil {
			r.Name = s
		}
	case "role":
		if len(s) > 64 || !constituentName.MatchString(s) {
			return fmt.Errorf("%s: want a word such as abuse, technical or management", strict.Quote(s))
		}
		r.Role = s
	case "language":
		r.Language, err = parseLanguage(s)
	case "medium":
		r.Medium = exposure.Channel(s)
		if !slices.Contains([]exposure.Channel{exposure.ByMail, exposure.ByWebhook, exposure.ByPhone}, r.Medium) {
			return fmt.Errorf("%s: want mail, webhook or phone", strict.Quote(s))
		}
	case "format":
		r.Format, err = parseForms(s)
	case "pgp_key":
		r.PGPKey, err = parseKey(s)
	case "interval":
		r.Interval, err = parseInterval(s)
	case "business_days":
		r.BusinessDays, err = parseBool(s)
	case "opt_out":
		r.OptOut, err = parseBool(s)
	default:
		err = fmt.Errorf("unknown; the fields are %s", strings.Join(contactKeys, ", "))
	}
	return err
}

// getField is the text that setField reads.
func getField(r exposure.Recipient, key string) string {
	switch key {
	case "address":
		return r.Address
	case "name":
		return r.Name
	case "role":
		return r.Role
	case "language":
		return r.Language
	case "medium":
		return string(r.Medium)
	case "format":
		words := make([]string, len(r.Format))
		for i, f := range r.Format {
			words[i] = string(f)
		}
		return strings.Join(words, ",")
	case "pgp_key":
		return r.PGPKey
	case "interval":
		return formatInterval(r.Interval)
	case "business_days":
		return formatBool(r.BusinessDays)
	case "opt_out":
		return formatBool(r.OptOut)
	}
	return ""
}

func parseForms(s string) ([]exposure.Form, error) {
	known := []exposure.Form{exposure.FormText, exposure.FormHTML, exposure.FormXARF, exposure.FormCSV}
	var all []exposure.Form
	for word := range strings.SplitSeq(s, ",") {
		f := exposure.Form(strings.TrimSpace(word))
		switch {
		case !slices.Contains(known, f):
			return nil, fmt.Errorf("%s: want text, html, xarf, csv", strict.Quote(word))
		case slices.Contains(all, f):
			return nil, fmt.Errorf("%s stands there twice", f)
		}
		all = append(all, f)
	}
	return all, nil
}

func parseKey(s string) (string, error) {
	s = strings.TrimSpace(s)
	compact := strings.ReplaceAll(strings.TrimPrefix(s, "0x"), " ", "")
	switch {
	case fingerprint.MatchString(compact):
		return strings.ToUpper(compact), nil
	case len(s) > maxKey:
		return "", fmt.Errorf("has %d bytes: the limit is %d", len(s), maxKey)
	case !strings.HasPrefix(s, armour):
		return "", errors.New("want a fingerprint of 40 hexadecimal digits, or the armoured public key")
	case strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t'
	}):
		return "", errors.New("an armoured key has plain letters only")
	}
	return s, nil
}

// parseInterval reads a duration, in days too: people think of mails in days.
func parseInterval(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(max(n, -1), 1000)) * 24 * time.Hour
	}
	if err != nil || d < 0 || d > maxInterval {
		return 0, fmt.Errorf("%s: want a time such as 12h or 7d, up to 366d", strict.Quote(s))
	}
	return d, nil
}

func formatInterval(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return ""
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes":
		return true, nil
	case "false", "no":
		return false, nil
	}
	return false, fmt.Errorf("%s: want true or false", strict.Quote(s))
}

func formatBool(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// complete checks a contact as a whole, and infers the medium from the address.
func complete(r *exposure.Recipient) error {
	s := r.Address
	if s == "" {
		return errors.New("a contact without an address")
	}
	if r.Medium == "" {
		switch {
		case strings.Contains(s, "://"):
			r.Medium = exposure.ByWebhook
		case strings.HasPrefix(s, "+"):
			r.Medium = exposure.ByPhone
		default:
			r.Medium = exposure.ByMail
		}
	}
	switch r.Medium {
	case exposure.ByMail:
		if m, err := mail.ParseAddress(s); err != nil || m.Address != s || strings.ContainsAny(s, " \"") {
			return fmt.Errorf("%s: not a mail address such as abuse@example.net", strict.Quote(s))
		}
	case exposure.ByPhone:
		if !phoneNumber.MatchString(s) {
			return fmt.Errorf("%s: not a telephone number such as +49 30 123456", strict.Quote(s))
		}
	case exposure.ByWebhook:
		return checkURL(s)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%s: not a URL such as https://example.net/hook", strict.Quote(s))
	}
	addr, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && addr.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: want https, as it carries what is open where", strict.Quote(s))
}
