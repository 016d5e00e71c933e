package api

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"net/http"
	"slices"
	"time"

	v1 "ippwatch/api/v1"
	"ippwatch/gate"
	"ippwatch/report"
)

type reportList struct {
	v1.Paging
	v1.ReportQuery
}

type reportIn struct {
	File string `path:"file" maxLength:"200" example:"2026-11-23-scan_ipp-customer-a.csv" doc:"Name of a file, as the list has it."`
	v1.ReportForm
}

// contentTypes are those of the formats of a report.
var contentTypes = map[report.Format]string{
	report.FormatCSV: "text/csv; charset=utf-8", report.FormatNDJSON: ndjson, report.FormatHTML: "text/html; charset=utf-8",
}

func (d *door) reports() {
	list(d, op{
		method: "GET", path: "/reports", id: "list-reports", tag: "reports", roles: named, personal: true, summary: "List the report files of a day",
		about: "They are written when they are asked for, from what is known now. A constituent has one set, of its own hosts.", query: "?date=2026-11-23",
	}, func(ctx context.Context, v *gate.Visit, in *reportList, place []string, n int) iter.Seq2[entry[v1.Report], error] {
		fail := failing[v1.Report]
		if len(place) > 1 {
			return fail(badPlace())
		}
		day, err := dayOf("query.date", in.Date)
		if err != nil {
			return fail(err)
		}
		shares, contact, err := d.shares(ctx, v, day)
		if err != nil {
			return fail(err)
		}
		formats := wordsOf[report.Format](in.Formats)
		if len(formats) == 0 {
			formats = []report.Format{report.FormatCSV, report.FormatNDJSON}
		}
		rows := []v1.Report{}
		for _, j := range report.Jobs(shares, report.Type(in.Type), formats) {
			if in.Constituent != "" && j.Name != in.Constituent {
				continue
			}
			var written counter
			name, err := j.File(day)
			if err != nil {
				return fail(err)
			}
			n, err := j.Write(&written, report.Cover{Date: day, Made: v.At, Contact: contact})
			if err != nil {
				return fail(err)
			}
			if n > 0 || in.Empty {
				rows = append(rows, v1.Report{File: name, Constituent: j.Name, Type: string(j.Type), Format: string(j.Format), Rows: n})
			}
		}
		slices.SortFunc(rows, func(a, b v1.Report) int { return cmp.Compare(a.File, b.File) })
		return first(kept(rows, func(r *v1.Report) string { return r.File }, rising, place), n)
	})
	raw(d, op{
		method: "GET", path: "/reports/{file}", id: "get-report", tag: "reports", roles: named, personal: true, summary: "Get a report file",
		about: "The same bytes as ippwatch report writes. CSV in Shadowserver's columns and dialect.",
	}, []string{"text/csv", ndjson, "text/html"}, d.report)
}

// counter takes what is written and keeps nothing.
type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// shares are the shares that the visitor may see: all of them, or its own.
func (d *door) shares(ctx context.Context, v *gate.Visit, day time.Time) ([]report.Share, string, error) {
	shares, contact, err := d.Street.Shares(ctx, v.View, day)
	if err != nil || whole(v.View) {
		return shares, contact, err
	}
	name := constituentOf(v)
	if name == "" {
		return nil, "", gate.NotFound
	}
	own := report.Share{Name: name, Title: name}
	for _, s := range shares {
		own.Rows = append(own.Rows, s.Rows...)
	}
	return []report.Share{own}, "", nil
}

func (d *door) report(ctx context.Context, v *gate.Visit, in *reportIn) (string, []byte, error) {
	if len(in.File) < len(time.DateOnly) {
		return "", nil, gate.NotFound
	}
	day, err := time.Parse(time.DateOnly, in.File[:len(time.DateOnly)])
	if err != nil || years(day) != nil {
		return "", nil, gate.NotFound
	}
	shares, contact, err := d.shares(ctx, v, day)
	if err != nil {
		return "", nil, err
	}
	for _, kind := range append([]report.Type{report.All}, report.Types...) {
		for _, j := range report.Jobs(shares, kind, []report.Format{report.FormatCSV, report.FormatNDJSON, report.FormatHTML}) {
			name, err := j.File(day)
			if err != nil {
				return "", nil, err
			}
			if name != in.File {
				continue
			}
			var b bytes.Buffer
			_, err = j.Write(&b, report.Cover{Date: day, Made: v.At, Contact: contact, Options: report.Options{Extended: in.Extended, Spreadsheet: in.Spreadsheet}})
			if err != nil {
				return "", nil, err
			}
			callOf(ctx).file = name
			return contentTypes[j.Format], b.Bytes(), nil
		}
	}
	return "", nil, gate.NotFound
}

// attachment makes a browser save a file, and not show it as a page of ours.
func attachment(h http.Header, name string) {
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
}
