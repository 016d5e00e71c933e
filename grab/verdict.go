package grab

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// ranks order verdicts: what one exchange proved, a later one does not undo.
var ranks = map[exposure.Verdict]int{
	exposure.NoAnswer:    1,
	exposure.Unreachable: 1,
	exposure.Closed:      1,
	exposure.NotIPP:      2,
	exposure.Interrupted: 3, // before the last door was tried
	exposure.Malformed:   4,
	exposure.Tarpit:      5,
	exposure.Restricted:  6,
	exposure.Answered:    7,
}

// judge takes one exchange into the observation.
func (c *conversation) judge(a answer, path string) {
	c.learn(a)
	verdict, reason := decide(a)
	success := a.ipp != nil && a.status().Successful()
	rank := ranks[verdict]
	if rank < c.rank || (rank == c.rank && (c.success || !success)) {
		c.note(reason)
		return
	}
	c.rank, c.success = rank, success
	c.o.Verdict, c.o.Reason = verdict, reason
	c.o.Observed = time.Now().UTC().Round(0)
	if a.reply.status != 0 {
		c.o.HTTP = a.http()
	}
	if a.ipp == nil {
		return
	}
	c.path = path
	if c.o.IPP == nil {
		c.o.IPP = &exposure.IPP{}
	}
	c.o.IPP.Version = a.ipp.Version.String()
	c.o.IPP.Status = exposure.StatusCode(a.ipp.Code)
	c.o.IPP.Lenient, c.o.IPP.Stopped = a.ipp.Lenient, a.ipp.Stopped
	if printers := c.g.opt.Limits.printers(a.ipp); len(printers) > 0 {
		c.o.Printers = printers
		c.o.IPP.Versions = printers[0].Attributes["ipp-versions-supported"]
	}
}

// decide returns the verdict of one exchange.
func decide(a answer) (exposure.Verdict, string) {
	switch {
	case a.f != nil:
		return a.f.verdict, a.f.reason
	case restricts(a.reply.status):
		return exposure.Restricted, ""
	case a.ipp != nil:
		return exposure.Answered, a.short
	case isIPP(a.reply) && a.reply.status/100 == 2:
		m := ipp.Parse(a.body, ipp.Limits{})
		why := cmp.Or(a.short, m.Stopped, "IPP version "+m.Version.String())
		return exposure.Malformed, "called itself IPP: " + why
	}
	return exposure.NotIPP, strings.TrimSuffix(fmt.Sprintf("HTTP %d without IPP; %s", a.reply.status, a.short), "; ")
}

// learn keeps what marks the host, from any exchange.
func (c *conversation) learn(a answer) {
	if strings.Contains(a.head.server, exposure.SimulatedMark) {
		c.o.Simulated = true
	}
	token, version := product(a.head.server)
	page := titleVersion(a.title)
	if token == "" && page == "" {
		return
	}
	if c.o.CUPS == nil {
		c.o.CUPS = &exposure.CUPS{}
	}
	if token != "" {
		c.cupsd = true
		c.o.CUPS.Server = token
	}
	// "2.4" of a Server header says less than "2.4.2" of a page.
	for _, v := range []string{version, page} {
		if strings.Count(v, ".") > strings.Count(c.o.CUPS.Reported, ".") || c.o.CUPS.Reported == "" {
			c.o.CUPS.Reported = v
		}
	}
}

// http returns the answer as an observation has it.
func (r reply) http() *exposure.HTTP {
	return &exposure.HTTP{
		Status:       r.status,
		Server:       r.head.server,
		Authenticate: r.head.authenticate,
		Upgrade:      r.head.upgrade,
		ContentType:  r.head.contentType,
		Location:     r.head.location,
		Title:        r.title,
	}
}

// record keeps the exchange itself.
func (c *conversation) record(operation, path string, a answer) {
	e := exposure.Exchange{Operation: operation, Path: clip(path, maxField), TLS: c.overTLS, HTTP: a.reply.status}
	if operation != "GET" {
		e.Version = c.version.String()
	}
	if a.ipp != nil {
		status := exposure.StatusCode(a.ipp.Code)
		e.Status = &status
	}
	if a.f != nil {
		e.Error = cmp.Or(a.f.reason, string(a.f.verdict))
	}
	if c.o.IPP == nil {
		c.o.IPP = &exposure.IPP{}
	}
	c.o.IPP.Exchanges = append(c.o.IPP.Exchanges, e)
}

// note keeps a trouble that does not change the verdict.
func (c *conversation) note(reason string) {
	if reason == "" || strings.Contains(c.o.Reason, reason) || len(c.o.Reason) > maxField {
		return
	}
	if c.o.Reason != "" {
		reason = c.o.Reason + "; " + reason
	}
	c.o.Reason = reason
}

// finish returns the observation, with what only its whole can tell.
func (c *conversation) finish() exposure.Observation {
	// What speaks no HTTP can only say so in its first bytes, which the reason
	// quotes.
	c.o.Simulated = c.o.Simulated || strings.Contains(c.o.Reason, exposure.SimulatedMark)
	c.o.Simulated = c.o.Simulated && c.o.Addr.IsLoopback()
	o := &c.o
	o.Received = time.Now().UTC().Round(0)
	if o.Observed.IsZero() {
		o.Observed = o.Received
	}
	if !o.Verdict.Spoke() {
		// A host that never spoke has no conversation to show.
		o.IPP = nil
	}
	for _, p := range o.Printers {
		if v := p.Get("cups-version"); v != "" {
			if o.CUPS == nil {
				o.CUPS = &exposure.CUPS{}
			}
			o.CUPS.Reported = clip(v, 32)
			break
		}
	}
	o.Printers = slices.Clip(o.Printers)
	return *o
}
