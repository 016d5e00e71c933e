package office

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/rule"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/web"
)

// Bounds of what a page shows of one host.
const (
	maxProof   = 64 << 10 // bytes of evidence
	maxVisits  = 200
	visitsBack = 30 * 24 * time.Hour
)

// hostTable lists hosts that have cases.
func hostTable() *web.Table {
	return &web.Table{
		Name: "hosts", Title: "hosts.title", Sort: "addr", Empty: "hosts.empty",
		Columns: []web.Column{
			{Name: "addr", Text: "hosts.addr", Head: true, Sorts: true},
			{Name: "worst", Text: "hosts.worst", Sorts: true},
			{Name: "cases", Text: "hosts.cases", Number: true, Sorts: true},
			{Name: "open", Text: "hosts.open", Number: true, Sorts: true},
			{Name: "country", Text: "cases.country", Sorts: true},
			{Name: "asn", Text: "cases.asn", Number: true, Sorts: true},
			{Name: "hostname", Text: "hosts.hostname", Long: true, Sorts: true},
			{Name: "seen", Text: "cases.seen", Sorts: true},
		},
		Fields: []web.Field{
			{Name: "net", Text: "cases.net", Kind: web.Words, Hint: "198.51.100.0/24"},
			{Name: "country", Text: "cases.country", Kind: web.Words, Hint: "DE"},
			{Name: "asn", Text: "cases.asn", Kind: web.Number, Hint: "64496"},
			{Name: "severity", Text: "cases.severity", Kind: web.Many, Options: web.Choices("severity", exposure.Severities...)},
		},
	}
}

// A hostsCut is how many hosts were sorted, when there are more.
type hostsCut struct{ N int64 }

// hosts lists the hosts that have cases, in the order of addresses: along the
// store; in any other order so many are read and sorted as fit, and the page says
// when there are more.
func (d *desk) hosts(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	t, cut := hostTable(), new(hostsCut)
	return d.site.List(w, r, v, "hosts", t, func(q web.Query) iter.Seq2[web.Row, error] {
		if q.Sort == "addr" {
			return d.hostRows(r, v, q)
		}
		all := q
		all.After = ""
		return sortedRows(t, q, d.hostRows(r, v, all), &cut.N)
	}, cut)
}

// hostRows yields hosts in the order of addresses.
func (d *desk) hostRows(r *http.Request, v *gate.Visit, q web.Query) iter.Seq2[web.Row, error] {
	return func(yield func(web.Row, error) bool) {
		want, err := d.wanted(r, v, q)
		if err != nil {
			yield(web.Row{}, err)
			return
		}
		want.Conditions, want.Rulings, want.Moved = nil, nil, true
		if want.Order != store.CasesByAddr {
			want.Order, want.Down = store.CasesByAddr, false
		}
		want.Size = 0
		var h hostRow
		for e, err := range d.Store.Cases(r.Context(), v.View, want) {
			if err != nil {
				yield(web.Row{}, err)
				return
			}
			if h.cases > 0 && h.last.Addr != e.Addr {
				if !yield(h.row(), nil) {
					return
				}
				h = hostRow{}
			}
			h.add(e)
		}
		if h.cases > 0 {
			yield(h.row(), nil)
		}
	}
}

// A hostRow is the cases of one host.
type hostRow struct {
	last        exposure.Exposure
	worst       exposure.Severity
	cases, open int
	seen        time.Time
}

func (h *hostRow) add(e exposure.Exposure) {
	h.last = e
	h.cases++
	if e.Work() {
		h.open++
		if h.worst == "" || e.Severity.Rank() < h.worst.Rank() {
			h.worst = e.Severity
		}
	}
	if e.LastSeen.After(h.seen) {
		h.seen = e.LastSeen
	}
}

func (h *hostRow) row() web.Row {
	addr := h.last.Addr.String()
	return web.Row{ID: addr, After: store.CaseMark(&h.last), Cells: []web.Cell{
		{Value: h.last.Addr, Link: hostLink(addr), Code: true},
		severityCell(h.worst),
		{Value: h.cases},
		{Value: h.open},
		{Value: h.last.Where.Country},
		{Value: h.last.Where.ASN},
		{Value: h.last.Where.Hostname},
		{Value: h.seen},
	}}
}

// A hostFile is all that is known of one address.
type hostFile struct {
	Addr         string
	Where        exposure.Where
	Cases        *web.Listing
	Open         int64
	Observations *web.Listing
	Cut          int64 // so many observations were sorted, and there are more
	Visits       []visitRow
	VisitsCut    bool
	Messages     *web.Listing
	Whose        []people.Reason
	Contacts     []reach
	Customer     lease.Holder
	At           string
	Exclusions   []store.Exclusion
	Holds        []exposure.Hold
	Filters      []exposure.Transition
	Proof        *evidence
	Staff        bool
}

// A reach is a contact, and whether a message may go there.
type reach struct {
	Constituent string
	exposure.Recipient
	Via    string
	Usable bool
	Why    string
}

// A visitRow is a visit, and how the strangers's first packet began.
type visitRow struct {
	exposure.Visit
	Proof *evidence
}

// An evidence is what was heard, as text and as bytes: whatever a stranger sent
// stands there escaped.
type evidence struct {
	ID       string
	At       time.Time
	Probe    string
	Verdict  string
	Findings []exposure.Finding
	Text     string
	Hex      string
	Cut      bool
}

func single(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// proofOf shows an observation whole, up to a bound.
func proofOf(o *exposure.Observation) (*evidence, error) {
	kept := *o
	if kept.Findings == nil {
		kept.Findings = rule.Judge(o)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&kept); err != nil {
		return nil, err
	}
	e := &evidence{ID: string(o.ID), At: o.Observed, Probe: string(o.Probe), Verdict: string(o.Verdict), Findings: kept.Findings}
	e.Text, e.Cut = visible(b.Bytes())
	return e, nil
}

// visible returns bytes as text in which nothing moves the cursor or the
// direction of reading, up to a bound.
func visible(b []byte) (string, bool) {
	cut := len(b) > maxProof
	if cut {
		b = b[:maxProof]
	}
	return web.Visible(string(b)), cut
}

// lastProof is the last sighting of a case, when it is kept here.
func (d *desk) lastProof(r *http.Request, v *gate.Visit, e *exposure.Exposure) (*evidence, error) {
	q := archive.Query{From: e.LastSeen, To: e.LastSeen.Add(time.Second), Addr: single(e.Addr), Transport: e.Transport}
	for rec, err := range d.Archive.Observations(r.Context(), v.View, q) {
		if err != nil {
			return nil, err
		}
		if rec.ID == e.Last {
			return proofOf(&rec.Observation)
		}
	}
	return nil, nil //nolint:nilnil // of another machine, or forgotten
}

func (d *desk) host(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	p, err := space.Parse(r.PathValue("address"))
	if err != nil || !p.IsSingleIP() || !whole(v) && !v.View.Host(p.Addr()) {
		return gate.NotFound
	}
	addr := p.Addr()
	f := &hostFile{Addr: addr.String(), Staff: whole(v)}
	t, done := observationTable(), false
	if f.Observations, done, err = d.site.Part(w, r, v, t, d.observations(r, v, addr, &f.Cut)); err != nil || done {
		return err
	}
	var cases []web.Row
	for e, err := range d.Store.Exposures(r.Context(), v.View, store.Filter{Prefix: p, Moved: true}) {
		if err != nil {
			return err
		}
		cases = append(cases, caseRow(&e))
		f.Where = e.Where
		if e.Work() {
			f.Open++
		}
	}
	t = d.fewCases(v, "cases", "cases.title", "host.no_cases")
	if f.Cases, done, err = d.site.Part(w, r, v, t, web.Few(t, cases)); err != nil || done {
		return err
	}
	if f.Staff {
		if f.Messages, done, err = d.deliveries(w, r, v, addr); err != nil || done {
			return err
		}
	}
	for _, part := range []func(*http.Request, *gate.Visit, netip.Addr, *hostFile) error{d.hostEvidence, d.hostVisits, d.hostPeople, d.hostOrders} {
		if err := part(r, v, addr, f); err != nil {
			return err
		}
	}
	if !f.Staff && len(cases) == 0 && len(f.Observations.Rows) == 0 && f.Proof == nil {
		return gate.NotFound
	}
	return d.site.Page(w, r, v, "host", f)
}

// observationTable lists what was observed at one host.
func observationTable() *web.Table {
	return &web.Table{
		Name: "observations", Title: "host.observations", Sort: "-time", Empty: "host.no_observations", Limit: 25, Key: "o",
		Columns: []web.Column{
			{Name: "time", Text: "host.time", Head: true, Sorts: true},
			{Name: "source", Text: "host.source", Sorts: true},
			{Name: "door", Text: "host.door", Sorts: true},
			{Name: "probe", Text: "host.probe", Sorts: true},
			{Name: "verdict", Text: "host.verdict", Sorts: true},
			{Name: "findings", Text: "host.findings", Long: true},
			{Name: "run", Text: "host.run", Sorts: true},
			{Name: "id", Text: "host.raw"},
			{Name: "reason", Export: true},
			{Name: "vantage", Export: true},
		},
		Fields: []web.Field{
			{Name: "since", Text: "audit.since", Kind: web.Date},
			{Name: "until", Text: "audit.until", Kind: web.Date},
			{Name: "source", Text: "host.source", Kind: web.Words, Hint: string(exposure.Scan)},
			{Name: "verdict", Text: "host.verdict", Kind: web.Words, Hint: string(exposure.Answered)},
			{Name: "finding", Text: "host.findings", Kind: web.Words, Hint: "open-ipp"},
			{Name: "run", Text: "host.run", Kind: web.Words},
		},
	}
}

// takesObservation reports whether the filter takes one.
func takesObservation(q web.Query, rec *archive.Record) bool {
	if day := q.Day("since"); !day.IsZero() && rec.Observed.Before(day) {
		return false
	}
	if day := q.Day("until"); !day.IsZero() && !rec.Observed.Before(day.AddDate(0, 0, 1)) {
		return false
	}
	return (q.Get("source") == "" || q.Get("source") == string(rec.Source)) && (q.Get("verdict") == "" || q.Get("verdict") == string(rec.Verdict)) &&
		(q.Get("run") == "" || q.Get("run") == rec.Run) &&
		(q.Get("finding") == "" || slices.ContainsFunc(rec.Tags, func(tag string) bool { return contains(tag, q.Get("finding")) }))
}

// maxSorted is how many rows are read to be sorted in memory. A page that has
// more says so, and an export in that order is refused.
var maxSorted = 20_000 // tests set it

// tooManyToSort is told instead of a file that is not whole.
func tooManyToSort() error {
	return gate.Bad("sort: these are more than %d rows, which is the most that this file sorts: narrow the list, or take it in its own order", maxSorted)
}

// sortedRows yields rows that come in another order in that of the query. Cut says
// how many were sorted when there are more.
func sortedRows(t *web.Table, q web.Query, all iter.Seq2[web.Row, error], cut *int64) iter.Seq2[web.Row, error] {
	return func(yield func(web.Row, error) bool) {
		var rows []web.Row
		for row, err := range all {
			if err == nil && len(rows) == maxSorted {
				if *cut = int64(maxSorted); q.Format == "" {
					break
				}
				err = tooManyToSort()
			}
			if err != nil {
				yield(web.Row{}, err)
				return
			}
			rows = append(rows, row)
		}
		web.Sorted(t, q, rows)(yield)
	}
}

// observations yields those of one address, the last first: along the archive; in
// any other order the newest are read and sorted, and cut says how many when there
// are more.
func (d *desk) observations(r *http.Request, v *gate.Visit, addr netip.Addr, cut *int64) web.Rows {
	return func(q web.Query) iter.Seq2[web.Row, error] {
		if q.Sort == "time" && q.Down {
			return d.observationRows(r, v, addr, q)
		}
		all := q
		all.After = ""
		return sortedRows(observationTable(), q, d.observationRows(r, v, addr, all), cut)
	}
}

// observationRows yields those that the filter takes, the last first.
func (d *desk) observationRows(r *http.Request, v *gate.Visit, addr netip.Addr, q web.Query) iter.Seq2[web.Row, error] {
	return func(yield func(web.Row, error) bool) {
		behind := q.After == ""
		for rec, err := range d.Archive.History(r.Context(), v.View, addr, 0) {
			if err != nil {
				yield(web.Row{}, err)
				return
			}
			if !behind {
				behind = string(rec.ID) == q.After
				continue
			}
			if takesObservation(q, &rec) && !yield(observationRow(&rec, whole(v)), nil) {
				return
			}
		}
	}
}

func observationRow(rec *archive.Record, staff bool) web.Row {
	run := web.Cell{Value: rec.Run}
	if staff && rec.Source == exposure.Scan && rec.Run != "" {
		run.Link = "/scans/" + rec.Run
	}
	where := netip.AddrPortFrom(rec.Addr, rec.Port)
	return web.Row{ID: string(rec.ID), Cells: []web.Cell{
		{Value: rec.Observed},
		{Value: string(rec.Source), Prefix: "source"},
		{Value: where.String() + "/" + string(rec.Transport), Code: true},
		{Value: string(rec.Probe), Prefix: "probe"},
		{Value: string(rec.Verdict), Prefix: "observed"},
		{Value: rec.Tags, Code: len(rec.Tags) > 0},
		run,
		{Value: string(rec.ID), Key: "host.show", Link: hostLink(rec.Addr.String()) + "?raw=" + string(rec.ID) + "#evidence"},
		{Value: rec.Reason},
		{Value: rec.Vantage},
	}}
}

// hostEvidence shows the observation that was asked for, or the last one.
func (d *desk) hostEvidence(r *http.Request, v *gate.Visit, addr netip.Addr, f *hostFile) error {
	wanted := r.URL.Query().Get("raw")
	for rec, err := range d.Archive.History(r.Context(), v.View, addr, 0) {
		if err != nil {
			return err
		}
		if wanted != "" && string(rec.ID) != wanted {
			continue
		}
		if f.Where.Country == "" {
			f.Where = rec.Where
		}
		f.Proof, err = proofOf(&rec.Observation)
		return err
	}
	if wanted != "" {
		return gate.NotFound
	}
	return nil
}

// hostVisits finds the visits of the address at our sensors.
func (d *desk) hostVisits(r *http.Request, v *gate.Visit, addr netip.Addr, f *hostFile) error {
	for visit, err := range d.Archive.Visits(r.Context(), v.View, archive.VisitQuery{Addr: addr, From: v.At.Add(-visitsBack), Newest: true, Limit: maxVisits + 1}) {
		if err != nil {
			return err
		}
		row := visitRow{Visit: visit}
		if len(visit.Payload) > 0 {
			row.Proof = &evidence{ID: string(visit.ID), Hex: hex.Dump(visit.Payload[:min(len(visit.Payload), 2048)])}
			row.Proof.Text, row.Proof.Cut = visible(visit.Payload)
		}
		f.Visits = append(f.Visits, row)
	}
	if len(f.Visits) > maxVisits {
		f.Visits, f.VisitsCut = f.Visits[:maxVisits], true
	}
	return nil
}

// told is what was sent about one case of an address, or about all of them.
func (d *desk) told(ctx context.Context, addr netip.Addr, of ...exposure.Key) ([]store.Delivery, error) {
	all, err := d.Store.Deliveries(ctx, []netip.Addr{addr})
	if err != nil {
		return nil, err
	}
	if len(of) > 0 {
		all = slices.DeleteFunc(all, func(x store.Delivery) bool { return !slices.Contains(of, x.Key) })
	}
	slices.SortStableFunc(all, func(a, b store.Delivery) int { return b.Planned.Compare(a.Planned) })
	return all, nil
}

// deliveries are the messages about one case of an address, or about all of them.
func (d *desk) deliveries(w http.ResponseWriter, r *http.Request, v *gate.Visit, addr netip.Addr, of ...exposure.Key) (*web.Listing, bool, error) {
	all, err := d.told(r.Context(), addr, of...)
	if err != nil {
		return nil, false, err
	}
	t := &web.Table{
		Name: "messages", Title: "host.messages", Key: "m", Sort: "-planned", Empty: "host.no_messages", Limit: 25,
		Columns: []web.Column{
			{Name: "message", Text: "outreach.message", Head: true, Sorts: true},
			{Name: "state", Text: "outreach.state", Sorts: true},
			{Name: "to", Text: "outreach.to", Sorts: true, Long: true},
			{Name: "constituent", Text: "cases.constituent", Sorts: true},
			{Name: "rule", Text: "cases.rule", Sorts: true},
			{Name: "planned", Text: "outreach.planned", Sorts: true},
			{Name: "ended", Text: "outreach.ended", Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
	var rows []web.Row
	for _, m := range all {
		rows = append(rows, row(m.Message+" "+m.Rule+" "+string(m.Transport)+" "+numbered(int(m.Port)), web.Cell{Value: m.Message, Link: "/outreach/" + m.Message, Code: true},
			web.Cell{Value: string(m.State), Key: "message." + string(m.State), Badge: stateBadge(m.State)}, web.Cell{Value: m.Recipient},
			web.Cell{Value: m.Constituent}, web.Cell{Value: m.Rule, Prefix: "rule"}, web.Cell{Value: m.Planned}, web.Cell{Value: m.Ended}))
	}
	return d.site.Part(w, r, v, t, web.Few(t, rows))
}

// hostPeople says whose the host is and why, and whose it was at a time.
func (d *desk) hostPeople(r *http.Request, v *gate.Visit, addr netip.Addr, f *hostFile) error {
	if !f.Staff {
		return nil
	}
	ctx, at := r.Context(), v.At
	if text := r.URL.Query().Get("at"); text != "" {
		var err error
		if at, err = lease.ParseTime(text); err != nil {
			return gate.Bad("at: want a time such as 2026-11-23 09:30, in UTC")
		}
		f.At = text
	}
	if f.Where.Country == "" && d.Where != nil {
		f.Where = d.Where(addr)
	}
	dir, err := d.People.Directory(ctx, v.View)
	if err != nil {
		return err
	}
	f.Whose = dir.Explain(addr, f.Where)
	for _, told := range f.Whose {
		for _, c := range told.Constituent.Contacts {
			ok, why := people.Usable(c)
			f.Contacts = append(f.Contacts, reach{told.Name, c, "", ok, why})
		}
	}
	marks, err := d.People.Statuses(ctx, v.View)
	if err != nil {
		return err
	}
	found, err := d.Store.Lookups(ctx, v.View, addr)
	if err != nil {
		return err
	}
	for _, l := range found {
		if l.Contact == nil {
			continue
		}
		c := people.Marked(*l.Contact, marks)
		ok, why := people.Usable(c)
		if !l.Expires.IsZero() && !v.At.Before(l.Expires) {
			ok, why = false, "has expired"
		}
		f.Contacts = append(f.Contacts, reach{"", c, l.Via, ok, why})
	}
	f.Customer, err = lease.NewCustomers(d.Store, v.View, nil).Who(ctx, addr, at)
	return err
}

// hostOrders are what names the host: exclusions, holds, and the filters that
// closed a case of it.
func (d *desk) hostOrders(r *http.Request, v *gate.Visit, addr netip.Addr, f *hostFile) error {
	if !f.Staff {
		return nil
	}
	all, err := d.Store.Exclusions(r.Context(), v.View)
	if err != nil {
		return err
	}
	for _, x := range all {
		if sameNet(x.Prefix, addr) {
			f.Exclusions = append(f.Exclusions, x)
		}
	}
	holds, err := d.Store.Holds(r.Context(), v.View)
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h.Prefix.IsValid() && sameNet(h.Prefix, addr) {
			f.Holds = append(f.Holds, h)
		}
	}
	for e, err := range d.Store.Exposures(r.Context(), v.View, store.Filter{Prefix: single(addr), Moved: true}) {
		if err != nil {
			return err
		}
		for t, err := range d.Store.Transitions(r.Context(), v.View, store.Span{Key: e.Key}) {
			if err != nil {
				return err
			}
			if t.Axis == exposure.AxisCondition && t.To == string(exposure.Filtered) {
				f.Filters = append(f.Filters, t)
			}
		}
	}
	return nil
}

// notThere reports whether the error says that there is no such thing.
func notThere(err error) bool {
	return errors.Is(err, store.ErrNoExposure) || errors.Is(err, store.ErrNoMessage)
}
