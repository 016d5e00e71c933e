// Package report writes what was found in a day for the people who can close
// it: as the files that Shadowserver's consumers read already, and as a page.
package report

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"ippwatch/exposure"
)

// A Row is one observation with what only the archive knows about it. The
// findings are those that it was judged with; report judges nothing.
type Row struct {
	exposure.Observation
	// FirstSeen and LastSeen are of the oldest case at this door, zero when the
	// caller does not know them.
	FirstSeen, LastSeen time.Time
	// First is the constituent that is told first; [Slice] sets it.
	First string
}

// A Type is the kind of a report, as it stands in the names of files.
type Type string

// Types. [ScanIPP], [Scan6IPP] and [Special] have the columns of Shadowserver's
// reports of the same name; [CUPSBrowsed] is ours: [Special] every day, with
// what was measured appended.
const (
	ScanIPP     Type = "scan_ipp"
	Scan6IPP    Type = "scan6_ipp"
	Special     Type = "special"
	CUPSBrowsed Type = "scan_cups_browsed"
)

// Types are all reports for machines, in the order in which they are written.
var Types = []Type{ScanIPP, Scan6IPP, Special, CUPSBrowsed}

// All is a page that holds the rows of every type.
const All Type = "all"

// Holds reports whether a row belongs into the report: hosts that answered in
// IPP over TCP, by family of addresses, or hosts that called back.
func (t Type) Holds(o *exposure.Observation) bool {
	switch t {
	case ScanIPP:
		return o.Transport == exposure.TCP && o.Verdict == exposure.Answered && address(o).Is4()
	case Scan6IPP:
		return o.Transport == exposure.TCP && o.Verdict == exposure.Answered && address(o).Is6()
	case Special, CUPSBrowsed:
		return o.Transport == exposure.UDP && o.Verdict == exposure.CalledBack
	case All:
		return len(o.Findings) > 0
	}
	return false
}

// Columns returns the header of the report.
func (t Type) Columns(extended bool) []string {
	var names []string
	for _, c := range t.columns(extended) {
		names = append(names, c.name)
	}
	return names
}

// columns returns how each field is made. One row is one door of one host: the
// printer_ columns hold the first printer that a host described, as
// Shadowserver's do; the extended ones hold all.
func (t Type) columns(extended bool) []column {
	var columns []column
	switch t {
	case ScanIPP, Scan6IPP:
		columns = ippColumns
		if extended {
			columns = slices.Concat(columns, ippExtended, ownColumns)
		}
	case Special:
		columns = specialColumns
		if extended {
			columns = slices.Concat(columns, measuredColumns, ownColumns)
		}
	case CUPSBrowsed:
		columns = slices.Concat(specialColumns, measuredColumns)
		if extended {
			columns = slices.Concat(columns, ownColumns)
		}
	}
	return columns
}

// A Format is how a report is written.
type Format string

// Formats.
const (
	FormatCSV    Format = "csv"
	FormatNDJSON Format = "ndjson"
	FormatHTML   Format = "html"
)

// errIdentifier is for a name that the consumers' patterns would not read.
var errIdentifier = errors.New("want words of letters, digits and _ joined by single hyphens")

// errNoColumns is for a type that is a page only, or none at all.
var errNoColumns = errors.New("no report for machines has that type")

// identifier is the part of IntelMQ's pattern for file names behind the type
// (facts/shadowserver.md 1.6).
var identifier = regexp.MustCompile(`^[0-9A-Za-z_]+(-[0-9A-Za-z_]+)*$`)

// FileName returns "2026-11-23-scan_ipp-NAME.csv". The name of a file with
// simulated hosts says so.
func FileName(date time.Time, t Type, name string, simulated bool, f Format) (string, error) {
	if !identifier.MatchString(name) {
		return "", fmt.Errorf("report name %q: %w", name, errIdentifier)
	}
	if simulated {
		name += "-simulated"
	}
	return fmt.Sprintf("%s-%s-%s.%s", date.UTC().Format(time.DateOnly), t, name, f), nil
}

// Simulated reports whether any of the hosts says of itself that it is.
func Simulated(rows []Row) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { return r.Simulated })
}

// Newest returns the last row of each door of each host, in the order of the
// addresses: a day may hold several scans, and a report one row a door.
func Newest(rows []Row) []Row {
	type door struct {
		addr      netip.Addr
		transport exposure.Transport
		port      uint16
	}
	last := make(map[door]int)
	var newest []Row
	for _, r := range rows {
		d := door{address(&r.Observation), r.Transport, r.Port}
		i, ok := last[d]
		switch {
		case !ok:
			last[d] = len(newest)
			newest = append(newest, r)
		case r.Observed.After(newest[i].Observed):
			newest[i] = r
		}
	}
	slices.SortStableFunc(newest, func(a, b Row) int {
		return cmp.Or(address(&a.Observation).Compare(address(&b.Observation)),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Transport, b.Transport))
	})
	return newest
}

// address returns the address as reports write it: one form for each host.
func address(o *exposure.Observation) netip.Addr { return o.Addr.Unmap().WithZone("") }
