package browse

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestDestinationIsWhatLibcupsReads compares with the answers of libcups in
// testdata/separate.golden.
func TestDestinationIsWhatLibcupsReads(t *testing.T) {
	f, err := os.Open("testdata/separate.golden")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	called := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		uri, host, port, resource := goldenLine(t, lines.Text())
		path, _, _ := strings.Cut(resource, "?")
		want := Destination{Host: host, Port: port, Path: path}
		lower := strings.ToLower(resource)
		if !strings.HasPrefix(lower, "/printers/") && !strings.HasPrefix(lower, "/classes/") || host == "" || port == 0 {
			want = Destination{}
		} else {
			called++
		}
		if got, err := (Packet{URI: uri}).Destination(); got != want || (err == nil) != (want.Host != "") {
			t.Errorf("Destination(%q) = %+v, %v, want %+v", uri, got, err, want)
		}
	}
	if err := lines.Err(); err != nil || called < 15 {
		t.Errorf("separate.golden: %d destinations, %v", called, err)
	}
}

func goldenLine(t *testing.T, line string) (uri, host string, port uint16, resource string) {
	t.Helper()
	fields := strings.Split(line, "\t")
	if len(fields) != 4 {
		t.Fatalf("separate.golden: %d fields in %q", len(fields), line)
	}
	n, err := strconv.ParseUint(fields[2], 10, 16)
	if err != nil {
		t.Fatalf("separate.golden: port: %v", err)
	}
	text := func(quoted string) string {
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("separate.golden: %s: %v", quoted, err)
		}
		return s
	}
	return text(fields[0]), text(fields[1]), uint16(n), text(fields[3])
}

func TestDestinationSaysWhyNobodyIsCalled(t *testing.T) {
	tests := []struct {
		name string
		p    Packet
		err  error
	}{
		{"a deletion", Packet{Type: Delete | 2, URI: "http://h/printers/x"}, ErrDelete},
		{"a path that CUPS does not use for queues", Packet{URI: "ipp://h/ipp/print"}, ErrPath},
		{"no scheme", Packet{URI: "/printers/x"}, ErrHost},
		{"no port", Packet{URI: "http://h:0/printers/x"}, ErrPath}, // libcups stops before the path
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.p.Destination(); !errors.Is(err, tt.err) {
				t.Errorf("Destination(%+v) = %+v, %v, want %v", tt.p, got, err, tt.err)
			}
		})
	}
}

// TestPlainAndWordLookAtEveryByte puts each byte at each place of a text, of which
// they take eight at a time.
func TestPlainAndWordLookAtEveryByte(t *testing.T) {
	for c := range 256 {
		for length := range 20 {
			for at := range length {
				for _, around := range []byte{'A', '!', '~', '&', '$'} {
					b := bytes.Repeat([]byte{around}, length)
					b[at] = byte(c)
					wantPlain, wantWord := length, length
					if c <= ' ' || c >= 0x7f || c == '%' {
						wantPlain = at
					}
					if isSpace(byte(c)) {
						wantWord = at
					}
					if got := plain(string(b)); got != wantPlain {
						t.Fatalf("plain(%q) = %d, want %d", b, got, wantPlain)
					}
					if got := word(b); got != wantWord {
						t.Fatalf("word(%q) = %d, want %d", b, got, wantWord)
					}
				}
			}
		}
	}
}
