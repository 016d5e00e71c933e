package rule_test

import (
	"bufio"
	"bytes"
	"io"
	nethttp "net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/rule"
	wire "ippwatch/wire/ipp"
)

// printersOf reads the printers out of a captured answer.
func printersOf(t *testing.T, file string) edit {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := nethttp.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := wire.Parse(body, wire.Limits{})
	heard := exposure.HTTP{Status: resp.StatusCode, Server: resp.Header.Get("Server")}
	return func(o *exposure.Observation) {
		o.Addr = netip.MustParseAddr("10.63.1.2") // the host in the lab
		o.HTTP = &heard
		for _, g := range m.Groups {
			if g.Tag != wire.TagPrinter {
				continue
			}
			p := exposure.Printer{Attributes: map[string][]string{}}
			for _, a := range g.Attributes {
				p.Attributes[a.Name] = a.Text()
			}
			o.Printers = append(o.Printers, p)
		}
	}
}

// TestRealAnswers judges what real software said: see testdata/README.md.
func TestRealAnswers(t *testing.T) {
	tests := []struct {
		name, file string
		edit       edit
		want       []string
	}{
		{"cupsd, open", "cupsd-get-printers.response.bin", cups("CUPS/2.4", "2.4", true), []string{
			`open-ipp: TCP port 631 answered a stranger in IPP 2.0 with status 0x0000 and described 3 printers: "grp", "office", "usbdev"`,
			`open-cups: "CUPS/2.4" listed 3 queues to a stranger: "grp", "office", "usbdev"`,
			`anonymous-print: Print-Job is offered, jobs are accepted and no proof of identity is asked for (uri-authentication-supported requesting-user-name) by 3 printers: "grp", "office", "usbdev"`,
			`leaks-people: The printers tell strangers 3 facts about people or places: printer-location "HQ 3rd floor room 301", printer-info "Office printer of Jane Doe", printer-location "Basement"`,
			`leaks-internal-address: The host tells strangers 1 inner address: device-uri "192.0.2.9"`,
		}},
		{"ippeveprinter", "ippeveprinter-get-printer-attributes.response.bin", offers(true), []string{
			`open-ipp: TCP port 631 answered a stranger in IPP 2.0 with status 0x0000 and described 1 printer: "officejet"`,
			`anonymous-print: Print-Job is offered, jobs are accepted and no proof of identity is asked for (uri-authentication-supported none) by 1 printer: "officejet"`,
			`leaks-people: The printers tell strangers 1 fact about people or places: printer-location "Reception, HQ Utrecht"`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range rule.Judge(tcp(exposure.Answered, ipp(0), printersOf(t, tt.file), tt.edit)) {
				got = append(got, f.Rule+": "+f.Evidence)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Judge: -want +got\n%s", diff)
			}
		})
	}
}
