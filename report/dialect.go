package report

import "time"

// Field returns one value in the dialect of [CSV], for reports of other packages.
func Field(value string, spreadsheet bool) string { return field(value, spreadsheet) }

// Stamp returns a time as it stands in the reports.
func Stamp(t time.Time) string { return stamp(t) }
