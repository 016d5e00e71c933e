package desk

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"ippwatch/wire/ipp"
)

// An office does what CUPS and devices do alike: it takes jobs for a printer,
// tells of them and cancels them.
type office struct {
	jobs  Jobs
	words words
	// defaults are what every job has, unless it says otherwise.
	defaults []ipp.Attribute
	private  bool // names of jobs are for their owners, as by cupsd's default policy
}

// A place is one printer of an office, as a client addressed it.
type place struct {
	queue string
	sheet Sheet
	view  jobView
	words words
}

// Bounds of what a job remembers of its request.
const (
	mostTemplates = 32
	mostValues    = 16
	mostValue     = 255
)

// answer does the operations on jobs; ok is false for any other.
func (o *office) answer(q *Request, p place) (a Answer, ok bool) {
	switch q.Operation() {
	case ipp.ValidateJob, ipp.PrintJob, ipp.CreateJob:
		return o.submit(q, p), true
	case ipp.SendDocument:
		return o.send(q, p), true
	case ipp.CancelJob:
		return o.cancel(q), true
	case ipp.HoldJob, ipp.ReleaseJob:
		return o.hold(q), true
	case ipp.CancelMyJobs:
		for _, j := range o.jobs.all(0, func(j *job) bool { return o.owns(q, j) && !j.over(q.Now) }) {
			o.jobs.change(j.id, func(j *job) { j.canceled = q.Now })
		}
		return q.reply(ipp.StatusOK, ""), true
	case ipp.CloseJob:
		return o.close(q), true
	case ipp.GetJobs:
		return o.list(q, p), true
	case ipp.GetJobAttributes:
		return o.tell(q, p), true
	}
	return Answer{}, false
}

// owns reports whether the one who asks made the job. No name is believed
// without the address.
func (o *office) owns(q *Request, j *job) bool {
	return j.from == q.From && j.user == q.user()
}

// user is who the client says it is.
func (q *Request) user() string {
	if name := q.operation("requesting-user-name"); name != "" {
		return clip(name, mostValue)
	}
	return "anonymous"
}

// submit checks a job, and takes it unless it was to be checked only.
func (o *office) submit(q *Request, p place) Answer {
	status, text, not := p.check(q)
	if !status.Successful() {
		return q.reply(status, text).unsupported(not...)
	}
	switch {
	case q.Operation() == ipp.ValidateJob:
		return q.reply(status, text).unsupported(not...)
	case q.Operation() == ipp.PrintJob && q.Document == 0:
		return q.reply(ipp.StatusBadRequest, o.words.noFile)
	}
	j := job{
		queue: p.queue, from: q.From, user: q.user(), name: clip(q.operation("job-name"), mostValue),
		format: clip(q.operation("document-format"), mostValue), document: clip(q.operation("document-name"), mostValue),
		template: o.templates(q),
	}
	if j.name == "" {
		j.name = "Untitled"
	}
	if hold := q.Get(ipp.TagJob, "job-hold-until"); hold != "no-hold" {
		j.held = clip(hold, mostValue)
	}
	if q.Operation() == ipp.PrintJob {
		j.closed, j.size, j.files = q.Now, q.Document, 1
	}
	j = o.jobs.open(j, q.Now)
	a := q.reply(status, text).unsupported(not...)
	a.Job = j.id
	a.add(ipp.TagJob, p.view.attributes(j, q.Now, true, Want(nil, submitted)))
	return a
}

// submitted is what is told of a new job (RFC 8011, section 4.2.1.2).
var submitted = []string{"job-uri", "job-id", "job-state", "job-state-reasons"}

// templates are the Job Template attributes of the request over the defaults.
func (o *office) templates(q *Request) []ipp.Attribute {
	list := slices.Clone(o.defaults)
	for _, g := range q.Groups {
		if g.Tag != ipp.TagJob {
			continue
		}
		for _, a := range g.Attributes {
			if !template(a.Name) || !modest(a) {
				continue
			}
			if at := slices.IndexFunc(list, func(b ipp.Attribute) bool { return b.Name == a.Name }); at >= 0 {
				list[at] = a
			} else if len(list) < mostTemplates {
				list = append(list, a)
			}
		}
	}
	return list
}

func modest(a ipp.Attribute) bool {
	return len(a.Values) <= mostValues && !slices.ContainsFunc(a.Values, func(v ipp.Value) bool {
		return len(v.Data) > mostValue || v.Tag == ipp.TagBegCollection
	})
}

// check says whether the printer would take the job, and what it would not do.
func (p place) check(q *Request) (status ipp.Status, text string, not []ipp.Attribute) {
	if a, ok := q.first("document-format"); ok && !p.supports("document-format-supported", a) {
		return p.words.format, p.words.said(p.words.formatText, q.operation("document-format")), []ipp.Attribute{a}
	}
	if a, ok := q.first("compression"); ok && !p.supports("compression-supported", a) {
		return ipp.StatusAttributes, p.words.said(p.words.compression, q.operation("compression")), []ipp.Attribute{a}
	}
	for _, g := range q.Groups {
		if g.Tag != ipp.TagJob {
			continue
		}
		for _, a := range g.Attributes {
			if len(not) < mostTemplates && modest(a) && !p.does(a) {
				not = append(not, a)
			}
		}
	}
	switch {
	case len(not) == 0:
		return ipp.StatusOK, "", nil
	case q.operation("ipp-attribute-fidelity") == "true":
		return ipp.StatusAttributes, "", not
	}
	return ipp.StatusSubstituted, "", not
}

// said puts a value into a text that has a place for it.
func (w words) said(text, value string) string {
	return strings.Replace(text, "*", clip(value, mostValue), 1)
}

// does reports whether the printer can do what a Job Template attribute wants.
func (p place) does(a ipp.Attribute) bool {
	known := slices.ContainsFunc(p.sheet, func(l line) bool { return l.name == a.Name+"-supported" })
	switch a.Name {
	case "copies":
		n, ok := a.Values[0].Int()
		return ok && n >= 1 && n <= 999
	case "job-name", "job-hold-until", "job-priority", "job-sheets", "page-ranges", "media", "media-col":
		return true
	}
	return known && p.supports(a.Name+"-supported", a)
}

// supports reports whether the printer lists every value; what it does not list
// at all it takes.
func (p place) supports(name string, a ipp.Attribute) bool {
	for _, l := range p.sheet {
		if l.name != name || l.tag == ipp.TagRange || l.tag == ipp.TagBoolean {
			continue
		}
		for _, v := range a.Values {
			if !slices.ContainsFunc(l.fixed.Values, func(have ipp.Value) bool { return have.Text() == v.Text() }) {
				return false
			}
		}
	}
	return true
}

// which returns the number of the job that the request names.
func (q *Request) which() int {
	if n, ok := q.number("job-id"); ok {
		return n
	}
	n, err := strconv.Atoi(path.Base(q.target().path))
	if err != nil {
		return 0
	}
	return n
}

// find returns the job that a request names, or the answer that it is not there.
func (o *office) find(q *Request) (job, Answer, bool) {
	id := q.which()
	j, ok := o.jobs.change(id, nil)
	if !ok {
		return j, q.reply(ipp.StatusNotFound, o.words.said(o.words.noJob, strconv.Itoa(id))), false
	}
	return j, Answer{}, true
}

// own returns the job that a request names, or the answer that it is not there
// or another's.
func (o *office) own(q *Request) (job, Answer, bool) {
	j, none, ok := o.find(q)
	if ok && !o.owns(q, &j) {
		return j, o.stranger(q), false
	}
	return j, none, ok
}

func (o *office) send(q *Request, p place) Answer {
	j, none, ok := o.own(q)
	switch {
	case !ok:
		return none
	case j.over(q.Now) || !j.closed.IsZero():
		return q.reply(ipp.StatusNotPossible, fmt.Sprintf("Job #%d is already completed.", j.id))
	}
	last := q.operation("last-document")
	if last == "" {
		return q.reply(ipp.StatusBadRequest, "Missing last-document attribute in request.")
	}
	if status, text, not := p.check(q); !status.Successful() {
		return q.reply(status, text).unsupported(not...)
	}
	j, _ = o.jobs.change(j.id, func(j *job) {
		j.size += q.Document
		if q.Document > 0 {
			j.files++
		}
		if last == "true" {
			j.closed = q.Now
		}
		if name := q.operation("document-name"); name != "" {
			j.document = clip(name, mostValue)
		}
	})
	a := q.reply(ipp.StatusOK, "")
	a.Job = j.id
	a.add(ipp.TagJob, p.view.attributes(j, q.Now, true, Want(nil, submitted)))
	return a
}

// stranger is the answer to who would change the job of another.
func (o *office) stranger(q *Request) Answer {
	return Answer{Message: q.reply(ipp.StatusNotAuthorized, "").Message, Login: o.private}
}

func (o *office) cancel(q *Request) Answer {
	j, none, ok := o.own(q)
	switch state, _, _, _ := j.state(q.Now); {
	case !ok:
		return none
	case state >= jobCanceled:
		return q.reply(ipp.StatusNotPossible, fmt.Sprintf("Job #%d is already %s - can't cancel.", j.id, ends[state]))
	}
	o.jobs.change(j.id, func(j *job) { j.canceled = q.Now })
	a := q.reply(ipp.StatusOK, "")
	a.Job = j.id
	return a
}

// ends are the words for states from which nothing leads.
var ends = map[int]string{jobCanceled: "canceled", jobAborted: "aborted", jobCompleted: "completed"}

func (o *office) hold(q *Request) Answer {
	j, none, ok := o.own(q)
	switch {
	case !ok:
		return none
	case j.over(q.Now):
		return q.reply(ipp.StatusNotPossible, fmt.Sprintf("Job #%d is finished and cannot be altered.", j.id))
	}
	o.jobs.change(j.id, func(j *job) {
		if q.Operation() == ipp.ReleaseJob {
			j.held = ""
			if !j.closed.IsZero() {
				j.closed = q.Now // printing begins now
			}
			return
		}
		j.held = "indefinite"
	})
	return q.reply(ipp.StatusOK, "")
}

func (o *office) close(q *Request) Answer {
	j, none, ok := o.own(q)
	switch {
	case !ok:
		return none
	case j.over(q.Now):
		return q.reply(ipp.StatusNotPossible, fmt.Sprintf("Job #%d is %s and cannot be closed.", j.id, ends[jobCompleted]))
	}
	o.jobs.change(j.id, func(j *job) {
		if j.closed.IsZero() {
			j.closed = q.Now
		}
	})
	return q.reply(ipp.StatusOK, "")
}

// shows reports whether Get-Jobs lists a job for which-jobs.
func shows(j *job, which string, q *Request) bool {
	switch state, _, _, _ := j.state(q.Now); which {
	case "", "not-completed":
		return state < jobCanceled
	case "completed":
		return state >= jobCanceled
	case "all":
		return true
	case "aborted":
		return state == jobAborted
	case "canceled":
		return state == jobCanceled
	case "pending":
		return state == jobPending
	case "pending-held":
		return state == jobHeld
	case "processing":
		return state == jobProcessing
	}
	return false
}

// whiches are the values of which-jobs.
var whiches = []string{"", "not-completed", "completed", "all", "aborted", "canceled", "pending", "pending-held", "processing", "processing-stopped"}

func (o *office) list(q *Request, p place) Answer {
	which := q.operation("which-jobs")
	if !slices.Contains(whiches, which) {
		return q.reply(ipp.StatusAttributes, fmt.Sprintf("The which-jobs value %q is not supported.", clip(which, mostValue))).
			unsupported(ipp.Strings(ipp.TagKeyword, "which-jobs", clip(which, mostValue)))
	}
	limit, _ := q.number("limit")
	mine := q.operation("my-jobs") == "true"
	found := o.jobs.all(limit, func(j *job) bool {
		return (p.queue == "" || j.queue == p.queue) && (!mine || o.owns(q, j)) && shows(j, which, q)
	})
	a := q.reply(ipp.StatusOK, "")
	want := Want(q.asked(), []string{"job-id", "job-uri"}) // RFC 8011, section 4.2.6.1
	for _, j := range found {
		a.add(ipp.TagJob, p.of(j).attributes(j, q.Now, o.owns(q, &j), want))
	}
	return a
}

// of is the view of a job of any queue of the service.
func (p place) of(j job) jobView {
	v := p.view
	if before, all := strings.CutSuffix(v.printer, "/*"); all {
		v.printer = before + "/" + j.queue
	}
	v.more = strings.Replace(v.more, "*", strconv.Itoa(j.id), 1)
	return v
}

func (o *office) tell(q *Request, p place) Answer {
	j, _, ok := o.find(q)
	if !ok {
		return q.reply(ipp.StatusNotFound, o.words.said(o.words.noJobToTell, strconv.Itoa(q.which())))
	}
	a := q.reply(ipp.StatusOK, "")
	a.Job = j.id
	a.add(ipp.TagJob, p.of(j).attributes(j, q.Now, o.owns(q, &j), Want(q.asked(), everything)))
	return a
}
