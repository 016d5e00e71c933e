package office

import (
	"net/http"

	"ippwatch/gate"
	"ippwatch/web"
)

// Bounds of the lists of what came in; a list that is full says so.
const maxIntake = 5000

type intakeData struct {
	Parked, Aside, Files *web.Listing
	Cut                  bool
	Max                  int64
}

// intake shows what came from feeds, and what of it waits for somebody: files of
// a type that is not known, and rows that could not be read.
func (d *desk) intake(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	x := intakeData{Max: maxIntake}
	for _, part := range []struct {
		to   **web.Listing
		make func(*http.Request, *gate.Visit, *intakeData) (*web.Table, []web.Row, error)
	}{{&x.Parked, d.parked}, {&x.Aside, d.aside}, {&x.Files, d.intakes}} {
		t, all, err := part.make(r, v, &x)
		if err != nil {
			return err
		}
		l, done, err := d.site.Part(w, r, v, t, web.Few(t, all))
		if err != nil || done {
			return err
		}
		*part.to = l
	}
	return d.site.Page(w, r, v, "intake", x)
}

func (d *desk) parked(r *http.Request, v *gate.Visit, _ *intakeData) (*web.Table, []web.Row, error) {
	t := &web.Table{
		Name: "parked", Title: "intake.parked", Key: "p", Sort: "-at", Empty: "intake.no_parked",
		Columns: []web.Column{
			{Name: "file", Text: "intake.file", Head: true, Sorts: true, Long: true},
			{Name: "source", Text: "host.source", Sorts: true},
			{Name: "type", Text: "intake.type", Sorts: true},
			{Name: "bytes", Text: "intake.bytes", Number: true, Sorts: true},
			{Name: "kept", Text: "intake.kept", Sorts: true},
			{Name: "reason", Text: "outreach.reason", Long: true},
			{Name: "at", Text: "audit.at", Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
	all, err := d.Store.ParkedFiles(r.Context(), v.View)
	var rows []web.Row
	for _, p := range all {
		rows = append(rows, row(p.Digest, web.Cell{Value: p.File}, web.Cell{Value: string(p.Source)}, web.Cell{Value: p.Type}, web.Cell{Value: p.Bytes},
			web.Cell{Value: p.Kept}, web.Cell{Value: p.Reason}, web.Cell{Value: p.At}))
	}
	return t, rows, err
}

func (d *desk) aside(r *http.Request, v *gate.Visit, x *intakeData) (*web.Table, []web.Row, error) {
	t := &web.Table{
		Name: "aside", Title: "intake.aside", Key: "s", Sort: "-at", Empty: "intake.no_aside", Limit: 25,
		Columns: []web.Column{
			{Name: "file", Text: "intake.file", Head: true, Sorts: true, Long: true},
			{Name: "line", Text: "intake.line", Number: true, Sorts: true},
			{Name: "reason", Text: "outreach.reason", Sorts: true, Long: true},
			{Name: "row", Text: "intake.row", Long: true},
			{Name: "at", Text: "audit.at", Sorts: true},
		},
		Fields: []web.Field{web.Find()},
	}
	all, err := d.Store.Asides(r.Context(), v.View, maxIntake+1)
	if len(all) > maxIntake {
		all, x.Cut = all[:maxIntake], true
	}
	var rows []web.Row
	for _, a := range all {
		shown, _ := visible([]byte(a.Row))
		id := a.File + " " + numbered(a.Line) + " " + a.Hash
		rows = append(rows, row(id, web.Cell{Value: a.File}, web.Cell{Value: a.Line}, web.Cell{Value: a.Reason}, web.Cell{Value: a.Row, Text: shown, Code: true}, web.Cell{Value: a.At}))
	}
	return t, rows, err
}

func (d *desk) intakes(r *http.Request, v *gate.Visit, x *intakeData) (*web.Table, []web.Row, error) {
	t := &web.Table{
		Name: "files", Title: "intake.files", Key: "f", Sort: "-begun", Empty: "intake.no_files", Limit: 25,
		Columns: []web.Column{
			{Name: "file", Text: "intake.file", Head: true, Sorts: true, Long: true},
			{Name: "source", Text: "host.source", Sorts: true},
			{Name: "type", Text: "intake.type", Sorts: true},
			{Name: "outcome", Text: "intake.outcome", Sorts: true},
			{Name: "rows", Text: "intake.rows", Number: true, Sorts: true},
			{Name: "new", Text: "intake.new", Number: true, Sorts: true},
			{Name: "set_aside", Text: "intake.aside_rows", Number: true, Sorts: true},
			{Name: "begun", Text: "intake.begun", Sorts: true},
			{Name: "error", Text: "outreach.reason", Long: true},
		},
		Fields: []web.Field{web.Find()},
	}
	all, err := d.Store.Intakes(r.Context(), v.View, maxIntake+1)
	if len(all) > maxIntake {
		all, x.Cut = all[:maxIntake], true
	}
	var rows []web.Row
	for _, in := range all {
		id := in.File + " " + in.Begun.String()
		rows = append(rows, row(id, web.Cell{Value: in.File}, web.Cell{Value: string(in.Source)}, web.Cell{Value: in.Type},
			web.Cell{Value: string(in.Outcome), Key: "outcome." + string(in.Outcome)}, web.Cell{Value: in.Rows}, web.Cell{Value: in.New}, web.Cell{Value: in.Aside},
			web.Cell{Value: in.Begun}, web.Cell{Value: in.Error}))
	}
	return t, rows, err
}
