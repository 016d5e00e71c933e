package desk

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Face is what a desk shows: a CUPS server or a device, never a mix of both.
type Face struct {
	CUPS   *CUPS
	Device *Device
	Host   string // its name, which stands in its certificate
}

// Name says in a few words what is played.
func (f Face) Name() string {
	if f.CUPS != nil {
		return "cups-" + f.CUPS.Version
	}
	return "device-" + strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, f.Device.Model))
}

// A manner is how one service speaks HTTP.
type manner interface {
	Clerk
	// page answers everything but IPP.
	page(h *head, secure bool, now time.Time) response
	// strange answers a request for how it is asked, whatever it asks.
	strange(h *head) (response, bool)
	// refuse is the error page for a status, after which the connection ends.
	refuse(status int, h *head) response
	// login asks for a password, and where that has to be for TLS first.
	login(h *head, secure bool) response
	// top is the fields that all answers have, in their order with the others.
	top(r *response, h *head, now time.Time) []field
}

func (f Face) manner() (manner, error) {
	if f.CUPS != nil {
		return f.CUPS.clerk()
	}
	return f.Device.clerk()
}

// A response is an answer in HTTP.
type response struct {
	status  int
	kind    string // Content-Type; "" for none
	body    []byte
	chunked bool // as cupsd sends what its CGI programs write
	changed time.Time
	cookie  string
	login   string // WWW-Authenticate
	upgrade string
	allow   string
	last    bool
	silent  bool // nothing is said, and the connection ends
}

// append writes the answer; that to HEAD has no body.
func (r *response) append(b []byte, m manner, h *head, now time.Time) []byte {
	proto := "HTTP/1.1"
	if h != nil && h.proto == http10 {
		proto = http10
	}
	b = fmt.Appendf(b, "%s %d %s\r\n", proto, r.status, http.StatusText(r.status))
	for _, f := range m.top(r, h, now) {
		b = append(b, f.name...)
		b = append(b, ": "...)
		b = append(b, f.value...)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	switch {
	case h != nil && h.method == http.MethodHead:
	case r.chunked:
		for rest := r.body; len(rest) > 0; {
			n := min(len(rest), 2048)
			b = fmt.Appendf(b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		b = append(b, "0\r\n\r\n"...)
	default:
		b = append(b, r.body...)
	}
	return b
}

// fields are what CUPS's own library writes, in the order in which it does: by
// their numbers in http.h (captures/tcp, captures/ippeve).
func (r *response) fields(server, language, connection string, now time.Time) []field {
	all := make([]field, 0, 16)
	add := func(name, value string) {
		if value != "" {
			all = append(all, field{name, value})
		}
	}
	add("Connection", connection)
	add("Content-Language", language)
	if !r.chunked {
		add("Content-Length", strconv.Itoa(len(r.body)))
	}
	add("Content-Type", r.kind)
	add("Date", now.UTC().Format(http.TimeFormat))
	if connection == keepAlive {
		add("Keep-Alive", "timeout=10")
	}
	if !r.changed.IsZero() {
		add("Last-Modified", r.changed.UTC().Format(http.TimeFormat))
	}
	if r.chunked {
		add("Transfer-Encoding", "chunked")
	}
	add("Upgrade", r.upgrade)
	add("WWW-Authenticate", r.login)
	add("Accept-Encoding", "gzip, deflate, identity")
	add("Allow", r.allow)
	add("Server", server)
	add("Set-Cookie", r.cookie)
	add("X-Frame-Options", "DENY")
	add("Content-Security-Policy", "frame-ancestors 'none'")
	return all
}

const (
	http10     = "HTTP/1.0"
	http11     = "HTTP/1.1"
	keepAlive  = "Keep-Alive"
	tlsOffered = "TLS/1.2,TLS/1.1,TLS/1.0"
	mediaType  = "application/ipp"
	htmlType   = "text/html; charset=utf-8"
)

// Server is the Server header: ServerTokens Minimal, or Full.
func (c CUPS) Server() string {
	if c.Tokens != "" {
		return fmt.Sprintf("CUPS/%s (%s) IPP/2.1", c.Version, c.Tokens)
	}
	return "CUPS/" + strings.Join(strings.SplitN(c.Version, ".", 3)[:2], ".") + " IPP/2.1"
}

// ErrorPage is cupsd's page for an error, whose title tells the exact version
// even with ServerTokens Minimal (captures/tcp/t5/http-get-admin-conf). The text
// is escaped.
func (c CUPS) ErrorPage(title, refresh, text string) []byte {
	var b strings.Builder
	b.WriteString("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" \"http://www.w3.org/TR/html4/loose.dtd\">\n" +
		"<HTML>\n<HEAD>\n\t<META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=utf-8\">\n")
	fmt.Fprintf(&b, "\t<TITLE>%s - CUPS v%s</TITLE>\n", title, c.Version)
	b.WriteString("\t<LINK REL=\"STYLESHEET\" TYPE=\"text/css\" HREF=\"/cups.css\">\n")
	if refresh != "" {
		fmt.Fprintf(&b, "<META HTTP-EQUIV=\"Refresh\" CONTENT=\"3;URL=%s\">\n", html.EscapeString(refresh))
	}
	fmt.Fprintf(&b, "</HEAD>\n<BODY>\n<H1>%s</H1>\n<P>%s</P>\n</BODY>\n</HTML>\n", title, html.EscapeString(text))
	return []byte(b.String())
}
