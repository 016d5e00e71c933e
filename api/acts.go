package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ippwatch/access"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/track"
)

type wordIn struct {
	CaseName
	Body v1.Word
}

type acceptIn struct {
	CaseName
	Body v1.Acceptance
}

type assignIn struct {
	CaseName
	Body v1.Assignment
}

type bulkIn struct{ Body v1.Bulk }

type tieIn struct{ Body v1.TieOrder }

// longestRisk is for how many years a risk may be accepted.
const longestRisk = 3

const reasonExample = `{"reason": "our own honeypot"}`

func (d *door) acts() {
	act := func(word, summary string, roles []access.Role, needs access.Right) op {
		return op{
			method: "POST", path: "/cases/{case}/" + word, id: word + "-case", tag: "cases", roles: roles, needs: needs, personal: true, strong: true,
			summary: summary, about: "It stands in the history of the case. 409: the case does not take the step; 412: it has changed since you read it.", example: reasonExample,
		}
	}
	accept := act("accept", "Accept the risk until a day", hands, access.Change)
	accept.example = `{"reason": "print server of the press office", "until": "2027-03-01"}`
	add(d, accept, func(ctx context.Context, v *gate.Visit, in *acceptIn) (v1.CaseFile, error) {
		until, err := untilDay("body.until", in.Body.Until, v.At)
		if err != nil {
			return v1.CaseFile{}, err
		}
		return d.take(ctx, v, in.Case, track.Order{Step: track.Accept, Evidence: in.Body.Reason, Until: until})
	})
	for _, a := range []struct {
		step  track.Step
		about string
		roles []access.Role
		needs access.Right
	}{
		{track.Dismiss, "Declare it a false positive", hands, access.Change},
		{track.Withdraw, "Take a verdict back", hands, access.Change},
		{track.Acknowledge, "Note that somebody answered", owners, access.Answer},
		{track.Claim, "Note that the owner says it is fixed", owners, access.Answer},
	} {
		add(d, act(string(a.step), a.about, a.roles, a.needs), func(ctx context.Context, v *gate.Visit, in *wordIn) (v1.CaseFile, error) {
			return d.take(ctx, v, in.Case, track.Order{Step: a.step, Evidence: in.Body.Reason})
		})
	}
	assign := act("assign", "Say who of ours works on it", hands, access.Change)
	assign.example = `{"to": "m.roe"}`
	add(d, assign, func(ctx context.Context, v *gate.Visit, in *assignIn) (v1.CaseFile, error) {
		return d.change(ctx, v, in.Case, func(k exposure.Key) ([]exposure.Exposure, error) {
			return d.Tracker.Assign(ctx, []exposure.Key{k}, in.Body.To, v.Who, v.At)
		})
	})
	add(d, act("untie", "Take back that it goes on with the history of another address", hands, access.Change), d.untie)
	add(d, op{
		method: "POST", path: "/cases/act", id: "act-cases", tag: "cases", roles: hands, needs: access.Change, personal: true, summary: "Do the same to many cases",
		about:   "Each case is done or refused by itself, and the answer says which and why.",
		example: `{"act": "dismiss", "cases": ["4C8B0F6E52A1"], "reason": "our own honeypot"}`,
	}, d.bulk)
	add(d, op{
		method: "POST", path: "/cases/tie", id: "tie-cases", tag: "cases", roles: hands, needs: access.Change, personal: true, summary: "Let cases go on where their device has a new address",
		about: "For a UTC day of looking; every complete scan does it for its own. To do it again changes nothing.", example: `{"date": "2026-11-23"}`,
	}, func(ctx context.Context, v *gate.Visit, in *tieIn) (v1.Page[v1.Tie], error) {
		page := v1.Page[v1.Tie]{Items: []v1.Tie{}}
		day, err := dayOf("body.date", in.Body.Date)
		if err != nil {
			return page, err
		}
		ties, err := d.Street.Tie(ctx, v.View, day, v.At)
		for _, t := range ties {
			page.Items = append(page.Items, v1.Tie{Case: t.From.Case(), From: t.From.Addr, To: t.To, Device: t.Device})
		}
		return page, err
	})
}

func dayOf(location, s string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return day, gate.Invalid(location, "want a day such as 2026-11-23")
	}
	return day, years(day)
}

// years refuses what no database keeps.
func years(all ...time.Time) error {
	for _, t := range all {
		if !t.IsZero() && (t.Year() < 1970 || t.Year() > 2200) {
			return gate.Bad("the year %d: want 1970 to 2200", t.Year())
		}
	}
	return nil
}

func untilDay(location, s string, now time.Time) (time.Time, error) {
	day, err := dayOf(location, s)
	switch {
	case err != nil:
		return day, err
	case !day.After(now):
		return day, gate.Invalid(location, "want a day to come")
	case day.After(now.AddDate(longestRisk, 0, 0)):
		return day, gate.Invalid(location, "a risk is accepted for %d years at most, and then looked at again", longestRisk)
	}
	return day, nil
}

// take lets a case take a step.
func (d *door) take(ctx context.Context, v *gate.Visit, name string, o track.Order) (v1.CaseFile, error) {
	o.Actor, o.At = v.Who, v.At
	if strings.TrimSpace(o.Evidence) == "" {
		return v1.CaseFile{}, gate.Invalid("body.reason", "it is empty")
	}
	return d.change(ctx, v, name, func(k exposure.Key) ([]exposure.Exposure, error) {
		// Between reading and writing another may have changed it: the step looks
		// again, in the transaction that writes.
		o.If = d.stillSo(ctx, v)
		return d.Tracker.Take(ctx, []exposure.Key{k}, o)
	})
}

// stillSo compares what is about to be changed with If-Match. Who sees only a time
// of an address has seen less than there is, and cannot be compared with it here.
func (d *door) stillSo(ctx context.Context, v *gate.Visit) func(exposure.Exposure) bool {
	c := callOf(ctx)
	if c.r.Header.Get("If-Match") == "" || len(v.View.Windows) > 0 {
		return nil
	}
	return func(e exposure.Exposure) bool { return c.unchanged(tagOf(e)) }
}

// tagOf is the ETag of a case.
func tagOf(e exposure.Exposure) string {
	body, err := encode(fileOf(e))
	if err != nil {
		return ""
	}
	return strongTag(body)
}

// change changes a case that the visitor may see, and returns it as it is then.
func (d *door) change(ctx context.Context, v *gate.Visit, name string, f func(exposure.Key) ([]exposure.Exposure, error)) (v1.CaseFile, error) {
	e, err := d.caseNamed(ctx, v, name)
	if err != nil {
		return v1.CaseFile{}, err
	}
	if !callOf(ctx).unchanged(tagOf(e)) {
		return v1.CaseFile{}, changed
	}
	if _, err := f(e.Key); err != nil {
		return v1.CaseFile{}, refused(err)
	}
	now, err := d.Store.Exposure(ctx, v.View, e.Key)
	return fileOf(now), notThere(err, store.ErrNoExposure)
}

// refused says why a case did not take a step.
func refused(err error) error {
	switch {
	case errors.Is(err, track.ErrChanged):
		return changed
	case errors.Is(err, track.ErrNoCase):
		return gate.NotFound
	case errors.Is(err, track.ErrNoTransition), errors.Is(err, track.ErrNotTied):
		return &gate.Problem{Status: http.StatusConflict, Code: "no-transition", Detail: err.Error(), Hint: "GET the case: it shows what was decided"}
	}
	return err
}

func (d *door) untie(ctx context.Context, v *gate.Visit, in *wordIn) (v1.CaseFile, error) {
	return d.change(ctx, v, in.Case, func(k exposure.Key) ([]exposure.Exposure, error) {
		e, err := d.Store.Exposure(ctx, v.View, k)
		if err != nil {
			return nil, notThere(err, store.ErrNoExposure)
		}
		if !e.MovedFrom.IsValid() {
			return nil, fmt.Errorf("case %s: %w", e.Case(), track.ErrNotTied)
		}
		birth, err := d.birth(ctx, v, k)
		if err != nil {
			return nil, err
		}
		return nil, d.Tracker.Untie(ctx, k, e.MovedFrom, birth, v.Who, in.Body.Reason, v.At)
	})
}

// birth is when a case was seen first at its own address.
func (d *door) birth(ctx context.Context, v *gate.Visit, k exposure.Key) (time.Time, error) {
	for t, err := range d.Store.Transitions(ctx, v.View, store.Span{Key: k}) {
		if err != nil {
			return time.Time{}, err
		}
		if t.Axis == exposure.AxisCondition && t.From == "" {
			return t.At, nil
		}
	}
	return time.Time{}, &gate.Problem{Status: http.StatusConflict, Code: "no-transition", Detail: "the case has no beginning in its history"}
}

func (d *door) bulk(ctx context.Context, v *gate.Visit, in *bulkIn) (v1.BulkResult, error) {
	res := v1.BulkResult{Done: []v1.Case{}, Refused: []v1.Refusal{}}
	o := track.Order{Step: track.Step(in.Body.Act), Actor: v.Who, Evidence: in.Body.Reason, At: v.At}
	if in.Body.Act != "assign" && strings.TrimSpace(in.Body.Reason) == "" {
		return res, gate.Invalid("body.reason", "%s needs one", in.Body.Act)
	}
	if o.Step == track.Accept {
		var err error
		if o.Until, err = untilDay("body.until", in.Body.Until, v.At); err != nil {
			return res, err
		}
	}
	seen := make(map[string]bool)
	for _, name := range in.Body.Cases {
		name = strings.ToUpper(name)
		if seen[name] {
			continue
		}
		seen[name] = true
		refuse := func(err error) error {
			p, ok := errors.AsType[*gate.Problem](err)
			if !ok {
				return err
			}
			res.Refused = append(res.Refused, v1.Refusal{Case: name, Reason: v1.Reason{Status: p.Status, Code: p.Code, Detail: p.Detail}})
			return nil
		}
		e, err := d.caseNamed(ctx, v, name)
		if err != nil {
			if err := refuse(err); err != nil {
				return res, err
			}
			continue
		}
		keys := []exposure.Key{e.Key}
		var taken []exposure.Exposure
		if in.Body.Act == "assign" {
			taken, err = d.Tracker.Assign(ctx, keys, in.Body.To, v.Who, v.At)
		} else {
			taken, err = d.Tracker.Take(ctx, keys, o)
		}
		if err != nil {
			if err := refuse(refused(err)); err != nil {
				return res, err
			}
		}
		for _, t := range taken {
			res.Done = append(res.Done, v1.NewCase(t))
		}
	}
	return res, nil
}

// asJSON writes what another package has a form of its own for.
func asJSON(v any) (json.RawMessage, error) { return json.Marshal(v) }
