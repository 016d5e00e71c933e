package track

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
)

// Device returns the printer-uuid that tells the host of the observation from
// others, "" if it gave none. A CUPS server has one for each queue: then it is
// the least of them, so that the order of queues does not matter.
func Device(o *exposure.Observation) string {
	least := ""
	for _, id := range Devices(o) {
		if least == "" || id < least {
			least = id
		}
	}
	return least
}

// Devices returns the printer-uuids of an observation that may tell devices
// apart: neither nil nor one that a factory gave to all.
func Devices(o *exposure.Observation) []string {
	var ids []string
	for _, p := range o.Printers {
		id := strings.ToLower(strings.TrimSpace(p.Get("printer-uuid")))
		if unique(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// unique reports whether a printer-uuid has the form of RFC 4122 and the look of
// a number that somebody drew: the nil UUID, all ones, and what people type
// when they need one stand on many devices.
func unique(id string) bool {
	text, ok := strings.CutPrefix(id, "urn:uuid:")
	if !ok || len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	digits := strings.ReplaceAll(text, "-", "")
	seen := make(map[byte]bool)
	for i := range len(digits) {
		c := digits[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
		seen[c] = true
	}
	switch {
	case len(digits) != 32, len(seen) < 4:
		return false
	case strings.HasPrefix(digits, "12345678123412341234"), strings.HasPrefix(digits, "0123456789abcdef"),
		strings.HasPrefix(digits, "00000000000010008000"): // Bluetooth's base with nothing in it
		return false
	}
	return true
}

// A Tie says that a device answers at another address than before: the case
// there goes on with the history of the one here.
type Tie struct {
	From   exposure.Key `json:"from"`
	To     netip.Addr   `json:"to"`
	Device string       `json:"device"`
	Day    time.Time    `json:"day"` // on which it answered at one address only
}

// there is the key of the case at the new address.
func (t Tie) there() exposure.Key {
	k := t.From
	k.Addr = t.To
	return k
}

// Ties returns which cases go on at another address, after a whole day of
// looking. seen tells at which addresses each device answered on that day; a
// device that answered at two is on neither side. open are the cases of devices
// that were seen on the day or are still open; same reports whether two
// addresses belong to one constituent. Where two cases could be the ancestor,
// neither is.
func Ties(day time.Time, seen Seen, open []exposure.Exposure, same func(a, b exposure.Exposure) bool) []Tie {
	type place struct {
		device    string
		transport exposure.Transport
		port      uint16
		rule      string
	}
	born := make(map[place]exposure.Exposure) // on the day, at the device's only address
	gone := make(map[place][]exposure.Exposure)
	end := day.Add(24 * time.Hour)
	for _, e := range open {
		at := seen[e.Device]
		if e.Device == "" || e.MovedTo.IsValid() || len(at) != 1 {
			continue
		}
		p := place{e.Device, e.Transport, e.Port, e.Rule}
		switch {
		case at[0] == e.Addr:
			if !e.FirstSeen.Before(day) && e.FirstSeen.Before(end) && !e.MovedFrom.IsValid() {
				born[p] = e
			}
		case e.LastSeen.Before(day):
			gone[p] = append(gone[p], e)
		}
	}
	var ties []Tie
	for _, e := range open { // the order of the caller
		p := place{e.Device, e.Transport, e.Port, e.Rule}
		heir, ok := born[p]
		if !ok || len(gone[p]) != 1 || gone[p][0].Key != e.Key || !e.Condition.Open() || !same(e, heir) {
			continue
		}
		ties = append(ties, Tie{From: e.Key, To: heir.Addr, Device: e.Device, Day: day})
	}
	return ties
}

// ErrNotTied says that a case does not continue another, or not any more.
var ErrNotTied = errors.New("it does not go on with the history of another")

// Tie lets the case at the new address go on with the history of the former:
// since when it is open, how often it was closed, who was told and what was
// decided. The former rests as it is, so that Untie can take it back.
func (t *Tracker) Tie(ctx context.Context, tie Tie, actor string, at time.Time) error {
	keys := []exposure.Key{tie.From, tie.there()}
	why := fmt.Sprintf("%s answered at one address only on %s", tie.Device, tie.Day.UTC().Format(time.DateOnly))
	err := t.pair(ctx, keys, func(from, to Known) (Known, Known, error) {
		if from.MovedTo.IsValid() || to.MovedFrom.IsValid() || !from.Condition.Open() {
			return from, to, ErrNotTied
		}
		to.MovedFrom, from.MovedTo = from.Addr, to.Addr
		to.FirstSeen, to.TimesSeen = from.FirstSeen, to.TimesSeen+from.TimesSeen
		to.Cycle = max(to.Cycle, from.Cycle)
		to.Contact = from.Contact
		to.Ruling, to.RuledBy, to.RuledWhy, to.RuledUntil = from.Ruling, from.RuledBy, from.RuledWhy, from.RuledUntil
		to.Assignee = from.Assignee
		return from, to, nil
	}, actor, why, at)
	if err != nil {
		return fmt.Errorf("tie case %s to %s: %w", tie.From.Case(), tie.To, err)
	}
	return nil
}

// Untie takes a tie back: the case at the new address begins with its own first
// sighting, and the former is as it was. What a person decided about the new
// one since then stays.
func (t *Tracker) Untie(ctx context.Context, key exposure.Key, from netip.Addr, birth time.Time, actor, why string, at time.Time) error {
	former := key
	former.Addr = from
	err := t.pair(ctx, []exposure.Key{former, key}, func(from, to Known) (Known, Known, error) {
		if to.MovedFrom != from.Addr || from.MovedTo != to.Addr {
			return from, to, ErrNotTied
		}
		to.MovedFrom, from.MovedTo = netip.Addr{}, netip.Addr{}
		to.FirstSeen, to.TimesSeen = birth, max(1, to.TimesSeen-from.TimesSeen)
		if to.Contact == from.Contact {
			to.Contact = exposure.NotContacted
		}
		if to.Ruling == from.Ruling && to.RuledBy == from.RuledBy && to.RuledWhy == from.RuledWhy {
			to.Ruling, to.RuledBy, to.RuledWhy, to.RuledUntil = exposure.NoRuling, "", "", time.Time{}
		}
		if to.Assignee == from.Assignee {
			to.Assignee = ""
		}
		return from, to, nil
	}, actor, why, at)
	if err != nil {
		return fmt.Errorf("untie case %s: %w", key.Case(), err)
	}
	return nil
}

// pair changes two cases in one transaction and tells it in the history of both.
func (t *Tracker) pair(ctx context.Context, keys []exposure.Key, f func(from, to Known) (Known, Known, error), actor, why string, at time.Time) error {
	var wrong error
	doors := []netip.AddrPort{netip.AddrPortFrom(keys[0].Addr, keys[0].Port), netip.AddrPortFrom(keys[1].Addr, keys[1].Port)}
	err := t.store.Apply(ctx, doors, func(prior []exposure.Exposure, since map[exposure.Key]time.Time) ([]exposure.Exposure, []exposure.Transition) {
		known := make(map[exposure.Key]exposure.Exposure, len(prior))
		for _, e := range prior {
			known[e.Key] = e
		}
		was, found := known[keys[0]]
		is, also := known[keys[1]]
		if !found || !also {
			wrong = ErrNoCase
			return nil, nil
		}
		from, to, err := f(Known{was, since[keys[0]]}, Known{is, since[keys[1]]})
		if err != nil {
			wrong = err
			return nil, nil
		}
		steps := []exposure.Transition{
			{Key: keys[0], Axis: exposure.AxisPlace, From: text(was.MovedTo), To: text(from.MovedTo), Cycle: from.Cycle, Actor: actor, Evidence: why, At: at},
			{Key: keys[1], Axis: exposure.AxisPlace, From: text(is.MovedFrom), To: text(to.MovedFrom), Cycle: to.Cycle, Actor: actor, Evidence: why, At: at},
		}
		return []exposure.Exposure{from.Exposure, to.Exposure}, steps
	})
	return errors.Join(wrong, err)
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// TieDay ties what a day of looking shows (see [Ties]) and returns the ties that
// it made. To do it again changes nothing.
func (t *Tracker) TieDay(ctx context.Context, day time.Time, seen Seen, same func(a, b exposure.Exposure) bool, at time.Time) ([]Tie, error) {
	var open []exposure.Exposure
	view := access.View{Who: "track", Tier: access.Operator, At: at}
	end := at.Add(24 * time.Hour) // whatever was seen until now
	for e, err := range t.store.ExposuresUnseen(ctx, view, end, exposure.Reported, exposure.Confirmed, exposure.OneClean, exposure.NotSeen) {
		if err != nil {
			return nil, fmt.Errorf("tie cases of %s: %w", day.Format(time.DateOnly), err)
		}
		if e.Device != "" && len(seen[e.Device]) == 1 {
			open = append(open, e)
		}
	}
	var made []Tie
	for _, tie := range Ties(day, seen, open, same) {
		switch err := t.Tie(ctx, tie, "track", at); {
		case err == nil:
			made = append(made, tie)
		case !errors.Is(err, ErrNotTied): // somebody was faster
			return made, err
		}
	}
	return made, nil
}

// Seen gathers at which addresses devices answered: the argument of [Ties].
type Seen map[string][]netip.Addr

// Add takes an observation of the day. A feed's counts, too: it names the device.
func (s Seen) Add(o *exposure.Observation) {
	for _, id := range Devices(o) {
		if !slices.Contains(s[id], o.Addr) && len(s[id]) < 2 { // two are as bad as many
			s[id] = append(s[id], o.Addr)
		}
	}
}
