package class

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestLiteral(t *testing.T) {
	tests := []struct{ name, host, want string }{
		{"a dotted quad", "203.0.113.9", "203.0.113.9"},
		{"one decimal number", "2130706433", "127.0.0.1"},
		{"hexadecimal", "0x7f000001", "127.0.0.1"},
		{"octal parts", "0177.0.0.01", "127.0.0.1"},
		{"two parts", "127.1", "127.0.0.1"},
		{"three parts", "10.1.513", "10.1.2.1"},
		{"IPv6", "2001:db8::1", "2001:db8::1"},
		{"IPv6 with a zone", "fe80::1%eth0", "fe80::1"},
		{"IPv4 within IPv6", "::ffff:203.0.113.9", "203.0.113.9"},
		{"a name", "printer.example.net", ""},
		{"a name of digits and letters", "1.example", ""},
		{"five parts", "1.2.3.4.5", ""},
		{"a part too large", "1.2.3.256", ""},
		{"a bare 0x", "0x", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if a := Literal(tt.host); a.IsValid() {
				got = a.String()
			}
			if got != tt.want {
				t.Errorf("Literal(%q) = %q, want %q", tt.host, got, tt.want)
			}
		})
	}
}

// TestLiteralIsWhatGlibcReads asks getaddrinfo, where a C compiler is.
func TestLiteralIsWhatGlibcReads(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skipf("no C compiler to build the oracle with (apt-get install gcc libc6-dev): %v", err)
	}
	oracle := filepath.Join(t.TempDir(), "numeric")
	if out, err := exec.Command(cc, "-o", oracle, "testdata/numeric.c").CombinedOutput(); err != nil {
		t.Fatalf("build oracle: %v\n%s", err, out)
	}
	rng := rand.New(rand.NewPCG(1, 631))
	hosts := make([]string, 50_000)
	for i := range hosts {
		parts := make([]string, 1+rng.IntN(5))
		for n := range parts {
			v := rng.Uint64() >> rng.IntN(64)
			parts[n] = fmt.Sprintf([]string{"%d", "0%o", "0x%x", "0X%X", "%d", "%dg", "-%d", "%d "}[rng.IntN(8)], v)
		}
		hosts[i] = strings.Join(parts, ".")
	}
	cmd := exec.Command(oracle)
	cmd.Stdin = strings.NewReader(strings.Join(hosts, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	found := 0
	for _, host := range hosts {
		if !lines.Scan() {
			t.Fatal("oracle: too few answers")
		}
		got := "-"
		if a := Literal(host); a.IsValid() {
			got = a.String()
			found++
		}
		if want := lines.Text(); got != want {
			t.Errorf("Literal(%q) = %s, want %s", host, got, want)
		}
	}
	if found < len(hosts)/100 {
		t.Errorf("%d of %d are addresses: the generator is lopsided", found, len(hosts))
	}
}

func FuzzLiteral(f *testing.F) {
	for _, host := range []string{"0x7f.1", "::1", "fe80::1%eth0", "1.2.3.4.5"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		a := Literal(host)
		if !a.IsValid() {
			return
		}
		if again := Literal(a.String()); again != a || a.Zone() != "" || a.Is4In6() {
			t.Errorf("Literal(%q) = %s, and of that %s", host, a, again)
		}
		if _, err := netip.ParseAddr(a.String()); err != nil {
			t.Error(err)
		}
	})
}
