package persona

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/OpenPrinting/goipp"

	"ippwatch/exposure"
	"ippwatch/wire/browse"
)

// A browsed plays cups-browsed 1.28.17 with BrowseRemoteProtocols cups. It
// really calls the address that a packet names, but only a loopback address:
// played on any machine, it cannot be used against another.
type browsed struct {
	version string // of libcups, in the User-Agent
	kernel  string // release and architecture, in the User-Agent
	twice   bool   // with D-Bus and Avahi: 6 POSTs in two bursts (facts/cups.md 1.6)
	deaf    bool   // bound, but BrowseAllow names another network
	// natted makes the calls come from another loopback address than the one
	// that was asked, as from behind a translation of addresses.
	natted netip.Addr
}

const (
	secondBurst = 330 * time.Millisecond // facts/cups.md 1.6
	callTimeout = 3 * time.Second        // httpConnect2 in cups-browsed: 3000 ms
	forget      = 300 * time.Second      // BrowseTimeout: the same URI is not called again sooner
	maxKnown    = 1024                   // URIs remembered
	maxReply    = 8 << 10                // bytes of an answer that are read
)

// listen is the daemon's single thread: it reads a packet, calls, reads the
// next. It returns when the connection is closed.
func (b browsed) listen(ctx context.Context, conn net.PacketConn, self netip.Addr) {
	if b.natted.IsValid() {
		self = b.natted
	}
	known := make(map[string]time.Time)
	id := uint32(7) // the request-id counts since the daemon's start
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// An ICMP error of an earlier answer on some systems; we send none.
			if !pause(ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		packet, err := browse.Parse(buf[:n])
		if err != nil || b.deaf {
			continue
		}
		to, err := packet.Destination()
		if err != nil || !remember(known, packet.URI, time.Now()) {
			continue
		}
		b.burst(ctx, self, to, &id)
		if b.twice && pause(ctx, secondBurst) {
			b.burst(ctx, self, to, &id)
		}
	}
}

// remember notes the URI and reports whether it is new, or forgotten.
func remember(known map[string]time.Time, uri string, now time.Time) bool {
	for u, at := range known {
		if now.Sub(at) >= forget {
			delete(known, u)
		}
	}
	if _, seen := known[uri]; seen || len(known) >= maxKnown {
		return false
	}
	known[uri] = now
	return true
}

// burst makes the three calls of facts/cups.md 1.4, each on a connection of its
// own, and gives up when nobody is there.
func (b browsed) burst(ctx context.Context, self netip.Addr, to browse.Destination, id *uint32) {
	host, err := netip.ParseAddr(to.Host)
	if err != nil || !host.IsLoopback() {
		return // never a reflector: see the type
	}
	for _, ask := range []struct {
		version goipp.Version
		wanted  []string
	}{
		{goipp.MakeVersion(2, 0), []string{"all", "media-col-database"}},
		{goipp.MakeVersion(1, 1), []string{"all", "media-col-database"}},
		{goipp.MakeVersion(2, 0), []string{"all"}},
	} {
		call, err := b.call(to, ask.version, *id, ask.wanted, time.Now())
		if err != nil {
			return
		}
		*id++
		if !deliver(ctx, self, netip.AddrPortFrom(host, to.Port), call) {
			return
		}
	}
}

// call is one POST to the byte (captures/callback), but for the mark.
func (b browsed) call(to browse.Destination, v goipp.Version, id uint32, wanted []string, now time.Time) ([]byte, error) {
	m := goipp.NewRequest(v, goipp.OpGetPrinterAttributes, id)
	m.Operation.Add(goipp.MakeAttribute("attributes-charset", goipp.TagCharset, goipp.String("utf-8")))
	m.Operation.Add(goipp.MakeAttribute("attributes-natural-language", goipp.TagLanguage, goipp.String("en")))
	host := to.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	uri := fmt.Sprintf("ipp://%s:%d%s", host, to.Port, to.Path)
	m.Operation.Add(goipp.MakeAttribute("printer-uri", goipp.TagURI, goipp.String(uri)))
	asked := goipp.Attribute{Name: "requested-attributes"}
	for _, w := range wanted {
		asked.Values.Add(goipp.TagKeyword, goipp.String(w))
	}
	m.Operation.Add(asked)
	body, err := m.EncodeBytes()
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\n"+
		"Content-Length: %d\r\nContent-Type: application/ipp\r\nDate: %s\r\nHost: %s:%d\r\n"+
		"User-Agent: CUPS/%s (Linux %s) IPP/2.0 (%s)\r\nExpect: 100-continue\r\n\r\n",
		escapePath(to.Path), len(body), now.UTC().Format(http.TimeFormat), host, to.Port,
		b.version, b.kernel, exposure.SimulatedMark), body...), nil
}

// escapePath keeps a path that was decoded from breaking the request line.
func escapePath(p string) string {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if c := p[i]; c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// deliver makes one call and waits for the head of the answer, whatever it is;
// it follows nothing. It reports whether somebody was there.
func deliver(ctx context.Context, from netip.Addr, to netip.AddrPort, call []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d := net.Dialer{}
	if from.Is4() == to.Addr().Is4() && from.IsLoopback() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(call); err != nil {
		return true
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxReply)), &http.Request{Method: http.MethodPost})
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body) // a broken answer is no reason to stop: the daemon asks again
		_ = resp.Body.Close()
	}
	return true
}
