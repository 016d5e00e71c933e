// Package dashboard shows the public how many print services answer, by country,
// and to those who may see more the same by network and device. Its addresses are
// those of Shadowserver's dashboard.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/web"
)

//go:embed all:pages texts assets
var files embed.FS

// Options are what the dashboard needs.
type Options struct {
	Store   *store.Store
	Archive *archive.Archive
	Web     gate.Config
	Tags    []string // the ids of the rules
}

// A door is the dashboard.
type door struct {
	site    *web.Site
	store   *store.Store
	archive *archive.Archive
	cell    int // see gate.Config.SmallCell
	lexicon lexicon
	world   *world
	notes   []Note
	drawing *template.Template
	shelf   shelf

	mu    sync.Mutex // guards state
	state state
}

// front is where a stranger's way begins.
const front = "/statistics/combined/map/"

// Add puts the dashboard into the site.
func Add(s *web.Site, o Options) error {
	d := &door{site: s, store: o.Store, archive: o.Archive, cell: o.Web.SmallCell}
	var err error
	if d.world, err = readWorld(); err != nil {
		return err
	}
	if d.notes, err = readNotes(o.Web.Annotations); err != nil {
		return err
	}
	if d.drawing, err = readDrawing(); err != nil {
		return fmt.Errorf("read drawing: %w", err)
	}
	d.lexicon = lexicon{tags: slices.Concat([]string{"ipp", "cups", "cups-browsed"}, o.Tags), countries: map[string]bool{unknownLand: true}}
	for _, source := range exposure.Sources {
		d.lexicon.sources = append(d.lexicon.sources, string(source), string(source)+"6")
	}
	for code := range d.world.byCode {
		d.lexicon.countries[code] = true
	}
	who := o.Web.Audience()
	if o.Web.Public {
		s.Gate.Front = front
	}
	return s.Add(web.Part{
		FS:  files,
		Nav: []web.Link{{Path: "/statistics/", Text: "dashboard.nav", Roles: who, Order: 850, Group: "public"}},
		Routes: []gate.Route{
			{Method: "GET", Pattern: "/statistics/{$}", Kind: gate.Page, Roles: who, Serve: d.index},
			{Method: "GET", Pattern: "/statistics/combined/{view}/{$}", Kind: gate.Page, Roles: who, Serve: d.serve, Fail: d.fail},
		},
	})
}

// fail shows a program a problem in JSON, and people a page.
func (d *door) fail(w http.ResponseWriter, r *http.Request, v *gate.Visit, p *gate.Problem) {
	q := r.URL.Query()
	if f := q.Get("format"); f != "" && f != "html" || q.Get("json") == "1" || r.PathValue("view") == viewFeed {
		gate.WriteProblem(w, *p)
		return
	}
	d.site.Gate.Page(w, r, v, p)
}

// A state is what the counts are at the moment.
type state struct {
	edition archive.Edition
	covered string
	looked  time.Time
	sources []string  // that saw something of late
	whole   time.Time // the last day of which nothing is missing; zero: none of late
}

// fresh is how long the counts are taken for unchanged. It is the machine's time
// and not the visit's: nothing that is shown depends on it.
const fresh = 500 * time.Millisecond

// now returns the present state, and forgets what was kept of an older one.
func (d *door) now(ctx context.Context, view access.View) (state, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.state.looked.IsZero() && time.Since(d.state.looked) < fresh {
		return d.state, nil
	}
	next := state{looked: time.Now(), sources: d.state.sources, whole: d.state.whole}
	var err error
	if next.edition, err = d.archive.Edition(ctx); err != nil {
		return next, err
	}
	if next.covered, err = d.store.CoverageState(ctx, view); err != nil {
		return next, err
	}
	if next.edition != d.state.edition || next.covered != d.state.covered || d.state.looked.IsZero() {
		d.shelf.clear()
		if err := d.review(ctx, view, &next); err != nil {
			return next, err
		}
	}
	d.state = next
	return next, nil
}

// review finds out what is said of the last days.
func (d *door) review(ctx context.Context, view access.View, next *state) error {
	_, last, counted := next.edition.Span()
	if !counted {
		return nil
	}
	days, err := d.archive.Tally(ctx, access.View{At: view.At}, archive.TallyQuery{From: last.AddDate(0, 0, -29), To: last})
	if err != nil {
		return err
	}
	sources := make(map[string]bool)
	for _, t := range days {
		for _, s := range t.Sources {
			sources[s] = true
		}
	}
	next.sources = slices.Sorted(maps.Keys(sources))
	next.whole, err = d.lastWhole(ctx, view, last, days)
	return err
}

// lastWhole returns the last day that was measured whole. Today is still coming in,
// and would look as if all became better every night.
func (d *door) lastWhole(ctx context.Context, view access.View, last time.Time, days []archive.DayTally) (time.Time, error) {
	const back = 7
	a := &Answer{Question: &Question{From: last.AddDate(0, 0, 1-back), To: last}}
	if err := d.cover(ctx, access.View{At: view.At}, a, days); err != nil {
		return time.Time{}, err
	}
	for _, day := range slices.Backward(a.Days) {
		if day.State == Measured {
			return day.Day, nil
		}
	}
	return time.Time{}, nil
}

// last is the last day that was measured whole, or that was counted at all;
// yesterday, if none was.
func (s state) last(v *gate.Visit) time.Time {
	if !s.whole.IsZero() {
		return s.whole
	}
	if _, last, ok := s.edition.Span(); ok {
		return last
	}
	return v.At.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
}

// serve answers a question.
func (d *door) serve(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	view := r.PathValue("view")
	if !slices.Contains(views, view) && view != viewFeed {
		return gate.NotFound
	}
	st, err := d.now(r.Context(), v.View)
	if err != nil {
		return err
	}
	if v.Role != access.RolePublic {
		q, err := d.ask(r, v, view, st)
		if err != nil {
			return err
		}
		return d.tell(w, r, v, st, q)
	}
	// All strangers who ask the same in one language get the same bytes.
	k, err := d.shelf.page(d.base(r)+r.URL.RequestURI()+" "+d.site.Appearance(r, v), func() (*kept, error) {
		q, err := d.ask(r, v, view, st)
		if err != nil {
			return nil, err
		}
		return d.make(r, v, st, q)
	})
	if err != nil {
		return err
	}
	return k.send(w, r, "public, max-age=60")
}

// ask reads the question, and says in the visitor's language what is wrong in it.
func (d *door) ask(r *http.Request, v *gate.Visit, view string, st state) (*Question, error) {
	known := d.lexicon
	known.last = st.last(v)
	q, err := parse(view, r.URL.Query(), known)
	return q, d.explain(r, v, err)
}

func (d *door) explain(r *http.Request, v *gate.Visit, err error) error {
	bad, ok := errors.AsType[*wrong](err)
	if !ok {
		return err
	}
	sheet := d.site.Sheet(r, v, "statistics")
	p := &gate.Problem{Status: http.StatusBadRequest, Code: "bad-request", Detail: sheet.T(bad.key, bad.args...)}
	if bad.key == "dashboard.wrong.denied" {
		p.Status, p.Code = http.StatusForbidden, "denied"
	}
	return p
}

// tell answers somebody with a name.
func (d *door) tell(w http.ResponseWriter, r *http.Request, v *gate.Visit, st state, q *Question) error {
	if q.Format != "html" {
		k, err := d.make(r, v, st, q)
		if err != nil {
			return err
		}
		return k.send(w, r, "private, no-cache")
	}
	p, err := d.page(r, v, st, q)
	if err != nil {
		return d.explain(r, v, err)
	}
	return d.site.Page(w, r, v, "statistics", p)
}

// make makes what a question is answered with.
func (d *door) make(r *http.Request, v *gate.Visit, st state, q *Question) (*kept, error) {
	if q.Format == "html" {
		p, err := d.page(r, v, st, q)
		if err != nil {
			return nil, d.explain(r, v, err)
		}
		body, err := d.site.Render(r, v, "statistics", p)
		return newKept("text/html; charset=utf-8", "", body), err
	}
	a, err := d.answer(r.Context(), v.View, q)
	if err != nil {
		return nil, d.explain(r, v, err)
	}
	return d.write(r, d.sketcher(r, v), a)
}

func (d *door) sketcher(r *http.Request, v *gate.Visit) *sketcher {
	return &sketcher{Sheet: d.site.Sheet(r, v, "statistics"), world: d.world, notes: d.notes}
}

// answer answers a question, once for all who may see the same.
func (d *door) answer(ctx context.Context, view access.View, q *Question) (*Answer, error) {
	whose := "public"
	switch view.Tier {
	case access.Operator:
		whose = "operator"
	case access.Constituent:
		whose = fmt.Sprint("own ", view.Networks, view.Windows)
	}
	key := fmt.Sprint(whose, " ", q.View == viewSeries || q.View == viewFeed, " ", q.From.Unix(), " ", q.To.Unix(), " ", q.Limit, " ", q.fixed().values().Encode())
	a, err := d.shelf.answer(key, func() (*Answer, error) {
		// Others wait for it: that the first of them goes away is no reason to stop.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return d.compute(ctx, view, q)
	})
	if err != nil {
		return nil, err
	}
	mine := *a // with this question's view and format
	mine.Question = q
	return &mine, nil
}

// patience is how long one answer may take.
const patience = 20 * time.Second
