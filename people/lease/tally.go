package lease

import (
	"net/netip"
	"strings"

	"ippwatch/exposure"
)

// A Count is how many of something were open on a day.
type Count struct {
	What    string `json:"what"`  // customers, addresses, devices
	Count   int    `json:"count"` // that are known
	Unknown int    `json:"unknown"`
	Note    string `json:"note"` // what Unknown counts
}

// A Tally counts customers, addresses and devices apart: one customer has several
// addresses, one address several devices, and one device moves from address to
// address. The zero Tally has counted nothing.
type Tally struct {
	customers map[string]bool
	addrs     map[netip.Addr]bool // whether its customer is known
	devices   map[string]bool
	mute      map[netip.Addr]bool // whether a device there told its uuid
}

// Add counts an observation of something open, with the customer who had the
// address then; "" is not known.
func (t *Tally) Add(o *exposure.Observation, customer string) {
	if t.addrs == nil {
		t.customers, t.addrs = make(map[string]bool), make(map[netip.Addr]bool)
		t.devices, t.mute = make(map[string]bool), make(map[netip.Addr]bool)
	}
	addr := o.Addr.Unmap()
	t.addrs[addr] = t.addrs[addr] || customer != ""
	if customer != "" {
		t.customers[customer] = true
	}
	told := false
	for _, p := range o.Printers {
		if id := deviceID(p.Get("printer-uuid")); id != "" {
			t.devices[id] = true
			told = true
		}
	}
	t.mute[addr] = t.mute[addr] || told
}

// deviceID returns the uuid that tells a device apart, or "": the nil uuid and
// one digit over and over are what devices say that have none.
func deviceID(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.TrimPrefix(strings.TrimPrefix(s, "urn:"), "uuid:")
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" || strings.Count(digits, digits[:1]) == len(digits) {
		return ""
	}
	return s
}

// Counts returns what was counted.
func (t *Tally) Counts() []Count {
	unknown, mute := 0, 0
	for _, known := range t.addrs {
		if !known {
			unknown++
		}
	}
	for _, told := range t.mute {
		if !told {
			mute++
		}
	}
	return []Count{
		{"customers", len(t.customers), unknown, "addresses whose customer is not known"},
		{"addresses", len(t.addrs), 0, ""},
		{"devices", len(t.devices), mute, "addresses where no device told its printer-uuid"},
	}
}
