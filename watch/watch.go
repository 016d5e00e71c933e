// Package watch finds in what an edge has seen the hosts that answered a browse
// packet: a datagram to 631/UDP came in, and within ten minutes the host called
// whom it named.
package watch

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/wire/browse"
)

// Window is how long after a packet a call still counts: cups-browsed has called
// within milliseconds wherever it was measured, and up to 300 seconds are
// reported (facts/sensor.md, section 3).
const Window = 10 * time.Minute

// skew is how far the clocks of two logs may differ.
const skew = 2 * time.Second

// Bounds of what is remembered. What is forgotten because of them is counted.
const (
	mostPackets = 1 << 19 // of all hosts
	mostOfHost  = 256     // of one
	mostCalls   = 1 << 18
	callsOfHost = 4096
	mostNames   = 1 << 18 // addresses that a log gives names
	mostOfName  = 16      // addresses of one name
	mostText    = 1024    // bytes of a text
)

// A Packet is a datagram that came to 631/UDP of a host.
type Packet struct {
	At     time.Time
	From   netip.AddrPort // anybody can write it there
	To     netip.AddrPort
	Bytes  int  // of payload; 0 when the log does not tell
	Read   bool // the log has the payload: Browse says what it asks
	Browse browse.Packet
	Where  string // file and line, or packet
}

// A Call is a TCP connection that a host opened, or a request that it made.
type Call struct {
	At    time.Time
	From  netip.AddrPort // the host
	To    netip.AddrPort
	Bytes int // of payload from the host; 0 when the log does not tell
	// Of a request in HTTP:
	Method, Host, URI, UserAgent string
	Where                        string
}

// http reports whether the log tells of a request and not only of a connection.
func (c *Call) request() bool { return c.Method != "" }

// byCUPS reports whether the request is one that cups-browsed makes
// (facts/cups.md, section 1.4).
func (c *Call) byCUPS() bool {
	return c.Method == http.MethodPost && strings.HasPrefix(c.UserAgent, "CUPS/") && printPath(c.URI)
}

func printPath(p string) bool {
	p = strings.ToLower(p)
	return strings.HasPrefix(p, "/printers/") || strings.HasPrefix(p, "/classes/")
}

// A Match says how a call was found to be the answer to a packet.
type Match string

// Matches, the strongest first.
const (
	// Address: the packet names an address, and the host called it there.
	Address Match = "address"
	// Name: the packet names a name, and the log itself shows that it means whom
	// the host called, by a DNS answer or a Host header. Nothing is resolved.
	Name Match = "name"
	// Request: the log does not have the packet's content, but the host posted to
	// /printers/ or /classes/ as CUPS does.
	Request Match = "request"
	// Source: the log has neither. The host opened a connection to the address in
	// the packet's source, which may have other reasons.
	Source Match = "source"
)

// rank orders matches; the lower is stronger.
func (m Match) rank() int { return slices.Index([]Match{Address, Name, Request, Source}, m) }

// Proves reports whether the match says that the host is vulnerable.
func (m Match) Proves() bool { return m != Source }

// A Sighting is a host that answered.
type Sighting struct {
	Host      netip.Addr     `json:"host"`
	Packet    time.Time      `json:"packet"` // when it came
	From      netip.Addr     `json:"packet_source"`
	Announced string         `json:"announced,omitempty"` // host and port in the packet
	Called    netip.AddrPort `json:"called"`
	Call      time.Time      `json:"call"` // the first
	Match     Match          `json:"match"`
	Posts     int            `json:"posts,omitempty"`
	Calls     int            `json:"connections"`
	Bytes     int            `json:"bytes,omitempty"`        // that the host sent
	Asked     int            `json:"packet_bytes,omitempty"` // of payload
	UserAgent string         `json:"user_agent,omitempty"`
	Token     string         `json:"path,omitempty"` // of the announced URI
	Where     []string       `json:"where"`          // of the packet and the first call
}

// Counts are what a watcher has seen, and what it had to forget.
type Counts struct {
	Packets   int `json:"packets"`   // to 631/UDP
	Calls     int `json:"calls"`     // connections and requests that were looked at
	Names     int `json:"names"`     // addresses that the logs give names
	Forgotten int `json:"forgotten"` // of these, because there were too many
}

// A Watcher puts packets and calls together, in whatever order they are told:
// logs write a flow when it ends. The zero value is not ready: see [New].
type Watcher struct {
	// Own are the networks whose hosts are looked at; none: all.
	Own    []netip.Prefix
	Counts Counts

	packets map[netip.Addr][]Packet
	kept    int
	early   bool                    // calls may come before their packets
	calls   map[netip.Addr][]*heard // then they are kept, by host
	turn    []netip.Addr            // of calls: a ring of whose is the oldest
	next    int
	names   map[string][]netip.Addr // in lower case
	open    map[key]*answered
	order   []key
	newest  time.Time // of what was told
	swept   time.Time
}

// An answered packet, and the calls that answer it.
type answered struct {
	packet  Packet
	calls   []*heard // at most callsOfOne
	told    bool
	touched bool // since Settled looked last
}

// A heard call belongs to the packet that it answers best.
type heard struct {
	Call
	to    key // of the packet; the zero key: none
	match Match
}

// callsOfOne is how many calls of one packet are counted: a daemon that calls
// without end shall not fill the memory.
const callsOfOne = 256

type key struct {
	host   netip.Addr
	called netip.AddrPort
	packet int64
}

// New returns a watcher. With early, calls are remembered for packets that are
// told later, as they must be where a log is read while it is written.
func New(early bool) *Watcher {
	return &Watcher{
		early: early, calls: make(map[netip.Addr][]*heard), packets: make(map[netip.Addr][]Packet), names: make(map[string][]netip.Addr), open: make(map[key]*answered),
	}
}

func (w *Watcher) ours(a netip.Addr) bool {
	return len(w.Own) == 0 || slices.ContainsFunc(w.Own, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Packet tells of a datagram to 631/UDP.
func (w *Watcher) Packet(p Packet) {
	host := p.To.Addr()
	if !w.ours(host) || p.Read && !asks(p) {
		return
	}
	w.Counts.Packets++
	w.newest = later(w.newest, p.At)
	if w.kept >= mostPackets {
		w.Counts.Forgotten++
		return
	}
	list := w.packets[host]
	if len(list) >= mostOfHost {
		w.Counts.Forgotten++
		list = slices.Delete(list, 0, 1)
		w.kept--
	}
	w.packets[host] = append(list, p)
	w.kept++
	for _, c := range w.calls[host] {
		w.pair(&p, c)
	}
}

// asks reports whether the packet asks for a call.
func asks(p Packet) bool {
	_, err := p.Browse.Destination()
	return err == nil
}

// Name tells that a log shows an address for a name.
func (w *Watcher) Name(name string, a netip.Addr) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	list := w.names[name]
	if name == "" || len(name) > 255 || slices.Contains(list, a) {
		return
	}
	if len(list) >= mostOfName || list == nil && len(w.names) >= mostNames {
		w.Counts.Forgotten++
		return
	}
	w.names[name] = append(list, a)
	w.Counts.Names++
}

// Call tells of a connection or a request of a host.
func (w *Watcher) Call(c Call) {
	host := c.From.Addr()
	if !w.ours(host) || c.To.Addr() == host {
		return
	}
	w.Counts.Calls++
	w.newest = later(w.newest, c.At)
	h := &heard{Call: c}
	for i := range w.packets[host] {
		w.pair(&w.packets[host][i], h)
	}
	if w.early {
		w.keep(h)
	}
}

// keep remembers a call for packets that are told later. The oldest goes when
// there are too many.
func (w *Watcher) keep(c *heard) {
	host := c.From.Addr()
	if len(w.turn) < mostCalls {
		w.turn = append(w.turn, host)
	} else {
		// Its calls may be forgotten already, because they were too old.
		if list := w.calls[w.turn[w.next]]; len(list) > 0 {
			w.Counts.Forgotten++
			w.drop(w.turn[w.next], 1)
		}
		w.turn[w.next] = host
		w.next = (w.next + 1) % mostCalls
	}
	if len(w.calls[host]) >= callsOfHost {
		w.Counts.Forgotten++
		w.drop(host, 1)
	}
	w.calls[host] = append(w.calls[host], c)
}

// drop forgets the first n calls of a host.
func (w *Watcher) drop(host netip.Addr, n int) {
	if rest := w.calls[host][n:]; len(rest) > 0 {
		w.calls[host] = rest
	} else {
		delete(w.calls, host)
	}
}

// pair puts a call to a packet, if it is the answer, and a better one than to
// the packet where it is. Of the packets that fit, it answered the one that says
// most, and of these the newest: a flow log has a packet without its content,
// another log with it.
func (w *Watcher) pair(p *Packet, c *heard) {
	m := w.match(p, &c.Call)
	if m == "" {
		return
	}
	k := key{p.To.Addr(), c.To, p.At.UnixNano()}
	if was := w.open[c.to]; was != nil {
		if m.rank() > c.match.rank() || m == c.match && !p.At.After(was.packet.At) {
			return
		}
		was.calls = slices.DeleteFunc(was.calls, func(one *heard) bool { return one == c })
		was.touched = true
	}
	c.to, c.match = k, m
	s := w.open[k]
	if s == nil {
		s = &answered{packet: *p}
		w.open[k] = s
		w.order = append(w.order, k)
	}
	if p.Read {
		s.packet = *p
	}
	s.touched = true
	if len(s.calls) < callsOfOne {
		s.calls = append(s.calls, c)
	}
}

// sighting says what came of it.
func (s *answered) sighting() Sighting {
	slices.SortStableFunc(s.calls, func(a, b *heard) int { return a.At.Compare(b.At) })
	first := s.calls[0]
	found := Sighting{
		Host: s.packet.To.Addr(), Packet: s.packet.At, From: s.packet.From.Addr(), Called: first.To, Call: first.At, Match: first.match,
		Asked: s.packet.Bytes, Where: []string{s.packet.Where, first.Where},
	}
	if d, err := s.packet.Browse.Destination(); s.packet.Read && err == nil {
		found.Announced, found.Token = announced(d), clip(d.Path)
	}
	for _, c := range s.calls {
		if c.match.rank() < found.Match.rank() {
			found.Match = c.match
		}
		if !c.request() {
			found.Calls++
			found.Bytes += c.Bytes
			continue
		}
		found.Posts++
		if found.UserAgent == "" {
			found.UserAgent = clip(c.UserAgent)
		}
	}
	found.Calls = max(found.Calls, 1) // a log may tell of requests only
	return found
}

func announced(d browse.Destination) string {
	if a, err := netip.ParseAddr(d.Host); err == nil {
		return netip.AddrPortFrom(a, d.Port).String()
	}
	return clip(d.Host) + ":" + portText(d.Port)
}

// match says how the call answers the packet; "" when it does not.
func (w *Watcher) match(p *Packet, c *Call) Match {
	if after := c.At.Sub(p.At); after < -skew || after > Window {
		return ""
	}
	if !p.Read {
		switch {
		case c.byCUPS():
			return Request
		case !c.request() && c.To.Addr() == p.From.Addr():
			return Source
		}
		return ""
	}
	d, err := p.Browse.Destination()
	if err != nil || c.To.Port() != d.Port {
		return ""
	}
	if a, err := netip.ParseAddr(d.Host); err == nil {
		if a.Unmap() == c.To.Addr() {
			return Address
		}
		return ""
	}
	if slices.Contains(w.names[strings.ToLower(strings.TrimSuffix(d.Host, "."))], c.To.Addr()) {
		return Name
	}
	if host, _, _ := strings.Cut(c.Host, ":"); c.request() && c.Method == http.MethodPost && strings.EqualFold(host, d.Host) {
		return Name
	}
	return ""
}

// Take returns the sightings whose packets came before the time, in the order of
// their calls, and forgets what is older than the window: nothing can be added to
// it. A zero time takes all.
func (w *Watcher) Take(before time.Time) []Sighting {
	var found []Sighting
	w.order = slices.DeleteFunc(w.order, func(k key) bool {
		s := w.open[k]
		if !before.IsZero() && !s.packet.At.Before(before) {
			return false
		}
		if !s.told && len(s.calls) > 0 {
			found = append(found, s.sighting())
		}
		delete(w.open, k)
		return true
	})
	if !before.IsZero() {
		w.forget(before)
	}
	return settle(found)
}

// lag is how long after a flow has ended a log may tell of it.
const lag = 15 * time.Minute

// Settled returns the sightings to which nothing was added since it was called
// last, each once: of a log that is still being written more may come, so their
// counts are a lower bound. What is too old for anything to be added is
// forgotten.
func (w *Watcher) Settled(now time.Time) []Sighting {
	var found []Sighting
	for _, k := range w.order {
		s := w.open[k]
		if !s.told && !s.touched && len(s.calls) > 0 {
			s.told = true
			found = append(found, s.sighting())
		}
		s.touched = false
	}
	newest := w.newest
	if now.Before(newest) { // a clock that is ahead must not make us forget
		newest = now
	}
	if old := newest.Add(-Window - lag); old.Sub(w.swept) >= time.Minute {
		w.swept = old
		found = append(found, w.Take(old)...)
	}
	return settle(found)
}

func (w *Watcher) forget(before time.Time) {
	for host, list := range w.packets {
		n := len(list)
		list = slices.DeleteFunc(list, func(p Packet) bool { return p.At.Before(before) })
		w.kept -= n - len(list)
		if len(list) == 0 {
			delete(w.packets, host)
		} else {
			w.packets[host] = list
		}
	}
	for host, list := range w.calls {
		if n := len(list); list[n-1].At.Before(before) {
			w.drop(host, n)
		}
	}
}

// settle sorts by the time of the call.
func settle(found []Sighting) []Sighting {
	slices.SortStableFunc(found, func(a, b Sighting) int {
		return cmp.Or(a.Call.Compare(b.Call), a.Host.Compare(b.Host), a.Called.Compare(b.Called))
	})
	return found
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func clip(s string) string {
	if len(s) > mostText {
		return strings.ToValidUTF8(s[:mostText], "")
	}
	return s
}
