package office

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ippwatch/gate"
	"ippwatch/rule"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/web"
)

// maxHits is how many of each kind are listed.
const maxHits = 20

// A hit is a page that the search leads to.
type hit struct {
	Text, Note, Link string
	NoteKey          string // key of a text, instead of the note
}

// hits are those of one kind.
type hits struct {
	Kind string // key of a text
	Hits []hit
	More bool
	Link string // to all of them
}

type searchData struct {
	Query string
	Kinds []hits
	Staff bool
}

var (
	uuidForm = regexp.MustCompile(`(?i)^(urn:uuid:)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`)
	asnForm  = regexp.MustCompile(`(?i)^as[n ]?\s*([0-9]{1,10})$`)
	runForm  = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16}$`)
	mailForm = regexp.MustCompile(`(?i)^m-[0-9a-z]{6,40}$`)
	landForm = regexp.MustCompile(`^[A-Za-z]{2}$`)
)

// search leads to the one page that is meant, or lists those that may be.
func (d *desk) search(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	s := searchData{Query: strings.TrimSpace(r.URL.Query().Get("q")), Staff: whole(v)}
	if len(s.Query) > 256 {
		return gate.Bad("q: that is too long")
	}
	if s.Query != "" {
		for _, find := range []func(*http.Request, *gate.Visit, string) (hits, error){
			d.findCase, d.findHost, d.findNetwork, d.findAS, d.findDevice, d.findMessage, d.findConstituents, d.findCountry, d.findRule, d.findPerson,
		} {
			h, err := find(r, v, s.Query)
			if err != nil {
				return err
			}
			if len(h.Hits) > 0 {
				s.Kinds = append(s.Kinds, h)
			}
		}
	}
	if s.Query != "" && len(s.Kinds) == 0 { // it reads most, and is meant when nothing else is
		h, err := d.findWords(r, v, s.Query)
		if err != nil {
			return err
		}
		if len(h.Hits) > 0 || h.More {
			s.Kinds = append(s.Kinds, h)
		}
	}
	if len(s.Kinds) == 1 && len(s.Kinds[0].Hits) == 1 && !s.Kinds[0].More {
		return gate.SeeOther(s.Kinds[0].Hits[0].Link)
	}
	return d.site.Page(w, r, v, "search", s, web.Show{})
}

func (d *desk) findCase(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.cases"}
	if !caseName(q) {
		return h, nil
	}
	es, err := d.Store.ExposuresNamed(r.Context(), v.View, strings.ToUpper(q))
	if err != nil && !notThere(err) {
		return h, err
	}
	for _, e := range es {
		h.Hits = append(h.Hits, hit{Text: e.Case(), Note: door(e.Key), Link: "/cases/" + e.Case() + "?at=" + url.QueryEscape(e.Addr.String())})
	}
	return h, nil
}

func (d *desk) findHost(_ *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.hosts"}
	p, err := space.Parse(strings.Trim(q, "[]"))
	if err == nil && p.IsSingleIP() && (whole(v) || v.View.Host(p.Addr())) {
		h.Hits = []hit{{Text: p.Addr().String(), Link: hostLink(p.Addr().String())}}
	}
	return h, nil
}

func (d *desk) findNetwork(_ *http.Request, _ *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.networks"}
	if p, err := space.Parse(q); err == nil && !p.IsSingleIP() {
		h.Hits = []hit{{Text: p.String(), NoteKey: "search.its_cases", Link: "/cases?" + url.Values{"net": {p.String()}, "show": {"all"}}.Encode()}}
	}
	return h, nil
}

func (d *desk) findAS(_ *http.Request, _ *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.networks"}
	if m := asnForm.FindStringSubmatch(q); m != nil {
		if n, err := strconv.ParseUint(m[1], 10, 32); err == nil && n > 0 {
			h.Hits = []hit{{Text: "AS" + strconv.FormatUint(n, 10), NoteKey: "search.its_cases", Link: "/cases?show=all&asn=" + strconv.FormatUint(n, 10)}}
		}
	}
	return h, nil
}

func (d *desk) findDevice(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.devices"}
	m := uuidForm.FindStringSubmatch(q)
	if m == nil {
		return h, nil
	}
	for _, form := range []string{"urn:uuid:" + m[2], m[2]} {
		es, err := d.Store.CasesOfDevice(r.Context(), v.View, form, maxHits+1)
		if err != nil {
			return h, err
		}
		for _, e := range es {
			h.Hits = append(h.Hits, hit{Text: e.Case(), Note: door(e.Key), Link: "/cases/" + e.Case()})
		}
	}
	return h.cut(), nil
}

func (h hits) cut() hits {
	if len(h.Hits) > maxHits {
		h.Hits, h.More = h.Hits[:maxHits], true
	}
	return h
}

func (d *desk) findMessage(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.messages"}
	switch {
	case !whole(v):
	case mailForm.MatchString(q):
		m, err := d.Store.Message(r.Context(), v.View, strings.ToUpper(q))
		if err != nil && !notThere(err) {
			return h, err
		}
		if err == nil {
			h.Hits = []hit{{Text: m.ID, Note: m.To.Address, Link: "/outreach/" + m.ID}}
		}
	case runForm.MatchString(q):
		h.Kind = "search.scans"
		if _, err := d.Store.Run(r.Context(), v.View, q); err == nil {
			h.Hits = []hit{{Text: q, Link: "/scans/" + q}}
		}
	}
	return h, nil
}

func (d *desk) findConstituents(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.constituents", Link: "/constituents?q=" + url.QueryEscape(q)}
	if !whole(v) {
		return h, nil
	}
	all, err := d.People.All(r.Context(), v.View)
	if err != nil {
		return h, err
	}
	for _, k := range all {
		if about := k.Title; mentions(&k, q) {
			h.Hits = append(h.Hits, hit{Text: k.Name, Note: about, Link: "/constituents/" + k.Name})
			if len(h.Hits) > maxHits {
				break
			}
		}
	}
	return h.cut(), nil
}

func (d *desk) findCountry(_ *http.Request, _ *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.countries"}
	if landForm.MatchString(q) {
		land := strings.ToUpper(q)
		h.Hits = []hit{{Text: land, NoteKey: "search.its_cases", Link: "/cases?country=" + land}}
	}
	return h, nil
}

func (d *desk) findRule(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.rules"}
	lang := d.site.Language(r, v)
	for _, id := range rule.IDs() {
		title := d.title(lang, id)
		if len(q) >= 3 && (contains(id, q) || contains(title, q)) {
			h.Hits = append(h.Hits, hit{Text: id, Note: title, Link: "/cases?rule=" + id})
		}
	}
	return h.cut(), nil
}

// findPerson finds who of ours works on cases.
func (d *desk) findPerson(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.people"}
	if !whole(v) || len(q) > 64 {
		return h, nil
	}
	for _, err := range d.Store.Cases(r.Context(), v.View, store.Desk{Filter: store.Filter{Assignee: q}, Order: store.CasesByAddr, Size: 1}) {
		if err != nil {
			return h, err
		}
		h.Hits = []hit{{Text: q, NoteKey: "search.its_cases", Link: "/cases?" + url.Values{"assignee": {q}, "show": {"all"}}.Encode()}}
	}
	return h, nil
}

// wordsPatience is for reading what all cases say: of a million, a second or two.
const wordsPatience = 3 * time.Second

// findWords finds what a printer or a host calls itself.
func (d *desk) findWords(r *http.Request, v *gate.Visit, q string) (hits, error) {
	h := hits{Kind: "search.words"}
	_, err := space.Parse(strings.Trim(q, "[]"))
	if err == nil || len(q) < 3 || uuidForm.MatchString(q) || asnForm.MatchString(q) || caseName(q) {
		return h, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), wordsPatience)
	defer cancel()
	es, err := d.Store.CasesSaying(ctx, v.View, q, maxHits+1)
	if ctx.Err() != nil && r.Context().Err() == nil {
		err, h.More = nil, true // what was found so far
	}
	for _, e := range es {
		h.Hits = append(h.Hits, hit{Text: e.Case(), Note: door(e.Key) + " · " + d.site.Say(d.site.Language(r, v), e.Evidence).Text, Link: "/cases/" + e.Case() + "?at=" + url.QueryEscape(e.Addr.String())})
	}
	return h.cut(), err
}

func contains(text, q string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(q))
}
