package persona

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"ippwatch/desk"
	"ippwatch/exposure"
)

// A cupsd plays a CUPS scheduler as facts/cups.md section 2 found it.
type cupsd struct {
	version string // upstream's, such as "2.4.2"
	tokens  string // ServerTokens: "" is Minimal, else what stands in the brackets of Full
	guard   guard
	admin   admin
	queues  []desk.Queue
	jobs    int // that it lists to strangers

	cups  desk.CUPS
	clerk desk.Clerk
}

// A guard is how a cupsd receives strangers.
type guard int

const (
	welcome       guard = iota
	refuse              // 403: the default Order allow,deny without Allow
	password            // 401
	upgrade             // 426 in plain, welcome over TLS
	upgradeRefuse       // 426 in plain, 403 over TLS
)

// An admin is what a stranger gets below /admin.
type admin int

const (
	adminRefused   admin = iota // 403
	adminPage                   // the page, but neither configuration nor logs
	adminDisclosed              // everything (facts/cups.md section 2: t7)
)

// rehearse reads the attributes of all queues, so that no answer can fail.
func (c *cupsd) rehearse(at stage) (http.Handler, error) {
	played := *c
	played.cups = desk.CUPS{Version: c.version, Tokens: c.tokens, Queues: c.queues, Waiting: c.jobs, Life: at.life(0)}
	clerk, err := played.cups.Clerk()
	played.clerk = clerk
	return &played, err
}

func (c *cupsd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", c.server())
	h.Set("Content-Language", "en")
	h.Set("Accept-Encoding", "gzip, deflate, identity")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "frame-ancestors 'none'")
	if !desk.KnownHost(r.Host) {
		// facts/cups.md section 2: a name that is not ServerAlias gives 400.
		c.page(w, http.StatusBadRequest, "Bad Request", "")
		return
	}
	if r.Method == http.MethodOptions {
		h.Set("Content-Length", "0")
		return // 200 even where everything else is refused
	}
	switch g := c.guard; {
	case g == refuse, g == upgradeRefuse && r.TLS != nil:
		c.page(w, http.StatusForbidden, "Forbidden", "")
	case g == password:
		h.Set("WWW-Authenticate", `Basic realm="CUPS"`)
		c.page(w, http.StatusUnauthorized, "Unauthorized", "Enter your username and password or the root username and password to access this page.")
	case (g == upgrade || g == upgradeRefuse) && r.TLS == nil:
		h.Set("Upgrade", "TLS/1.2,TLS/1.1,TLS/1.0")
		h.Set("Connection", "Upgrade")
		c.page(w, http.StatusUpgradeRequired, "Upgrade Required", "You must access this page using the URL https://"+r.Host+r.URL.Path+".")
	case r.Method == http.MethodPost:
		c.ipp(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		c.get(w, r)
	default:
		c.page(w, http.StatusMethodNotAllowed, "Method Not Allowed", "")
	}
}

// server is the Server header with the mark.
func (c *cupsd) server() string {
	return fmt.Sprintf("%s (%s)", c.cups.Server(), exposure.SimulatedMark)
}

func (c *cupsd) page(w http.ResponseWriter, status int, title, text string) {
	write(w, status, "text/html; charset=utf-8", c.cups.ErrorPage(title, "", text))
}

func (c *cupsd) get(w http.ResponseWriter, r *http.Request) {
	switch p := path.Clean(r.URL.Path); {
	case p == "/" || p == "/printers" || p == "/jobs" || p == "/classes":
		c.home(w, "Home")
	case p == "/admin" && c.admin >= adminPage:
		c.home(w, "Administration")
	case strings.HasPrefix(p, "/admin/") && c.admin == adminDisclosed:
		write(w, http.StatusOK, "text/plain", []byte("# simulated by ippwatch: nothing is disclosed here\n"))
	case strings.HasPrefix(p, "/admin/") && c.admin == adminPage:
		w.Header().Set("WWW-Authenticate", `Basic realm="CUPS"`)
		c.page(w, http.StatusUnauthorized, "Unauthorized", "Enter your username and password or the root username and password to access this page.")
	case p == "/admin" || strings.HasPrefix(p, "/admin/"):
		c.page(w, http.StatusForbidden, "Forbidden", "")
	default:
		c.page(w, http.StatusNotFound, "Not Found", "")
	}
}

func (c *cupsd) home(w http.ResponseWriter, title string) {
	write(w, http.StatusOK, "text/html; charset=utf-8", fmt.Appendf(nil,
		"<!DOCTYPE HTML>\n<html>\n  <head>\n    <title>%s - CUPS %s</title>\n  </head>\n  <body>\n    <h1>OpenPrinting CUPS %s</h1>\n    <p>Simulated by ippwatch.</p>\n  </body>\n</html>\n",
		title, c.version, c.version))
}

func (c *cupsd) ipp(w http.ResponseWriter, r *http.Request) {
	q, err := readRequest(r)
	if err != nil {
		c.page(w, http.StatusBadRequest, "Bad Request", "")
		return
	}
	a := c.clerk.Answer(q)
	if a.Login || a.Refused {
		w.Header().Set("WWW-Authenticate", `Basic realm="CUPS"`)
		c.page(w, http.StatusUnauthorized, "Unauthorized", "")
		return
	}
	writeMessage(w, a)
}
