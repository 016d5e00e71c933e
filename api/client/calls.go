package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/people/lease"
	"ippwatch/store"
)

// path joins words to a path; each is one segment, whatever is in it.
func path(words ...string) string {
	p := ""
	for _, w := range words {
		p += "/" + url.PathEscape(w)
	}
	return p
}

// Me says who the server takes the caller for.
func (c *Client) Me(ctx context.Context) (v1.Me, error) {
	v, _, err := get[v1.Me](ctx, c, "/me", nil)
	return v, err
}

// Version says which ippwatch serves.
func (c *Client) Version(ctx context.Context) (v1.Version, error) {
	v, _, err := get[v1.Version](ctx, c, "/version", nil)
	return v, err
}

// Cases yields cases, page by page; most bounds them, 0: all.
func (c *Client) Cases(ctx context.Context, q v1.CaseQuery, most int) iter.Seq2[v1.Case, error] {
	return pages[v1.Case](ctx, c, "/cases", q, most)
}

// ExportCases yields all cases in one stream.
func (c *Client) ExportCases(ctx context.Context, q v1.CaseQuery) iter.Seq2[v1.Case, error] {
	return lines[v1.Case](ctx, c, "/cases/export", q)
}

// Case returns a case and its ETag.
func (c *Client) Case(ctx context.Context, name string) (v1.CaseFile, string, error) {
	return get[v1.CaseFile](ctx, c, path("cases", name), nil)
}

// History yields the steps of a case, the oldest first.
func (c *Client) History(ctx context.Context, name string) iter.Seq2[exposure.Transition, error] {
	return pages[exposure.Transition](ctx, c, path("cases", name, "history"), nil, 0)
}

// Act lets a case take a step: accept, dismiss, withdraw, acknowledge, claim,
// untie. until is of accept alone. ifMatch is the ETag of the case as it was seen,
// or empty.
func (c *Client) Act(ctx context.Context, name, step, reason string, until time.Time, ifMatch string) (v1.CaseFile, error) {
	word := v1.Word{Reason: reason}
	var body any = word
	if !until.IsZero() {
		body = v1.Acceptance{Word: word, Until: until.Format(time.DateOnly)}
	}
	return post[v1.CaseFile](ctx, c, path("cases", name, step), ifMatch, body)
}

// Assign says who of ours works on a case; "" is nobody.
func (c *Client) Assign(ctx context.Context, name, to, ifMatch string) (v1.CaseFile, error) {
	return post[v1.CaseFile](ctx, c, path("cases", name, "assign"), ifMatch, v1.Assignment{To: to})
}

// ActOnMany does the same to many cases.
func (c *Client) ActOnMany(ctx context.Context, b v1.Bulk) (v1.BulkResult, error) {
	return post[v1.BulkResult](ctx, c, "/cases/act", "", b)
}

// Tie lets cases of a day go on where their device has a new address.
func (c *Client) Tie(ctx context.Context, day time.Time) ([]v1.Tie, error) {
	page, err := post[v1.Page[v1.Tie]](ctx, c, "/cases/tie", "", v1.TieOrder{Date: day.Format(time.DateOnly)})
	return page.Items, err
}

// Changes yields what became of cases since a time.
func (c *Client) Changes(ctx context.Context, since time.Time) iter.Seq2[v1.Change, error] {
	return pages[v1.Change](ctx, c, "/changes", v1.ChangeQuery{Since: since}, 0)
}

// Host returns what is wrong at a host.
func (c *Client) Host(ctx context.Context, a netip.Addr) (v1.Host, error) {
	v, _, err := get[v1.Host](ctx, c, path("hosts", a.String()), nil)
	return v, err
}

// HostFindings yields what the rules find at a host.
func (c *Client) HostFindings(ctx context.Context, a netip.Addr) iter.Seq2[v1.Found, error] {
	return pages[v1.Found](ctx, c, path("hosts", a.String(), "findings"), nil, 0)
}

// Observations yields observations in the order of time; most bounds them, 0: all.
func (c *Client) Observations(ctx context.Context, q v1.ObservationQuery, most int) iter.Seq2[exposure.Observation, error] {
	return pages[exposure.Observation](ctx, c, "/observations", q, most)
}

// ExportObservations yields all observations in one stream.
func (c *Client) ExportObservations(ctx context.Context, q v1.ObservationQuery) iter.Seq2[exposure.Observation, error] {
	return lines[exposure.Observation](ctx, c, "/observations/export", q)
}

// Visits yields visits at sensors; most bounds them, 0: all.
func (c *Client) Visits(ctx context.Context, q v1.VisitQuery, most int) iter.Seq2[exposure.Visit, error] {
	return pages[exposure.Visit](ctx, c, "/visits", q, most)
}

// ExportVisits yields all visits in one stream.
func (c *Client) ExportVisits(ctx context.Context, q v1.VisitQuery) iter.Seq2[exposure.Visit, error] {
	return lines[exposure.Visit](ctx, c, "/visits/export", q)
}

// Constituents yields the constituents by name.
func (c *Client) Constituents(ctx context.Context) iter.Seq2[v1.Constituent, error] {
	return pages[v1.Constituent](ctx, c, "/constituents", nil, 0)
}

// Constituent returns a constituent.
func (c *Client) Constituent(ctx context.Context, name string) (v1.Constituent, error) {
	v, _, err := get[v1.Constituent](ctx, c, path("constituents", name), nil)
	return v, err
}

// Who says whom a host concerns at a time; the zero time is now.
func (c *Client) Who(ctx context.Context, a netip.Addr, at time.Time) (v1.Whose, error) {
	v, _, err := get[v1.Whose](ctx, c, path("constituents", "who", a.String()), v1.WhoQuery{At: at})
	return v, err
}

// CountCustomers counts customers, addresses and devices of a day.
func (c *Client) CountCustomers(ctx context.Context, day time.Time) ([]lease.Count, error) {
	page, _, err := get[v1.Page[lease.Count]](ctx, c, "/customers/count", v1.DayQuery{Date: day.Format(time.DateOnly)})
	return page.Items, err
}

// Messages yields messages, the newest first; most bounds them, 0: all.
func (c *Client) Messages(ctx context.Context, q v1.MessageQuery, most int) iter.Seq2[store.Message, error] {
	return pages[store.Message](ctx, c, "/messages", q, most)
}

// Message returns a message, with its tries and what came back.
func (c *Client) Message(ctx context.Context, id string) (v1.Message, error) {
	v, _, err := get[v1.Message](ctx, c, path("messages", id), nil)
	return v, err
}

// SettleMessage lets a message take a step: hold, release, cancel.
func (c *Client) SettleMessage(ctx context.Context, id, step, reason string) (v1.Message, error) {
	return post[v1.Message](ctx, c, path("messages", id, step), "", v1.Word{Reason: reason})
}

// Hold stops delivery, of a rule or, with none, of everything.
func (c *Client) Hold(ctx context.Context, h v1.HoldOrder) error {
	_, err := post[json.RawMessage](ctx, c, "/outbox/hold", "", h)
	return err
}

// Release lets delivery go on.
func (c *Client) Release(ctx context.Context, h v1.HoldOrder) error {
	_, err := post[json.RawMessage](ctx, c, "/outbox/release", "", h)
	return err
}

// Reports yields the report files of a day.
func (c *Client) Reports(ctx context.Context, q v1.ReportQuery) iter.Seq2[v1.Report, error] {
	return pages[v1.Report](ctx, c, "/reports", q, 0)
}

// Report writes a report file.
func (c *Client) Report(ctx context.Context, w io.Writer, file string, form v1.ReportForm) error {
	res, err := c.do(ctx, request{method: http.MethodGet, path: path("reports", file), query: values(form), accept: "*/*"})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}

// Counts returns counts of distinct addresses a day.
func (c *Client) Counts(ctx context.Context, q v1.CountQuery) (v1.Counts, error) {
	v, _, err := get[v1.Counts](ctx, c, "/counts", q)
	return v, err
}

// Metrics returns the figures, as ippwatch metrics --format json writes them.
func (c *Client) Metrics(ctx context.Context, q v1.MetricsQuery) (json.RawMessage, error) {
	v, _, err := get[json.RawMessage](ctx, c, "/metrics", q)
	return v, err
}

// Exclusions yields what is never probed.
func (c *Client) Exclusions(ctx context.Context) iter.Seq2[store.Exclusion, error] {
	return pages[store.Exclusion](ctx, c, "/exclusions", nil, 0)
}

// Exclude makes sure that a network is never probed again.
func (c *Client) Exclude(ctx context.Context, p netip.Prefix, reason string) (store.Exclusion, error) {
	return post[store.Exclusion](ctx, c, "/exclusions", "", v1.ExclusionOrder{Prefix: p.String(), Reason: reason})
}

// Platforms returns those for which filters are written.
func (c *Client) Platforms(ctx context.Context) ([]v1.Platform, error) {
	page, _, err := get[v1.Page[v1.Platform]](ctx, c, "/filters/platforms", nil)
	return page.Items, err
}

// Render returns the filter of a policy, proven.
func (c *Client) Render(ctx context.Context, o v1.RenderOrder) (v1.Rendered, error) {
	return post[v1.Rendered](ctx, c, "/filters/render", "", o)
}

// Check says which packets a filter in use lets pass.
func (c *Client) Check(ctx context.Context, o v1.CheckOrder) (v1.Check, error) {
	return post[v1.Check](ctx, c, "/filters/check", "", o)
}

// Runs yields the scans, the newest first; most bounds them, 0: all.
func (c *Client) Runs(ctx context.Context, most int) iter.Seq2[exposure.Run, error] {
	return pages[exposure.Run](ctx, c, "/runs", nil, most)
}

// Run returns a scan.
func (c *Client) Run(ctx context.Context, id string) (exposure.Run, error) {
	v, _, err := get[exposure.Run](ctx, c, path("runs", id), nil)
	return v, err
}

// Surges returns when more came to the sensors than usual.
func (c *Client) Surges(ctx context.Context, q v1.SurgeQuery) ([]v1.Surge, error) {
	page, _, err := get[v1.Page[v1.Surge]](ctx, c, "/surges", q)
	return page.Items, err
}

// Audit yields who did what, the newest first; most bounds it, 0: all.
func (c *Client) Audit(ctx context.Context, q v1.AuditQuery, most int) iter.Seq2[store.Action, error] {
	return pages[store.Action](ctx, c, "/audit", q, most)
}
