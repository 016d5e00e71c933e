package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/store"
)

// Config is the section "web" of the configuration.
type Config struct {
	Listen string `yaml:"listen"` // empty: nothing listens
	// URL is what people type; it is in the links of mails, and no other host name
	// is answered.
	URL            string   `yaml:"url"`
	TLS            Pair     `yaml:"tls"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Public opens the dashboard to whoever comes.
	Public bool `yaml:"public"`
	// SmallCell is the count below which the public is told "fewer than".
	SmallCell int `yaml:"small_cell"`
	// Annotations is a file of what happened on which day, for the dashboard.
	Annotations string        `yaml:"annotations" config:"path"`
	Session     time.Duration `yaml:"session"` // from logging in
	Idle        time.Duration `yaml:"idle"`    // without a request
	Rate        int           `yaml:"rate"`    // requests a second of one address
	// Links is how long a link in a mail shows its owner's page.
	Links time.Duration `yaml:"links"`
	// Checks is how many doors are looked at in an hour because owners ask.
	Checks int `yaml:"checks"`
	// Texts is a directory with further languages.
	Texts string `yaml:"texts" config:"path"`
}

// A Pair is a certificate and its key, as files in PEM.
type Pair struct {
	Cert string `yaml:"cert" config:"path"`
	Key  string `yaml:"key" config:"path"`
}

// Default listens nowhere.
func Default() Config {
	return Config{SmallCell: 5, Session: 12 * time.Hour, Idle: 2 * time.Hour, Rate: 50, Links: 14 * 24 * time.Hour, Checks: 60}
}

// Check complains about what cannot be, by key.
func (c *Config) Check(complain func(key string, err error)) {
	at, err := netip.ParseAddrPort(c.Listen)
	switch {
	case c.Listen == "":
	case err != nil:
		complain("listen", fmt.Errorf("%q: want an address and a port, such as 127.0.0.1:8080", c.Listen))
	case !at.Addr().IsLoopback() && c.TLS.Cert == "" && len(c.TrustedProxies) == 0:
		complain("listen", fmt.Errorf("%s: passwords would cross the network in the clear: name tls.cert and tls.key, or in trusted_proxies the proxy that has them", c.Listen))
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		complain("tls", errors.New("cert and key belong together"))
	}
	for i, p := range c.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			complain(fmt.Sprintf("trusted_proxies.%d", i), err)
		}
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		complain("url", fmt.Errorf("%q: want https:// and the name of the host", c.URL))
	}
	if c.SmallCell < 1 {
		complain("small_cell", fmt.Errorf("%d: want 1, which hides nothing, or more", c.SmallCell))
	}
	if c.Session < time.Minute {
		complain("session", fmt.Errorf("%s: want a minute or more", c.Session))
	}
	if c.Idle < time.Minute {
		complain("idle", fmt.Errorf("%s: want a minute or more", c.Idle))
	}
	if c.Links < time.Hour || c.Links > 90*24*time.Hour {
		complain("links", fmt.Errorf("%s: want an hour to 90 days (2160h)", c.Links))
	}
	if c.Checks < 0 {
		complain("checks", fmt.Errorf("%d: want a number, or 0 for none", c.Checks))
	}
	if c.Rate < 0 {
		complain("rate", fmt.Errorf("%d: want a number, or 0 for no limit", c.Rate))
	}
}

// Audience is who sees the dashboard.
func (c *Config) Audience() []access.Role {
	if c.Public {
		return slices.Clone(access.Roles)
	}
	return slices.Clone(access.Named)
}

func (c *Config) life() store.Life { return store.Life{Whole: c.Session, Idle: c.Idle} }

// Life is how long a session lasts.
func (c *Config) Life() store.Life { return c.life() }

func (c *Config) proxies() ([]prefix, error) {
	var all []prefix
	for _, s := range c.TrustedProxies {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("web.trusted_proxies: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

// parsePrefix reads a network or an address.
func parsePrefix(s string) (prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() {
		return prefix{}, fmt.Errorf("%q: want an address or a network, such as 127.0.0.1 or 192.0.2.0/24", s)
	}
	return p, nil
}
