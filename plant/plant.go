// Package plant is the operator's pages about machines and measures: scans,
// verification, sensors and surges, metrics, filters, and the settings.
//
// It decides nothing that the command line would decide otherwise: what both say
// comes from the same place, and is handed in as a field of [Works] where that
// place is the program itself.
package plant

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/schedule"
	"ippwatch/store"
	"ippwatch/tally"
	"ippwatch/web"
)

//go:embed all:pages texts assets
var files embed.FS

// Works are what the pages show and move. A function that is nil is not there,
// and the page says so.
type Works struct {
	Store   *store.Store
	Archive *archive.Archive
	Now     func() time.Time
	Log     *slog.Logger
	Data    string // the data directory
	Scope   string // the file that the configuration names
	Policy  string // likewise, of the filters

	// Asked computes what we sent an address, from a time to another; zero: ever.
	Asked func(ctx context.Context, addr netip.Addr, from, to time.Time) ([]Contact, error)
	// Targets counts what each run has to ask; 0: nobody knows.
	Targets func(runs []exposure.Run) []uint64
	// Order has the daemon run a job: a part of it, or all that it would do.
	Order func(kind string, o schedule.Order) error
	// Orders are those that wait.
	Orders func(kind string) []schedule.Order
	// Jobs are those that the daemon runs, with their plans.
	Jobs func(ctx context.Context) ([]Job, error)
	// Settings are the values in force, and the file that says them.
	Settings func() (file string, all []Setting, err error)
	// Doctor looks at what can be looked at without asking anybody.
	Doctor func(ctx context.Context) []Check
	// Controls are the hosts that the configuration names as controls.
	Controls []string
	After    time.Duration // between two probes that prove something
	// Measure computes the figures as a view sees the cases.
	Measure func(ctx context.Context, v access.View, q Measured) (Figures, error)
	// Constituent tells whether there is one of the name.
	Constituent func(ctx context.Context, name string) error
}

// A Contact is what we sent an address at a time.
type Contact struct {
	Run, Target, What              string
	NotBefore, NotAfter            time.Time
	Vantage, AuthorisedBy, Contact string
}

// A Job is a kind of work of the daemon.
type Job struct {
	exposure.Job
	Cron, Zone string
	Next       time.Time // zero: it runs when somebody asks
	Held       bool      // a process works on it
	Waiting    int       // orders
}

// A Setting is a value in force.
type Setting struct {
	Key, Text string
	Line      int // of the file; 0: the default
}

// A Check is what a doctor says of one thing.
type Check struct{ Name, Result, Detail string }

// Measured says what is counted.
type Measured struct {
	By      string // how cases are grouped; empty: not at all
	NewOnly bool
}

// Figures are what came of it.
type Figures struct {
	tally.Report
	Until     time.Time
	Simulated int
}

// A Plant is the pages.
type Plant struct {
	*Works
	site *web.Site

	ctx    context.Context // of what goes on beside the requests
	end    context.CancelFunc
	beside sync.WaitGroup

	runs    watch
	sensors kept[*census]
	known   kept[[]control]
	proven  kept[[]exposure.Transition]
	fares   kept[fares]
	figures figures
	proofs  chan struct{} // one at a time
	watched chan struct{} // those who follow a scan
}

// mostWatchers bounds who follows scans live; others load the page again.
const mostWatchers = 100

var (
	staff    = []access.Role{access.RoleAnalyst, access.RoleOperator, access.RoleAuditor}
	workers  = []access.Role{access.RoleAnalyst, access.RoleOperator}
	operator = []access.Role{access.RoleOperator}
)

// Add puts the pages into the site. Close the plant before the stores.
func Add(s *web.Site, w *Works) (*Plant, error) {
	p := &Plant{Works: w, site: s, proofs: make(chan struct{}, 1), watched: make(chan struct{}, mostWatchers)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p, s.Add(web.Part{FS: files, Nav: p.nav(), Routes: p.routes()})
}

// Close ends what goes on beside the requests.
func (p *Plant) Close() {
	p.end()
	p.beside.Wait()
}

func (p *Plant) nav() []web.Link {
	return []web.Link{
		{Path: "/scans", Text: "scans.title", Roles: staff, Order: 500, Key: "s", Group: "measure"},
		{Path: "/scans/asked", Text: "asked.title", Roles: []access.Role{access.RoleConstituent}, Order: 500, Group: "measure"},
		{Path: "/verification", Text: "verification.title", Roles: staff, Order: 520, Key: "v", Group: "measure"},
		{Path: "/sensors", Text: "sensors.title", Roles: staff, Order: 600, Key: "e", Group: "measure"},
		{Path: "/surges", Text: "surges.title", Roles: staff, Order: 620, Key: "u", Group: "measure"},
		{Path: "/metrics", Text: "metrics.title", Roles: access.Named, Order: 700, Key: "m", Group: "measure"},
		{Path: "/filters", Text: "filters.title", Roles: staff, Order: 800, Key: "f", Group: "protect"},
		{Path: "/settings", Text: "settings.title", Roles: staff, Order: 900, Key: ",", Group: "house"},
	}
}

func (p *Plant) routes() []gate.Route {
	page := func(pattern string, roles []access.Role, personal bool, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodGet, Pattern: pattern, Kind: gate.Page, Roles: roles, Personal: personal, Serve: serve}
	}
	form := func(pattern string, roles []access.Role, needs access.Right, written string, serve gate.Handler) gate.Route {
		return gate.Route{Method: http.MethodPost, Pattern: pattern, Kind: gate.Form, Roles: roles, Needs: needs, Written: written, Serve: serve}
	}
	work := func(pattern string, serve gate.Handler) gate.Route { // it changes nothing, and costs something
		r := form(pattern, staff, access.Read, "nothing: it is computed and not kept", serve)
		r.MaxBody = mostText + 64<<10
		return r
	}
	const order, account, key, link = "order", "account", "key", "link"
	return []gate.Route{
		page("/scans", staff, false, p.scans),
		form("/scans", operator, access.Administer, order, p.start),
		form("/scans/pause", operator, access.Administer, order, p.pause),
		{Method: http.MethodGet, Pattern: "/scans/asked", Kind: gate.Page, Roles: access.Named, Personal: true, Costly: true, Serve: p.asked},
		page("/scans/exclusions", staff, true, p.exclusions),
		form("/scans/exclusions", workers, access.Change, "exclude", p.exclude),
		form("/scans/exclusions/remove", operator, access.Administer, "unexclude", p.unexclude),
		page("/scans/{run}", staff, false, p.scan),
		{Method: http.MethodGet, Pattern: "/scans/{run}/events", Kind: gate.Stream, Roles: staff, Serve: p.follow},
		page("/verification", staff, true, p.verification),
		form("/verification/look", workers, access.Change, order, p.lookAgain),
		page("/sensors", staff, false, p.sensorsPage),
		page("/sensors/{name}", staff, true, p.sensor),
		page("/surges", staff, false, p.surges),
		page("/metrics", access.Named, false, p.metrics),
		{Method: http.MethodGet, Pattern: "/metrics/curve.svg", Kind: gate.API, Roles: access.Named, Serve: p.curve},
		page("/filters", staff, false, p.filters),
		work("/filters/render", p.render),
		work("/filters/download", p.download),
		work("/filters/prove", p.prove),
		work("/filters/check", p.check),
		work("/filters/compare", p.compare),
		page("/settings", staff, false, p.settings),
		form("/settings/jobs", operator, access.Administer, order, p.runJob),
		page("/settings/accounts", operator, true, p.accounts),
		form("/settings/accounts", operator, access.Administer, account, p.addAccount),
		form("/settings/accounts/state", operator, access.Administer, account, p.changeAccount),
		page("/settings/keys", operator, false, p.keys),
		form("/settings/keys", operator, access.Administer, key, p.addKey),
		form("/settings/keys/revoke", operator, access.Administer, key, p.revokeKey),
		page("/settings/links", operator, true, p.links),
		form("/settings/links/revoke", operator, access.Administer, link, p.revokeLink),
	}
}

// own is what the pages compute once for all who see everything.
func (p *Plant) own() access.View {
	return access.View{Who: "pages", Tier: access.Operator, At: p.Now()}
}

// order gives the daemon an order, and writes down whose it was.
func (p *Plant) order(ctx context.Context, v *gate.Visit, kind string, what []string, detail string) error {
	if p.Order == nil {
		return orderProblem(kind, schedule.ErrNotRun)
	}
	// What cannot be written down does not happen.
	if err := p.Store.Record(ctx, store.Action{At: v.At, Who: v.Who, What: "order", Detail: detail}); err != nil {
		return err
	}
	return orderProblem(kind, p.Order(kind, schedule.Order{Who: v.Who, What: what}))
}
