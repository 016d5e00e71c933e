package surge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ippwatch/exposure"
)

// A Sign is what needs no statistics.
type Sign string

// Signs.
const (
	// Aimed: several sensors were asked to call one host. Somebody is making others
	// call it: it is the scanner's, or the victim.
	Aimed Sign = "aimed"
	// Inward: a packet names a host in the operator's own networks.
	Inward Sign = "inward"
	// Third: for the first time a packet names that address, which is not the
	// sender's.
	Third Sign = "third-party"
)

// A Finding is a sign, for as long as it lasts.
type Finding struct {
	Sign    Sign      `json:"sign"`
	Host    string    `json:"host"` // of the call-back; an address
	Began   time.Time `json:"began"`
	Last    time.Time `json:"last"`
	Sensors []string  `json:"sensors"`
	Source  string    `json:"source"` // of the first; anybody can write it there
}

// Aims remembers whom packets name. Its fields can be kept as JSON.
type Aims struct {
	Hosts   map[netip.Addr]*aim `json:"hosts"`
	Dropped int                 `json:"dropped"` // hosts that were forgotten because there were too many
}

// An aim is one host that packets name.
type aim struct {
	First   time.Time            `json:"first"`
	Last    time.Time            `json:"last"`
	Inward  time.Time            `json:"inward,omitzero"` // last time that it was ours
	Third   bool                 `json:"third,omitempty"`
	Sensors map[string]time.Time `json:"sensors"` // the last time
	Source  string               `json:"source"`
}

const (
	// recent is how long a sign lasts after it was seen last.
	recent = 24 * time.Hour
	// Agree is how many sensors must have been asked to call one host.
	Agree = 2
	// remember is how long a host that was named is not named for the first time.
	remember    = 90 * 24 * time.Hour
	mostAims    = 1 << 14
	mostSensors = 64 // of one host
	mostThird   = 20 // findings of a first time at once
)

// NewAims returns aims that remember nothing.
func NewAims() *Aims { return &Aims{Hosts: make(map[netip.Addr]*aim)} }

// Visit takes in one visit. Those from and to listed scanners are no signs: their
// own hosts are named by their own packets, every day.
func (a *Aims) Visit(v *exposure.Visit) {
	c := v.Callback
	if c == nil || !c.Addr.IsValid() || v.Class == exposure.Research || len(v.Scanners) > 0 {
		return
	}
	host := c.Addr.Unmap().WithZone("")
	if a.Hosts == nil {
		a.Hosts = make(map[netip.Addr]*aim)
	}
	one := a.Hosts[host]
	if one == nil || v.Observed.Sub(one.Last) > remember {
		if one == nil && len(a.Hosts) >= mostAims {
			a.makeRoom()
		}
		one = &aim{First: v.Observed, Sensors: make(map[string]time.Time), Source: v.Addr.String()}
		a.Hosts[host] = one
	}
	if v.Observed.After(one.Last) {
		one.Last = v.Observed
	}
	if _, known := one.Sensors[v.Sensor]; known || len(one.Sensors) < mostSensors {
		if v.Observed.After(one.Sensors[v.Sensor]) {
			one.Sensors[v.Sensor] = v.Observed
		}
	}
	switch c.Relation {
	case exposure.ToOwn:
		if v.Observed.After(one.Inward) {
			one.Inward = v.Observed
		}
	case exposure.ToThird:
		one.Third = true
	}
}

// makeRoom forgets the quarter that was named longest ago: strangers can name as
// many hosts as they like.
func (a *Aims) makeRoom() {
	hosts := make([]netip.Addr, 0, len(a.Hosts))
	for h := range a.Hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(x, y netip.Addr) int {
		return cmp.Or(a.Hosts[x].Last.Compare(a.Hosts[y].Last), x.Compare(y))
	})
	for _, h := range hosts[:len(hosts)/4] {
		delete(a.Hosts, h)
		a.Dropped++
	}
}

// Findings returns the signs of the last day.
func (a *Aims) Findings(now time.Time) []Finding {
	var all []Finding
	thirds := 0
	hosts := make([]netip.Addr, 0, len(a.Hosts))
	for h := range a.Hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, netip.Addr.Compare)
	for _, h := range hosts {
		one := a.Hosts[h]
		f := Finding{Host: h.String(), Began: one.First, Last: one.Last, Source: one.Source}
		for s, at := range one.Sensors {
			if now.Sub(at) < recent {
				f.Sensors = append(f.Sensors, s)
			}
		}
		slices.Sort(f.Sensors)
		// One sign for a host, the worst.
		switch {
		case now.Sub(one.Inward) < recent:
			f.Sign = Inward
		case len(f.Sensors) >= Agree:
			f.Sign = Aimed
		case one.Third && now.Sub(one.First) < recent && thirds < mostThird:
			f.Sign = Third
			thirds++
		default:
			continue
		}
		all = append(all, f)
	}
	return all
}

// Name is that of the alert.
func (f Finding) Name() string { return fmt.Sprintf("surge %s %s", f.Sign, f.Host) }

// Detail says what is known, and not more.
func (f Finding) Detail() string {
	at := list(f.Sensors)
	switch f.Sign {
	case Inward:
		return fmt.Sprintf("browse packets to %s ask to call %s, which is yours; the first had the source %s, which can be forged", at, f.Host, f.Source)
	case Aimed:
		return fmt.Sprintf("browse packets to %s ask to call one host, %s: it is the scanner's, or whom they are to flood; the first had the source %s, which can be forged", at, f.Host, f.Source)
	}
	return fmt.Sprintf("a browse packet to %s asks for the first time to call %s, which did not send it: the source is %s, which can be forged", at, f.Host, f.Source)
}

// Step says what to check.
func (f Finding) Step() string {
	if f.Sign == Inward {
		return fmt.Sprintf("look at %s for POST requests to /printers/ and /classes/ with a User-Agent of CUPS, and who sends them; "+
			"keep 631/UDP from coming in at the edge; ippwatch watch finds your own hosts that call", f.Host)
	}
	return fmt.Sprintf("ippwatch watch finds hosts of yours that call %s; keep 631/UDP from coming in at the edge; whose %s is tells whom to warn", f.Host, f.Host)
}

// list names the first few.
func list(names []string) string {
	const few = 5
	text := ""
	for i, n := range names {
		switch {
		case i == few:
			return fmt.Sprintf("%s and %d more", text, len(names)-few)
		case i > 0:
			text += ", "
		}
		text += n
	}
	if text == "" {
		return "no sensor of the last day"
	}
	return text
}
