package grab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// versions are tried in this order: ippeveprinter answers HTTP 400 to 2.1, and
// some devices know 1.1 only (facts/scanner.md, section 6).
var versions = [...]ipp.Version{ipp.Version20, ipp.Version11}

// adminPages are asked for with Options.Admin; what counts is their status.
var adminPages = [...]string{"/admin", "/admin/conf/cupsd.conf", "/admin/log/error_log"}

// A conversation is everything that is said to one target. It goes as
// facts/cups.md, section 2, has it: CUPS-Get-Printers, and what rejects that
// is asked as a single printer.
type conversation struct {
	g        *Grabber
	ctx      context.Context
	target   netip.AddrPort
	host     string // the address as Host and URIs have it, IPv6 in brackets
	deadline time.Time
	o        exposure.Observation

	link    *link
	version ipp.Version
	id      uint32
	path    string // at which IPP was spoken

	overTLS      bool // connections are TLS
	triedTLS     bool
	required     bool // nothing was to be had in plain
	wantsUpgrade bool // the host answered 426
	upgrades     bool // TLS comes by RFC 2817
	cupsd        bool // the Server header names CUPS

	rank    int // of the verdict so far
	success bool
}

// An answer is the outcome of one exchange in IPP.
type answer struct {
	reply
	f   *fault
	ipp *ipp.Message // nil when what came is not IPP
}

func (a answer) status() ipp.Status { return a.ipp.Status() }

// run holds the conversation.
func (c *conversation) run() {
	if c.g.opt.TLSFirst {
		if f := c.secure(); f != nil && !f.verdict.Spoke() {
			c.judge(answer{f: f}, "")
			return
		}
	}
	c.talk()
	if c.o.HTTP != nil && c.o.HTTP.Status == 400 && c.o.Verdict == exposure.NotIPP && !c.g.opt.NoTLSCheck {
		// What some servers say to plain HTTP on a port for TLS.
		if c.require() {
			c.talk()
		}
	}
	if c.o.Verdict != exposure.Answered && c.o.Verdict != exposure.Restricted {
		return
	}
	if c.g.opt.Jobs && c.o.Verdict == exposure.Answered {
		c.askJobs()
	}
	if c.g.opt.Admin {
		c.askPages()
	}
	if !c.triedTLS && !c.g.opt.NoTLSCheck {
		c.checkTLS()
	}
}

// talk asks for printers until it knows what is there.
func (c *conversation) talk() {
	a := c.ask(ipp.CUPSGetPrinters, "/")
	if a.ipp != nil && a.status().Successful() && len(c.o.Printers) > 0 && (c.cupsd || ofCUPS(c.o.Printers)) {
		if c.o.CUPS == nil {
			c.o.CUPS = &exposure.CUPS{}
		}
		c.o.CUPS.Queues = true
	}
	if c.settled(a) {
		return
	}
	for _, path := range []string{"/ipp/print", "/"} {
		a := c.ask(ipp.GetPrinterAttributes, path)
		if c.settled(a) || restricts(a.reply.status) {
			return
		}
	}
}

// settled reports whether an answer ends the search: a list, a refusal, a cupsd
// without a queue of that name (0x0406), or a broken connection.
func (c *conversation) settled(a answer) bool {
	switch {
	case a.f != nil || c.ctx.Err() != nil:
		return true
	case a.ipp == nil:
		return c.cupsd && restricts(a.reply.status)
	}
	switch s := a.status(); s {
	case ipp.StatusNotFound:
		return c.cupsd
	case ipp.StatusForbidden, ipp.StatusNotAuthenticated, ipp.StatusNotAuthorized:
		return true
	default:
		return s.Successful()
	}
}

func restricts(status int) bool { return status == 401 || status == 403 || status == 426 }

// ask makes one request in IPP, in the version that the host wants, over TLS
// where it wants that, and after redirects on the same address and port.
func (c *conversation) ask(op ipp.Operation, path string) answer {
	a := c.exchange(op, path)
	for redirects := 0; ; {
		switch next, overTLS, ok := c.redirect(a, path); {
		case !c.overTLS && !c.triedTLS && c.wantsTLS(a):
			c.wantsUpgrade = a.reply.status == 426
			if !c.require() {
				return a
			}
		case c.outdated(a):
			c.version = ipp.Version11
		case ok && redirects < c.g.opt.Limits.Redirects && (overTLS == c.overTLS || overTLS && c.require()):
			path = next
			redirects++
		default:
			return a
		}
		a = c.exchange(op, path)
	}
}

// wantsTLS reports whether the host refused plain HTTP.
func (c *conversation) wantsTLS(a answer) bool {
	if a.f != nil {
		return a.f.silent || a.f.alert
	}
	return a.reply.status == 426
}

// outdated reports whether the host wants an older version of IPP.
func (c *conversation) outdated(a answer) bool {
	if a.f != nil || c.version != ipp.Version20 {
		return false
	}
	if a.ipp != nil {
		return a.status() == ipp.StatusVersionNotSpoken
	}
	return a.reply.status == 400
}

// redirect returns where an answer leads, if that is here.
func (c *conversation) redirect(a answer, path string) (next string, overTLS, ok bool) {
	switch a.reply.status {
	case 301, 302, 303, 307, 308:
	default:
		return "", false, false
	}
	base := &url.URL{Scheme: "http", Host: c.host, Path: path}
	if c.overTLS {
		base.Scheme = "https"
	}
	u, err := base.Parse(a.head.location)
	if err != nil || u.User != nil {
		return "", false, false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "ipp": "631", "ipps": "631"}[u.Scheme]
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil || addr != c.target.Addr().WithZone("") || port != fmt.Sprint(c.target.Port()) {
		return "", false, false
	}
	next = u.EscapedPath()
	if next == "" {
		next = "/"
	}
	return next, u.Scheme == "https" || u.Scheme == "ipps", true
}

// exchange makes one request in IPP and takes in what came back.
func (c *conversation) exchange(op ipp.Operation, path string) answer {
	c.id++
	req := ipp.Request{Operation: op, Version: c.version, ID: c.id}
	switch op {
	case ipp.CUPSGetPrinters:
		req.Limit, req.Requested = c.g.opt.Limits.Printers, requested
	case ipp.GetJobs:
		req.URI, req.Limit, req.Requested = "ipp://"+c.host+path, 1, []string{"job-id"}
	default:
		req.URI, req.Requested = "ipp://"+c.host+path, requested
	}
	a := answer{}
	a.reply, a.f = c.do(request{method: "POST", path: path, ipp: req.Append(make([]byte, 0, requestSize))}, true)
	parser := c.g.parsers.Get().(*ipp.Parser)
	if m := parser.Parse(a.body, c.g.opt.Limits.message()); spoken(&m, a.reply, c.id) {
		a.ipp = &m
	}
	if !isIPP(a.reply) {
		a.title = title(clip(a.body, c.g.opt.Limits.Page))
	}
	c.record(op.String(), path, a)
	if op == ipp.GetJobs {
		if a.ipp != nil {
			c.o.Jobs = c.g.opt.Limits.jobs(a.ipp)
		}
	} else {
		c.judge(a, path)
	}
	if a.ipp != nil {
		a.ipp.Groups = nil // the parser's
	}
	parser.Forget()
	c.g.parsers.Put(parser)
	if a.buf != nil {
		c.g.bodies.Put(a.buf)
		a.buf, a.body = nil, nil
	}
	return a
}

// spoken reports whether the message is IPP, and not a page that happens to
// begin like it: something was read beyond the header, in a version that
// exists, and the header of HTTP or the request-id says that it is meant for us.
func spoken(m *ipp.Message, rep reply, id uint32) bool {
	if major := m.Version.Major(); major < 1 || major > 2 {
		return false
	}
	attributes := 0
	for _, g := range m.Groups {
		attributes += len(g.Attributes)
	}
	if m.Stopped != "" && attributes == 0 || m.Size < 9 {
		return false
	}
	return isIPP(rep) || m.RequestID == id
}

func isIPP(rep reply) bool {
	return strings.HasPrefix(strings.ToLower(rep.head.contentType), "application/ipp")
}

// body returns an empty buffer for a body.
func (c *conversation) body() *bytes.Buffer {
	buf := c.g.bodies.Get().(*bytes.Buffer)
	if buf.Cap() > 64<<10 {
		buf = new(bytes.Buffer) // let the few large ones go
	}
	buf.Reset()
	return buf
}

// requestSize is what our longest request needs, or nearly.
const requestSize = 2048

// do makes one exchange in HTTP, on the connection that there is, or a new one.
// Only with whole is the body read, into a buffer that the caller gives back;
// otherwise the connection is closed after the header.
func (c *conversation) do(req request, whole bool) (reply, *fault) {
	for {
		if c.link == nil {
			connect := c.connect
			if c.overTLS {
				connect = c.secureConnect
			}
			if f := connect(); f != nil {
				return reply{}, f
			}
		} else if f := c.allowed(time.Now()); f != nil {
			c.hangUp()
			return reply{}, f
		}
		l := c.link
		again := l.used
		out := c.body()
		out.Grow(requestSize)
		f := l.send(req.append(out.AvailableBuffer(), c.host, c.g.agent))
		c.g.bodies.Put(out)
		var rep reply
		if f == nil {
			rep, f = l.readHead(false)
		}
		if f == nil && whole {
			// Not before: a thousand that wait for an answer need no buffers.
			rep.buf = c.body()
			f = l.readBody(&rep, rep.buf)
		}
		l.used = true
		if f != nil || !rep.keep {
			c.hangUp()
		}
		if f != nil && f.silent && again {
			continue // it had closed the idle connection; a new one is not used
		}
		return rep, f
	}
}

// askJobs asks whether jobs are listed to strangers: one, and its number only.
func (c *conversation) askJobs() {
	a := c.exchange(ipp.GetJobs, c.path)
	if a.f != nil {
		c.note("Get-Jobs: " + cmp.Or(a.f.reason, string(a.f.verdict)))
	}
}

// askPages asks for the status of the administrator's pages. A page that wants
// TLS is asked again with it: cupsd says 426 first, even to those it would
// give the page.
func (c *conversation) askPages() {
	for _, path := range adminPages {
		rep, f := c.page(path)
		if f == nil && rep.status == 426 && !c.triedTLS {
			c.wantsUpgrade = true
			if c.secure() == nil {
				rep, f = c.page(path)
			}
		}
		if f != nil {
			c.note("GET " + path + ": " + cmp.Or(f.reason, string(f.verdict)))
			return
		}
		if c.o.HTTP.Pages == nil {
			c.o.HTTP.Pages = make(map[string]int, len(adminPages))
		}
		c.o.HTTP.Pages[path] = rep.status
	}
}

// page asks for the status of one page; its body is never read.
func (c *conversation) page(path string) (reply, *fault) {
	rep, f := c.do(request{method: "GET", path: path}, false)
	c.record("GET", path, answer{reply: rep, f: f})
	return rep, f
}
