// Package soc writes visits at a sensor in the forms that security operations
// centres and CSIRTs take in.
//
// None of them calls anybody an attacker for one UDP packet: its source can be
// forged, and the host of its call-back may be the victim.
package soc

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"ippwatch/exposure"
)

// Options change what is written.
type Options struct {
	// Withhold leaves out where the sensor is and what it is called.
	Withhold bool
	// Where is where an address is and whose, for victims; nil knows nothing.
	Where func(netip.Addr) exposure.Where
}

func (o Options) where(a netip.Addr) exposure.Where {
	if o.Where == nil || !a.IsValid() {
		return exposure.Where{}
	}
	return o.Where(a)
}

// withheld returns the visit as it may be told.
func (o Options) withheld(v exposure.Visit) exposure.Visit {
	if o.Withhold {
		v.Sensor, v.Persona, v.Dst = "", "", netip.Addr{}
	}
	return v
}

// NDJSON returns the visit in our own form (docs/visit.schema.json).
func NDJSON(v exposure.Visit, o Options) ([]byte, error) { return marshal(o.withheld(v)) }

func marshal(value any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// Victim returns whom the visit would have made others call, if that is somebody
// else than the sender and no known check: the address of the call-back.
func Victim(v *exposure.Visit) (netip.AddrPort, bool) {
	c := v.Callback
	if c == nil || !c.Addr.IsValid() || c.Relation != exposure.ToThird && c.Relation != exposure.ToOwn {
		return netip.AddrPort{}, false
	}
	if v.Class != exposure.Solicitation && v.Class != exposure.Padded {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(c.Addr, c.Port), true
}

// message is the visit in a sentence.
func message(v *exposure.Visit) string {
	what := strings.ReplaceAll(string(v.Class), "_", " ")
	if v.Callback != nil {
		return fmt.Sprintf("%s: asks for a call to %s (%s); a check and an attack send the same", what, v.Callback.Host, v.Callback.Relation)
	}
	if len(v.Evidence) > 0 {
		return what + ": " + v.Evidence[0]
	}
	return what
}

// application is what is spoken.
func application(v *exposure.Visit) string {
	if v.Transport == exposure.UDP {
		return "cups-browsed"
	}
	return "ipp"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
