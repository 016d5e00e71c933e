package space

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestParseTargets(t *testing.T) {
	tests := []struct {
		name, in string
		want     []netip.Prefix
		err      string
	}{
		{"nothing", "", nil, ""},
		{
			"a list with comments", "\ufeff# printers\r\n192.0.2.1\r\n\r\n  2001:db8::/126 # the lab\r\n192.0.2.0/24",
			prefixes("192.0.2.1", "2001:db8::/126", "192.0.2.0/24"), "",
		},
		{"mistakes with their places", "192.0.2.1\n\t192.0.2.300\n# x\n  192.0.2.1 192.0.2.2\n192.0.2.9/24 # y\n", nil, `l:2:2: "192.0.2.300": not an address or a prefix; names are not resolved
l:4:3: "192.0.2.1 192.0.2.2": not an address or a prefix; names are not resolved
l:5:1: "192.0.2.9/24": bits are set after the prefix length: write 192.0.2.0/24 for the network or 192.0.2.9 for the address`},
		{"a binary file", "\x7fELF\x02\x01", nil, `l:1:1: "\x7fELF\x02\x01": not an address or a prefix; names are not resolved`},
		{"a line without end", "192.0.2.1\n" + strings.Repeat("1", maxLine+1), nil, "l:2:1: the line is longer than 65536 bytes"},
		{"nothing but mistakes", strings.Repeat("x\n", 100), nil, strings.TrimSuffix(
			func() (all string) {
				for i := range 20 {
					all += fmt.Sprintf("l:%d:1: \"x\": not an address or a prefix; names are not resolved\n", i+1)
				}
				return all
			}()+"and more of the kind", "\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTargets("l", strings.NewReader(tt.in))
			if diff := cmp.Diff(tt.err, errText(err)); diff != "" {
				t.Errorf("error: -want +got\n%s", diff)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("ParseTargets = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestParseTargetsKeepsTheReadersError(t *testing.T) {
	broken := errors.New("disk on fire")
	_, err := ParseTargets("l", iotest.ErrReader(broken))
	if !errors.Is(err, broken) || errText(err) != "read l: line 1: disk on fire" {
		t.Errorf("error = %v", err)
	}
}

// hitListText is a list of n IPv6 addresses.
func hitListText(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "2a00:1::%x:%x\n", i>>16, i&0xffff)
	}
	return b.Bytes()
}

func TestParseTargetsOfAHitList(t *testing.T) {
	got, err := ParseTargets("l", bytes.NewReader(hitListText(1<<20)))
	if err != nil || len(got) != 1<<20 {
		t.Fatalf("%d targets, %v", len(got), err)
	}
	s, _, err := scopeOf("2a00:1::/32").Set(noon, got, nil)
	if err != nil || s.Len() != 1<<20 {
		t.Errorf("Set has %d addresses, %v", s.Len(), err)
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add([]byte("192.0.2.1\n2001:db8::/64 # x\r\n\n#\n"))
	f.Add([]byte("192.0.2.1/33 ::1%1\x00\xff\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseTargets("l", bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, p := range got {
			if checkPrefix(p) != nil {
				t.Fatalf("target %v is not well formed", p)
			}
			fmt.Fprintln(&again, bare(p))
		}
		if second, err := ParseTargets("l", &again); err != nil || !slices.Equal(got, second) {
			t.Errorf("parse, write, parse = %v, %v, want %v", second, err, got)
		}
	})
}

func BenchmarkParseTargets(b *testing.B) {
	text := hitListText(10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for range b.N {
		if _, err := ParseTargets("l", bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
