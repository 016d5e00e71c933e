package plant

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/web"
)

// settingsPage is how ippwatch works here.
type settingsPage struct {
	File   string
	Values *web.Listing
	Set    int          // values that the file says
	Jobs   *web.Listing // each row is of a Job
	Alerts []exposure.Alert
	Checks *web.Listing
	Files  *web.Listing
	Bytes  int64
	Data   string
	Asked  string // the job that was just ordered
	At     time.Time
	Ready  bool
}

// A dataFile is one of the data directory.
type dataFile struct {
	Name    string
	Bytes   int64
	Changed time.Time
}

// alertsOf is how long ago an alert may have ended that is shown.
const alertsOf = 7 * 24 * time.Hour

func (p *Plant) settings(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := settingsPage{Data: p.Data, Asked: r.URL.Query().Get("asked")}
	var all []Setting
	var err error
	if p.Settings != nil {
		if d.File, all, err = p.Settings(); err != nil {
			return err
		}
	}
	t := &web.Table{
		Name: "settings", Title: "settings.values", Empty: "settings.none", Limit: 25,
		Columns: []web.Column{
			{Name: "key", Text: "settings.key", Head: true, Sorts: true}, {Name: "value", Text: "settings.value", Long: true, Sorts: true}, {Name: "line", Text: "settings.line", Sorts: true},
		},
		Fields: []web.Field{{Name: "key", Text: "settings.key", Kind: web.Words, Hint: "schedule"}, {Name: "set", Text: "settings.set", Kind: web.Flag}},
	}
	for _, s := range all {
		if s.Line > 0 {
			d.Set++
		}
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		var rows []web.Row
		for _, s := range all {
			if !strings.Contains(s.Key, q.Get("key")) || q.Get("set") != "" && s.Line == 0 {
				continue
			}
			where := web.Cell{Value: s.Line, Key: "settings.default"}
			if s.Line > 0 {
				where.Key, where.Text = "", filepath.Base(d.File)+":"+strconv.Itoa(s.Line)
			}
			rows = append(rows, web.Row{ID: s.Key, Cells: []web.Cell{{Value: s.Key, Code: true}, {Value: s.Text, Code: s.Text != ""}, where}})
		}
		return rows, nil
	})
	if err != nil || done {
		return err
	}
	d.Values = l
	if d.Jobs, done, err = p.jobs(w, r, v); err != nil || done {
		return err
	}
	if d.Alerts, err = p.Store.Alerts(r.Context(), v.View, v.At.Add(-alertsOf)); err != nil {
		return err
	}
	slices.Reverse(d.Alerts)
	h, at, ready, err := p.fares.get(r.Context(), p, faresAge, p.examine)
	if err != nil {
		return err
	}
	d.Bytes, d.At, d.Ready = h.bytes, at, ready
	if d.Checks, done, err = p.few(w, r, v, checkTable(), checkRows(h.checks)); err != nil || done {
		return err
	}
	if d.Files, done, err = p.few(w, r, v, fileTable(), fileRows(h.files)); err != nil || done {
		return err
	}
	return p.site.Page(w, r, v, "settings", d)
}

// jobs reads the table of jobs.
func (p *Plant) jobs(w http.ResponseWriter, r *http.Request, v *gate.Visit) (l *web.Listing, done bool, err error) {
	t := &web.Table{
		Name: "jobs", Title: "settings.jobs", Key: "j", Empty: "settings.no_jobs",
		Columns: []web.Column{
			{Name: "job", Text: "settings.job", Head: true, Sorts: true},
			{Name: "plan", Text: "settings.plan", Sorts: true},
			{Name: "next", Text: "settings.next", Sorts: true},
			{Name: "state", Text: "settings.state", Sorts: true},
			{Name: "last", Text: "settings.last", Sorts: true},
			{Name: "result", Text: "settings.result", Sorts: true, Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
	if v.May(access.Administer) {
		t.Acts = "settings.run"
	}
	var all []Job
	if p.Jobs != nil {
		if all, err = p.Jobs(r.Context()); err != nil {
			return nil, false, err
		}
	}
	var rows []web.Row
	for _, j := range all {
		rows = append(rows, web.Row{ID: j.Kind, Of: j, Cells: []web.Cell{
			{Value: j.Kind}, {Value: strings.TrimSpace(j.Cron + " " + j.Zone)}, {Value: j.Next}, {Value: string(j.State)}, {Value: j.Ended}, {Value: j.Note},
		}})
	}
	return p.few(w, r, v, t, rows)
}

func checkTable() *web.Table {
	return &web.Table{
		Name: "doctor", Title: "settings.doctor", Key: "d", Empty: "settings.no_checks",
		Columns: []web.Column{
			{Name: "check", Text: "settings.check", Head: true, Sorts: true},
			{Name: "state", Text: "settings.state", Sorts: true},
			{Name: "detail", Text: "settings.detail", Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func checkRows(all []Check) []web.Row {
	var rows []web.Row
	for i, c := range all {
		badge := map[string]string{"ok": "proven", "warning": "medium"}[c.Result]
		if badge == "" {
			badge = "critical"
		}
		rows = append(rows, web.Row{ID: strconv.Itoa(i), Cells: []web.Cell{{Value: c.Name}, {Value: c.Result, Key: "settings.result." + c.Result, Badge: badge}, {Value: c.Detail}}})
	}
	return rows
}

func fileTable() *web.Table {
	return &web.Table{
		Name: "disk", Title: "settings.files", Key: "f", Sort: "-bytes", Empty: "settings.no_files",
		Columns: []web.Column{
			{Name: "file", Text: "settings.file", Head: true, Sorts: true},
			{Name: "bytes", Text: "settings.size", Number: true, Sorts: true},
			{Name: "changed", Text: "settings.changed", Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func fileRows(all []dataFile) []web.Row {
	var rows []web.Row
	for _, f := range all {
		rows = append(rows, web.Row{ID: f.Name, Cells: []web.Cell{{Value: f.Name, Code: true}, {Value: f.Bytes, Text: f.MB()}, {Value: f.Changed}}})
	}
	return rows
}

// faresAge is how old what is told of disk and databases may be.
const faresAge = 10 * time.Second

// fares is how this installation fares.
type fares struct {
	checks []Check
	files  []dataFile
	bytes  int64
}

// examine looks at it. To count what a year has kept takes its time.
func (p *Plant) examine(ctx context.Context, _ fares) (f fares, err error) {
	if p.Doctor != nil {
		f.checks = p.Doctor(ctx)
	}
	f.files, f.bytes, err = dataFiles(p.Data)
	return f, err
}

// shownFiles bounds the files that are listed, the largest first.
const shownFiles = 20

// dataFiles are the largest files of the data directory, and the size of all.
func dataFiles(dir string) (largest []dataFile, all int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			if path == dir {
				return err
			}
			return nil // of a sensor that runs as another user, or just removed
		}
		if !e.Type().IsRegular() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		all += info.Size()
		largest = append(largest, dataFile{name, info.Size(), info.ModTime()})
		if len(largest) > 50*shownFiles {
			largest = trim(largest)
		}
		return nil
	})
	return trim(largest), all, err
}

func trim(files []dataFile) []dataFile {
	slices.SortFunc(files, func(a, b dataFile) int {
		if a.Bytes != b.Bytes {
			return int(min(1, max(-1, b.Bytes-a.Bytes)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return files[:min(len(files), shownFiles)]
}

// MB is a size for people.
func (f dataFile) MB() string { return strconv.FormatFloat(float64(f.Bytes)/(1<<20), 'f', 1, 64) }

// MB is the size of all for people.
func (d settingsPage) MB() string { return strconv.FormatFloat(float64(d.Bytes)/(1<<20), 'f', 1, 64) }

// runJob has the daemon run a job now.
func (p *Plant) runJob(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	kind := r.PostFormValue("job")
	if p.Jobs == nil {
		return gate.NotFound
	}
	jobs, err := p.Jobs(r.Context())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(jobs, func(j Job) bool { return j.Kind == kind }) {
		return gate.NotFound
	}
	if err := p.order(r.Context(), v, kind, nil, "job "+kind); err != nil {
		return err
	}
	return gate.SeeOther("/settings?asked=" + kind)
}

// peoplePage is accounts, keys or links.
type peoplePage struct {
	All     *web.Listing
	Mistake string
	Done    bool
	Roles   []access.Role
	Rights  []access.Right
	Least   int

	Name, Role, Constituent, Label, Expires, Kind string
	Scopes                                        []string
	Secret                                        string // of a key, shown this once
	Key                                           store.APIKey
}

// Chosen reports whether a scope was chosen.
func (d peoplePage) Chosen(right access.Right) bool { return slices.Contains(d.Scopes, string(right)) }

func (p *Plant) accounts(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return p.showAccounts(w, r, v, peoplePage{Done: r.URL.Query().Has("done")}, 0)
}

func (p *Plant) showAccounts(w http.ResponseWriter, r *http.Request, v *gate.Visit, d peoplePage, status int) error {
	t := &web.Table{
		Name: "accounts", Title: "accounts.title", Sort: "name", Empty: "accounts.none",
		Columns: []web.Column{
			{Name: "name", Text: "accounts.name", Head: true, Sorts: true},
			{Name: "role", Text: "accounts.role", Sorts: true},
			{Name: "constituent", Text: "accounts.constituent", Sorts: true},
			{Name: "state", Text: "accounts.state", Sorts: true},
			{Name: "last_login", Text: "accounts.login", Sorts: true},
			{Name: "created", Text: "accounts.created", Sorts: true},
		},
		Fields: []web.Field{{Name: "role", Text: "accounts.role", Kind: web.Many, Options: web.Choices("role", access.Named...)}},
		Post:   "/settings/accounts/state", Actions: []web.Action{{Name: "disable", Text: "accounts.disable"}, {Name: "enable", Text: "accounts.enable"}},
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		all, err := p.Store.Accounts(r.Context(), v.View)
		var rows []web.Row
		for _, a := range all {
			if roles := q.All("role"); len(roles) > 0 && !slices.Contains(roles, string(a.Role)) {
				continue
			}
			state := web.Cell{Value: "open", Key: "accounts.open"}
			switch {
			case !a.Disabled.IsZero():
				state = web.Cell{Value: "shut", Key: "accounts.shut", Badge: "high"}
			case a.Locked.After(v.At):
				state = web.Cell{Value: "locked", Key: "accounts.locked", Badge: "medium"}
			}
			rows = append(rows, web.Row{ID: a.Name, Cells: []web.Cell{{Value: a.Name}, {Value: string(a.Role), Key: "role." + string(a.Role)}, {Value: a.Constituent}, state, {Value: a.LastLogin}, {Value: a.Created}}})
		}
		return rows, err
	})
	if err != nil || done {
		return err
	}
	d.All, d.Roles, d.Least = l, access.Named, store.MinPassword
	return p.site.Page(w, r, v, "accounts", d, web.Show{Status: status})
}

// badForm reports whether the mistake is the visitor's.
func badForm(err error) bool {
	_, bad := errors.AsType[store.BadAccountError](err)
	return bad || errors.Is(err, store.ErrTaken)
}

// whose checks that a constituent is known: an account of one that is not would
// see nothing, and nobody would know why.
func (p *Plant) whose(r *http.Request, name string) error {
	if name == "" || p.Constituent == nil {
		return nil
	}
	return p.Constituent(r.Context(), name)
}

func (p *Plant) addAccount(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := peoplePage{Name: strings.TrimSpace(r.PostFormValue("name")), Role: r.PostFormValue("role"), Constituent: strings.TrimSpace(r.PostFormValue("constituent"))}
	refuse := func(err error) error {
		d.Mistake = err.Error()
		return p.showAccounts(w, r, v, d, http.StatusUnprocessableEntity)
	}
	role, err := access.ParseRole(d.Role)
	if err != nil {
		return refuse(err)
	}
	if err := p.whose(r, d.Constituent); err != nil {
		return refuse(err)
	}
	if r.PostFormValue("password") != r.PostFormValue("again") {
		return refuse(errors.New(p.site.Text(r, v, "account.different")))
	}
	err = p.Store.AddAccount(r.Context(), store.Account{Name: d.Name, Role: role, Constituent: d.Constituent}, r.PostFormValue("password"), v.Who, v.At)
	if badForm(err) {
		return refuse(err)
	}
	if err != nil {
		return err
	}
	return gate.SeeOther("/settings/accounts?done")
}

// changeAccount shuts and opens accounts. One's own stays open: nobody locks the
// last operator out by a slip.
func (p *Plant) changeAccount(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	change := p.Store.Disable
	switch r.PostFormValue("action") {
	case "disable":
	case "enable":
		change = p.Store.Enable
	default:
		return gate.Bad("action: want disable or enable")
	}
	names := r.PostForm["row"]
	if r.PostFormValue("action") == "disable" && slices.Contains(names, v.Account.Name) {
		page := r.Clone(r.Context())
		page.URL.Path, page.URL.RawQuery = "/settings/accounts", ""
		return p.showAccounts(w, page, v, peoplePage{Mistake: p.site.Text(r, v, "accounts.self")}, http.StatusUnprocessableEntity)
	}
	for _, name := range names {
		err := change(r.Context(), name, v.Who, v.At)
		if errors.Is(err, store.ErrNoAccount) {
			return gate.NotFound
		}
		if err != nil {
			return err
		}
	}
	return gate.SeeOther("/settings/accounts?done")
}

func (p *Plant) keys(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return p.showKeys(w, r, v, peoplePage{Done: r.URL.Query().Has("done"), Scopes: []string{string(access.Read)}, Expires: v.At.AddDate(1, 0, 0).UTC().Format(time.DateOnly)}, 0)
}

func (p *Plant) showKeys(w http.ResponseWriter, r *http.Request, v *gate.Visit, d peoplePage, status int) error {
	t := &web.Table{
		Name: "keys", Title: "apikeys.title", Sort: "-created", Empty: "apikeys.none",
		Columns: []web.Column{
			{Name: "id", Text: "apikeys.id", Head: true, Sorts: true},
			{Name: "label", Text: "apikeys.label", Sorts: true, Long: true},
			{Name: "kind", Text: "apikeys.kind", Sorts: true},
			{Name: "role", Text: "accounts.role", Sorts: true},
			{Name: "constituent", Text: "accounts.constituent", Sorts: true},
			{Name: "scopes", Text: "apikeys.scopes", Sorts: true},
			{Name: "state", Text: "accounts.state", Sorts: true},
			{Name: "expires", Text: "apikeys.expires", Sorts: true},
			{Name: "used", Text: "apikeys.used", Sorts: true},
			{Name: "created", Text: "accounts.created", Sorts: true, Export: true},
			{Name: "creator", Text: "apikeys.creator", Export: true},
		},
		Fields: []web.Field{{Name: "over", Text: "apikeys.over", Kind: web.Flag}},
		Post:   "/settings/keys/revoke", Actions: []web.Action{{Name: "revoke", Text: "apikeys.revoke"}},
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		all, err := p.Store.APIKeys(r.Context(), v.View)
		var rows []web.Row
		for _, k := range all {
			state := web.Cell{Value: "good", Key: "apikeys.good"}
			switch {
			case !k.Revoked.IsZero():
				state = web.Cell{Value: "revoked", Key: "apikeys.revoked", Badge: "high"}
			case !k.Holds(v.At):
				state = web.Cell{Value: "expired", Key: "apikeys.expired", Badge: "medium"}
			}
			if q.Get("over") == "" && !k.Holds(v.At) && k.ID != d.Key.ID {
				continue
			}
			var scopes []string
			for _, s := range k.Scopes {
				scopes = append(scopes, string(s))
			}
			expires := web.Cell{Value: k.Expires}
			if k.Expires.IsZero() {
				expires.Key = "apikeys.never"
			}
			rows = append(rows, web.Row{ID: k.ID, Cells: []web.Cell{
				{Value: k.ID, Code: true},
				{Value: k.Label},
				{Value: string(k.Kind)},
				{Value: string(k.Role), Key: "role." + string(k.Role)},
				{Value: k.Constituent},
				{Value: strings.Join(scopes, " ")},
				state, expires,
				{Value: k.Used},
				{Value: k.Created},
				{Value: k.Creator},
			}})
		}
		return rows, err
	})
	if err != nil || done {
		return err
	}
	d.All, d.Roles, d.Rights = l, access.Named, access.Rights
	return p.site.Page(w, r, v, "apikeys", d, web.Show{Status: status})
}

// mostDays bounds how long a key is good: one that nobody renews in ten years is
// forgotten.
const mostDays = 3650

func (p *Plant) addKey(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := peoplePage{
		Label: strings.TrimSpace(r.PostFormValue("label")), Role: r.PostFormValue("role"), Constituent: strings.TrimSpace(r.PostFormValue("constituent")),
		Kind: r.PostFormValue("kind"), Expires: strings.TrimSpace(r.PostFormValue("expires")), Scopes: r.PostForm["scope"],
	}
	refuse := func(err error) error {
		d.Mistake = err.Error()
		return p.showKeys(w, r, v, d, http.StatusUnprocessableEntity)
	}
	k := store.APIKey{Label: d.Label, Kind: store.KeyKind(d.Kind), Constituent: d.Constituent}
	var err error
	if k.Role, err = access.ParseRole(d.Role); err != nil {
		return refuse(err)
	}
	if k.Scopes, err = access.ParseRights(d.Scopes); err != nil {
		return refuse(err)
	}
	if err := p.whose(r, d.Constituent); err != nil {
		return refuse(err)
	}
	if d.Expires != "" {
		day, err := time.Parse(time.DateOnly, d.Expires)
		if err != nil || !day.After(v.At.AddDate(0, 0, -1)) || day.After(v.At.AddDate(0, 0, mostDays)) {
			return refuse(errors.New(p.site.Text(r, v, "apikeys.bad_day")))
		}
		k.Expires = day.AddDate(0, 0, 1) // the day is its last
	}
	k, secret, err := p.Store.AddKey(r.Context(), k, v.Who, v.At)
	if badForm(err) {
		return refuse(err)
	}
	if err != nil {
		return err
	}
	return p.showKeys(w, r, v, peoplePage{Secret: secret, Key: k, Scopes: []string{string(access.Read)}}, http.StatusCreated)
}

// revoke ends all that were chosen in a table, and shows it again.
func revoke(r *http.Request, v *gate.Visit, one func(ctx context.Context, id, who string, at time.Time) error, gone error, back string) error {
	for _, id := range r.PostForm["row"] {
		err := one(r.Context(), id, v.Who, v.At)
		if errors.Is(err, gone) {
			return gate.NotFound
		}
		if err != nil {
			return err
		}
	}
	return gate.SeeOther(back)
}

func (p *Plant) revokeKey(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return revoke(r, v, p.Store.RevokeKey, store.ErrNoKey, "/settings/keys?done")
}

// shownLinks is how many links the list has, the newest.
const shownLinks = 2000

func (p *Plant) links(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := peoplePage{Done: r.URL.Query().Has("done")}
	t := &web.Table{
		Name: "links", Title: "links.title", Sort: "-created", Empty: "links.none",
		Columns: []web.Column{
			{Name: "contact", Text: "links.contact", Head: true, Sorts: true},
			{Name: "constituent", Text: "accounts.constituent", Sorts: true},
			{Name: "cases", Text: "links.cases", Number: true, Sorts: true},
			{Name: "state", Text: "accounts.state", Sorts: true},
			{Name: "created", Text: "accounts.created", Sorts: true},
			{Name: "expires", Text: "apikeys.expires", Sorts: true},
			{Name: "uses", Text: "links.uses", Number: true, Sorts: true},
			{Name: "used", Text: "apikeys.used", Sorts: true},
		},
		Fields: []web.Field{{Name: "contact", Text: "links.contact", Kind: web.Words, Hint: "noc@example.net"}, {Name: "over", Text: "apikeys.over", Kind: web.Flag}},
		Post:   "/settings/links/revoke", Actions: []web.Action{{Name: "revoke", Text: "apikeys.revoke"}},
	}
	l, done, err := p.list(w, r, v, t, func(q web.Query) ([]web.Row, error) {
		all, err := p.Store.Links(r.Context(), v.View, q.Get("contact"), shownLinks)
		var rows []web.Row
		for _, k := range all {
			state := web.Cell{Value: "good", Key: "apikeys.good"}
			switch {
			case !k.Revoked.IsZero():
				state = web.Cell{Value: "revoked", Key: "apikeys.revoked", Badge: "high"}
			case !v.At.Before(k.Expires):
				state = web.Cell{Value: "expired", Key: "apikeys.expired", Badge: "medium"}
			}
			if q.Get("over") == "" && state.Badge != "" {
				continue
			}
			rows = append(rows, web.Row{ID: k.ID, Cells: []web.Cell{{Value: k.Contact}, {Value: k.Constituent}, {Value: len(k.Cases)}, state, {Value: k.Created}, {Value: k.Expires}, {Value: k.Uses}, {Value: k.Used}}})
		}
		return rows, err
	})
	if err != nil || done {
		return err
	}
	d.All = l
	return p.site.Page(w, r, v, "links", d)
}

func (p *Plant) revokeLink(_ http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return revoke(r, v, p.Store.RevokeLink, store.ErrNoLink, "/settings/links?done")
}
