package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/feed/shadowserver"
	"ippwatch/ingest"
	"ippwatch/rule"
	"ippwatch/store"
	"ippwatch/track"
)

var (
	now      = time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	operator = access.CLI(now)
)

// A world is a data directory with everything that takes feeds in.
type world struct {
	dir     string
	store   *store.Store
	archive *archive.Archive
	service *ingest.Service
}

func openWorld(ctx context.Context, dir string) (*world, error) {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	ar, err := archive.Open(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &world{dir: dir, store: st, archive: ar, service: &ingest.Service{
		Archive: ar, Cases: track.New(st, book{}), Register: st, Judge: rule.Judge,
		Now: func() time.Time { return now }, Source: exposure.Shadowserver,
		Park: ingest.Yard{Dir: filepath.Join(dir, "parked")},
	}}, nil
}

func (w *world) close() error { return errors.Join(w.archive.Close(), w.store.Close()) }

func newWorld(t testing.TB) *world {
	t.Helper()
	w, err := openWorld(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

type book struct{}

func (book) Cleared(id string, o *exposure.Observation) (bool, string) {
	r, ok := rule.ByID(id)
	if !ok {
		return false, ""
	}
	answer, why := r.Cleared(o)
	return answer == rule.Yes, why
}

// one yields a single document.
func one(name string, r io.Reader) func(func(feed.Document, error) bool) {
	return func(yield func(feed.Document, error) bool) { yield(feed.Document{Name: name, Reader: r}, nil) }
}

// take takes one document in.
func (w *world) take(t testing.TB, name, text string) exposure.Intake {
	t.Helper()
	all, err := w.service.Take(t.Context(), one(name, strings.NewReader(text)), shadowserver.Parse)
	if err != nil || len(all) != 1 {
		t.Fatalf("Take(%s) = %v, %v", name, all, err)
	}
	return all[0]
}

func (w *world) observations(t testing.TB) []archive.Record {
	t.Helper()
	var all []archive.Record
	for r, err := range w.archive.Observations(t.Context(), operator, archive.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func (w *world) exposures(t testing.TB) map[exposure.Key]exposure.Exposure {
	t.Helper()
	all := make(map[exposure.Key]exposure.Exposure)
	for e, err := range w.store.Exposures(t.Context(), operator, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		all[e.Key] = e
	}
	return all
}

const header = `"timestamp","severity","ip","protocol","port","hostname","tag","asn","geo","region","city","naics","hostname_source","sector",` +
	`"device_vendor","device_type","device_model","device_version","device_sector","ipp_version","cups_version","printer_uris","printer_name",` +
	`"printer_info","printer_more_info","printer_make_and_model","printer_firmware_name","printer_firmware_string_version",` +
	`"printer_firmware_version","printer_organization","printer_organization_unit","printer_uuid","printer_wifi_ssid"` + "\n"

// row is the n-th host of a report of the day.
func row(n int, day time.Time) string {
	a := netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)})
	at := day.Add(time.Duration(n%86400) * time.Second).Format(time.DateTime)
	asn := 64496 + n%15
	switch n % 4 {
	case 0: // a device behind a translation
		return fmt.Sprintf(`"%s","high","%s","tcp",631,"host%d.example.net","ipp",%d,"DE","HESSE","FRANKFURT AM MAIN",517311,"ptr","Communications, Service Provider, and Hosting Service",`+
			`"HP","printer","LaserJet %d",2023,,"IPP/2.0",,"ipp://192.168.1.%d/ipp/print","HP%06d","HP LaserJet",`+
			`"http://192.168.1.%d/","HP LaserJet %d","ipp","20%02d.1",20191203,,,"urn:uuid:00000000-0000-0000-0000-%012d",`+"\n",
			at, a, n, asn, n%50, n%250, n, n%250, n%50, n%30, n)
	case 1: // a CUPS server
		return fmt.Sprintf(`"%s","high","%s","tcp",631,,"ipp",%d,"UK",,,0,,,,,,,,"IPP/2.1","CUPS/2.%d",,,,,,,,,,,,`+"\n", at, a, asn, n%5)
	}
	return fmt.Sprintf(`"%s","high","%s","tcp",631,,"ipp",%d,"JP","TOKYO","TOKYO",,,,"EPSON","printer","WF-%d",,,"IPP/2.0",,`+
		`"ipp://%s:631/ipp/print","EPSON%d",,,"EPSON WF-%d Series",,,,"Office %d",,"urn:uuid:cfe92100-67c4-11d4-a45f-%012x","ssid-%d"`+"\n",
		at, a, asn, n%90, a, n, n%90, n%1000, n, n)
}

// reportOf is a whole report of n hosts.
func reportOf(n int, day time.Time) string {
	var b bytes.Buffer
	b.WriteString(header)
	for i := range n {
		b.WriteString(row(i, day))
	}
	return b.String()
}

// stream is [reportOf] as it comes over a network, never whole in memory.
func stream(n int, day time.Time) io.Reader {
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriter(w)
		_, _ = b.WriteString(header) // Flush tells
		for i := range n {
			_, _ = b.WriteString(row(i, day)) // as above
		}
		w.CloseWithError(b.Flush())
	}()
	return r
}

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
