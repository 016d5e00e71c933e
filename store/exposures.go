package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// ErrNoExposure says that there is no such exposure, or none that the view may
// see.
var ErrNoExposure = errors.New("no such exposure")

// maxDoors bounds one Apply, because nobody else writes while it lasts.
const maxDoors = 4000

// page is how many rows one read takes. A long listing is many short reads, so
// that it holds up neither a checkpoint nor a writer.
const page = 500

// Exposure returns one exposure by its key.
func (s *Store) Exposure(ctx context.Context, v access.View, k exposure.Key) (exposure.Exposure, error) {
	if !v.Host(k.Addr) {
		return exposure.Exposure{}, fmt.Errorf("read exposure %s: %w", k.Case(), ErrNoExposure)
	}
	row, err := s.read.exposureOf(ctx, exposureOfParams{
		Addr: address{k.Addr}, Transport: string(k.Transport), Port: int64(k.Port), Rule: k.Rule,
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoExposure
	}
	if err != nil {
		return exposure.Exposure{}, fmt.Errorf("read exposure %s: %w", k.Case(), explain(err))
	}
	e, ok, err := s.clip(ctx, v, row)
	if err == nil && !ok {
		err = ErrNoExposure
	}
	if err != nil {
		return exposure.Exposure{}, fmt.Errorf("read exposure %s: %w", k.Case(), explain(err))
	}
	return e, nil
}

// ExposuresNamed returns the exposures with the public name, which is short:
// among a million there may be two with the same.
func (s *Store) ExposuresNamed(ctx context.Context, v access.View, name string) ([]exposure.Exposure, error) {
	rows, err := s.read.exposuresNamed(ctx, exposuresNamedParams{Name: name, Limit: page})
	if err != nil {
		return nil, fmt.Errorf("read exposure %s: %w", name, explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read exposure %s: %w", name, explain(err))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read exposure %s: %w", name, ErrNoExposure)
	}
	return out, nil
}

// ExposuresAt returns the exposures at the doors, over both transports.
func (s *Store) ExposuresAt(ctx context.Context, v access.View, doors ...netip.AddrPort) ([]exposure.Exposure, error) {
	rows, err := exposuresOf(ctx, s.read, doors)
	if err != nil {
		return nil, fmt.Errorf("read exposures at %d doors: %w", len(doors), explain(err))
	}
	out, err := s.clipped(ctx, v, rows)
	if err != nil {
		return nil, fmt.Errorf("read exposures at %d doors: %w", len(doors), explain(err))
	}
	return out, nil
}

func exposuresOf(ctx context.Context, q *Queries, doors []netip.AddrPort) ([]exposureRow, error) {
	wanted := make(map[netip.AddrPort]bool, len(doors))
	asked := make(map[netip.Addr]bool, len(doors))
	var addrs []string
	for _, d := range doors {
		wanted[d] = true
		if !asked[d.Addr()] {
			asked[d.Addr()] = true
			addrs = append(addrs, hex.EncodeToString(address{d.Addr()}.bytes()))
		}
	}
	in, err := list(addrs, nil)
	if err != nil {
		return nil, err
	}
	rows, err := q.exposuresAt(ctx, in)
	if err != nil {
		return nil, err
	}
	out := rows[:0]
	for _, row := range rows {
		if wanted[netip.AddrPortFrom(row.Addr.Addr, uint16(row.Port))] {
			out = append(out, row)
		}
	}
	return out, nil
}

// CalledBackBefore reports whether the host is known to have called back at any
// time: its silence may be a queue that an earlier probe left (DESIGN.md, rule 6).
func (s *Store) CalledBackBefore(ctx context.Context, a netip.Addr) (bool, error) {
	found, err := s.read.calledBackBefore(ctx, address{a})
	if err != nil {
		return false, fmt.Errorf("look for a call-back of %s: %w", a, explain(err))
	}
	return found, nil
}

// Apply changes the exposures at the doors in one transaction: fold gets those
// that are there, each with the time at which its condition was entered, and
// returns the ones that changed and the steps that changed them. Nobody else
// writes meanwhile, so no sighting is lost between two processes; fold must be
// quick and must not use the store. It is called once.
func (s *Store) Apply(
	ctx context.Context, doors []netip.AddrPort,
	fold func(prior []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition),
) error {
	what := fmt.Sprintf("change exposures at %d doors", len(doors))
	if len(doors) > maxDoors {
		return fmt.Errorf("%s: more than %d", what, maxDoors)
	}
	return s.changeMany(ctx, what, func(read, write *Queries) error {
		rows, err := exposuresOf(ctx, read, doors)
		if err != nil {
			return err
		}
		prior := make([]exposure.Exposure, 0, len(rows))
		since := make(map[exposure.Key]time.Time, len(rows))
		for _, row := range rows {
			e := row.exposure()
			prior = append(prior, e)
			since[e.Key] = row.Since.Time
		}
		changed, steps := fold(prior, since)
		for _, t := range steps {
			if t.Axis == exposure.AxisCondition {
				since[t.Key] = t.At
			}
			if err := write.putTransition(ctx, transitionParams(t)); err != nil {
				return err
			}
		}
		// In the order of the keys, neighbours fill the same page.
		order := make([]*exposure.Exposure, len(changed))
		for i := range changed {
			order[i] = &changed[i]
		}
		slices.SortFunc(order, func(a, b *exposure.Exposure) int {
			return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Rule, b.Rule))
		})
		there := make(map[exposure.Key]exposureRow, len(rows))
		for _, row := range rows {
			there[row.key()] = row
		}
		for _, e := range order {
			row, found := there[e.Key]
			if err := write.write(ctx, e, since[e.Key], row, found); err != nil {
				return err
			}
		}
		return nil
	})
}

// write writes an exposure in the place of the row, if one was found, and as
// little of it as will do.
func (q *Queries) write(ctx context.Context, e *exposure.Exposure, since time.Time, row exposureRow, found bool) error {
	p := exposureParamsOf(e, since)
	if !found && untouched(e) {
		return q.bearExposure(ctx, firstOf(p))
	}
	sight := sightExposureParams{
		Addr: p.Addr, Transport: p.Transport, Port: p.Port, Rule: p.Rule,
		Severity: p.Severity, LastSeen: p.LastSeen, TimesSeen: p.TimesSeen, Evidence: p.Evidence, Last: p.Last, Simulated: p.Simulated,
	}
	row.Severity, row.LastSeen, row.TimesSeen = sight.Severity, sight.LastSeen, sight.TimesSeen
	row.Evidence, row.Last, row.Simulated = sight.Evidence, sight.Last, sight.Simulated
	if found && row == exposureRow(p) {
		return q.sightExposure(ctx, sight)
	}
	return q.putExposure(ctx, p)
}

// untouched reports whether nothing has happened to the exposure but that it was seen.
func untouched(e *exposure.Exposure) bool {
	return e.Contact == exposure.NotContacted && e.Ruling == exposure.NoRuling && e.Cycle == 1 && e.TimesSeen == 1 &&
		e.ClearedAt.IsZero() && e.SilentAt.IsZero() && e.RuledBy == "" && e.RuledWhy == "" && e.RuledUntil.IsZero() &&
		e.Assignee == "" && !e.MovedTo.IsValid() && !e.MovedFrom.IsValid()
}

func firstOf(p putExposureParams) bearExposureParams {
	return bearExposureParams{
		Addr: p.Addr, Transport: p.Transport, Port: p.Port, Rule: p.Rule, Name: p.Name, Severity: p.Severity,
		Condition: p.Condition, Since: p.Since, FirstSeen: p.FirstSeen, LastSeen: p.LastSeen, Evidence: p.Evidence, Last: p.Last,
		Country: p.Country, Region: p.Region, City: p.City, Asn: p.Asn, AsName: p.AsName, Hostname: p.Hostname,
		Simulated: p.Simulated, Device: p.Device,
	}
}

func exposureParamsOf(e *exposure.Exposure, since time.Time) putExposureParams {
	p := putExposureParams{
		Addr: address{e.Addr}, Transport: string(e.Transport), Port: int64(e.Port), Rule: e.Rule, Name: e.Case(),
		Severity: string(e.Severity), Condition: string(e.Condition), Since: instant{since},
		Contact: string(e.Contact), Ruling: string(e.Ruling), Cycle: int64(e.Cycle),
		FirstSeen: instant{e.FirstSeen}, LastSeen: instant{e.LastSeen}, TimesSeen: int64(e.TimesSeen),
		Evidence: e.Evidence, Last: string(e.Last),
		Country: e.Where.Country, Region: e.Where.Region, City: e.Where.City,
		Asn: int64(e.Where.ASN), AsName: e.Where.ASName, Hostname: e.Where.Hostname,
		Device: e.Device, ClearedAt: instant{e.ClearedAt}, SilentAt: instant{e.SilentAt},
		RuledBy: e.RuledBy, RuledWhy: e.RuledWhy, RuledUntil: instant{e.RuledUntil},
		Assignee: e.Assignee, MovedTo: placeText(e.MovedTo), MovedFrom: placeText(e.MovedFrom),
	}
	if e.Simulated {
		p.Simulated = 1
	}
	return p
}

func (row exposureRow) key() exposure.Key {
	return exposure.Key{Addr: row.Addr.Addr, Transport: exposure.Transport(row.Transport), Port: uint16(row.Port), Rule: row.Rule}
}

func (row exposureRow) exposure() exposure.Exposure {
	return exposure.Exposure{
		Key:      row.key(),
		Severity: exposure.Severity(row.Severity), Condition: exposure.Condition(row.Condition),
		Contact: exposure.Contact(row.Contact), Ruling: exposure.Ruling(row.Ruling), Cycle: int(row.Cycle),
		FirstSeen: row.FirstSeen.Time, LastSeen: row.LastSeen.Time, TimesSeen: int(row.TimesSeen),
		Evidence: row.Evidence, Last: exposure.ID(row.Last),
		Where: exposure.Where{
			Country: row.Country, Region: row.Region, City: row.City,
			ASN: uint32(row.Asn), ASName: row.AsName, Hostname: row.Hostname,
		},
		Simulated: row.Simulated != 0,
		Device:    row.Device, ClearedAt: row.ClearedAt.Time, SilentAt: row.SilentAt.Time,
		RuledBy: row.RuledBy, RuledWhy: row.RuledWhy, RuledUntil: row.RuledUntil.Time,
		Assignee: row.Assignee, MovedTo: place(row.MovedTo), MovedFrom: place(row.MovedFrom),
	}
}

// placeText and place keep an address that may be none.
func placeText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func place(text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// ExposuresUnseen returns the exposures in one of the conditions that were last
// seen before the given time and that the view may see, as [Store.Exposures] does.
func (s *Store) ExposuresUnseen(ctx context.Context, v access.View, before time.Time, conditions ...exposure.Condition) iter.Seq2[exposure.Exposure, error] {
	return s.Exposures(ctx, v, Filter{Conditions: conditions, Before: before})
}

// ExposuresIn returns the exposures in one of the conditions that the view may
// see, as [Store.Exposures] does.
func (s *Store) ExposuresIn(ctx context.Context, v access.View, conditions ...exposure.Condition) iter.Seq2[exposure.Exposure, error] {
	return s.Exposures(ctx, v, Filter{Conditions: conditions})
}

// AcceptedUntil returns the exposures whose risk was accepted until a day that
// has come; it serves the clock, not a reader.
func (s *Store) AcceptedUntil(ctx context.Context, at time.Time) ([]exposure.Exposure, error) {
	rows, err := s.read.acceptedUntil(ctx, instant{at})
	if err != nil {
		return nil, fmt.Errorf("read accepted risks: %w", explain(err))
	}
	var out []exposure.Exposure
	for _, row := range rows {
		out = append(out, row.exposure())
	}
	return out, nil
}
