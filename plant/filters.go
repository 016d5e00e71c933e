package plant

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"ippwatch/acl"
	"ippwatch/acl/render"
	"ippwatch/filter"
	"ippwatch/gate"
	"ippwatch/web"
)

// filtersPage is the forms, and what came of one.
type filtersPage struct {
	Tab       string // render, check, compare
	Platforms []platform
	Known     *web.Listing // the platforms
	Profiles  []acl.Profile
	File      string // of the policy, if the configuration names one
	FileWrong string
	Example   string

	Policy    string // as it was pasted
	Platform  string
	Enforce   bool
	Interface string
	Profile   string
	Text      string

	PlatformA, TextA, PlatformB, TextB, InterfaceB string

	Mistake  string
	Rendered *renderedSeen
	Refused  *refusal
	Proven   bool
	Rows     []filter.Row // nil: nothing was compared
	Compared bool
	Stages   []string
	Skipped  int
	Leaks    int
	Unread   int
	Risks    []acl.Risk
	Size     int // bytes that were read
}

// A platform is one for which filters are written.
type platform struct{ Name, Title, Checked, Authority string }

// renderedSeen is a filter that was proven.
type renderedSeen struct {
	filter.Rendered
	Checked  string
	Verified bool // on the real system
	How      string
	Expired  []acl.Exception
	Packets  int // rules that were compared
}

// A refusal is why a text is not handed out.
type refusal struct {
	Rows       []filter.Row
	Lost       []string
	Unverified []acl.Line
	More       int
}

// mostWitnesses bounds how many sets of packets a refusal shows.
const mostWitnesses = 20

func refused(p acl.Proof) *refusal {
	f := &refusal{Lost: p.Lost, Unverified: p.Unverified}
	for i, d := range p.Differences {
		if i == mostWitnesses {
			f.More = len(p.Differences) - i
			break
		}
		f.Rows = append(f.Rows, filter.Row{What: "differs", Packets: d.Packets.String(), Witness: d.Witness.String(), A: d.A.String(), B: d.B.String()})
	}
	return f
}

func (p *Plant) filters(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := filtersPage{Tab: r.URL.Query().Get("do"), Platform: r.URL.Query().Get("platform")}
	if !slices.Contains([]string{"render", "check", "compare"}, d.Tab) {
		d.Tab = "render"
	}
	return p.showFilters(w, r, v, d, 0)
}

func platformTable() *web.Table {
	return &web.Table{
		Name: "platforms", Title: "filters.platforms", Path: "/filters", Key: "p", Sort: "platform", Empty: "filters.no_platform",
		Columns: []web.Column{
			{Name: "platform", Text: "filters.platform", Head: true, Sorts: true},
			{Name: "name", Export: true},
			{Name: "checked", Text: "filters.checked", Sorts: true, Long: true},
			{Name: "authority", Text: "filters.authority", Sorts: true, Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
}

func platformRows(all []platform) []web.Row {
	var rows []web.Row
	for _, one := range all {
		rows = append(rows, web.Row{ID: one.Name, Cells: []web.Cell{{Value: one.Title, Text: one.Title + " (" + one.Name + ")"}, {Value: one.Name}, {Value: one.Checked}, {Value: one.Authority}}})
	}
	return rows
}

func (p *Plant) showFilters(w http.ResponseWriter, r *http.Request, v *gate.Visit, d filtersPage, status int) error {
	for _, one := range render.All {
		checked := one.Proven
		if checked == "" {
			checked = filter.Unverified
		}
		d.Platforms = append(d.Platforms, platform{one.Name, one.Title, checked, one.Authority})
	}
	d.Profiles, d.File = acl.Profiles, p.Policy
	if d.File != "" {
		if _, err := os.Stat(d.File); err != nil {
			d.FileWrong = err.Error()
		}
	} else if d.Policy == "" && d.Tab == "render" {
		d.Example = acl.Example(v.At)
	}
	var done bool
	var err error
	if d.Known, done, err = p.few(w, r, v, platformTable(), platformRows(d.Platforms)); err != nil || done {
		return err
	}
	return p.site.Page(w, r, v, "filters", d, web.Show{Status: status})
}

// mistake shows the form again with what is wrong with it.
func (p *Plant) mistake(w http.ResponseWriter, r *http.Request, v *gate.Visit, d filtersPage, err error) error {
	if problem, ok := errors.AsType[*gate.Problem](err); ok {
		return problem
	}
	d.Mistake = err.Error()
	return p.showFilters(w, r, v, d, http.StatusUnprocessableEntity)
}

// policy is the one that was pasted, or that of the configuration.
func (p *Plant) policy(pasted string, optional bool) (acl.Policy, bool, error) {
	name, text := "policy.yaml", []byte(pasted)
	if strings.TrimSpace(pasted) == "" {
		if p.Policy == "" {
			if optional {
				return acl.Policy{}, false, nil
			}
			return acl.Policy{}, false, errors.New("paste a policy: the configuration names none")
		}
		var err error
		if text, err = os.ReadFile(p.Policy); err != nil {
			return acl.Policy{}, false, fmt.Errorf("read policy: %w", err)
		}
		name = path.Base(p.Policy)
	}
	policy, err := acl.ParsePolicy(name, text)
	return policy, err == nil, err
}

// written reads the form and renders, as ippwatch filter render does.
func (p *Plant) written(r *http.Request, v *gate.Visit, d *filtersPage) (filter.Rendered, acl.Policy, error) {
	d.Tab, d.Policy, d.Platform, d.Enforce = "render", r.PostFormValue("policy"), r.PostFormValue("platform"), r.PostFormValue("enforce") == "1"
	if !filter.Has(d.Platform) {
		return filter.Rendered{}, acl.Policy{}, fmt.Errorf("platform %q: want %s", d.Platform, strings.Join(filter.Names(), ", "))
	}
	policy, _, err := p.policy(d.Policy, false)
	if err != nil {
		return filter.Rendered{}, policy, err
	}
	out, err := compute(r.Context(), p, func() (filter.Rendered, error) { return filter.Render(d.Platform, policy.Form(v.At, !d.Enforce)) })
	return out, policy, err
}

func (p *Plant) render(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	var d filtersPage
	out, policy, err := p.written(r, v, &d)
	if unproven, ok := errors.AsType[*filter.UnprovenError](err); ok {
		d.Refused = refused(unproven.Proof)
		return p.showFilters(w, r, v, d, http.StatusUnprocessableEntity)
	}
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	d.Risks = policy.Lint(v.At)
	d.Rendered = seenRendered(out, policy, v)
	return p.showFilters(w, r, v, d, 0)
}

func seenRendered(out filter.Rendered, policy acl.Policy, v *gate.Visit) *renderedSeen {
	s := &renderedSeen{Rendered: out, Checked: out.Platform.Proven, Verified: out.Platform.Proven != "", How: out.How(), Packets: len(out.Form.Rules)}
	if !s.Verified {
		s.Checked = filter.Unverified
	}
	for _, e := range policy.Exceptions {
		if !e.Holds(v.At) {
			s.Expired = append(s.Expired, e)
		}
	}
	return s
}

// download hands out what render shows: filter, rollback and instructions, as the
// command line writes them with --out.
func (p *Plant) download(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	var d filtersPage
	out, _, err := p.written(r, v, &d)
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, t := range slices.Concat(out.Texts, out.Rollback, []acl.Text{{Name: out.Form.Name + "-how.txt", Body: out.How()}}) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: path.Base(t.Name), Method: zip.Deflate, Modified: v.At})
		if err != nil {
			return err
		}
		if _, err := io.WriteString(f, t.Body); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="`+filter.FileName(out.Form.Name)+"-"+d.Platform+`.zip"`)
	return gate.Send(w, r, 0, "application/zip", gate.Private, b.Bytes())
}

// prove holds a text that somebody changed against the policy.
func (p *Plant) prove(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := filtersPage{Tab: "render", Policy: r.PostFormValue("policy"), Platform: r.PostFormValue("platform"), Enforce: r.PostFormValue("enforce") == "1"}
	defer forget(r)
	texts, err := pasted(r, "text")
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	d.Text = bodies(texts)
	policy, _, err := p.policy(d.Policy, false)
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	proof, err := compute(r.Context(), p, func() (acl.Proof, error) {
		known, ok := render.ByName(d.Platform)
		if !ok {
			return acl.Proof{}, fmt.Errorf("platform %q: want %s", d.Platform, strings.Join(filter.Names(), ", "))
		}
		form, _ := known.Fit(policy.Form(v.At, !d.Enforce))
		seen, err := filter.Read(d.Platform, texts, form.At)
		if err != nil {
			return acl.Proof{}, err
		}
		for _, one := range seen {
			if proof := acl.Prove(form, one.Filter); !proof.Proven() {
				return proof, nil
			}
		}
		return acl.Proof{}, nil
	})
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	if !proof.Proven() {
		d.Refused = refused(proof)
		return p.showFilters(w, r, v, d, http.StatusUnprocessableEntity)
	}
	d.Proven = true
	return p.showFilters(w, r, v, d, 0)
}

// place is where a filter stands, as the command line takes it.
func place(at acl.Attach, profile, interfaces string) (acl.Attach, error) {
	names := strings.FieldsFunc(interfaces, func(r rune) bool { return r == ',' || r <= ' ' })
	return filter.Place(at, profile, names)
}

// check says what a running configuration lets pass that the policy drops.
func (p *Plant) check(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := filtersPage{
		Tab: "check", Policy: r.PostFormValue("policy"), Platform: r.PostFormValue("platform"),
		Interface: r.PostFormValue("interface"), Profile: r.PostFormValue("profile"),
	}
	defer forget(r)
	texts, err := pasted(r, "text")
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	if d.Size = size(texts); d.Size <= echoed {
		d.Text = bodies(texts)
	}
	if !filter.Has(d.Platform) {
		return p.mistake(w, r, v, d, fmt.Errorf("platform %q: want %s", d.Platform, strings.Join(filter.Names(), ", ")))
	}
	var policy acl.Policy
	known := false
	if r.PostFormValue("against") != "any" {
		if policy, known, err = p.policy(d.Policy, true); err != nil {
			return p.mistake(w, r, v, d, err)
		}
	}
	at, err := place(acl.Attach{Profile: policy.Profile, Interfaces: policy.Interfaces}, d.Profile, d.Interface)
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	if !known {
		policy = filter.AnyNetwork(at)
	}
	report, err := compute(r.Context(), p, func() (filter.Report, error) {
		seen, err := filter.Read(d.Platform, texts, at)
		if err != nil {
			return filter.Report{}, err
		}
		return filter.Check(policy.Form(v.At, false), seen), nil
	})
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	d.Rows, d.Compared, d.Stages, d.Skipped = report.Rows(), true, report.Stages, report.Skipped
	d.Leaks, d.Unread = len(report.Leaks)+len(report.Blocked), len(report.Unverified)
	return p.showFilters(w, r, v, d, 0)
}

// compare says what two filters treat differently.
func (p *Plant) compare(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	d := filtersPage{
		Tab: "compare", PlatformA: r.PostFormValue("platform_a"), PlatformB: r.PostFormValue("platform_b"),
		Interface: r.PostFormValue("interface"), InterfaceB: r.PostFormValue("interface_b"), Profile: r.PostFormValue("profile"),
	}
	defer forget(r)
	a, err := pasted(r, "text_a")
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	b, err := pasted(r, "text_b")
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	if d.Size = size(a) + size(b); d.Size <= echoed {
		d.TextA, d.TextB = bodies(a), bodies(b)
	}
	rows, err := compute(r.Context(), p, func() ([]filter.Row, error) { return p.differences(&d, a, b, v) })
	if err != nil {
		return p.mistake(w, r, v, d, err)
	}
	d.Rows, d.Compared = rows, true
	for _, row := range rows {
		if row.What == "unverified" {
			d.Unread++
		} else {
			d.Leaks++
		}
	}
	return p.showFilters(w, r, v, d, 0)
}

// aPolicy stands for a policy where a platform is chosen.
const aPolicy = "policy"

func (p *Plant) differences(d *filtersPage, a, b []acl.Text, v *gate.Visit) ([]filter.Row, error) {
	var from acl.Attach // of a policy, for the side that has none
	policies := make(map[string]acl.Policy)
	for side, s := range map[string]struct {
		platform string
		texts    []acl.Text
	}{"a": {d.PlatformA, a}, "b": {d.PlatformB, b}} {
		if s.platform != aPolicy {
			continue
		}
		one, err := acl.ParsePolicy(side+".yaml", []byte(bodies(s.texts)))
		if err != nil {
			return nil, err
		}
		policies[side], from = one, acl.Attach{Profile: one.Profile, Interfaces: one.Interfaces}
	}
	at, err := place(from, d.Profile, d.Interface)
	if err != nil {
		return nil, err
	}
	there := at
	if strings.TrimSpace(d.InterfaceB) != "" {
		if there, err = place(from, d.Profile, d.InterfaceB); err != nil {
			return nil, err
		}
	}
	side := func(name, platform string, texts []acl.Text, at acl.Attach) ([]filter.Seen, error) {
		if platform == aPolicy {
			return []filter.Seen{{Filter: policies[name].Form(v.At, false).Filter()}}, nil
		}
		return filter.Read(platform, texts, at)
	}
	left, err := side("a", d.PlatformA, a, at)
	if err != nil {
		return nil, err
	}
	right, err := side("b", d.PlatformB, b, there)
	if err != nil {
		return nil, err
	}
	return filter.Differences(left, right), nil
}

// echoed is how much of what was pasted is shown again in the form.
const echoed = 256 << 10

func size(texts []acl.Text) (n int) {
	for _, t := range texts {
		n += len(t.Body)
	}
	return n
}

func bodies(texts []acl.Text) string {
	var all []string
	for _, t := range texts {
		all = append(all, t.Body)
	}
	return strings.Join(all, "\n")
}

// mostFiles is how many files one upload may have.
const mostFiles = 20

// pasted is what stands in a field of the form, or in the files beside it.
func pasted(r *http.Request, field string) ([]acl.Text, error) {
	var texts []acl.Text
	total := 0
	add := func(name, body string) error {
		if total += len(body); total > mostText {
			return &gate.Problem{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Detail: fmt.Sprintf("the limit is %d bytes", mostText)}
		}
		texts = append(texts, acl.Text{Name: name, Body: body})
		return nil
	}
	if r.MultipartForm != nil {
		files := r.MultipartForm.File[field+"_file"]
		if len(files) > mostFiles {
			return nil, fmt.Errorf("%d files: at most %d", len(files), mostFiles)
		}
		for _, one := range files {
			if one.Size == 0 {
				continue // nobody chose one
			}
			body, err := uploaded(one)
			if err != nil {
				return nil, err
			}
			if err := add(path.Base(strings.ReplaceAll(one.Filename, `\`, "/")), body); err != nil {
				return nil, err
			}
		}
	}
	// A browser sends lines as CR LF; a router's text has LF.
	if body := strings.ReplaceAll(r.PostFormValue(field), "\r\n", "\n"); strings.TrimSpace(body) != "" {
		if err := add("pasted", body); err != nil {
			return nil, err
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("nothing was pasted, and no file chosen")
	}
	return texts, nil
}

func uploaded(h *multipart.FileHeader) (string, error) {
	f, err := h.Open()
	if err != nil {
		return "", fmt.Errorf("read the file: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, mostText+1))
	return string(body), err
}

// forget removes what an upload left on the disk.
func forget(r *http.Request) {
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // they are the system's temporary files
	}
}
