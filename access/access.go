// Package access says who may see what.
package access

import (
	"net/netip"
	"slices"
	"time"
)

// A Tier is how much of an observation a reader may see (DESIGN.md, rule 10).
type Tier int

// Tiers, from the narrowest.
const (
	Public      Tier = iota // counts by country
	Constituent             // their own hosts, whole
	Operator                // everything
)

// A View is who looks, at what, and at what time. It is a parameter of every
// read of store and archive. The zero View sees public counts only.
type View struct {
	Who      string // the account, "cli" for the command line
	Tier     Tier
	Role     Role           // of who came through a door; empty: ourselves
	Scopes   []Right        // of a key: what of the role's rights it has; nil: all
	Networks []netip.Prefix // of a Constituent; ignored for an Operator
	// Windows are networks that a Constituent sees during a time only: a customer
	// sees what was observed at its address while it was its address, and
	// nothing of who had it before or has it now.
	Windows []Window
	// ASNs and Countries are what a Constituent is known by beside its networks,
	// and Hosts, sorted, the hosts that are known to lie there: that is said of a
	// host by who found it, and not by its address.
	ASNs      []uint32
	Countries []string
	Hosts     []netip.Addr
	At        time.Time
}

// Placed reports whether the view sees hosts for where they are said to be.
func (v View) Placed() bool {
	return v.Tier == Constituent && len(v.ASNs)+len(v.Countries) > 0
}

func (v View) placed(a netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(v.Hosts, a, netip.Addr.Compare)
	return ok
}

// A Window is a network during a time.
type Window struct {
	Prefix   netip.Prefix
	From, To time.Time // From <= t < To; zero: no bound
}

// Holds reports whether the time lies in the window.
func (w Window) Holds(at time.Time) bool {
	return !at.Before(w.From) && (w.To.IsZero() || at.Before(w.To))
}

// CLI is the view of somebody who may read the data directory itself.
func CLI(at time.Time) View { return View{Who: "cli", Tier: Operator, At: at} }

// Host reports whether the view may see the host as such, at whatever time:
// [View.Sees] decides about what was observed there.
func (v View) Host(a netip.Addr) bool {
	switch v.Tier {
	case Operator:
		return true
	case Constituent:
		for _, p := range v.Networks {
			if p.Contains(a) {
				return true
			}
		}
		for _, w := range v.Windows {
			if w.Prefix.Contains(a) {
				return true
			}
		}
		return v.placed(a)
	}
	return false
}

// Sees reports whether the view may see what was observed at the host at the
// time.
func (v View) Sees(a netip.Addr, at time.Time) bool {
	_, ok := v.Window(a, at)
	return ok
}

// Window returns the time around at during which the view sees the host; one
// without bounds for whoever sees it always.
func (v View) Window(a netip.Addr, at time.Time) (Window, bool) {
	switch v.Tier {
	case Operator:
		return Window{Prefix: netip.PrefixFrom(a, a.BitLen())}, true
	case Constituent:
		for _, p := range v.Networks {
			if p.Contains(a) {
				return Window{Prefix: p}, true
			}
		}
		for _, w := range v.Windows {
			if w.Prefix.Contains(a) && w.Holds(at) {
				return w, true
			}
		}
		if v.placed(a) {
			return Window{Prefix: netip.PrefixFrom(a, a.BitLen())}, true
		}
	}
	return Window{}, false
}

// Whole returns every network that the view sees something of; the hosts of a
// view that is [View.Placed] lie anywhere.
func (v View) Whole() []netip.Prefix {
	if len(v.Windows) == 0 {
		return v.Networks
	}
	all := slices.Clone(v.Networks)
	for _, w := range v.Windows {
		all = append(all, w.Prefix)
	}
	return all
}

// Overlaps reports whether the view sees anything of the network: of a view that
// is [View.Placed], whether a host that is known to be theirs lies in it.
func (v View) Overlaps(p netip.Prefix) bool {
	switch v.Tier {
	case Operator:
		return true
	case Constituent:
		i, _ := slices.BinarySearchFunc(v.Hosts, p.Masked().Addr(), netip.Addr.Compare)
		return i < len(v.Hosts) && p.Contains(v.Hosts[i]) || slices.ContainsFunc(v.Whole(), p.Overlaps)
	}
	return false
}
