package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"ippwatch/exposure"
)

// NDJSON writes the rows that belong into the report, one object a line with
// the columns as its keys in their order, and returns their number. Numbers of
// ports, networks and bytes are numbers; all else is text, empty when unknown.
// An extended row has its findings with their evidence.
func NDJSON(w io.Writer, t Type, rows iter.Seq[Row], opt Options) (int, error) {
	b := bufio.NewWriter(w)
	columns := t.columns(opt.Extended)
	if len(columns) == 0 {
		return 0, fmt.Errorf("write %q: %w", t, errNoColumns)
	}
	line := []byte(nil)
	n := 0
	for r := range rows {
		if !t.Holds(&r.Observation) {
			continue
		}
		line = append(line[:0], '{')
		for i, c := range columns {
			value, err := jsonValue(c, &r)
			if err != nil {
				return n, fmt.Errorf("write %s: column %s: %w", t, c.name, err)
			}
			line = next(line, i)
			line = append(line, `"`+c.name+`":`...)
			line = append(line, value...)
		}
		if _, err := b.Write(append(line, '}', '\n')); err != nil {
			return n, fmt.Errorf("write %s: %w", t, err)
		}
		n++
	}
	if err := b.Flush(); err != nil {
		return n, fmt.Errorf("write %s: %w", t, err)
	}
	return n, nil
}

// numeric are the columns that hold numbers and nothing else.
var numeric = map[string]bool{
	"port": true, "asn": true, "queues": true, "callback_after_ms": true, "posts": true, "connections": true,
	"bytes_asked": true, "bytes_in": true, "bytes_out": true, "ratio_application": true, "ratio_ip": true,
}

func jsonValue(c column, r *Row) ([]byte, error) {
	if c.name == "findings" {
		findings := r.Findings
		if findings == nil {
			findings = []exposure.Finding{}
		}
		return json.Marshal(findings)
	}
	value := c.value(r)
	if numeric[c.name] && number.MatchString(value) {
		return []byte(value), nil
	}
	return json.Marshal(value)
}
