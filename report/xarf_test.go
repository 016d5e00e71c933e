package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/exposure"
	"ippwatch/report"
	"ippwatch/rule"
)

var reporter = report.Reporter{Organisation: "CERT Example", Contact: "cert@example.org", Domain: "example.org"}

func exposureOf(id string, edit func(e *exposure.Exposure)) exposure.Exposure {
	r, _ := rule.ByID(id)
	e := exposure.Exposure{
		Key:      exposure.Key{Addr: netip.MustParseAddr("198.51.100.7"), Transport: exposure.TCP, Port: 631, Rule: id},
		Severity: r.Severity, Condition: exposure.Confirmed, Cycle: 1, TimesSeen: 3, FirstSeen: day, LastSeen: day.AddDate(0, 0, 2),
		Evidence: "TCP port 631 answered a stranger in IPP 2.0 with status 0x0000 and described 1 printer: \"Laser\"",
	}
	if edit != nil {
		edit(&e)
	}
	return e
}

// xarfSchemas compiles the published schemas, with their formats asserted.
func xarfSchemas(t *testing.T) (openService, cve *jsonschema.Schema) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	const base = "https://xarf.org/schemas/v4/"
	for name, file := range map[string]string{
		"xarf-core.json": "xarf-core.json", "types/vulnerability-open-service.json": "vulnerability-open-service.json", "types/vulnerability-cve.json": "vulnerability-cve.json",
	} {
		text, err := os.Open("testdata/xarf-v4/" + file)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		_ = text.Close()
		if err := c.AddResource(base+name, value); err != nil {
			t.Fatal(err)
		}
	}
	return c.MustCompile(base + "types/vulnerability-open-service.json"), c.MustCompile(base + "types/vulnerability-cve.json")
}

func TestXARF(t *testing.T) {
	openService, cve := xarfSchemas(t)
	sample, err := os.ReadFile("testdata/xarf-v4/SAMPLE-vulnerability-open-service.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *jsonschema.Schema, b []byte) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); err != nil {
			t.Errorf("%v\n%s", err, b)
		}
	}
	check(openService, sample)
	for _, r := range rule.All {
		for _, condition := range []exposure.Condition{exposure.Confirmed, exposure.Reported, exposure.OneClean, exposure.NotSeen} {
			b, err := report.XARF(reporter, exposureOf(r.ID, func(e *exposure.Exposure) { e.Condition = condition }))
			if err != nil {
				t.Fatal(err)
			}
			if condition == exposure.Confirmed && (r.ID == "cups-browsed-callback" || r.ID == "reflector") {
				check(cve, b)
				continue
			}
			check(openService, b)
			if bytes.Contains(b, []byte("cve_id")) {
				t.Errorf("%s, %s: a CVE that nobody has proven", r.ID, condition)
			}
		}
	}
	first, err := report.XARF(reporter, exposureOf("cups-browsed-callback", func(e *exposure.Exposure) { e.Transport = exposure.UDP }))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "xarf.json", first)
}

func TestXARFIsTheSameReport(t *testing.T) {
	id := func(edit func(e *exposure.Exposure)) string {
		b, err := report.XARF(reporter, exposureOf("open-ipp", edit))
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			ID string `json:"report_id"`
		}
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	first := id(nil)
	again := id(func(e *exposure.Exposure) { e.LastSeen, e.Evidence = day.AddDate(0, 1, 0), "seen again" })
	reopened := id(func(e *exposure.Exposure) { e.Cycle = 2 })
	other := id(func(e *exposure.Exposure) { e.Port = 8631 })
	if first != again || first == reopened || first == other {
		t.Errorf("report_id: first %s, seen again %s, reopened %s, another port %s", first, again, reopened, other)
	}
}

func TestXARFEvidence(t *testing.T) {
	evidence := "he said \"\\x1b[2J\" \xff\x00" + strings.Repeat("ä", 3000)
	b, err := report.XARF(reporter, exposureOf("open-ipp", func(e *exposure.Exposure) { e.Evidence, e.Simulated = evidence, true }))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Tags     []string
		Evidence []struct{ Payload, Hash string }
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(d.Evidence[0].Payload)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	if d.Evidence[0].Hash != "sha256:"+hex.EncodeToString(sum[:]) || !strings.HasPrefix(string(payload), `he said "\x1b[2J" `) {
		t.Errorf("evidence %.40q with hash %s", payload, d.Evidence[0].Hash)
	}
	if !slices.Contains(d.Tags, "simulated:true") {
		t.Errorf("tags %q do not say that it is simulated", d.Tags)
	}
	if _, err := report.XARF(reporter, exposureOf("open-lpd", nil)); err == nil {
		t.Error("XARF for a rule that is none = nil error")
	}
}

func TestFiles(t *testing.T) {
	files, err := report.Files(report.Share{Name: "university", Rows: rows()[:8]}, report.Cover{Date: day})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
		if f.Rows == 0 || bytes.Count(f.Body, []byte("\n")) != f.Rows+1 {
			t.Errorf("%s: %d rows in\n%s", f.Name, f.Rows, f.Body)
		}
	}
	want := []string{"2026-11-23-scan_ipp-university-simulated.csv", "2026-11-23-scan6_ipp-university-simulated.csv", "2026-11-23-special-university-simulated.csv"}
	if !slices.Equal(names, want) {
		t.Errorf("Files = %q, want %q", names, want)
	}
}
