package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// A CaseOrder is what a desk's listing is ordered by.
type CaseOrder string

// Orders. Each ends with the key, so that no two cases are in the same place.
const (
	CasesBySeen     CaseOrder = "seen"     // last seen
	CasesBySeverity CaseOrder = "severity" // then the last seen first
	CasesByAddr     CaseOrder = "addr"
)

// A Desk narrows and orders a listing of cases as somebody wants it who works on
// them. Of its Filter, Limit and After do not count.
type Desk struct {
	Filter
	Severities []exposure.Severity
	Country    string
	ASN        uint32
	// FirstSince and FirstBefore are about the first sighting.
	FirstSince, FirstBefore time.Time

	Order CaseOrder
	Down  bool // the latest, the worst, the highest address first
	// Behind is where the listing goes on: a [CaseMark].
	Behind string
	Size   int // of the page; 0: all
}

// few is how many cases are read and ordered in memory: below, the index that
// finds them serves; above, they are frequent enough to be met soon in the order
// that is asked for.
var few = 2000 // tests set it

// CaseMark is the place of a case in a listing of any order.
func CaseMark(e *exposure.Exposure) string {
	return strings.Join([]string{
		string(e.Severity), strconv.FormatInt(instant{e.LastSeen}.nanoseconds(), 10), e.Addr.String(), string(e.Transport), strconv.Itoa(int(e.Port)), e.Rule,
	}, "|")
}

// A markError is a mark that [CaseMark] did not make.
type markError string

func (e markError) Error() string { return fmt.Sprintf("%q is no place in a listing", string(e)) }

func readMark(mark string) (e exposure.Exposure, err error) {
	part := strings.Split(mark, "|")
	if len(part) != 6 {
		return e, markError(mark)
	}
	ns, err1 := strconv.ParseInt(part[1], 10, 64)
	addr, err2 := netip.ParseAddr(part[2])
	port, err3 := strconv.ParseUint(part[4], 10, 16)
	if err1 != nil || err2 != nil || err3 != nil {
		return e, markError(mark)
	}
	e.Severity, e.Key = exposure.Severity(part[0]), exposure.Key{Addr: addr, Transport: exposure.Transport(part[3]), Port: uint16(port), Rule: part[5]}
	if ns != 0 {
		e.LastSeen = time.Unix(0, ns).UTC()
	}
	return e, nil
}

// compare orders two cases as the desk wants them.
func (d *Desk) compare(a, b *exposure.Exposure) int {
	c := 0
	switch d.Order {
	case CasesBySeverity:
		if c = cmp.Compare(b.Severity.Rank(), a.Severity.Rank()); c == 0 {
			c = a.LastSeen.Compare(b.LastSeen)
		}
	case CasesBySeen:
		c = a.LastSeen.Compare(b.LastSeen)
	case CasesByAddr:
	}
	if c == 0 {
		c = compareKeys(a.Key, b.Key)
	}
	if d.Down {
		return -c
	}
	return c
}

// Cases returns cases in the order of a desk. It ends at the first error.
func (s *Store) Cases(ctx context.Context, v access.View, d Desk) iter.Seq2[exposure.Exposure, error] {
	return func(yield func(exposure.Exposure, error) bool) {
		err := s.cases(ctx, v, d, func(e exposure.Exposure) bool { return yield(e, nil) })
		if err != nil {
			yield(exposure.Exposure{}, fmt.Errorf("read cases: %w", explain(err)))
		}
	}
}

func (s *Store) cases(ctx context.Context, v access.View, d Desk, yield func(exposure.Exposure) bool) error {
	var behind *exposure.Exposure
	if d.Behind != "" {
		e, err := readMark(d.Behind)
		if err != nil {
			return err
		}
		behind = &e
	}
	switch v.Tier {
	case access.Constituent:
		return s.ownCases(ctx, v, d, behind, yield)
	case access.Operator:
	default:
		return nil
	}
	all, err := d.where()
	if err != nil {
		return err
	}
	ways, err := d.ways()
	if err != nil {
		return err
	}
	for _, way := range ways {
		n, err := s.atMost(ctx, way)
		if err != nil {
			return err
		}
		if n <= few {
			return s.fewCases(ctx, d, way, all, behind, yield)
		}
	}
	return s.manyCases(ctx, d, all, behind, yield)
}

// ownCases orders the cases of a constituent in memory: they are few, and each is
// clipped to what the constituent may see of it.
func (s *Store) ownCases(ctx context.Context, v access.View, d Desk, behind *exposure.Exposure, yield func(exposure.Exposure) bool) error {
	f := d.Filter
	f.Limit, f.After = 0, exposure.Key{}
	var all []exposure.Exposure
	for e, err := range s.Exposures(ctx, v, f) {
		if err != nil {
			return err
		}
		if len(d.Severities) > 0 && !slices.Contains(d.Severities, e.Severity) || d.Country != "" && e.Where.Country != d.Country ||
			d.ASN != 0 && e.Where.ASN != d.ASN || e.FirstSeen.Before(d.FirstSince) || !d.FirstBefore.IsZero() && !e.FirstSeen.Before(d.FirstBefore) {
			continue
		}
		all = append(all, e)
	}
	d.yieldSorted(all, behind, yield)
	return nil
}

func (d *Desk) yieldSorted(all []exposure.Exposure, behind *exposure.Exposure, yield func(exposure.Exposure) bool) {
	slices.SortFunc(all, func(a, b exposure.Exposure) int { return d.compare(&a, &b) })
	n := 0
	for i := range all {
		if behind != nil && d.compare(&all[i], behind) <= 0 {
			continue
		}
		if !yield(all[i]) {
			return
		}
		if n++; n == d.Size {
			return
		}
	}
}

// byKey reads along the primary key. NOT INDEXED would forbid just that, in a
// table without rowid.
const byKey = "exposures INDEXED BY sqlite_autoindex_exposures_1"

// A term is a part of a WHERE.
type term struct {
	text string
	args []any
}

// rowsOf reads all rows of a query.
func rowsOf[T any](ctx context.Context, s *Store, q term, read func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := s.reads.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func both(a, b term) term {
	switch {
	case a.text == "":
		return b
	case b.text == "":
		return a
	}
	return term{a.text + " AND " + b.text, slices.Concat(a.args, b.args)}
}

func either(all []term) term {
	var texts []string
	var args []any
	for _, t := range all {
		texts = append(texts, "("+t.text+")")
		args = append(args, t.args...)
	}
	return term{"(" + strings.Join(texts, " OR ") + ")", args}
}

// words is the term that the column is one of the words. Ours stand in the text,
// so that the planner sees which index has them.
func words[T ~string](column string, wanted, known []T) (term, error) {
	var texts []string
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return term{}, fmt.Errorf("%s %q: there is none", column, string(w))
		}
		texts = append(texts, "'"+string(w)+"'")
	}
	if len(texts) == 0 {
		return term{}, nil
	}
	return term{text: column + " IN (" + strings.Join(texts, ", ") + ")"}, nil
}

var (
	conditions = []exposure.Condition{
		exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.Fixed, exposure.Filtered, exposure.NotSeen, exposure.Lapsed,
	}
	contacts = []exposure.Contact{exposure.NotContacted, exposure.Notified, exposure.Undeliverable, exposure.Acknowledged, exposure.Claimed}
	rulings  = []exposure.Ruling{exposure.NoRuling, exposure.Accepted, exposure.FalsePositive}
)

func within(p netip.Prefix) (term, error) {
	sp, err := spans(access.View{Tier: access.Operator}, p)
	if err != nil || len(sp) != 1 {
		return term{text: "0"}, err
	}
	return term{"addr >= ? AND addr <= ?", []any{sp[0].lo, sp[0].hi}}, nil
}

// where is all that the desk asks.
func (d *Desk) where() (term, error) {
	all := term{}
	if !d.Moved {
		all.text = "moved_to = ''"
	}
	severities := d.severities()
	for _, f := range []func() (term, error){
		func() (term, error) { return words("condition", d.Conditions, conditions) },
		func() (term, error) { return words("contact", d.Contacts, contacts) },
		func() (term, error) { return words("ruling", d.Rulings, rulings) },
		func() (term, error) { return words("severity", severities, exposure.Severities) },
	} {
		t, err := f()
		if err != nil {
			return all, err
		}
		all = both(all, t)
	}
	if len(d.Rules) > 0 {
		t := term{text: "rule IN (?" + strings.Repeat(", ?", len(d.Rules)-1) + ")"}
		for _, r := range d.Rules {
			t.args = append(t.args, r)
		}
		all = both(all, t)
	}
	for _, b := range []struct {
		at   time.Time
		text string
	}{{d.Since, "last_seen >= ?"}, {d.Before, "last_seen < ?"}, {d.FirstSince, "first_seen >= ?"}, {d.FirstBefore, "first_seen < ?"}} {
		if !b.at.IsZero() {
			all = both(all, term{b.text, []any{b.at.UnixNano()}})
		}
	}
	if d.Prefix.IsValid() {
		t, err := within(d.Prefix)
		if err != nil {
			return all, err
		}
		all = both(all, t)
	}
	if d.Assignee != "" {
		all = both(all, term{"assignee = ?", []any{d.Assignee}})
	}
	if d.Country != "" {
		all = both(all, term{"country = ? AND country <> ''", []any{d.Country}})
	}
	if d.ASN != 0 {
		all = both(all, term{"asn = ? AND asn <> 0", []any{int64(d.ASN)}})
	}
	if !d.Of.all() {
		pieces, err := d.Of.pieces()
		if err != nil {
			return all, err
		}
		var terms []term
		for _, p := range pieces {
			terms = append(terms, p.term)
		}
		all = both(all, either(terms))
	}
	return all, nil
}

// severities are those that the desk wants; none: all.
func (d *Desk) severities() []exposure.Severity {
	wanted := d.Severities
	if len(wanted) == 0 && d.MinSeverity != "" {
		wanted = exposure.Severities
	}
	if d.MinSeverity == "" {
		return wanted
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(s exposure.Severity) bool { return !s.AtLeast(d.MinSeverity) })
}

// closed reports whether the desk wants cases in certain conditions, and none
// that they have at first.
func (d *Desk) closed() bool {
	return len(d.Conditions) > 0 && !slices.Contains(d.Conditions, exposure.Reported) && !slices.Contains(d.Conditions, exposure.Confirmed)
}

// lanes are the walks of one severity: the index, and what it needs to be told.
func (d *Desk) lanes() []piece {
	if !d.closed() {
		return []piece{{from: "exposures INDEXED BY exposures_worst"}}
	}
	var all []piece
	for _, c := range d.Conditions { // where has checked that they are ours
		all = append(all, piece{"exposures INDEXED BY exposures_closed", term{text: "condition = '" + string(c) + "' AND condition NOT IN ('reported', 'confirmed')"}})
	}
	return all
}

// A piece is some cases, and the index that finds them.
type piece struct {
	from string
	term
}

func (p Part) pieces() ([]piece, error) {
	var all []piece
	for _, n := range p.Networks {
		t, err := within(n)
		if err != nil {
			return nil, err
		}
		all = append(all, piece{byKey, t})
	}
	for _, n := range p.ASNs {
		all = append(all, piece{"exposures INDEXED BY exposures_asn", term{"asn = ? AND asn <> 0", []any{int64(n)}}})
	}
	for _, c := range p.Countries {
		all = append(all, piece{"exposures INDEXED BY exposures_country", term{"country = ? AND country <> ''", []any{c}}})
	}
	return all, nil
}

// ways are the indices that may find all that is asked for, those that usually
// find least at the head. Each is some pieces.
func (d *Desk) ways() ([][]piece, error) {
	var ways [][]piece
	one := func(index string, t term) {
		ways = append(ways, []piece{{"exposures INDEXED BY " + index, t}})
	}
	if d.Assignee != "" {
		one("exposures_assigned", term{"assignee = ? AND assignee <> ''", []any{d.Assignee}})
	}
	if d.Prefix.IsValid() {
		t, err := within(d.Prefix)
		if err != nil {
			return nil, err
		}
		ways = append(ways, []piece{{byKey, t}})
	}
	if len(d.Rulings) > 0 && !slices.Contains(d.Rulings, exposure.NoRuling) {
		t, err := words("ruling", d.Rulings, rulings)
		if err != nil {
			return nil, err
		}
		one("exposures_ruled", both(t, term{text: "ruling <> 'none'"}))
	}
	if len(d.Contacts) > 0 && !slices.Contains(d.Contacts, exposure.NotContacted) {
		t, err := words("contact", d.Contacts, contacts)
		if err != nil {
			return nil, err
		}
		one("exposures_told", both(t, term{text: "contact <> 'none'"}))
	}
	if d.ASN != 0 {
		one("exposures_asn", term{"asn = ? AND asn <> 0", []any{int64(d.ASN)}})
	}
	if !d.Of.all() {
		pieces, err := d.Of.pieces()
		if err != nil {
			return nil, err
		}
		ways = append(ways, pieces)
	}
	if d.Country != "" {
		one("exposures_country", term{"country = ? AND country <> ''", []any{d.Country}})
	}
	if d.closed() {
		t, err := words("condition", d.Conditions, conditions)
		if err != nil {
			return nil, err
		}
		one("exposures_closed", both(t, term{text: "condition NOT IN ('reported', 'confirmed')"}))
	}
	if severities := d.severities(); len(severities) > 0 {
		t, err := words("severity", severities, exposure.Severities)
		if err != nil {
			return nil, err
		}
		one("exposures_worst", t)
	}
	return ways, nil
}

// atMost counts what a way finds, but not beyond few.
func (s *Store) atMost(ctx context.Context, way []piece) (int, error) {
	n := 0
	for _, p := range way {
		var found int
		q := "SELECT count(*) FROM (SELECT 1 FROM " + p.from + " WHERE " + p.text + " LIMIT " + strconv.Itoa(few+1-n) + ")"
		if err := s.reads.QueryRowContext(ctx, q, p.args...).Scan(&found); err != nil {
			return 0, err
		}
		if n += found; n > few {
			break
		}
	}
	return n, nil
}

// fewCases reads all that a way finds and orders it in memory.
func (s *Store) fewCases(ctx context.Context, d Desk, way []piece, all term, behind *exposure.Exposure, yield func(exposure.Exposure) bool) error {
	var found []exposure.Exposure
	seen := make(map[exposure.Key]bool)
	for _, p := range way {
		rows, err := s.caseRows(ctx, p.from, both(p.term, all), "")
		if err != nil {
			return err
		}
		for _, row := range rows {
			e := row.exposure()
			if !seen[e.Key] {
				seen[e.Key] = true
				found = append(found, e)
			}
		}
	}
	d.yieldSorted(found, behind, yield)
	return nil
}

// manyCases walks along the order that is asked for.
func (s *Store) manyCases(ctx context.Context, d Desk, all term, behind *exposure.Exposure, yield func(exposure.Exposure) bool) error {
	size := page
	if d.Size > 0 {
		size = d.Size
	}
	left := d.Size
	for {
		es, err := s.nextCases(ctx, d, all, behind, size)
		if err != nil {
			return err
		}
		for i := range es {
			if !yield(es[i]) {
				return nil
			}
			if left--; left == 0 {
				return nil
			}
		}
		if len(es) < size {
			return nil
		}
		behind = &es[len(es)-1]
	}
}

// nextCases reads one page along the order.
func (s *Store) nextCases(ctx context.Context, d Desk, all term, behind *exposure.Exposure, size int) ([]exposure.Exposure, error) {
	sign, way := ">", ""
	if d.Down {
		sign, way = "<", " DESC"
	}
	order := func(columns ...string) string {
		return " ORDER BY " + strings.Join(columns, way+", ") + way + " LIMIT " + strconv.Itoa(size)
	}
	if d.Order == CasesByAddr {
		if behind != nil {
			all = both(all, term{"(addr, transport, port, rule) " + sign + " (?, ?, ?, ?)", keyArgs(behind.Key)})
		}
		return s.caseList(ctx, byKey, all, order("addr", "transport", "port", "rule"))
	}
	// One walk for each severity, along its last_seen: their heads together are the
	// page.
	severities := d.severities()
	if len(severities) == 0 {
		severities = exposure.Severities
	}
	severities = slices.Clone(severities)
	slices.SortFunc(severities, func(a, b exposure.Severity) int { return cmp.Compare(a.Rank(), b.Rank()) })
	if !d.Down {
		slices.Reverse(severities)
	}
	var found []exposure.Exposure
	for _, sev := range severities {
		t := both(term{text: "severity = '" + string(sev) + "'"}, all)
		if behind != nil && (d.Order == CasesBySeen || sev == behind.Severity) {
			t = both(t, term{"(last_seen, addr, transport, port, rule) " + sign + " (?, ?, ?, ?, ?)", append([]any{instant{behind.LastSeen}.nanoseconds()}, keyArgs(behind.Key)...)})
		}
		if behind != nil && d.Order == CasesBySeverity && (sev.Rank() < behind.Severity.Rank()) == d.Down && sev != behind.Severity {
			continue // its walk was on an earlier page
		}
		for _, lane := range d.lanes() {
			es, err := s.caseList(ctx, lane.from, both(lane.term, t), order("last_seen", "addr", "transport", "port", "rule"))
			if err != nil {
				return nil, err
			}
			found = append(found, es...)
		}
		if d.Order == CasesBySeverity && len(found) >= size {
			break
		}
	}
	slices.SortFunc(found, func(a, b exposure.Exposure) int { return d.compare(&a, &b) })
	return found[:min(len(found), size)], nil
}

func keyArgs(k exposure.Key) []any {
	return []any{address{k.Addr}.bytes(), string(k.Transport), int64(k.Port), k.Rule}
}

func (s *Store) caseList(ctx context.Context, from string, t term, order string) ([]exposure.Exposure, error) {
	rows, err := s.caseRows(ctx, from, t, order)
	es := make([]exposure.Exposure, 0, len(rows))
	for _, row := range rows {
		es = append(es, row.exposure())
	}
	return es, err
}

// caseColumns are those of an exposureRow, in its order.
const caseColumns = "addr, transport, port, rule, name, severity, condition, since, contact, ruling, cycle, first_seen, last_seen, times_seen, evidence, " +
	"last, country, region, city, asn, as_name, hostname, simulated, device, cleared_at, silent_at, ruled_by, ruled_why, ruled_until, assignee, moved_to, moved_from"

func (s *Store) caseRows(ctx context.Context, from string, t term, order string) ([]exposureRow, error) {
	q := "SELECT " + caseColumns + " FROM " + from
	if t.text != "" {
		q += " WHERE " + t.text
	}
	return rowsOf(ctx, s, term{q + order, t.args}, func(rows *sql.Rows) (i exposureRow, err error) {
		err = rows.Scan(
			&i.Addr, &i.Transport, &i.Port, &i.Rule, &i.Name, &i.Severity, &i.Condition, &i.Since, &i.Contact, &i.Ruling, &i.Cycle, &i.FirstSeen, &i.LastSeen,
			&i.TimesSeen, &i.Evidence, &i.Last, &i.Country, &i.Region, &i.City, &i.Asn, &i.AsName, &i.Hostname, &i.Simulated, &i.Device, &i.ClearedAt,
			&i.SilentAt, &i.RuledBy, &i.RuledWhy, &i.RuledUntil, &i.Assignee, &i.MovedTo, &i.MovedFrom,
		)
		return i, err
	})
}

// IsCaseMark reports whether the text is the mark of a case.
func IsCaseMark(text string) bool {
	_, err := readMark(text)
	return err == nil
}

// CasesOfDevice returns cases of the device that says that this is its uuid, as
// far as the view may see them.
func (s *Store) CasesOfDevice(ctx context.Context, v access.View, device string, limit int) ([]exposure.Exposure, error) {
	rows, err := s.caseRows(ctx, "exposures INDEXED BY exposures_device", term{"device = ? AND device <> ''", []any{strings.ToLower(device)}}, fmt.Sprintf(" LIMIT %d", limit))
	if err != nil {
		return nil, fmt.Errorf("read cases of a device: %w", explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read cases of a device: %w", explain(err))
	}
	return out, nil
}

// CasesSaying returns cases whose evidence or host name has the text in it, upper
// and lower case alike, as far as the view may see them: that is how a printer's
// name is found. It reads all cases of the view until there are enough.
func (s *Store) CasesSaying(ctx context.Context, v access.View, text string, limit int) ([]exposure.Exposure, error) {
	if v.Tier != access.Operator {
		var out []exposure.Exposure
		text = strings.ToLower(text)
		for e, err := range s.Exposures(ctx, v, Filter{}) {
			if err != nil {
				return out, err
			}
			if strings.Contains(strings.ToLower(e.Evidence), text) || strings.Contains(strings.ToLower(e.Where.Hostname), text) {
				if out = append(out, e); len(out) == limit {
					break
				}
			}
		}
		return out, nil
	}
	rows, err := s.caseRows(ctx, "exposures", term{
		"moved_to = '' AND (instr(lower(evidence), lower(?)) > 0 OR instr(lower(hostname), lower(?)) > 0)", []any{text, text},
	}, fmt.Sprintf(" LIMIT %d", limit))
	if err != nil {
		return nil, fmt.Errorf("read cases that say %q: %w", text, explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read cases that say %q: %w", text, explain(err))
	}
	return out, nil
}
