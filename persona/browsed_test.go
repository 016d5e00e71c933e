package persona

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/OpenPrinting/goipp"
	"github.com/google/go-cmp/cmp"

	"ippwatch/wire/browse"
)

// The calls are those of the real daemon to the byte, but for the mark.
func TestCallsAreThoseOfCUPSBrowsed(t *testing.T) {
	raw, err := os.ReadFile("testdata/60-residue-dbus.probe.bin")
	if err != nil {
		t.Fatal(err)
	}
	packet, err := browse.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	to, err := packet.Destination()
	if err != nil {
		t.Fatal(err)
	}
	b := browsed{version: "2.4.2", kernel: "6.18.44-fc-v595; x86_64"}
	date := regexp.MustCompile(`Date: [^\r]*`)
	both := []string{"all", "media-col-database"}
	for _, test := range []struct {
		name, file string
		version    goipp.Version
		wanted     []string
	}{
		{"the first, in IPP 2.0", "60-residue-dbus.c01.bin", goipp.MakeVersion(2, 0), both},
		{"the second, in IPP 1.1", "60-residue-dbus.c02.bin", goipp.MakeVersion(1, 1), both},
		{"the third, without the media", "60-residue-dbus.c03.bin", goipp.MakeVersion(2, 0), both[:1]},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, err := os.ReadFile("testdata/" + test.file)
			if err != nil {
				t.Fatal(err)
			}
			id := bytes.Index(want, []byte("\r\n\r\n")) + 4 + 4
			got, err := b.call(to, test.version, uint32(want[id])<<24|uint32(want[id+1])<<16|uint32(want[id+2])<<8|uint32(want[id+3]), test.wanted, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			got = bytes.Replace(got, []byte(" (ippwatch-simulated)"), nil, 1)
			if diff := cmp.Diff(string(date.ReplaceAll(want, nil)), string(date.ReplaceAll(got, nil))); diff != "" {
				t.Errorf("call (-real +played):\n%s", diff)
			}
		})
	}
}

func TestRemember(t *testing.T) {
	known := make(map[string]time.Time)
	now := time.Unix(1_800_000_000, 0)
	for _, test := range []struct {
		name string
		uri  string
		at   time.Time
		want bool
	}{
		{"a new one", "a", now, true},
		{"the same at once", "a", now, false},
		{"another", "b", now, true},
		{"the same just before it is forgotten", "a", now.Add(forget - 1), false},
		{"the same after it is forgotten", "a", now.Add(forget), true},
	} {
		if got := remember(known, test.uri, test.at); got != test.want {
			t.Errorf("%s: remember(%q) = %v, want %v", test.name, test.uri, got, test.want)
		}
	}
	for i := range 2 * maxKnown {
		remember(known, string(rune(i+256)), now.Add(forget))
	}
	if len(known) > maxKnown {
		t.Errorf("%d URIs are remembered, want at most %d", len(known), maxKnown)
	}
}
