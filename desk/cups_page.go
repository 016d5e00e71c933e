package desk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"path"
	"strings"
	"time"
)

const cupsLogin = `Basic realm="CUPS"`

// top says how the connection goes on, but not in HTTP/1.0, where it ends.
func (k *cupsClerk) top(r *response, h *head, now time.Time) []field {
	connection, language := keepAlive, "en"
	switch {
	case h == nil || h.proto == "":
		connection, language = "close", ""
	case h.proto == http10:
		connection = ""
	case r.last || h.last:
		connection = "close"
	}
	if h != nil && h.broken {
		language = ""
	}
	return r.fields(k.Server(), language, connection, now)
}

// strange says nothing to who speaks another version, and keeps to itself who
// leaves out the name of the host, or climbs out of the directory.
func (k *cupsClerk) strange(h *head) (response, bool) {
	switch {
	case h.proto != http10 && h.proto != http11:
		return response{silent: true}, true
	case h.proto == http11 && h.get("Host") == "":
		return k.refuse(http.StatusBadRequest, h), true
	case strings.Contains(h.path()+"/", "/../"):
		return k.refuse(http.StatusForbidden, h), true
	}
	return response{}, false
}

func (k *cupsClerk) refuse(status int, _ *head) response {
	text := ""
	r := response{status: status, kind: htmlType, last: true}
	if status == http.StatusUnauthorized {
		text = "Enter your username and password or the root username and password to access this page. If you are using Kerberos authentication, make sure you have a valid Kerberos ticket."
		r.login = cupsLogin
	}
	r.body = k.ErrorPage(http.StatusText(status), "", text)
	return r
}

// page answers as cupsd with its web interface on and the Locations of Debian's
// cupsd.conf: everybody reads, administrators are asked for a password, over TLS.
func (k *cupsClerk) page(h *head, secure bool, now time.Time) response {
	switch h.method {
	case http.MethodOptions:
		return response{status: http.StatusOK}
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		return k.login(h, secure) // a form, for an administrator
	case http.MethodPut:
		if strings.HasPrefix(h.path(), "/admin/conf/") {
			return k.login(h, secure)
		}
		return k.refuse(http.StatusForbidden, h)
	default:
		return response{silent: true}
	}
	switch p := path.Clean("/" + h.path()); {
	case p == "/":
		return k.home()
	case p == "/robots.txt":
		return response{status: http.StatusOK, kind: "text/plain", changed: k.built(), body: []byte("# This file tells search engines not to index your CUPS server.\nUser-agent: *\nDisallow: /\n")}
	case p == "/cups.css":
		return response{status: http.StatusOK, kind: "text/css", changed: k.built(), body: []byte("@import url(\"/cups-printable.css\");\nBODY { font-family: sans-serif; margin: 0; }\n")}
	case p == "/printers":
		return k.program("Printers", k.listing(now), now)
	case strings.HasPrefix(p, "/printers/"):
		at, ok := k.queue(p)
		if !ok {
			return k.program("Printers", "<P>Unable to get printer list:</P>\n<BLOCKQUOTE>The printer or class does not exist.</BLOCKQUOTE>\n", now)
		}
		return k.program(k.Queues[at].Name+" - CUPS", k.queuePage(at, now), now)
	case p == "/classes":
		return k.program("Classes", "<P ALIGN=\"CENTER\">No classes.</P>\n", now)
	case p == "/jobs":
		return k.program("Jobs", "<P ALIGN=\"CENTER\">No jobs.</P>\n", now)
	case p == "/admin":
		return k.program("Administration", "<H2>Printers</H2>\n<P><INPUT TYPE=\"SUBMIT\" VALUE=\"Add Printer\"> <INPUT TYPE=\"SUBMIT\" VALUE=\"Manage Printers\"></P>\n", now)
	case strings.HasPrefix(p, "/admin/"):
		return k.login(h, secure)
	}
	return k.refuse(http.StatusNotFound, h)
}

// login asks for a password, which nobody checks, and in plain for TLS first
// (captures/tcp/t5/http-get-admin-conf).
func (k *cupsClerk) login(h *head, secure bool) response {
	if secure {
		return k.refuse(http.StatusUnauthorized, h)
	}
	to := "https://" + h.get("Host") + h.path()
	return response{
		status: http.StatusUpgradeRequired, kind: htmlType, upgrade: tlsOffered, last: true,
		body: k.ErrorPage(http.StatusText(http.StatusUpgradeRequired), to, "You must access this page using the URL "+to+"."),
	}
}

// built is when the files of the package were made, long before the machine was
// set up.
func (k *cupsClerk) built() time.Time {
	return k.Life.Made.Truncate(24 * time.Hour).Add(-83*24*time.Hour + 17*time.Hour + 45*time.Minute + 5*time.Second)
}

func (k *cupsClerk) home() response {
	return response{status: http.StatusOK, kind: htmlType, changed: k.built(), body: []byte(k.frame("Home", "", fmt.Sprintf(
		"      <div class=\"row\">\n\t<h1>OpenPrinting CUPS %s</h1>\n\t<p>The standards-based, open source printing system for Linux&reg; and other Unix&reg;-like operating systems.</p>\n      </div>\n", k.Version)))}
}

// program is a page of one of cupsd's CGI programs: in chunks, with a cookie.
func (k *cupsClerk) program(title, inner string, now time.Time) response {
	sum := sha256.Sum256(now.AppendFormat([]byte(k.Life.UUID("cookie")), time.RFC3339Nano))
	return response{
		status: http.StatusOK, chunked: true, kind: "", cookie: "org.cups.sid=" + hex.EncodeToString(sum[:16]) + "; path=/; httponly;",
		body: []byte(k.frame(title, " onload=\"check_cookies();\"", "      <div class=\"row\">\n\t<h1>"+html.EscapeString(title)+"</h1>\n"+inner+"      </div>\n")),
	}
}

func (k *cupsClerk) frame(title, onload, inner string) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE HTML>\n<html>\n  <head>\n    <link rel=\"stylesheet\" href=\"/cups.css\" type=\"text/css\">\n" +
		"    <link rel=\"shortcut icon\" href=\"/apple-touch-icon.png\" type=\"image/png\">\n    <meta charset=\"utf-8\">\n" +
		"    <meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\n    <meta http-equiv=\"X-UA-Compatible\" content=\"IE=9\">\n" +
		"    <meta name=\"viewport\" content=\"width=device-width\">\n")
	fmt.Fprintf(&b, "    <title>%s - CUPS %s</title>\n  </head>\n  <body%s>\n    <div class=\"cups-header\">\n      <ul>\n", html.EscapeString(title), k.Version, onload)
	for _, l := range [][2]string{
		{"https://openprinting.github.io/cups/", "OpenPrinting CUPS"},
		{"/", "Home"},
		{"/admin", "Administration"},
		{"/classes/", "Classes"},
		{"/help/", "Help"},
		{"/jobs/", "Jobs"},
		{"/printers/", "Printers"},
	} {
		active := ""
		if l[1] == title {
			active = " class=\"active\""
		}
		fmt.Fprintf(&b, "\t<li><a%s href=\"%s\">%s</a></li>\n", active, l[0], l[1])
	}
	b.WriteString("      </ul>\n    </div>\n    <div class=\"cups-body\">\n" + inner +
		"    </div>\n    <div class=\"cups-footer\">Copyright &copy; 2021-2022 OpenPrinting. All rights reserved.</div>\n  </body>\n</html>\n")
	return b.String()
}

// listing is the table of the printers.
func (k *cupsClerk) listing(now time.Time) string {
	var b strings.Builder
	n := len(k.Queues)
	fmt.Fprintf(&b, "\n<P ALIGN=\"CENTER\">Showing %d of %d printers.</P>\n\n<TABLE CLASS=\"list\" SUMMARY=\"Printer List\">\n<THEAD>\n"+
		"<TR><TH>Queue Name</TH><TH>Description</TH><TH>Location</TH><TH>Make and Model</TH><TH>Status</TH></TR>\n</THEAD>\n<TBODY>\n", n, n)
	for _, q := range k.Queues {
		fmt.Fprintf(&b, "\n<TR><TD><A HREF=\"/printers/%s\">%s</A></TD><TD>%s</TD><TD>%s</TD><TD>%s</TD><TD>%s</TD></TR>\n",
			q.Name, q.Name, html.EscapeString(q.Info), html.EscapeString(q.Location), html.EscapeString(modelOf(q)), k.status(q, now))
	}
	b.WriteString("\n</TBODY>\n</TABLE>\n")
	return b.String()
}

func (k *cupsClerk) status(q Queue, now time.Time) string {
	if q.Paused > 0 {
		return "Paused - &quot;Paused&quot;"
	}
	if _, printing := k.office.jobs.busy(q.Name, now); printing {
		return "Processing"
	}
	return "Idle"
}

func modelOf(q Queue) string {
	if q.Model == "" {
		return "Local Raw Printer"
	}
	return q.Model
}

func (k *cupsClerk) queuePage(at int, now time.Time) string {
	q := k.Queues[at]
	return fmt.Sprintf("<H2><A HREF=\"/printers/%s\">%s</A> (%s, Accepting Jobs, Shared)</H2>\n<TABLE>\n"+
		"<TR><TH ALIGN=\"RIGHT\">Description:</TH><TD>%s</TD></TR>\n<TR><TH ALIGN=\"RIGHT\">Location:</TH><TD>%s</TD></TR>\n"+
		"<TR><TH ALIGN=\"RIGHT\">Driver:</TH><TD>%s</TD></TR>\n<TR><TH ALIGN=\"RIGHT\">Connection:</TH><TD>%s</TD></TR>\n</TABLE>\n",
		q.Name, q.Name, k.status(q, now), html.EscapeString(q.Info), html.EscapeString(q.Location), html.EscapeString(modelOf(q)), html.EscapeString(q.Device))
}
