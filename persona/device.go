package persona

import (
	"fmt"
	"net/http"

	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// A device plays a network printer, or ippeveprinter, which CUPS ships as one.
type device struct {
	server   string // product token of the Server header
	name     string // printer-name, printer-info
	location string
	model    string
	attrs    string     // more attribute lines; they replace those of device.attrs
	paths    []string   // where Get-Printer-Attributes is answered; nil: /ipp/print and /
	unknown  ipp.Status // answer to CUPS-Get-Printers; 0: 0x0501
	dialect  dialect
	auth     string // WWW-Authenticate; "" for none
	// spoil, when there is one, breaks the encoded message on its way out.
	spoil  func([]byte) []byte
	secure bool // has TLS on its port
	clerk  desk.Clerk
}

// A dialect is how a device takes IPP 2.0.
type dialect int

const (
	speaks20  dialect = iota
	answers11         // 0x0503 in version 1.1
	refuses20         // HTTP 400
)

func (d *device) rehearse(at stage) (http.Handler, error) {
	played := *d
	unknown := d.unknown
	if unknown == 0 {
		unknown = ipp.StatusOperationUnknown
	}
	clerk, err := desk.Device{
		Server: d.server, Name: d.name, Location: d.location, Model: d.model, More: d.attrs, Paths: d.paths, Unknown: unknown,
		Secure: d.secure, Life: at.life(len(d.name)),
	}.Clerk()
	played.clerk = clerk
	return &played, err
}

func (d *device) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", fmt.Sprintf("%s (%s)", d.server, exposure.SimulatedMark))
	if d.auth != "" && r.Method != http.MethodOptions {
		h.Set("WWW-Authenticate", d.auth)
		write(w, http.StatusUnauthorized, "text/html", []byte("<html><head><title>Unauthorized</title></head></html>\n"))
		return
	}
	switch r.Method {
	case http.MethodOptions:
		h.Set("Content-Length", "0")
	case http.MethodPost:
		d.ipp(w, r)
	case http.MethodGet, http.MethodHead:
		if r.URL.Path != "/" && r.URL.Path != "/supplies" {
			write(w, http.StatusNotFound, "text/html", []byte("<html><head><title>Not Found</title></head></html>\n"))
			return
		}
		write(w, http.StatusOK, "text/html; charset=utf-8", []byte("<!doctype html>\n<html><head><title>Print service</title></head><body>Simulated by ippwatch.</body></html>\n"))
	default:
		write(w, http.StatusMethodNotAllowed, "text/html", nil)
	}
}

func (d *device) ipp(w http.ResponseWriter, r *http.Request) {
	q, err := readRequest(r)
	if err != nil || d.dialect == refuses20 && q.Version.Major() != 1 {
		write(w, http.StatusBadRequest, "text/html", []byte("<html><head><title>Bad Request</title></head></html>\n"))
		return
	}
	a := d.answer(q)
	if d.spoil == nil {
		writeMessage(w, a)
		return
	}
	write(w, http.StatusOK, mediaType, d.spoil(a.Append(nil)))
}

// answer is the clerk's, but for the dialect.
func (d *device) answer(q *desk.Request) desk.Answer {
	if d.dialect == answers11 && q.Version.Major() != 1 {
		return desk.Answer{Message: ipp.Message{
			Version: ipp.Version11, Code: uint16(ipp.StatusVersionNotSpoken), RequestID: q.RequestID,
			Groups: []ipp.Group{{Tag: ipp.TagOperation, Attributes: []ipp.Attribute{
				ipp.Strings(ipp.TagCharset, "attributes-charset", "utf-8"),
				ipp.Strings(ipp.TagLanguage, "attributes-natural-language", "en"),
			}}},
		}}
	}
	return d.clerk.Answer(q)
}
