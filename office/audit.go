package office

import (
	"iter"
	"net/http"
	"strconv"

	"ippwatch/gate"
	"ippwatch/store"
	"ippwatch/web"
)

func auditTable() *web.Table {
	return &web.Table{
		Name: "audit", Title: "audit.title", Sort: "-at", Empty: "audit.empty", Limit: 100,
		Columns: []web.Column{
			{Name: "at", Text: "audit.at", Head: true, Sorts: true},
			{Name: "who", Text: "audit.who", Sorts: true},
			{Name: "what", Text: "audit.what", Sorts: true},
			{Name: "detail", Text: "audit.detail", Long: true},
		},
		Fields: []web.Field{
			{Name: "who", Text: "audit.who", Kind: web.Words},
			{Name: "what", Text: "audit.what", Kind: web.Words, Hint: "look"},
			{Name: "text", Text: "audit.text", Kind: web.Words},
			{Name: "since", Text: "audit.since", Kind: web.Date},
			{Name: "until", Text: "audit.until", Kind: web.Date},
		},
	}
}

// auditOrders are the orders of the log by the column that is sorted by.
var auditOrders = map[string]store.AuditOrder{"at": store.AuditByTime, "who": store.AuditByWho, "what": store.AuditByWhat}

// audit lists who did what, the newest first.
func (d *desk) audit(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	return d.site.List(w, r, v, "audit", auditTable(), func(q web.Query) iter.Seq2[web.Row, error] {
		return func(yield func(web.Row, error) bool) {
			f := store.AuditFilter{Who: q.Get("who"), What: q.Get("what"), Text: q.Get("text"), Since: q.Day("since"), Before: q.Day("until"), Order: auditOrders[q.Sort], Up: !q.Down}
			if !f.Before.IsZero() {
				f.Before = f.Before.AddDate(0, 0, 1) // the day itself belongs to it
			}
			if q.After != "" {
				n, err := strconv.ParseInt(q.After, 10, 64)
				if err != nil || n < 1 {
					yield(web.Row{}, gate.Bad("after: that is no place in this list"))
					return
				}
				f.After = n
			}
			for n, err := range d.Store.AuditLog(r.Context(), v.View, f) {
				if err != nil {
					yield(web.Row{}, err)
					return
				}
				if !yield(row(strconv.FormatInt(n.Seq, 10), web.Cell{Value: n.At}, web.Cell{Value: n.Who}, web.Cell{Value: n.What}, web.Cell{Value: n.Detail}), nil) {
					return
				}
			}
		}
	}, nil)
}
