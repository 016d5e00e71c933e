package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/report"
)

// A mapping is IntelMQ's for one report: tuples of its key, the column and,
// where there is one, the converter.
type mapping struct {
	Constant map[string]string `json:"constant_fields"`
	Required [][]string        `json:"required_fields"`
	Optional [][]string        `json:"optional_fields"`
}

// convert does what IntelMQ's converter of the name does: the value is taken,
// taken as absent (""), or refused.
func convert(name, value string) (string, error) {
	switch name {
	case "":
		return value, nil
	case "add_UTC_to_timestamp":
		_, err := time.Parse("2006-01-02 15:04:05 MST", value+" UTC")
		return value, err
	case "validate_ip":
		a, err := netip.ParseAddr(value)
		if err != nil || value == "0.0.0.0" || a.Zone() != "" {
			return "", fmt.Errorf("not an address: %q", value)
		}
		return value, nil
	case "convert_int", "invalidate_zero":
		if value == "" {
			return "", nil
		}
		n, err := strconv.Atoi(value)
		if n == 0 && name == "invalidate_zero" {
			return "", err
		}
		return value, err
	case "validate_to_none":
		if value == "0" || value == "unknown" {
			return "", nil
		}
		return value, nil
	case "extract_cve_from_tag":
		var found []string
		for element := range strings.SplitSeq(value, ";") {
			if regexp.MustCompile(`^cve-[0-9]+-[0-9]+$`).MatchString(element) {
				found = append(found, element)
			}
		}
		return strings.Join(found, ","), nil
	}
	return "", fmt.Errorf("no such converter: %q", name)
}

// valid is what IntelMQ's harmonization demands of the keys that it knows.
func valid(key, value string) bool {
	switch key {
	case "source.geolocation.cc":
		return regexp.MustCompile(`^[A-Z]{2}$`).MatchString(value)
	case "protocol.transport":
		return value == "tcp" || value == "udp"
	case "source.port", "source.asn":
		n, err := strconv.ParseUint(value, 10, 32)
		return err == nil && n > 0 && (key == "source.asn" || n <= 65535)
	case "severity":
		return slices.Contains(exposure.Severities, exposure.Severity(value))
	case "source.reverse_dns":
		return regexp.MustCompile(`^[a-z0-9_]([a-z0-9._-]*[a-z0-9])?$`).MatchString(value)
	}
	return true
}

// TestIntelMQ puts every row through the converters that IntelMQ would apply.
func TestIntelMQ(t *testing.T) {
	text, err := os.ReadFile("testdata/shadowserver/intelmq.json")
	if err != nil {
		t.Fatal(err)
	}
	var mappings map[string]mapping
	if err := json.Unmarshal(text, &mappings); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typ     report.Type
		mapping string
	}{
		{report.ScanIPP, "scan_ipp"},
		{report.Scan6IPP, "scan6_ipp"},
		{report.Special, "special"},
		{report.CUPSBrowsed, "special"}, // with the feed name fixed, ours is read as one
	} {
		for _, extended := range []bool{false, true} {
			records, err := csv.NewReader(bytes.NewReader(csvOf(t, tt.typ, rows(), report.Options{Extended: extended}))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			m := mappings[tt.mapping]
			if len(m.Required) != 3 || len(m.Optional) < 20 || m.Constant["classification.type"] != "vulnerable-system" {
				t.Fatalf("testdata: the mapping of %s is not whole", tt.mapping)
			}
			for _, record := range records[1:] {
				check(t, tt.typ, m, records[0], record)
			}
		}
	}
}

func check(t *testing.T, typ report.Type, m mapping, header, record []string) {
	t.Helper()
	for i, tuple := range slices.Concat(m.Required, m.Optional) {
		key, column, converter := tuple[0], tuple[1], ""
		if len(tuple) > 2 {
			converter = tuple[2]
		}
		at := slices.Index(header, column)
		if at < 0 {
			t.Errorf("%s: no column %s", typ, column)
			continue
		}
		value, err := convert(converter, record[at])
		switch {
		case err != nil:
			t.Errorf("%s: %s(%q) for %s: %v", typ, converter, record[at], column, err)
		case i < len(m.Required) && value == "":
			t.Errorf("%s: required %s is empty", typ, column)
		case value != "" && !valid(key, value):
			t.Errorf("%s: %s = %q, which IntelMQ refuses", typ, key, value)
		}
		if key == "product.vulnerabilities" && typ != report.ScanIPP && typ != report.Scan6IPP && value != "cve-2024-47176" {
			t.Errorf("%s: vulnerabilities = %q, want cve-2024-47176", typ, value)
		}
	}
}
