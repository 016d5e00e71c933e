package persona

import (
	"bufio"
	"strings"
	"testing"

	"ippwatch/wire/ipp"
)

func TestReadFarmRequest(t *testing.T) {
	const body = "\x02\x00\x40\x02\x00\x00\x00\x2a\x03"
	for _, test := range []struct {
		name, text string
		want       farmRequest
		ok         bool
	}{
		{"a question", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n" + body, farmRequest{post: true, op: ipp.CUPSGetPrinters, id: 42}, true},
		{"the last one", "POST / HTTP/1.1\r\nconnection: Close\r\ncontent-length: 9\r\n\r\n" + body, farmRequest{post: true, last: true, op: ipp.CUPSGetPrinters, id: 42}, true},
		{"a page", "GET / HTTP/1.1\r\n\r\n", farmRequest{}, true},
		{"a body too short", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n" + body[:8], farmRequest{}, false},
		{"no IPP", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n" + body, farmRequest{}, false},
		{"a body too long", "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + body, farmRequest{}, false},
		{"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", farmRequest{}, false},
		{"a head without end", "GET / HTTP/1.1\r\n" + strings.Repeat("a: b\r\n", 100), farmRequest{}, false},
		{"a line without end", "GET /" + strings.Repeat("a", 1<<16), farmRequest{}, false},
		{"TLS", "\x16\x03\x01\x02\x00", farmRequest{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readFarmRequest(bufio.NewReaderSize(strings.NewReader(test.text), farmBuffer))
			if (err == nil) != test.ok || err == nil && got != test.want {
				t.Errorf("readFarmRequest(%.60q) = %+v, %v, want %+v", test.text, got, err, test.want)
			}
		})
	}
}

func FuzzReadFarmRequest(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n\x02\x00\x40\x02\x00\x00\x00\x2a\x03")
	f.Add("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := strings.NewReader(text)
		q, err := readFarmRequest(bufio.NewReaderSize(r, farmBuffer))
		if err == nil && !q.post && q.op != 0 {
			t.Errorf("readFarmRequest(%q) = %+v: an operation without POST", text, q)
		}
		if left := len(text) - r.Len(); err == nil && left > maxRequest+80*farmBuffer {
			t.Errorf("readFarmRequest read %d bytes", left)
		}
	})
}
