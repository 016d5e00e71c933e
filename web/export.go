package web

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ippwatch/gate"
	"ippwatch/report"
	"ippwatch/store"
)

// exportPatience is how long a reader of an export may take for one piece of it:
// the whole may take as long as it must.
const exportPatience = 30 * time.Second

// Export sends all rows of the query as a file, in the order of the table. What
// goes wrong in the middle breaks the answer off, so that nobody takes it for
// whole. An export of personal data is in the audit log with its filter.
func (s *Site) Export(w http.ResponseWriter, r *http.Request, v *gate.Visit, t *Table, q Query, rows Rows) (err error) {
	q.Limit, q.After = 0, ""
	e, kind := t.encoder(q.Format)
	if e == nil {
		return gate.Bad("format %q: want csv, json or ndjson", clip(q.Format))
	}
	if v.Route != nil && v.Route.Personal && v.Who != "" {
		l := Listing{Table: t, Query: q}
		did := store.Action{At: v.At, Who: v.Who, What: "export", Detail: strings.TrimSpace(r.URL.Path + " " + t.Name + " " + q.Format + " " + l.Filter())}
		if err := s.Store.Record(r.Context(), did); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", gate.Private)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="ippwatch-%s-%s.%s"`, t.Name, v.At.UTC().Format(time.DateOnly), q.Format))
	h.Add("Vary", "Accept-Encoding")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	defer func() {
		if err != nil { // it is told on a page, if nothing was sent yet
			h.Del("Content-Encoding")
			h.Del("Content-Disposition")
		}
	}()
	var to io.Writer = patient{w, http.NewResponseController(w)}
	if gate.TakesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(to)
		defer func() {
			if err == nil {
				err = z.Close()
			}
		}()
		to = z
	}
	b := bufio.NewWriterSize(to, 64<<10)
	if err := e.begin(b); err != nil {
		return err
	}
	for row, err := range rows(q) {
		if err != nil {
			return err
		}
		if err := e.row(row); err != nil {
			return err
		}
	}
	if err := e.end(); err != nil {
		return err
	}
	return b.Flush()
}

// A patient writer gives each piece a time of its own.
type patient struct {
	w  io.Writer
	rc *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(exportPatience)) // a test's writer has none
	return p.w.Write(b)
}

type encoder interface {
	begin(w io.Writer) error
	row(r Row) error
	end() error
}

func (t *Table) encoder(format string) (encoder, string) {
	names := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	switch format {
	case "csv":
		return &csvEncoder{names: names}, "text/csv; charset=utf-8"
	case "json":
		return &jsonEncoder{names: names, open: "[\n", between: ",\n", shut: "\n]\n"}, "application/json"
	case "ndjson":
		return &jsonEncoder{names: names, between: "\n", shut: "\n"}, "application/x-ndjson"
	}
	return nil, ""
}

// A csvEncoder writes for people and their spreadsheets: no value is a formula.
type csvEncoder struct {
	names []string
	w     *csv.Writer
}

func (e *csvEncoder) begin(w io.Writer) error {
	e.w = csv.NewWriter(w)
	e.w.UseCRLF = true // RFC 4180
	return e.w.Write(e.names)
}

func (e *csvEncoder) row(r Row) error {
	record := make([]string, 0, len(r.Cells))
	for _, c := range r.Cells {
		value := plain(c.Value)
		if _, number := asInt(c.Value); !number {
			value = report.Defused(strings.ReplaceAll(strings.ToValidUTF8(value, "\ufffd"), "\x00", "\ufffd"))
		}
		record = append(record, value)
	}
	return e.w.Write(record)
}

func (e *csvEncoder) end() error {
	e.w.Flush()
	return e.w.Error()
}

// A jsonEncoder writes for machines: an object for each row, its members in the
// order of the columns, exact.
type jsonEncoder struct {
	names               []string
	open, between, shut string
	w                   io.Writer
	n                   int
}

func (e *jsonEncoder) begin(w io.Writer) error {
	e.w = w
	_, err := io.WriteString(w, e.open)
	return err
}

func (e *jsonEncoder) row(r Row) error {
	line := make([]byte, 0, 256)
	if e.n++; e.n > 1 {
		line = append(line, e.between...)
	}
	line = append(line, '{')
	for i, c := range r.Cells {
		if i > 0 {
			line = append(line, ',')
		}
		name, err := json.Marshal(e.names[i])
		if err != nil {
			return err
		}
		value := []byte("null")
		if t, ok := c.Value.(time.Time); !ok || !t.IsZero() {
			if value, err = json.Marshal(c.Value); err != nil {
				return err
			}
		}
		line = append(append(append(line, name...), ':'), value...)
	}
	_, err := e.w.Write(append(line, '}'))
	return err
}

func (e *jsonEncoder) end() error {
	if e.n == 0 && e.open == "" {
		return nil
	}
	_, err := io.WriteString(e.w, e.shut)
	return err
}
