package desk

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/wire/ipp"
)

// A CUPS is a CUPS server that is to be played (facts/cups.md, section 2).
type CUPS struct {
	Version string // upstream's, such as "2.4.2"
	Tokens  string // ServerTokens: "" is Minimal, else what stands in the brackets of Full
	Queues  []Queue
	Waiting int // jobs of its own that wait
	Life    Life
}

// A Queue is one printer of a CUPS. The fields are the attributes that differ;
// the rest stands in attributes/queue.attrs.
type Queue struct {
	Name, Info, Location string
	Device               string // device-uri
	Model                string // printer-make-and-model, with a driver; "" for a raw queue
	Organization, Unit   string
	Geo                  string
	Paused               int    // jobs of its own that wait, because it is stopped
	Auth                 string // uri-authentication-supported, "" for requesting-user-name
	More                 string // attribute lines
}

// A Life is what makes clocks and counters go on.
type Life struct {
	Started time.Time     // of the service
	Made    time.Time     // of the machine, when it had printed nothing
	Page    time.Duration // between two pages, on the average; 0: it never prints
	UUID    func(part string) string
}

func (l Life) pages(now time.Time) int {
	if l.Page <= 0 {
		return 0
	}
	return int(now.Sub(l.Made) / l.Page)
}

// sheet reads the attributes of a queue, the id-th.
func (q Queue) sheet(c CUPS, id int) (Sheet, error) {
	base, err := attributeFile("queue.attrs")
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(base)
	model := "Local Raw Printer"
	if q.Model != "" {
		model = q.Model
		driver, err := attributeFile("driver.attrs")
		if err != nil {
			return nil, err
		}
		b.WriteString(driver)
	}
	state, reason, message := "$state", "none", ""
	if q.Paused > 0 {
		state, reason, message = "5", "paused", "Paused"
	}
	auth := q.Auth
	if auth == "" {
		auth = "requesting-user-name"
	}
	fmt.Fprintf(&b, "\nATTR keyword uri-authentication-supported %s\n", auth)
	fmt.Fprintf(&b, "ATTR integer printer-id %d\nATTR name printer-name %q\n", id, q.Name)
	fmt.Fprintf(&b, "ATTR text printer-info %q\nATTR text printer-location %q\n", q.Info, q.Location)
	fmt.Fprintf(&b, "ATTR text printer-organization %q\nATTR text printer-organizational-unit %q\n", q.Organization, q.Unit)
	if q.Geo != "" {
		fmt.Fprintf(&b, "ATTR uri printer-geo-location %q\n", q.Geo)
	} else {
		b.WriteString("ATTR unknown printer-geo-location\n")
	}
	fmt.Fprintf(&b, "ATTR text printer-make-and-model %q\nATTR uri device-uri %q\n", model, q.Device)
	fmt.Fprintf(&b, "ATTR enum printer-state %s\nATTR keyword printer-state-reasons %s\n", state, reason)
	fmt.Fprintf(&b, "ATTR text printer-state-message %q\nATTR integer queued-job-count $waiting\n", message)
	fmt.Fprintf(&b, "ATTR uri printer-uuid \"urn:uuid:%s\"\nATTR text cups-version %q\n", c.Life.UUID(q.Name), c.Version)
	b.WriteString(q.More)
	s, err := ParseSheet(b.String())
	if q.Model == "" { // a raw queue knows no media
		return s, err
	}
	return s.withMediaDatabase(), err
}

// A cupsClerk answers as cupsd does.
type cupsClerk struct {
	CUPS
	sheets []Sheet
	ppds   [][]ipp.Attribute
	office office
}

// Clerk reads the attributes of all queues, so that no answer can fail.
func (c CUPS) Clerk() (Clerk, error) { return c.clerk() }

func (c CUPS) clerk() (*cupsClerk, error) {
	k := &cupsClerk{CUPS: c, office: office{
		private: true,
		words: words{
			requestID: "Bad request ID %d.", charset: ipp.StatusCharset, noJob: "Job #* does not exist.", noJobToTell: "Job #* does not exist.",
			noFile: "No file in print request.", format: ipp.StatusFormat, formatText: "Unsupported 'document-format' value \"*\".",
			compression: "Unsupported 'compression' value \"*\".",
		},
		defaults: []ipp.Attribute{
			ipp.Integers(ipp.TagInteger, "copies", 1),
			ipp.Integers(ipp.TagEnum, "finishings", 3),
			ipp.Integers(ipp.TagInteger, "job-cancel-after", 10800),
			ipp.Strings(ipp.TagKeyword, "job-hold-until", "no-hold"),
			ipp.Integers(ipp.TagInteger, "job-priority", 50),
			ipp.Strings(ipp.TagName, "job-sheets", "none", "none"),
			ipp.Integers(ipp.TagInteger, "number-up", 1),
			ipp.Strings(ipp.TagKeyword, "print-color-mode", "monochrome"),
		},
	}}
	var err error
	if k.ppds, err = readPPDs(); err != nil {
		return nil, err
	}
	for i, q := range c.Queues {
		s, err := q.sheet(c, i+1)
		if err != nil {
			return nil, fmt.Errorf("queue %s: %w", q.Name, err)
		}
		k.sheets = append(k.sheets, s)
	}
	for i := range c.Waiting {
		queue := ""
		if len(c.Queues) > 0 {
			queue = c.Queues[0].Name
		}
		k.office.jobs.open(job{
			queue: queue, user: "lp", held: "indefinite", closed: c.Life.Started, size: int64(40+i) << 10, files: 1,
			format: "application/pdf", document: fmt.Sprintf("invoice-%d.pdf", i+1),
		}, c.Life.Started)
	}
	k.office.jobs.Epoch, k.office.jobs.Every = c.Life.Made, 3*c.Life.Page
	return k, nil
}

// Answer is the table of facts/cups.md, section 2, for a cupsd that answers, and
// what cupsd 2.4.2 says to the rest.
func (k *cupsClerk) Answer(q *Request) Answer {
	if status, text := q.flaw(k.office.words); text != "" {
		return q.reply(status, text)
	}
	op, to := q.Operation(), q.target()
	switch op {
	case ipp.CUPSGetPrinters:
		limit, _ := q.number("limit")
		return k.list(q, limit)
	case ipp.CUPSGetDefault:
		if len(k.Queues) == 0 {
			return q.reply(ipp.StatusNotFound, "No default printer.")
		}
		return k.list(q, 1)
	case ipp.CUPSGetClasses:
		if len(k.Queues) == 0 {
			return q.reply(ipp.StatusNotFound, "No destinations added.")
		}
		return q.reply(ipp.StatusOK, "")
	case getPPDs:
		return k.listPPDs(q)
	}
	if to.name == "" {
		return q.reply(ipp.StatusBadRequest, missing)
	}
	if administration[op] {
		return Answer{Message: q.reply(ipp.StatusNotAuthenticated, "").Message, Login: true}
	}
	if !slices.Contains(cupsOperations, op) {
		return q.reply(ipp.StatusOperationUnknown, fmt.Sprintf("%s not supported.", op))
	}
	at, known := k.queue(to.path)
	if !known && !nameless(op, to) {
		return q.reply(ipp.StatusNotFound, "The printer or class does not exist.")
	}
	p := k.place(q, at)
	if op == ipp.GetPrinterAttributes {
		a := q.reply(ipp.StatusOK, "")
		a.add(ipp.TagPrinter, p.sheet.Fill(k.scene(q, at), Want(q.asked(), everything)))
		return a
	}
	return k.job(q, p)
}

// job does what has to do with jobs, and what a cupsd without any of it says of
// subscriptions.
func (k *cupsClerk) job(q *Request, p place) Answer {
	switch op := q.Operation(); op {
	case setPrinterAttributes:
		return q.reply(ipp.StatusOK, "")
	case getSupportedValues:
		a := q.reply(ipp.StatusOK, "")
		a.add(ipp.TagPrinter, settable())
		return a
	case getSubscriptions:
		return q.reply(ipp.StatusNotFound, "No subscriptions found.")
	case getNotifications:
		return q.reply(ipp.StatusBadRequest, "Missing notify-subscription-ids attribute.")
	case restartJob:
		if _, none, ok := k.office.find(q); !ok {
			return none
		}
		return k.office.stranger(q)
	case ipp.CancelMyJobs:
		if q.operation("requesting-user-name") == "" {
			return q.reply(ipp.StatusBadRequest, "Missing requesting-user-name attribute.")
		}
	}
	if a, ok := k.office.answer(q, p); ok {
		return a
	}
	return q.reply(ipp.StatusOperationUnknown, fmt.Sprintf("%s not supported.", q.Operation()))
}

// Operations of which only a cupsd without subscriptions speaks here.
const (
	restartJob           ipp.Operation = 0x000e
	setPrinterAttributes ipp.Operation = 0x0013
	getSupportedValues   ipp.Operation = 0x0015
	getSubscriptions     ipp.Operation = 0x0019
	getNotifications     ipp.Operation = 0x001c
	getPPDs              ipp.Operation = 0x400c
)

// nameless reports whether the operation works without a queue: it asks for the
// jobs of all, or means a job.
func nameless(op ipp.Operation, to target) bool {
	switch op {
	case ipp.GetJobs:
		return to.path == "" || to.path == "/" || strings.HasPrefix(to.path, "/jobs")
	case ipp.GetJobAttributes, ipp.CancelJob, ipp.SendDocument, ipp.HoldJob, ipp.ReleaseJob, ipp.CloseJob:
		return strings.HasPrefix(to.path, "/jobs/")
	}
	return false
}

// cupsOperations are those that the default policy lets anybody do, or the
// owner of a job.
var cupsOperations = []ipp.Operation{
	ipp.PrintJob, ipp.ValidateJob, ipp.CreateJob, ipp.SendDocument, ipp.CancelJob, ipp.GetJobAttributes, ipp.GetJobs,
	ipp.GetPrinterAttributes, ipp.HoldJob, ipp.ReleaseJob, ipp.CancelMyJobs, ipp.CloseJob,
	restartJob, setPrinterAttributes, getSupportedValues, getSubscriptions, getNotifications,
}

// administration are the operations for which the default policy of cupsd wants
// an administrator, or an operator.
var administration = map[ipp.Operation]bool{
	0x0010: true, 0x0011: true, 0x0012: true, 0x0014: true, 0x0022: true, 0x0023: true,
	0x0025: true, 0x0026: true, 0x0027: true, 0x0028: true, 0x0029: true, 0x002a: true, 0x002b: true, 0x002d: true,
	0x0038: true, 0x4003: true, 0x4004: true, 0x4006: true, 0x4007: true, 0x4008: true, 0x4009: true, 0x400a: true,
	0x400b: true, 0x400d: true, 0x400e: true, 0x4027: true, 0x4028: true,
}

// queue returns the number of the queue that a path names; -1 for none.
func (k *cupsClerk) queue(path string) (int, bool) {
	name, ok := strings.CutPrefix(path, "/printers/")
	if !ok {
		return -1, false
	}
	at := slices.IndexFunc(k.Queues, func(q Queue) bool { return strings.EqualFold(q.Name, name) })
	return at, at >= 0
}

func (k *cupsClerk) scene(q *Request, at int) Scene {
	name := k.Queues[at].Name
	queued, printing := k.office.jobs.busy(name, q.Now)
	return Scene{
		Host: q.Host, Queue: name, Now: q.Now, Started: k.Life.Started, Pages: k.Life.pages(q.Now),
		State: idleOr(printing), Queued: queued + k.Queues[at].Paused,
	}
}

// place is the view of one queue; -1 for all.
func (k *cupsClerk) place(q *Request, at int) place {
	p := place{words: k.office.words, view: jobView{
		host: q.Host, printer: "ipp://" + q.Host + "/printers/*", jobPath: "/jobs", more: "http://" + q.Host + "/jobs/*",
		uptime: func(t time.Time) int { return int(t.Unix()) },
		uuid:   func(id int) string { return "urn:uuid:" + k.Life.UUID("job "+strconv.Itoa(id)) },
	}}
	if at >= 0 {
		p.queue, p.sheet = k.Queues[at].Name, k.sheets[at]
		p.view.printer = "ipp://" + q.Host + "/printers/" + p.queue
	}
	return p
}

func (k *cupsClerk) list(q *Request, limit int) Answer {
	if len(k.sheets) == 0 {
		return q.reply(ipp.StatusNotFound, "No destinations added.")
	}
	a := q.reply(ipp.StatusOK, "")
	want := Want(q.asked(), everything)
	for i, s := range k.sheets {
		if limit > 0 && i >= limit {
			break
		}
		a.add(ipp.TagPrinter, s.Fill(k.scene(q, i), want))
	}
	return a
}

// KnownHost accepts what cupsd accepts without ServerAlias: addresses and localhost.
func KnownHost(host string) bool {
	if _, err := netip.ParseAddrPort(host); err == nil {
		return true
	}
	name, _, _ := strings.Cut(host, ":")
	if name == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
