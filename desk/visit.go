package desk

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// Bounds of what a visit tells in words; its payload has the rest.
const (
	mostText  = 1024
	mostLines = 64
	mostLong  = 512 // of one of the lines
)

// tell makes a visit of an exchange.
func (c *conversation) tell(x *exchange) {
	d := c.desk
	v := exposure.Visit{
		V: exposure.Version, Observed: x.began.UTC(), Ended: d.Now().UTC(), Received: d.Now().UTC(),
		Source: exposure.Sensor, Sensor: d.Sensor, Persona: d.Face.Name(), Kind: exposure.Request,
		Addr: c.from.Addr(), Port: c.from.Port(), Transport: exposure.TCP, Dst: c.at.Addr(), Door: c.at.Port(),
		Count: 1, Bytes: x.size,
		Payload: x.raw, PayloadSHA256: hex.EncodeToString(x.sum.Sum(nil)), PayloadBytes: int(x.size),
		Asked: &exposure.Asked{Connection: c.name, Exchange: max(c.n, 1), TLS: c.tls, HTTPStatus: x.status, Broken: x.broken},
	}
	if x.head != nil {
		x.head.describe(&v)
	}
	x.describe(&v)
	x.judge(&v)
	if d.Scanners != nil {
		v.Scanners = d.Scanners(v.Addr)
	}
	lower(&v)
	v.ID = exposure.NewVisitID(&v)
	d.mu.Lock()
	d.counts.Exchanges++
	if x.broken != "" {
		d.counts.Broken++
	}
	d.mu.Unlock()
	d.Seen(v)
}

// describe tells what the head says.
func (h *head) describe(v *exposure.Visit) {
	v.Method, v.URL, v.UserAgent = clip(h.method, 32), clip(h.uri, mostText), clip(h.get("User-Agent"), mostText)
	v.Asked.Proto = clip(h.proto, 32)
	for _, f := range h.fields {
		line := clip(f.name+": "+f.value, mostLong)
		if len(v.Asked.Header) < mostLines {
			v.Asked.Header = append(v.Asked.Header, line)
		}
		if claims[strings.ToLower(f.name)] && len(v.Asked.Claims) < mostLines {
			v.Asked.Claims = append(v.Asked.Claims, line)
		}
	}
}

// claims are fields by which a proxy says for whom it speaks. Here no proxy
// stands before us, so whoever sends one says something of himself.
var claims = map[string]bool{
	"x-real-ip": true, "x-real-port": true, "x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true,
	"forwarded": true, "via": true, "from": true, "client-ip": true, "x-client-ip": true, "true-client-ip": true, "cf-connecting-ip": true,
	"x-cluster-client-ip": true, "x-originating-ip": true, "x-remote-ip": true, "x-remote-addr": true, "x-host": true,
}

// describe tells what was asked in IPP.
func (x *exchange) describe(v *exposure.Visit) {
	m := x.message
	if m == nil {
		return
	}
	a := v.Asked
	a.Lenient = m.Lenient
	v.Print = &exposure.Print{Operation: m.Operation().String(), Version: m.Version.String()}
	q := Request{Message: m}
	v.Print.User, v.Print.JobName = clip(q.operation("requesting-user-name"), mostValue), clip(q.operation("job-name"), mostValue)
	a.Target = clip(q.target().uri, mostText)
	for _, name := range q.asked() {
		if len(a.Requested) < mostLines {
			a.Requested = append(a.Requested, clip(name, mostValue))
		}
	}
	for _, g := range m.Groups {
		for _, attr := range g.Attributes {
			if len(a.Attributes) < mostLines && !told[attr.Name] {
				a.Attributes = append(a.Attributes, clip(attr.Name+"="+strings.Join(attr.Text(), ","), mostLong))
			}
		}
	}
	if x.answer != nil {
		v.Print.Status, v.Print.Job = exposure.StatusCode(x.answer.Code), x.answer.Job
	}
	x.describeDocument(v, q)
}

// told are attributes that have places of their own in a visit, or that all
// requests have alike.
var told = map[string]bool{
	"attributes-charset": true, "attributes-natural-language": true, "requested-attributes": true,
	"printer-uri": true, "job-uri": true, "requesting-user-name": true, "job-name": true,
}

func (x *exchange) describeDocument(v *exposure.Visit, q Request) {
	uri := clip(q.operation("document-uri"), mostText)
	if x.document == nil && uri == "" {
		return
	}
	doc := &exposure.Document{URI: uri, Format: clip(q.operation("document-format"), mostValue)}
	if d := x.document; d != nil {
		doc.SHA256, doc.Bytes = d.SHA256, d.Bytes
		v.Asked.Kept, v.Asked.Cut = d.Kept, d.Cut
		if d.KeptSHA256 != "" {
			doc.SHA256, doc.Partial, v.Asked.Whole = d.KeptSHA256, true, d.SHA256
		}
	}
	v.Print.Document = doc
}

// wants says which class an operation belongs to; the others only read.
var wants = func() map[ipp.Operation]exposure.Class {
	all := map[ipp.Operation]exposure.Class{
		setPrinterAttributes: exposure.AdminAttempt, restartJob: exposure.AdminAttempt, 0x0016: exposure.AdminAttempt, 0x0017: exposure.AdminAttempt, 0x001a: exposure.AdminAttempt, 0x001b: exposure.AdminAttempt,
	}
	for op := range administration {
		all[op] = exposure.AdminAttempt
	}
	for _, op := range []ipp.Operation{
		ipp.PrintJob, ipp.PrintURI, ipp.ValidateJob, ipp.CreateJob, ipp.SendDocument, ipp.SendURI, ipp.CancelJob,
		ipp.HoldJob, ipp.ReleaseJob, ipp.CancelMyJobs, ipp.CloseJob, ipp.IdentifyPrinter,
	} {
		all[op] = exposure.PrintAttempt
	}
	return all
}()

// A verdict collects reasons, each with its sentence.
type verdict struct{ v *exposure.Visit }

func (j verdict) because(reason, format string, args ...any) {
	j.v.Reasons = append(j.v.Reasons, reason)
	j.v.Evidence = append(j.v.Evidence, fmt.Sprintf(format, args...))
}

// judge says what the exchange was for, and never more than it shows.
func (x *exchange) judge(v *exposure.Visit) {
	j := verdict{v}
	switch {
	case x.alien == "tls":
		v.Class = exposure.OtherProtocol
		j.because("tls-handshake-failed", "it began a TLS handshake that came to nothing")
	case x.alien != "":
		v.Class = exposure.OtherProtocol
		j.because("protocol-"+x.alien, "what it sent is not HTTP")
	case x.message != nil:
		x.judgeIPP(j)
	case x.head != nil:
		x.judgeHTTP(j)
	}
	if x.broken != "" {
		j.because("broken", "it was not read to its end: %s", x.broken)
	}
	if len(v.Asked.Claims) > 0 {
		j.because("claims-another-source", "its header names an address, which is evidence and not its source")
	}
	v.Severity = map[exposure.Class]exposure.Severity{
		exposure.AdminAttempt: exposure.High, exposure.PrintAttempt: exposure.Medium, exposure.Enumeration: exposure.Low,
	}[v.Class]
	if v.Severity == "" {
		v.Severity = exposure.Info
	}
	if slices.Contains(v.Reasons, "ppd-injection") {
		v.Severity = exposure.High
	}
}

func (x *exchange) judgeIPP(j verdict) {
	op := x.message.Operation()
	v := j.v
	switch class := wants[op]; {
	case x.message.Stopped != "":
		v.Class = exposure.OtherProtocol
		j.because("ipp-broken", "it says that it is IPP and cannot be read as that")
		return
	case class != "":
		v.Class = class
	default:
		v.Class = exposure.Enumeration
	}
	j.because("operation-"+strings.ToLower(op.String()), "it asked for %s", op)
	if x.answer != nil && v.Class == exposure.PrintAttempt && (x.answer.Login || ipp.Status(x.answer.Code) == ipp.StatusNotAuthorized) {
		v.Class = exposure.AdminAttempt
		j.because("job-of-another", "it would change a job that is not its own")
	}
	if doc := v.Print.Document; doc != nil && doc.Bytes > 0 {
		j.because("document", "it sent a document of %d bytes", doc.Bytes)
	}
	if doc := v.Print.Document; doc != nil && doc.URI != "" {
		j.because("document-uri", "it wanted us to fetch a document, and nothing was fetched")
	}
	for _, a := range v.Asked.Attributes {
		// CVE-2024-47175: a newline ends a value in a PPD and begins another line.
		if strings.Contains(a, "\n*") || strings.Contains(a, "FoomaticRIPCommandLine") {
			j.because("ppd-injection", "an attribute would become a line of its own in a PPD")
			break
		}
	}
	x.judgePassword(j)
}

func (x *exchange) judgePassword(j verdict) {
	if x.head != nil && x.head.get("Authorization") != "" {
		j.v.Class = exposure.AdminAttempt
		j.because("password-offered", "it sent credentials, which nobody checked")
	}
}

func (x *exchange) judgeHTTP(j verdict) {
	h, v := x.head, j.v
	v.Class = exposure.Enumeration
	p := strings.ToLower(h.path())
	inner := strings.HasPrefix(p, "/admin/conf") || strings.HasPrefix(p, "/admin/log")
	switch {
	case h.method == http.MethodConnect || strings.Contains(h.uri, "://") && !strings.Contains(h.uri, h.get("Host")):
		v.Class = exposure.OtherProtocol
		j.because("http-proxy", "it took us for a proxy")
	case h.method == http.MethodPut, h.method == http.MethodDelete, inner, strings.HasPrefix(p, "/admin") && h.method == http.MethodPost:
		v.Class = exposure.AdminAttempt
		j.because("http-admin", "it asked with %s for what only administrators get", clip(h.method, 32))
	case h.method == http.MethodPost:
		v.Class = exposure.OtherProtocol
		j.because("http-form", "it posted something that is not IPP")
	case h.method == http.MethodGet, h.method == http.MethodHead, h.method == http.MethodOptions:
		if printish(p) {
			j.because("http-page", "it asked for a page of the print service")
		} else {
			j.because("http-elsewhere", "it asked for a page that no print service has")
		}
	default:
		v.Class = exposure.OtherProtocol
		j.because("http-method", "no print service knows the method")
	}
	x.judgePassword(j)
}

// printish reports whether a path is one of CUPS's, or of any web server.
func printish(p string) bool {
	for _, known := range []string{"/printers", "/classes", "/jobs", "/admin", "/help", "/ipp", "/supplies", "/media", "/cups", "/icons", "/strings", "/rss", "/robots.txt", "/favicon.ico"} {
		if strings.HasPrefix(p, known) {
			return true
		}
	}
	return p == "/" || p == "*"
}

// lower makes what a listed scanner does less severe, and keeps it: a list is
// what somebody would imitate. Over TCP the source at least is real.
func lower(v *exposure.Visit) {
	if len(v.Scanners) == 0 {
		return
	}
	j := verdict{v}
	j.because("listed-source", "%s is listed as a scanner: %s", v.Addr, v.Scanners[0].Name)
	if v.Class == exposure.Enumeration {
		v.Class = exposure.Research
	}
	down := []exposure.Severity{exposure.High, exposure.Medium, exposure.Low, exposure.Info}
	if at := slices.Index(down, v.Severity); at >= 0 && at+1 < len(down) {
		v.Severity = down[at+1]
	}
}
