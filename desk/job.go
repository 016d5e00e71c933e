package desk

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ippwatch/wire/ipp"
)

const (
	mostJobs = 500 // that a service remembers; cupsd's MaxJobs
	// jobTimeOut is the multiple-operation-time-out: how long a job waits for
	// its document.
	jobTimeOut = 60 * time.Second
	warmUp     = 2 * time.Second
	perSecond  = 256 << 10 // bytes that a printer prints
	longest    = 90 * time.Second
)

// States of a job (RFC 8011, section 5.3.7).
const (
	jobPending    = 3
	jobHeld       = 4
	jobProcessing = 5
	jobCanceled   = 7
	jobAborted    = 8
	jobCompleted  = 9
)

// A job is what somebody wanted printed. Its state is a question of the time:
// nothing runs.
type job struct {
	id       int
	queue    string
	from     netip.Addr
	user     string
	name     string
	document string // its name
	format   string
	size     int64
	files    int
	created  time.Time
	closed   time.Time // when no more documents come; zero: they may
	canceled time.Time
	held     string // job-hold-until; "": no-hold
	template []ipp.Attribute
}

// printing is how long it takes.
func (j *job) printing() time.Duration {
	return min(warmUp+time.Duration(j.size)*time.Second/perSecond, longest)
}

// state is the state at a time, its reason, and when processing began and it
// ended.
func (j *job) state(now time.Time) (state int, reason string, began, ended time.Time) {
	start := j.closed.Add(time.Second)
	stop := start.Add(j.printing())
	switch {
	case !j.canceled.IsZero():
		if !j.closed.IsZero() && start.Before(j.canceled) {
			began = start
		}
		return jobCanceled, "job-canceled-by-user", began, j.canceled
	case j.closed.IsZero() && now.Sub(j.created) > jobTimeOut:
		return jobAborted, "aborted-by-system", began, j.created.Add(jobTimeOut)
	case j.closed.IsZero():
		return jobHeld, "job-incoming", began, ended
	case j.held != "":
		return jobHeld, "job-hold-until-specified", began, ended
	case now.Before(start):
		return jobPending, "none", began, ended
	case now.Before(stop):
		return jobProcessing, "job-printing", start, ended
	}
	return jobCompleted, "job-completed-successfully", start, stop
}

func (j *job) over(now time.Time) bool {
	state, _, _, _ := j.state(now)
	return state >= jobCanceled
}

// Jobs are the jobs of one service: those of strangers, among numbers that
// others have used before.
type Jobs struct {
	mu   sync.Mutex
	list []*job // in the order of their numbers
	last int
	// First and Every say which number a job has that is the only one: some
	// office prints here too.
	First int
	Epoch time.Time
	Every time.Duration
}

// open adds a job and returns a copy.
func (l *Jobs) open(j job, now time.Time) job {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.last + 1
	if l.Every > 0 {
		next = max(next, l.First+int(now.Sub(l.Epoch)/l.Every))
	}
	j.id, j.created = next, now
	l.last = next
	if len(l.list) >= mostJobs {
		at := max(0, slices.IndexFunc(l.list, func(o *job) bool { return o.over(now) }))
		l.list = slices.Delete(l.list, at, at+1)
	}
	l.list = append(l.list, &j)
	return j
}

// change finds a job, lets f change it, and returns a copy.
func (l *Jobs) change(id int, f func(*job)) (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.list {
		if j.id == id {
			if f != nil {
				f(j)
			}
			return *j, true
		}
	}
	return job{}, false
}

// all returns copies of the jobs that keep says, at most limit.
func (l *Jobs) all(limit int, keep func(*job) bool) []job {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []job
	for _, j := range l.list {
		if limit > 0 && len(found) >= limit {
			break
		}
		if keep(j) {
			found = append(found, *j)
		}
	}
	return found
}

// busy counts the jobs of a queue that are not over, and reports whether one is
// being printed.
func (l *Jobs) busy(queue string, now time.Time) (queued int, printing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.list {
		if j.queue != queue {
			continue
		}
		state, _, _, _ := j.state(now)
		if state < jobCanceled {
			queued++
		}
		printing = printing || state == jobProcessing
	}
	return queued, printing
}

// A jobView is how a service shows its jobs.
type jobView struct {
	host, printer string // URI of the queue
	jobPath       string // under which jobs stand
	more          string // job-more-info
	uptime        func(time.Time) int
	uuid          func(id int) string
}

// attributes are those of a job; what is private is left out for strangers.
func (v jobView) attributes(j job, now time.Time, mine bool, want Wanted) []ipp.Attribute {
	state, reason, began, ended := j.state(now)
	at := func(name string, t time.Time) []ipp.Attribute {
		if t.IsZero() {
			return []ipp.Attribute{ipp.OutOfBand(ipp.TagNoValue, "date-time-at-"+name), ipp.OutOfBand(ipp.TagNoValue, "time-at-"+name)}
		}
		return []ipp.Attribute{{Name: "date-time-at-" + name, Values: []ipp.Value{ipp.Date(t)}}, ipp.Integers(ipp.TagInteger, "time-at-"+name, v.uptime(t))}
	}
	sheets := 0
	if state == jobCompleted {
		sheets = max(1, int(j.size/50_000))
	}
	all := []ipp.Attribute{
		ipp.Integers(ipp.TagInteger, "number-of-documents", j.files),
		ipp.Strings(ipp.TagURI, "job-more-info", v.more),
		ipp.Integers(ipp.TagInteger, "job-printer-up-time", v.uptime(now)),
		ipp.Strings(ipp.TagURI, "job-printer-uri", v.printer),
		ipp.Strings(ipp.TagURI, "job-uri", fmt.Sprintf("ipp://%s%s/%d", v.host, v.jobPath, j.id)),
	}
	if mine {
		all = append(all, ipp.Strings(ipp.TagName, "job-name", j.name), ipp.Strings(ipp.TagName, "job-originating-user-name", j.user))
	}
	all = append(all, j.template...)
	all = append(all, ipp.Strings(ipp.TagURI, "job-uuid", v.uuid(j.id)))
	all = append(all, at("completed", ended)...)
	all = append(all, at("creation", j.created)...)
	all = append(all, at("processing", began)...)
	all = append(all,
		ipp.Integers(ipp.TagInteger, "job-id", j.id),
		ipp.Integers(ipp.TagEnum, "job-state", state),
		ipp.Strings(ipp.TagKeyword, "job-state-reasons", reason),
		ipp.Integers(ipp.TagInteger, "job-impressions-completed", sheets),
		ipp.Integers(ipp.TagInteger, "job-media-sheets-completed", sheets),
		ipp.Integers(ipp.TagInteger, "job-k-octets", int((j.size+1023)/1024)),
	)
	if j.format != "" {
		all = append(all, ipp.Strings(ipp.TagMimeType, "document-format", j.format))
	}
	if (mine || !j.from.IsValid()) && j.document != "" {
		all = append(all, ipp.Strings(ipp.TagName, "document-name-supplied", j.document))
	}
	return slices.DeleteFunc(all, func(a ipp.Attribute) bool { return !want.Has(a.Name) })
}
