package desk

import (
	"fmt"
	"html"
	"net/http"
	"path"
	"time"
)

// top says Keep-Alive whatever the client wants (captures/ippeve), but after an
// error, and in HTTP/1.0.
func (k *deviceClerk) top(r *response, h *head, now time.Time) []field {
	connection := keepAlive
	switch {
	case h != nil && h.proto == http10:
		connection = ""
	case r.last:
		connection = "close"
	}
	return r.fields(k.Server, "", connection, now)
}

// strange wants a Host even in HTTP/1.0.
func (k *deviceClerk) strange(h *head) (response, bool) {
	if h.proto != http10 && h.proto != http11 || h.get("Host") == "" {
		return k.refuse(http.StatusBadRequest, h), true
	}
	return response{}, false
}

func (k *deviceClerk) refuse(status int, _ *head) response {
	return response{status: status, kind: "text/plain", last: true, body: fmt.Appendf(nil, "%d - %s", status, http.StatusText(status))}
}

func (k *deviceClerk) login(h *head, _ bool) response { return k.refuse(http.StatusUnauthorized, h) }

func (k *deviceClerk) page(h *head, _ bool, now time.Time) response {
	switch h.method {
	case http.MethodOptions:
		return response{status: http.StatusOK, allow: "GET, HEAD, OPTIONS, POST", chunked: true}
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		return k.refuse(http.StatusBadRequest, h)
	default:
		return response{silent: true}
	}
	queued, printing := k.office.jobs.busy(k.Name, now)
	state := "Idle"
	if printing {
		state = "Printing"
	}
	switch path.Clean("/" + h.path()) {
	case "/":
		return k.sheetPage(fmt.Sprintf("<h1>%s Jobs</h1>\n<p>%s, %d job(s).</p>\n", html.EscapeString(k.Name), state, queued))
	case "/supplies":
		return k.sheetPage("<h1>Supplies</h1>\n<table class=\"form\">\n<tr><th>Black Toner:</th><td>75%</td></tr>\n<tr><th>Toner Waste Tank:</th><td>25%</td></tr>\n</table>\n")
	case "/media":
		return k.sheetPage("<h1>Media</h1>\n<table class=\"form\">\n<tr><th>Main:</th><td>iso_a4_210x297mm</td></tr>\n</table>\n")
	}
	return k.refuse(http.StatusNotFound, h)
}

func (k *deviceClerk) sheetPage(inner string) response {
	name := html.EscapeString(k.Name)
	return response{status: http.StatusOK, kind: htmlType, chunked: true, body: fmt.Appendf(nil,
		"<!doctype html>\n<html>\n<head>\n<title>%s</title>\n<link rel=\"shortcut icon\" href=\"/icon.png\" type=\"image/png\">\n"+
			"<meta http-equiv=\"X-UA-Compatible\" content=\"IE=9\">\n<meta http-equiv=\"refresh\" content=\"15\">\n<meta name=\"viewport\" content=\"width=device-width\">\n"+
			"<style>\nbody { font-family: sans-serif; margin: 0; }\ndiv.body { padding: 0px 10px 10px; }\n</style>\n</head>\n<body>\n"+
			"<table class=\"nav\"><tr><td class=\"nav sel\"><a href=\"/\">Status</a></td><td class=\"nav\"><a href=\"/supplies\">Supplies</a></td><td class=\"nav\"><a href=\"/media\">Media</a></td></tr></table>\n"+
			"<div class=\"body\">\n%s</div>\n</body>\n</html>\n", name, inner)}
}
