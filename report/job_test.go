package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/report"
)

func TestJobsAreFilesToWrite(t *testing.T) {
	shares := []report.Share{{Name: "north"}, {Name: "south"}}
	tests := []struct {
		name    string
		kind    report.Type
		formats []report.Format
		want    []string
	}{
		{"one type in one format", report.Special, []report.Format{report.FormatCSV}, []string{
			"2026-11-23-special-north.csv", "2026-11-23-special-south.csv",
		}},
		{"a page of one type", report.ScanIPP, []report.Format{report.FormatHTML}, []string{
			"2026-11-23-scan_ipp-north.html", "2026-11-23-scan_ipp-south.html",
		}},
		{"all types in two formats", report.All, []report.Format{report.FormatNDJSON, report.FormatHTML}, []string{
			"2026-11-23-scan_ipp-north.ndjson", "2026-11-23-scan6_ipp-north.ndjson",
			"2026-11-23-special-north.ndjson", "2026-11-23-scan_cups_browsed-north.ndjson", "2026-11-23-all-north.html",
			"2026-11-23-scan_ipp-south.ndjson", "2026-11-23-scan6_ipp-south.ndjson",
			"2026-11-23-special-south.ndjson", "2026-11-23-scan_cups_browsed-south.ndjson", "2026-11-23-all-south.html",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, j := range report.Jobs(shares, tt.kind, tt.formats) {
				name, err := j.File(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Jobs(%s, %s) (-want +got):\n%s", tt.kind, tt.formats, diff)
			}
		})
	}
}
