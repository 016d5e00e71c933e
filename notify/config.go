package notify

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// A TLSMode is how the way to the mail server is encrypted.
type TLSMode string

// Modes. Plain mail is for a server on this very machine.
const (
	StartTLS    TLSMode = "starttls" // the default: no mail without it
	ImplicitTLS TLSMode = "implicit" // from the first byte, as on port 465
	NoTLS       TLSMode = "none"
)

// A MailConfig is the section of the configuration about sending mail.
type MailConfig struct {
	Host string  `yaml:"host"`
	Port uint16  `yaml:"port"` // default 587, or 465 with implicit TLS, or 25 with none
	TLS  TLSMode `yaml:"tls"`
	// CAFile holds the certificates that the server's must lead to, when they
	// are not the system's.
	CAFile string `yaml:"ca_file" config:"path"`
	// UserFile and PasswordFile hold one line each; without them the variables
	// IPPWATCH_SMTP_USER and IPPWATCH_SMTP_PASSWORD are looked at.
	UserFile     string        `yaml:"user_file" config:"path"`
	PasswordFile string        `yaml:"password_file" config:"path"`
	Timeout      time.Duration `yaml:"timeout"` // of one step of the conversation; default 1m

	From    string `yaml:"from"`     // who writes, as "CERT Example <cert@example.org>"
	ReplyTo string `yaml:"reply_to"` // where people answer; default: From
	// Domain is of the return paths (bounce+TOKEN@Domain) and the Message-IDs.
	Domain string `yaml:"domain"`
	// SecretFile makes the tokens in return paths and opt-outs; whoever loses it
	// can no longer tell which message a bounce is about.
	SecretFile  string            `yaml:"secret_file" config:"path"`
	DKIM        *DKIMConfig       `yaml:"dkim"`
	Unsubscribe UnsubscribeConfig `yaml:"unsubscribe"`
}

// A DKIMConfig says how mail is signed (RFC 6376).
type DKIMConfig struct {
	Domain   string `yaml:"domain"` // default: that of From
	Selector string `yaml:"selector"`
	KeyFile  string `yaml:"key_file" config:"path"` // PEM, RSA or Ed25519
}

// An UnsubscribeConfig says where people opt out.
type UnsubscribeConfig struct {
	// URL is where mail programs post an opt-out (RFC 8058); the token is
	// appended as the last part of its path.
	URL string `yaml:"url"`
	// Mailto is an address whose mail [ReadReplies] gets to see; the token is
	// put behind its local part and a plus sign.
	Mailto string `yaml:"mailto"`
}

// Variables of the environment, for those who have no file.
const (
	UserVariable     = "IPPWATCH_SMTP_USER"
	PasswordVariable = "IPPWATCH_SMTP_PASSWORD" //nolint:gosec // a name
)

// returnLocal is the local part of return paths before the token.
const returnLocal = "bounce"

// Check returns every mistake that can be seen without opening a file, each
// beginning with the name of its field.
func (c MailConfig) Check() error {
	var all []error
	wrong := func(field, format string, args ...any) {
		all = append(all, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
	}
	if !hostname(c.Host) {
		if _, err := netip.ParseAddr(c.Host); err != nil {
			wrong("host", "%q: want the name of the mail server that takes our mail", c.Host)
		}
	}
	switch c.TLS {
	case "", StartTLS, ImplicitTLS, NoTLS:
	default:
		wrong("tls", "%q: want starttls, implicit or none", string(c.TLS))
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		wrong("timeout", "%s: want up to 1h", c.Timeout)
	}
	from, err := parseAddress(c.From)
	if err != nil {
		wrong("from", "%q: %v", c.From, err)
	}
	if c.ReplyTo != "" {
		if _, err := parseAddress(c.ReplyTo); err != nil {
			wrong("reply_to", "%q: %v", c.ReplyTo, err)
		}
	}
	if !hostname(c.Domain) {
		wrong("domain", "%q: want the domain whose mail for %s+... comes back to us", c.Domain, returnLocal)
	}
	if c.SecretFile == "" {
		wrong("secret_file", "missing: the tokens in return paths and opt-outs are made with it")
	}
	if d := c.DKIM; d != nil {
		if !hostname(d.Selector) {
			wrong("dkim.selector", "%q: want the name before ._domainkey in the DNS", d.Selector)
		}
		if d.KeyFile == "" {
			wrong("dkim.key_file", "missing: want a private key in PEM")
		}
		// DMARC believes a signature of the author's domain, or of one above it.
		if domain := domainOf(from.Address); d.Domain != "" && domain != "" && domain != d.Domain && !strings.HasSuffix(domain, "."+d.Domain) {
			wrong("dkim.domain", "%q signs for others than from: its domain is %s", d.Domain, domain)
		}
	}
	if u := c.Unsubscribe.URL; u != "" {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Scheme != "https" || !hostname(parsed.Hostname()) || parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil {
			wrong("unsubscribe.url", "%q: want https://host/path", u)
		}
	}
	if m := c.Unsubscribe.Mailto; m != "" {
		if a, err := parseAddress(m); err != nil || a.Name != "" || strings.Contains(a.Address, "+") {
			wrong("unsubscribe.mailto", "%q: want a plain address such as unsubscribe@example.org", m)
		}
	}
	if c.Unsubscribe == (UnsubscribeConfig{}) {
		wrong("unsubscribe", "missing: whoever is written to can opt out, want url or mailto or both")
	}
	return errors.Join(all...)
}

// Port is the port with its default.
func (c MailConfig) port() uint16 {
	switch c.TLS {
	case ImplicitTLS:
		return cmp.Or(c.Port, 465)
	case NoTLS:
		return cmp.Or(c.Port, 25)
	}
	return cmp.Or(c.Port, 587)
}

// Open reads the files that the section names and returns who writes the mail
// and who sends it. Getenv is os.Getenv.
func (c MailConfig) Open(getenv func(string) string) (*Writer, *Mailer, error) {
	if err := c.Check(); err != nil {
		return nil, nil, fmt.Errorf("mail configuration: %w", err)
	}
	w, err := c.writer()
	if err != nil {
		return nil, nil, fmt.Errorf("mail configuration: %w", err)
	}
	m := &Mailer{
		Host: c.Host, Port: c.port(), TLS: cmp.Or(c.TLS, StartTLS), Timeout: c.Timeout, Hello: c.Domain,
		User: getenv(UserVariable), Password: getenv(PasswordVariable),
	}
	m.Signer, err = c.signer()
	if err != nil {
		return nil, nil, fmt.Errorf("mail configuration: %w", err)
	}
	for _, f := range []struct {
		field, name string
		to          *string
	}{{"user_file", c.UserFile, &m.User}, {"password_file", c.PasswordFile, &m.Password}} {
		if f.name == "" {
			continue
		}
		text, err := readPrivate(f.name)
		if err != nil {
			return nil, nil, fmt.Errorf("mail configuration: %s: %w", f.field, err)
		}
		*f.to = text
	}
	if (m.User == "") != (m.Password == "") {
		return nil, nil, errors.New("mail configuration: user and password: one of them is missing")
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("mail configuration: ca_file: %w", err)
		}
		m.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !m.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("mail configuration: ca_file: %s holds no certificate", c.CAFile)
		}
	}
	return w, m, nil
}

// Writer returns who writes the mail without who sends it: for a preview.
func (c MailConfig) writer() (*Writer, error) {
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	from, err := parseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	w := &Writer{From: from, Domain: strings.ToLower(c.Domain), Secret: secret, UnsubscribeURL: c.Unsubscribe.URL, UnsubscribeMailto: c.Unsubscribe.Mailto}
	if c.ReplyTo != "" {
		if w.ReplyTo, err = parseAddress(c.ReplyTo); err != nil {
			return nil, fmt.Errorf("reply_to: %w", err)
		}
	}
	return w, nil
}

func (c MailConfig) signer() (*Signer, error) {
	if c.DKIM == nil {
		return nil, nil //nolint:nilnil // mail that is not signed has no signer
	}
	from, err := parseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	text, err := readPrivate(c.DKIM.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("dkim.key_file: %w", err)
	}
	s, err := NewSigner(cmp.Or(c.DKIM.Domain, domainOf(from.Address)), c.DKIM.Selector, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("dkim.key_file: %s: %w", c.DKIM.KeyFile, err)
	}
	return s, nil
}

// hostname reports whether the text is a name of the DNS with a dot at least
// where it names a domain; selectors and hosts of the house may have none.
func hostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return true
}

var (
	errAddress      = errors.New("want one mail address, such as noc@example.net")
	errAddressBytes = errors.New("a mail address is of printable ASCII, at most 254 characters")
)

// parseAddress reads one address, with or without a name. What stands in a mail
// header and an SMTP command is of printable ASCII: no line break gets through.
func parseAddress(text string) (mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, errAddress
	}
	out := mail.Address{Name: unencoded(plain(a.Name, 100)), Address: a.Address}
	return out, checkAddress(out.Address)
}

func checkAddress(a string) error {
	local, domain, ok := cutLast(a, "@")
	switch {
	case !ok || local == "" || len(local) > 64 || !hostname(domain):
		return errAddress
	case len(a) > 254 || slices.ContainsFunc([]byte(a), func(b byte) bool { return b <= ' ' || b > '~' || b == '<' || b == '>' }):
		return errAddressBytes
	}
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func domainOf(address string) string {
	_, domain, _ := cutLast(address, "@")
	return strings.ToLower(domain)
}
