package alarm

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"time"
)

// Config is the section "alerts" of the configuration.
type Config struct {
	Mail    string        `yaml:"mail"` // of the operator; empty: no mail
	Webhook WebhookConfig `yaml:"webhook"`
	// FeedMaxAge and OutboxMaxAge are how old the newest data of a feed, and the
	// oldest mail that waits, may be; 0: however old.
	FeedMaxAge   time.Duration `yaml:"feed_max_age"`
	OutboxMaxAge time.Duration `yaml:"outbox_max_age"`
	DiskFreeMB   int           `yaml:"disk_free_mb"`
}

// WebhookConfig is where alerts are posted to.
type WebhookConfig struct {
	// URL may be a secret itself: then it stands in URLFile.
	URL        string `yaml:"url"`
	URLFile    string `yaml:"url_file" config:"path"`
	SecretFile string `yaml:"secret_file" config:"path"`
	SecretEnv  string `yaml:"secret_env"`
}

// Default alerts in the log.
func Default() Config {
	return Config{FeedMaxAge: 36 * time.Hour, OutboxMaxAge: 4 * time.Hour, DiskFreeMB: 2048}
}

// On reports whether there is a webhook.
func (w *WebhookConfig) On() bool { return w.URL != "" || w.URLFile != "" }

// Check complains about what cannot be, by key.
func (c *Config) Check(complain func(key string, err error)) {
	if c.Mail != "" {
		if a, err := mail.ParseAddress(c.Mail); err != nil || a.Name != "" {
			complain("mail", fmt.Errorf("%q: want a mail address", c.Mail))
		}
	}
	for key, d := range map[string]time.Duration{"feed_max_age": c.FeedMaxAge, "outbox_max_age": c.OutboxMaxAge} {
		if d < 0 {
			complain(key, fmt.Errorf("%s: want a time, or 0 for never", d))
		}
	}
	if c.DiskFreeMB < 0 {
		complain("disk_free_mb", fmt.Errorf("%d: want a number of megabytes, or 0 for never", c.DiskFreeMB))
	}
	w := &c.Webhook
	switch {
	case !w.On():
		if w.SecretFile != "" || w.SecretEnv != "" {
			complain("webhook", errors.New("there is a secret and no url"))
		}
		return
	case w.URL != "" && w.URLFile != "":
		complain("webhook.url_file", errors.New("there is a url, too: leave one of them out"))
	case w.URL != "":
		if err := usable(w.URL); err != nil {
			complain("webhook.url", err)
		}
	}
	if (w.SecretFile == "") == (w.SecretEnv == "") {
		complain("webhook", errors.New("want secret_file or secret_env: what is posted is signed"))
	}
}

// usable refuses what is no place to post to. Only loopback may do without TLS.
func usable(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return errors.New("want a URL such as https://alerts.example.net/ippwatch")
	case u.User != nil:
		return errors.New("a password in a URL is no secret: use url_file")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s://%s: want https", u.Scheme, u.Host)
}
