package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Share is what one constituent is told.
type Share struct {
	Name, Title string
	Rows        []Row
}

// A Job is one file to write: a share as one type in one format.
type Job struct {
	Share
	Type   Type
	Format Format
}

// Jobs are the files to write: of each share, each type in each format; [All]
// stands for every one of [Types], and for one page that holds them all.
func Jobs(shares []Share, t Type, formats []Format) []Job {
	var jobs []Job
	for _, s := range shares {
		for _, f := range formats {
			if f == FormatHTML {
				jobs = append(jobs, Job{s, t, f})
				continue
			}
			for _, one := range Types {
				if t == All || t == one {
					jobs = append(jobs, Job{s, one, f})
				}
			}
		}
	}
	return jobs
}

// File is the name of the file; see [FileName].
func (j Job) File(date time.Time) (string, error) {
	return FileName(date, j.Type, j.Name, Simulated(j.Rows), j.Format)
}

// A Cover is what the files of a day have in common.
type Cover struct {
	Date    time.Time // the day that is reported
	Made    time.Time
	Contact string // whom to ask, as the scope file says; may be empty
	Options Options
}

// Write writes the file and returns the number of its rows.
func (j Job) Write(w io.Writer, c Cover) (int, error) {
	switch j.Format {
	case FormatCSV:
		return CSV(w, j.Type, slices.Values(j.Rows), c.Options)
	case FormatNDJSON:
		return NDJSON(w, j.Type, slices.Values(j.Rows), c.Options)
	case FormatHTML:
		p := Page{Title: j.Title, Name: j.Name, Type: j.Type, Contact: c.Contact, Date: c.Date, Made: c.Made, Rows: j.Rows}
		found := 0
		for i := range j.Rows {
			if p.shows(&j.Rows[i].Observation) {
				found++
			}
		}
		return found, HTML(w, p)
	}
	return 0, fmt.Errorf("report format %q: want csv, ndjson or html", j.Format)
}

// A File is a report in memory, for a mail.
type File struct {
	Name, ContentType string
	Body              []byte
	Rows              int
}

// Files returns what is attached to the share's mail: one CSV for each type
// that has a row, in Shadowserver's columns, its formulas defused, as people
// open it in a spreadsheet.
func Files(s Share, c Cover) ([]File, error) {
	c.Options.Spreadsheet = true
	var files []File
	for _, j := range Jobs([]Share{s}, All, []Format{FormatCSV}) {
		if j.Type == CUPSBrowsed {
			continue // special has the same hosts
		}
		name, err := j.File(c.Date)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		n, err := j.Write(&b, c)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			files = append(files, File{name, "text/csv; charset=utf-8", b.Bytes(), n})
		}
	}
	return files, nil
}
