package pulse

import (
	"fmt"
	"net/netip"
)

// Config is the section "metrics" of the configuration.
type Config struct {
	Listen string `yaml:"listen"` // empty: nothing listens
	// Public admits an address that is not loopback.
	Public bool `yaml:"public"`
}

// Default listens on loopback.
func Default() Config { return Config{Listen: "127.0.0.1:9631"} }

// Check complains about what cannot be, by key.
func (c *Config) Check(complain func(key string, err error)) {
	if c.Listen == "" {
		return
	}
	at, err := netip.ParseAddrPort(c.Listen)
	switch {
	case err != nil:
		complain("listen", fmt.Errorf("%q: want an address and a port, such as 127.0.0.1:9631", c.Listen))
	case !at.Addr().IsLoopback() && !c.Public:
		complain("listen", fmt.Errorf("%s: others can read there who is exposed; if they may, write public: true beside it", c.Listen))
	}
}
