package browse

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("x", 1100)
	tests := []struct {
		name string
		in   string
		want Packet
		err  error
	}{
		{"as servers write it", `3 4 ipp://h/printers/q "Room 1" "Laser" "ACME 1" lease-duration=300`, Packet{3, 4, "ipp://h/printers/q", "Room 1", "Laser", "ACME 1"}, nil},
		{"signs and 0x", "-1 +0x3 u", Packet{Type: 0xffffffff, State: 3, URI: "u"}, nil},
		{"no space before a sign", "12-3u", Packet{Type: 0x12, State: 0xfffffffd, URI: "u"}, nil},
		{"no space before the URI", "1 2http://h/", Packet{Type: 1, State: 2, URI: "http://h/"}, nil},
		{"the state takes hexadecimal letters of the URI", "1 2facade", Packet{}, ErrMalformed},
		{"more than 32 bits are cut", "123456789 0 u", Packet{Type: 0x23456789, URI: "u"}, nil},
		{"more than 64 bits are all ones", "11111111111111111 -22222222222222222 u", Packet{Type: 0xffffffff, State: 0xffffffff, URI: "u"}, nil},
		{"0x without a digit is zero", "0x 0xg", Packet{URI: "g"}, nil},
		{"only a sign", "- 3 u", Packet{}, ErrMalformed},
		{"every kind of blank", "\v0\t3\r\n\fu\n", Packet{State: 3, URI: "u"}, nil},
		{"nothing", "", Packet{}, ErrMalformed},
		{"one number", "7", Packet{}, ErrMalformed},
		{"a NUL ends the URI", "0 3 u\x00v", Packet{State: 3, URI: "u"}, nil},
		{"a long URI is cut", "0 3 " + long, Packet{State: 3, URI: long[:1023]}, nil},
		{"location only", `0 3 u "loc"`, Packet{State: 3, URI: "u", Location: "loc"}, nil},
		{"something else after the location", `0 3 u "loc" x "info"`, Packet{State: 3, URI: "u", Location: "loc"}, nil},
		{"no blank between the fields", `0 3 u "loc""info"`, Packet{State: 3, URI: "u", Location: "loc", Info: "info"}, nil},
		{"quotes within the URI", `0 3 u"a""b"`, Packet{State: 3, URI: `u"a""b"`, Location: "a", Info: "b"}, nil},
		{"a location without an end", `0 3 u "loc`, Packet{}, ErrUnterminated},
		{"a location that ends behind a NUL", "0 3 u \"loc\x00x\" \"info\"", Packet{State: 3, URI: "u", Location: "loc", Info: "info"}, nil},
		{"a short packet's info without an end", `0 3 u "loc" "info`, Packet{State: 3, URI: "u", Location: "loc", Info: "info"}, nil},
		{"a long packet's info without an end", `0 3 u "` + long + `" "info`, Packet{}, ErrUnterminated},
		{"a long location is cut", `0 3 u "` + long + `" "info"`, Packet{State: 3, URI: "u", Location: long[:1023], Info: "info"}, nil},
		{"a quote beyond 2,047 bytes is not received", `0 3 u "` + long + long + `" "info"`, Packet{}, ErrUnterminated},
		{"an empty info", `0 3 u "loc" "" "mm"`, Packet{State: 3, URI: "u", Location: "loc", MakeModel: "mm"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Parse(%q) = %+v, %v, want %+v, %v", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseReadsWhatTheLabSent(t *testing.T) {
	files, err := filepath.Glob("testdata/*.probe.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %d files, %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(b)
		if err != nil {
			t.Errorf("Parse(%s): %v", name, err)
			continue
		}
		if got := Append(nil, p); !bytes.Equal(got, b) {
			t.Errorf("Append(Parse(%s)) = %q, want %q", name, got, b)
		}
	}
}

func TestAppendLeavesOutWhatWouldBreakTheForm(t *testing.T) {
	p := Packet{
		State: 3, URI: "http://h/printers/a b\"c\n",
		Location: "x\" \"y\r\n\x00", Info: strings.Repeat("i", 400), MakeModel: "été",
	}
	want := Packet{
		State: 3, URI: "http://h/printers/abc",
		Location: "x y", Info: strings.Repeat("i", 300), MakeModel: "t",
	}
	got, err := Parse(Append(nil, p))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse(Append(p)) (-want +got):\n%s", diff)
	}
}

func TestQueueIsTheNameThatTheLabSaw(t *testing.T) {
	tests := []struct{ name, info, host, want string }{
		{"the lab's own", "lab probe", "10.63.1.1", "lab_probe_10_63_1_1"}, // facts/cups.md 1.6
		{"runs and ends", "  a--b (c) ", "host.local", "a_b_c_host"},
		{"cut at 63 bytes", strings.Repeat("x", 60), "192.0.2.1", strings.Repeat("x", 60)},
		{"cut within the host", strings.Repeat("x", 58), "192.0.2.1", strings.Repeat("x", 58) + "_19"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Queue(tt.info, tt.host); got != tt.want {
				t.Errorf("Queue(%q, %q) = %q, want %q", tt.info, tt.host, got, tt.want)
			}
		})
	}
}

// TestParseAgreesWithGlibc compares Parse with testdata/oracle.c on generated
// and mutated packets.
func TestParseAgreesWithGlibc(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skipf("no C compiler to build the oracle with: %v", err)
	}
	oracle := filepath.Join(t.TempDir(), "oracle")
	if out, err := exec.Command(cc, "-O1", "-o", oracle, "testdata/oracle.c").CombinedOutput(); err != nil {
		t.Fatalf("build oracle: %v\n%s", err, out)
	}
	const packets = 1_000_000
	rng := rand.New(rand.NewPCG(1, 631))
	captures := captured(t)
	var in bytes.Buffer
	ins := make([][]byte, packets)
	for i := range ins {
		ins[i] = generate(rng, captures)
		in.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(ins[i]))))
		in.Write(ins[i])
	}
	cmd := exec.Command(oracle)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run oracle: %v", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<16)
	accepted, wrong := 0, 0
	for _, b := range ins {
		if !lines.Scan() {
			t.Fatalf("oracle: fewer than %d answers", packets)
		}
		got := "BAD"
		p, err := Parse(b)
		if errors.Is(err, ErrUnterminated) {
			// The numbers and the URI were read; the oracle knows no texts.
			p, err = Parse(bytes.ReplaceAll(b, []byte(`"`), []byte("'")))
			p.URI = strings.ReplaceAll(p.URI, "'", `"`)
			if bytes.ContainsRune(b, '\'') {
				continue
			}
		}
		if err == nil {
			got = fmt.Sprintf("%x %x %x", p.Type, p.State, p.URI)
			accepted++
		}
		if want := lines.Text(); got != want {
			if wrong++; wrong <= 10 {
				t.Errorf("Parse(%q) = %s, want %s", b, got, want)
			}
		}
	}
	if accepted < packets/10 || accepted > packets*9/10 {
		t.Errorf("%d of %d packets accepted: the generator is lopsided", accepted, packets)
	}
}

// captured are the packets that the lab sent.
func captured(t *testing.T) (all [][]byte) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.probe.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %d files, %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// generate returns a packet made of pieces that packets are made of, or a real
// one, half of the time with some bytes changed.
func generate(rng *rand.Rand, captures [][]byte) []byte {
	pieces := []string{
		"0", "3", "0x", "0X1f", "-", "+", "-1", "ffffffff", "100000000", "fffffffffffffffff", "-8000000000000000",
		" ", "  ", "\t", "\n", "\v", "\f", "\r", "\x00", "\x85", "\xa0", "g", "x", "http://", "10.0.0.1:631",
		"/printers/", "/classes/", "token", `"`, `"info"`, `" "`, ";", "%41",
	}
	var b []byte
	if rng.IntN(5) == 0 {
		b = append(b, captures[rng.IntN(len(captures))]...)
	} else if rng.IntN(3) > 0 {
		b = fmt.Appendf(b, "%x %x http://h/printers/t", rng.Uint32(), rng.IntN(9))
	}
	for range rng.IntN(12) {
		b = append(b, pieces[rng.IntN(len(pieces))]...)
	}
	if rng.IntN(50) == 0 {
		at := rng.IntN(len(b) + 1)
		fill := bytes.Repeat([]byte{pieces[rng.IntN(len(pieces))][0]}, rng.IntN(2500))
		b = append(b[:at:at], append(fill, b[at:]...)...)
	}
	if len(b) > 0 && rng.IntN(2) == 0 {
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
	}
	return b
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.probe.bin")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("-0x1+2u\"a\x00\" \"b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			if p != (Packet{}) {
				t.Errorf("Parse(%q) = %+v beside an error", b, p)
			}
			return
		}
		if len(p.URI) > 1023 || len(p.Location) > 1023 || len(p.Info) > 1023 || len(p.MakeModel) > 1023 {
			t.Errorf("Parse(%q): a field longer than the daemon's buffers", b)
		}
		if _, err := p.Destination(); err == nil && p.Type&Delete != 0 {
			t.Errorf("Destination(%+v): a deletion is called", p)
		}
		if strings.IndexFunc(p.URI, func(r rune) bool { return r > ' ' && r <= '~' && r != '"' }) < 0 {
			return // Append has no URI to write
		}
		// What Append writes is read back, and is the same again when written.
		written := Append(nil, p)
		if len(written) > maxPacket {
			t.Errorf("Append(%+v): %d bytes", p, len(written))
		}
		again, err := Parse(written)
		if err != nil {
			t.Errorf("Parse(Append(%+v)): %v", p, err)
		}
		if twice := Append(nil, again); !bytes.Equal(twice, written) {
			t.Errorf("Append(Parse(%q)) = %q", written, twice)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	packet := Append(nil, Packet{State: 3, URI: "http://192.0.2.1:631/printers/token", Location: "l", Info: "i", MakeModel: "m"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	p := Packet{State: 3, URI: "http://192.0.2.1:631/printers/token", Location: "l", Info: "i", MakeModel: "m"}
	buf := make([]byte, 0, maxPacket)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], p)
	}
}
