// Package v1 is what version 1 of the API says: the values that go over the wire,
// once, for the server, for the client, and for the commands that show them.
//
// The names of fields and of words never change their meaning within a version;
// new ones may come. See docs/api.md.
package v1

import (
	"net/netip"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/store"
	"ippwatch/surge"
)

// A Problem is why a request was not served.
type Problem = gate.Problem //nolint:errname // RFC 9457 calls it so

// A Page is a part of a listing.
type Page[T any] struct {
	Items []T `json:"items" nullable:"false"`
	// Next goes on behind the last item, as the parameter "after"; absent on the
	// last page.
	Next string `json:"next,omitempty" doc:"The parameter after of the next page; absent on the last one."`
}

// Paging is how much of a listing is wanted.
type Paging struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Items on a page."`
	After string `query:"after" maxLength:"1000" doc:"Go on behind this place: next of the page before. It stays good when items come and go."`
}

// An End is the last line of an export in NDJSON. A stream without it was cut.
type End struct {
	Complete bool    `json:"complete" doc:"False: it is not all, for the reason that is given."`
	Count    int     `json:"count" doc:"Lines before this one."`
	Problem  *Reason `json:"problem,omitempty"`
}

// A Reason is why an export ended early, or why one case of many was refused.
type Reason struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// A Case is one thing that is wrong at one door of one host.
type Case struct {
	Case  string `json:"case" example:"4C8B0F6E52A1" doc:"Its short name, for the telephone too."`
	State string `json:"state" doc:"One or two words for condition, contact and verdict together."`
	exposure.Exposure
}

// NewCase returns the case as it is shown.
func NewCase(e exposure.Exposure) Case { return Case{e.Case(), e.Word(), e} }

// A CaseQuery narrows a listing of cases.
type CaseQuery struct {
	State       string    `query:"state" doc:"A word for a kind of cases; without it, and without condition, contact and verdict, those on which somebody should act."`
	Conditions  []string  `query:"condition,explode" enum:"reported,confirmed,one_clean,fixed,filtered,not_seen,lapsed" doc:"What is known of the hole; repeats."`
	Contacts    []string  `query:"contact,explode" enum:"none,notified,undeliverable,acknowledged,claimed" doc:"How far we came with the people; repeats."`
	Verdicts    []string  `query:"verdict,explode" enum:"none,accepted,false_positive" doc:"What a person decided; repeats."`
	Severity    string    `query:"severity" enum:"info,low,medium,high,critical" doc:"This one and worse."`
	Rules       []string  `query:"rule,explode" maxItems:"50" doc:"Only of these rules; repeats."`
	Prefix      string    `query:"prefix" example:"198.51.100.0/24" doc:"A network or an address."`
	Constituent string    `query:"constituent" doc:"Only what belongs to it."`
	ASNs        []uint32  `query:"asn,explode" maxItems:"50" doc:"Only what lies in one of these AS; repeats."`
	Countries   []string  `query:"country,explode" maxItems:"50" doc:"Only what lies in one of these countries (ISO 3166-1 alpha-2); repeats."`
	Assignee    string    `query:"assignee" doc:"Only those that this person works on."`
	Since       time.Time `query:"since" doc:"Seen last then or later."`
	Before      time.Time `query:"before" doc:"Seen last before."`
	Moved       bool      `query:"moved" doc:"With those that go on at another address, too."`
}

// A CaseFile is a case with what must happen and what has happened.
type CaseFile struct {
	Case
	Next    string                `json:"next" doc:"What must happen before it is closed."`
	History []exposure.Transition `json:"history,omitempty"`
}

// A Word is what somebody says of a case.
type Word struct {
	Reason string `json:"reason" minLength:"1" maxLength:"2000" example:"print server of the press office, ticket 4711" doc:"Why: it stands in the history of the case."`
}

// An Acceptance accepts the risk of a case until a day.
type Acceptance struct {
	Word
	Until string `json:"until" format:"date" example:"2027-03-01" doc:"The day on which it is asked about again: to come, and within three years."`
}

// An Assignment gives a case to somebody.
type Assignment struct {
	To string `json:"to" maxLength:"200" example:"m.roe" doc:"Name of the person; empty: nobody."`
}

// A Bulk does the same to many cases.
type Bulk struct {
	Act    string   `json:"act" enum:"accept,dismiss,withdraw,acknowledge,claim,assign" doc:"What is done."`
	Cases  []string `json:"cases" minItems:"1" maxItems:"1000" nullable:"false" doc:"Names of cases."`
	Reason string   `json:"reason,omitempty" maxLength:"2000" doc:"Why; all but assign need it."`
	Until  string   `json:"until,omitempty" format:"date" doc:"The day on which an accepted risk is asked about again."`
	To     string   `json:"to,omitempty" maxLength:"200" doc:"Who works on them; empty: nobody."`
}

// A BulkResult tells case by case what became of it: some may be refused, and the
// others are done all the same.
type BulkResult struct {
	Done    []Case    `json:"done" nullable:"false"`
	Refused []Refusal `json:"refused" nullable:"false"`
}

// A Refusal is a case to which it was not done.
type Refusal struct {
	Case string `json:"case"`
	Reason
}

// A Tie says that a case goes on at another address.
type Tie struct {
	Case   string     `json:"case" doc:"Of the former address."`
	From   netip.Addr `json:"from"`
	To     netip.Addr `json:"to"`
	Device string     `json:"device"`
}

// A TieOrder asks for the ties of a day.
type TieOrder struct {
	Date string `json:"date" format:"date" example:"2026-11-23" doc:"A UTC day of looking."`
}

// A Change is a case that is not as it was.
type Change struct {
	Change string `json:"change" enum:"new,back,silent,closed"`
	Case   string `json:"case"`
	exposure.Transition
}

// A ChangeQuery asks for changes.
type ChangeQuery struct {
	Since time.Time `query:"since" required:"true" doc:"What was, then; what is, now."`
}

// A Host is one address, and what is wrong there.
type Host struct {
	Addr  netip.Addr `json:"ip"`
	Cases []Case     `json:"cases" nullable:"false" doc:"The first 1000, those that moved elsewhere too."`
}

// A Found is a finding at a door of a host, by the rules of today.
type Found struct {
	Observation exposure.ID        `json:"observation"`
	At          time.Time          `json:"at"`
	Port        uint16             `json:"port"`
	Transport   exposure.Transport `json:"transport"`
	exposure.Finding
}

// An ObservationQuery narrows observations. They come in the order of time.
type ObservationQuery struct {
	From      time.Time `query:"from" doc:"Observed then or later."`
	To        time.Time `query:"to" doc:"Observed before."`
	Prefix    string    `query:"prefix" example:"198.51.100.0/24" doc:"A network or an address."`
	Run       string    `query:"run" doc:"Only of this run."`
	Source    string    `query:"source" enum:"scan,verification,audit,shadowserver,zgrab2,nmap,csv,sensor,edge"`
	Transport string    `query:"transport" enum:"tcp,udp"`
	Verdict   string    `query:"verdict" example:"answered"`
	Tag       string    `query:"tag" example:"open-ipp" doc:"Id of a rule, or ipp, cups, cups-browsed."`
}

// A VisitQuery narrows visits at sensors. They come in the order of time.
type VisitQuery struct {
	From   time.Time `query:"from" doc:"Seen then or later."`
	To     time.Time `query:"to" doc:"Seen before."`
	Addr   string    `query:"address" doc:"Only of this stranger."`
	Source string    `query:"source" enum:"sensor,shadowserver,edge"`
	Kind   string    `query:"kind" enum:"knock,request,reflection"`
}

// A Constituent is an organisation with networks, who says so, and what a hand
// has edited.
type Constituent struct {
	exposure.Constituent
	Sources map[string]string `json:"sources,omitempty" doc:"Who says so, by element."`
	Edited  []string          `json:"edited,omitempty" doc:"Fields that a hand has set."`
}

// A Whose says whom a host concerns, and why.
type Whose struct {
	Addr     netip.Addr      `json:"ip"`
	At       time.Time       `json:"at"`
	Where    exposure.Where  `json:"where"`
	Told     []people.Reason `json:"told"` // the first is told first
	Contacts []Reach         `json:"contacts"`
	Customer lease.Holder    `json:"customer"`
}

// A Reach is a contact, and whether a message may go there.
type Reach struct {
	Constituent string `json:"constituent,omitempty"` // none: it was looked up
	exposure.Recipient
	Via    string `json:"via,omitempty"`
	Usable bool   `json:"usable"`
	Why    string `json:"why,omitempty"` // not
}

// A WhoQuery asks for a time.
type WhoQuery struct {
	At time.Time `query:"at" doc:"When; without it, now."`
}

// A DayQuery asks for a day.
type DayQuery struct {
	Date string `query:"date" format:"date" required:"true" example:"2026-11-23" doc:"UTC day."`
}

// A MessageQuery narrows the outbox.
type MessageQuery struct {
	States []string `query:"state,explode" enum:"planned,held,approved,sending,deferred,sent,uncertain,failed,bounced,cancelled" doc:"Repeats."`
	Run    string   `query:"run" doc:"Only of this run of notices."`
}

// A Message is a message with what became of it.
type Message struct {
	store.Message
	Tries   []store.Attempt `json:"tries" nullable:"false"`
	Replies []store.Reply   `json:"replies" nullable:"false"`
}

// A HoldOrder stops delivery, or lets it go on.
type HoldOrder struct {
	Rule   string `json:"rule,omitempty" maxLength:"200" doc:"Of this rule for notices; empty: of all."`
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, for those who come after you."`
}

// A Report is a file of a day's reports.
type Report struct {
	File        string `json:"file" example:"2026-11-23-scan_ipp-customer-a.csv" doc:"GET /api/v1/reports/FILE returns it."`
	Constituent string `json:"constituent"`
	Type        string `json:"type"`
	Format      string `json:"format"`
	Rows        int    `json:"rows"`
}

// A ReportQuery narrows the files of a day.
type ReportQuery struct {
	DayQuery
	Type        string   `query:"type" enum:"all,scan_ipp,scan6_ipp,special,scan_cups_browsed" default:"all"`
	Constituent string   `query:"constituent" doc:"Only of this one; \"unassigned\" is nobody's."`
	Formats     []string `query:"format,explode" enum:"csv,ndjson,html" doc:"Repeats; without it csv and ndjson."`
	Empty       bool     `query:"empty" doc:"With files that have no row, which are not written otherwise."`
}

// A ReportForm is how a file is written.
type ReportForm struct {
	Extended    bool `query:"extended" doc:"With our own columns."`
	Spreadsheet bool `query:"spreadsheet" doc:"With formulas defused, for files that are opened in a spreadsheet."`
}

// A CountQuery asks for counts of distinct addresses a day.
type CountQuery struct {
	From    string   `query:"from" format:"date" required:"true" example:"2026-11-01" doc:"First UTC day."`
	To      string   `query:"to" format:"date" doc:"Last UTC day; without it, the first one. 3660 days at most."`
	Country string   `query:"country" minLength:"2" maxLength:"2" example:"DE"`
	ASN     uint32   `query:"asn" doc:"Not for the public."`
	Tag     string   `query:"tag" maxLength:"100" example:"cups"`
	Source  string   `query:"source" enum:"scan,verification,audit,shadowserver,zgrab2,nmap,csv,sensor,edge"`
	By      []string `query:"by,explode" enum:"country,asn,tag,source" doc:"Group by; repeats. asn is not for the public."`
}

// A Count is how many distinct addresses were seen on a day.
type Count struct {
	Day       string `json:"day" format:"date"`
	Country   string `json:"country,omitempty"`
	ASN       uint32 `json:"asn,omitempty"`
	Tag       string `json:"tag,omitempty"`
	Source    string `json:"source,omitempty"`
	Addresses *int64 `json:"addresses" nullable:"true" doc:"null: suppressed, because it is small, or because one that is small could be computed from it."`
	// Observations is absent where Addresses is.
	Observations *int64 `json:"observations" nullable:"true" doc:"null where addresses is."`
}

// Counts are counts, and below which number the public is told none.
type Counts struct {
	Items     []Count `json:"items" nullable:"false"`
	SmallCell int     `json:"small_cell,omitempty" doc:"Counts below it are suppressed for you; absent: none is."`
}

// A MetricsQuery asks for the figures.
type MetricsQuery struct {
	Since time.Time `query:"since" doc:"Only what happened since then."`
	By    string    `query:"by" enum:"constituent,asn,severity,rule,country"`
}

// An ExclusionOrder excludes a network.
type ExclusionOrder struct {
	Prefix string `json:"prefix" minLength:"1" maxLength:"100" example:"192.0.2.0/24" doc:"A network or an address."`
	Reason string `json:"reason" maxLength:"2000" doc:"Why, for those who come after you."`
}

// A RenderOrder asks for the filter of a policy.
type RenderOrder struct {
	Platform string `json:"platform" example:"nftables" doc:"As GET /api/v1/filters/platforms lists them."`
	Policy   string `json:"policy" maxLength:"500000" doc:"The policy in YAML: ippwatch filter init writes an example."`
	Enforce  bool   `json:"enforce,omitempty" doc:"Drop; otherwise what would be dropped is only counted."`
}

// A Text is a file of a filter.
type Text struct {
	Name string `json:"name" maxLength:"200"`
	Body string `json:"body" maxLength:"900000"`
}

// A Rendered is a filter in the words of a platform, read back and proven.
type Rendered struct {
	Platform  string   `json:"platform"`
	Checked   string   `json:"checked" doc:"How it was tried on the real system, or that it was not."`
	Proof     string   `json:"proof" doc:"What was proven of the text."`
	CountOnly bool     `json:"count_only"`
	Files     []Text   `json:"files" nullable:"false"`
	Rollback  []Text   `json:"rollback" nullable:"false"`
	Load      []string `json:"load"`
	Confirm   []string `json:"confirm"`
	Counters  []string `json:"counters"`
	Undo      []string `json:"undo"`
	Notes     []string `json:"notes"`
}

// A CheckOrder asks what a filter in use lets pass.
type CheckOrder struct {
	Platform   string   `json:"platform" example:"nftables"`
	Files      []Text   `json:"files" minItems:"1" maxItems:"20" nullable:"false" doc:"What runs today."`
	Policy     string   `json:"policy,omitempty" maxLength:"500000" doc:"What it is held against; without it: 631 over TCP and UDP into any network."`
	Interfaces []string `json:"interfaces,omitempty" maxItems:"100" doc:"At which it stands; those of the policy without it."`
	Profile    string   `json:"profile,omitempty" enum:"edge,customer-edge,segment,host"`
}

// A Check is what a filter in use does otherwise than the policy.
type Check struct {
	Fine       bool      `json:"fine" doc:"Nothing that the policy drops passes, every exception does, and every line was understood."`
	Stages     []string  `json:"stages" nullable:"false" doc:"Lists on the path that were understood."`
	Passes     []Passage `json:"passes" nullable:"false" doc:"The worst first."`
	Blocked    []Passage `json:"blocked" nullable:"false" doc:"What an exception lets pass."`
	Unverified []Line    `json:"unverified" nullable:"false" doc:"Lines that could change the answer."`
}

// A Passage is a set of packets with one of them as a witness.
type Passage struct {
	Interface string `json:"interface"`
	Packets   string `json:"packets"`
	Witness   string `json:"witness"`
	Rule      string `json:"rule"`
	By        string `json:"by" doc:"What decides."`
	Unsure    bool   `json:"unsure,omitempty" doc:"It may pass."`
}

// A Line is a line that was not understood.
type Line struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text,omitempty"`
	Why  string `json:"why"`
}

// A Platform is one for which filters are written and read.
type Platform struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Checked   string `json:"checked"`
	Authority string `json:"authority"`
	Most      int    `json:"most_lines,omitempty"`
}

// A Surge is an episode in which more came than usual, or a sign.
type Surge struct {
	Kind    string         `json:"kind" doc:"episode, or the name of a sign."`
	Episode *surge.Episode `json:"episode,omitempty"`
	Sign    *surge.Finding `json:"sign,omitempty"`
	Detail  string         `json:"detail"`
	Step    string         `json:"step" doc:"What to do."`
}

// A SurgeQuery says how far back.
type SurgeQuery struct {
	Days int `query:"days" minimum:"1" maximum:"3660" default:"30" doc:"How long ago an episode may have ended."`
}

// An AuditQuery narrows the audit log.
type AuditQuery struct {
	Since time.Time `query:"since" doc:"Done then or later."`
	Until time.Time `query:"until" doc:"Done before."`
	Who   string    `query:"who" doc:"Only by this one."`
	What  string    `query:"what" example:"look" doc:"Only this word."`
}

// A Me is who asks, and what they may.
type Me struct {
	Who         string         `json:"who,omitempty" doc:"An account, or \"key ID\"; absent: a stranger."`
	Role        access.Role    `json:"role"`
	Rights      []access.Right `json:"rights" nullable:"false" doc:"What you may do; a key has its scopes only."`
	Constituent string         `json:"constituent,omitempty"`
	Networks    []netip.Prefix `json:"networks,omitempty" doc:"What you see hosts of; absent to who sees all."`
	ASNs        []uint32       `json:"asns,omitempty" doc:"AS whose hosts you see."`
	Countries   []string       `json:"countries,omitempty" doc:"Countries whose hosts you see."`
	Leases      []Lease        `json:"leases,omitempty" doc:"What you see during a time."`
	Key         *Key           `json:"key,omitempty"`
	At          time.Time      `json:"at" doc:"Our clock."`
}

// A Lease is a network during a time.
type Lease struct {
	Prefix netip.Prefix `json:"prefix"`
	From   time.Time    `json:"from,omitzero"`
	To     time.Time    `json:"to,omitzero"`
}

// A Key is the key that was sent.
type Key struct {
	ID      string    `json:"id"`
	Label   string    `json:"label"`
	Expires time.Time `json:"expires,omitzero"`
}

// A Version is which ippwatch this is, and of which date the data that it carries.
type Version struct {
	Version    string `json:"version"`
	Go         string `json:"go"`
	System     string `json:"system"`
	Countries  string `json:"countries" doc:"Date of the embedded country table."`
	Registries string `json:"registries" doc:"Date of the special-purpose registries."`
}
