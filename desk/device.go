package desk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/wire/ipp"
)

// A Device is a network printer that is to be played. It answers as
// ippeveprinter does, which CUPS ships as one.
type Device struct {
	Server   string // product token of the Server header
	Name     string // printer-name, printer-info
	Location string
	Model    string
	More     string     // attribute lines; they replace those of attributes/device.attrs
	Paths    []string   // where it answers; nil: /ipp/print and /
	Unknown  ipp.Status // answer to what has no printer-uri, such as CUPS-Get-Printers; 0: 0x0400
	Secure   bool       // has TLS on its port
	Life     Life
}

func (d Device) sheet() (Sheet, error) {
	base, err := attributeFile("device.attrs")
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(base)
	fmt.Fprintf(&b, "\nATTR name printer-name %q\nATTR text printer-info %q\nATTR text printer-location %q\n", d.Name, d.Name, d.Location)
	fmt.Fprintf(&b, "ATTR text printer-make-and-model %q\nATTR uri printer-uuid \"urn:uuid:%s\"\n", d.Model, d.Life.UUID(d.Name))
	p := d.Paths[0]
	if d.Secure {
		fmt.Fprintf(&b, "ATTR uri printer-uri-supported \"ipp://$host%s\",\"ipps://$host%s\"\n", p, p)
		b.WriteString("ATTR keyword uri-security-supported none,tls\nATTR keyword uri-authentication-supported none,none\n")
	} else {
		fmt.Fprintf(&b, "ATTR uri printer-uri-supported \"ipp://$host%s\"\n", p)
		b.WriteString("ATTR keyword uri-security-supported none\nATTR keyword uri-authentication-supported none\n")
	}
	b.WriteString("ATTR uri printer-more-info \"http://$host/\"\nATTR uri printer-supply-info-uri \"http://$host/supplies\"\n")
	b.WriteString(d.More)
	s, err := ParseSheet(b.String())
	return s.withMediaDatabase(), err
}

// A deviceClerk answers as ippeveprinter does.
type deviceClerk struct {
	Device
	all    Sheet
	office office
}

// Clerk reads the attributes, so that no answer can fail.
func (d Device) Clerk() (Clerk, error) { return d.clerk() }

func (d Device) clerk() (*deviceClerk, error) {
	if d.Paths == nil {
		d.Paths = []string{"/ipp/print", "/"}
	}
	s, err := d.sheet()
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.Name, err)
	}
	k := &deviceClerk{Device: d, all: s, office: office{
		words: words{
			requestID: "Bad request-id %d.", charset: ipp.StatusBadRequest, noJob: "Job does not exist.", noJobToTell: "Job not found.",
			noFile: "No file in request.", format: ipp.StatusAttributes, formatText: "Unsupported document-format mimeMediaType value.",
			compression: "Unsupported compression keyword value.",
		},
		jobs: Jobs{Epoch: d.Life.Made, Every: 3 * d.Life.Page},
	}}
	return k, nil
}

// Answer is the column ippeveprinter of facts/cups.md, section 2.
func (k *deviceClerk) Answer(q *Request) Answer {
	if q.Version.Major() == 2 && q.Version != ipp.Version20 {
		return Answer{Message: q.reply(ipp.StatusVersionNotSpoken, "").Message, Refused: true}
	}
	if status, text := q.flaw(k.office.words); text != "" {
		return q.reply(status, text)
	}
	op, to := q.Operation(), q.target()
	if to.name == "" {
		if k.Unknown != 0 {
			return q.reply(k.Unknown, missing)
		}
		return q.reply(ipp.StatusBadRequest, missing)
	}
	if !k.here(q.Path) || !k.here(to.path) {
		return q.reply(ipp.StatusNotFound, fmt.Sprintf("%s %s not found.", to.name, clip(to.uri, 512)))
	}
	p := k.place(q)
	switch op {
	case ipp.GetPrinterAttributes:
		a := q.reply(ipp.StatusOK, "")
		a.add(ipp.TagPrinter, k.all.Fill(k.scene(q), Want(q.asked(), everything)))
		return a
	case ipp.PrintURI, ipp.SendURI:
		return k.fetch(q)
	case ipp.IdentifyPrinter:
		return q.reply(ipp.StatusOK, "")
	}
	if a, ok := k.office.answer(q, p); ok && op != ipp.HoldJob && op != ipp.ReleaseJob {
		return a
	}
	return q.reply(ipp.StatusOperationUnknown, "Operation not supported.")
}

// fetch is asked to fetch a document: nothing is, and the client is told what
// a printer behind a strict firewall tells.
func (k *deviceClerk) fetch(q *Request) Answer {
	if q.Operation() == ipp.SendURI {
		if _, none, ok := k.office.find(q); !ok {
			return none
		}
	}
	uri := q.operation("document-uri")
	if uri == "" {
		return q.reply(ipp.StatusBadRequest, "Missing document-uri.")
	}
	return q.reply(ipp.StatusDocumentAccess, "Unable to access URI: Connection timed out")
}

// here reports whether a path is one under which the device, or a job of it,
// stands.
func (k *deviceClerk) here(path string) bool {
	if path == "" {
		path = "/"
	}
	if slices.Contains(k.Paths, path) {
		return true
	}
	job, ok := strings.CutPrefix(path, strings.TrimSuffix(k.Paths[0], "/")+"/")
	_, err := strconv.Atoi(job)
	return ok && err == nil
}

func (k *deviceClerk) scene(q *Request) Scene {
	queued, printing := k.office.jobs.busy(k.Name, q.Now)
	return Scene{
		Host: q.Host, Queue: k.Name, Now: q.Now, Started: k.Life.Started, Pages: k.Life.pages(q.Now),
		State: idleOr(printing), Queued: queued,
	}
}

func (k *deviceClerk) place(q *Request) place {
	at := strings.TrimSuffix(k.Paths[0], "/")
	return place{queue: k.Name, sheet: k.all, words: k.office.words, view: jobView{
		host: q.Host, printer: "ipp://" + q.Host + at, jobPath: at, more: "http://" + q.Host + "/",
		uptime: func(t time.Time) int { return int(t.Sub(k.Life.Started)/time.Second) + 1 },
		uuid:   func(id int) string { return "urn:uuid:" + k.Life.UUID("job "+strconv.Itoa(id)) },
	}}
}

// idleOr is the printer-state (RFC 8011, section 5.4.12).
func idleOr(printing bool) string {
	if printing {
		return "4"
	}
	return "3"
}
