package persona_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"testing"

	"github.com/OpenPrinting/goipp"

	"ippwatch/persona"
)

func TestFarmAnswersForEveryAddress(t *testing.T) {
	before := runtime.NumGoroutine()
	f, err := persona.OpenFarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	uuids := make(map[string]bool)
	for _, addr := range farmAddresses() {
		h := persona.Host{Addr: netip.MustParseAddr(addr), Port: f.Port()}
		for _, op := range []goipp.Op{goipp.OpCupsGetPrinters, goipp.OpGetPrinterAttributes} {
			r, m, err := ask(t, h, question{op: op})
			if err != nil || goipp.Status(m.Code) != goipp.StatusOk || m.RequestID != 42 {
				t.Fatalf("%v at %s: %v, %v", op, addr, m, err)
			}
			if r.length < 8000 || r.length > 12000 {
				t.Errorf("%v at %s has %d bytes, want about 9 kB", op, addr, r.length)
			}
			uuids[value(m, "printer-uuid")] = true
		}
	}
	if want := len(farmAddresses()); len(uuids) != want || f.Answered() != uint64(2*want) {
		t.Errorf("%d addresses have %d UUIDs after %d answers: %v", want, len(uuids), f.Answered(), uuids)
	}
	f.Close()
	settle(t, before)
}

// farmAddresses are some that this system has.
func farmAddresses() []string {
	if runtime.GOOS == "linux" {
		return []string{"127.0.0.1", "127.9.8.7", "127.255.0.3"}
	}
	return []string{"127.0.0.1"}
}

func TestFarmKeepsTheConnection(t *testing.T) {
	f, err := persona.OpenFarm(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.Port())
	conn := dial(t, at)
	r := bufio.NewReader(conn)
	for _, op := range []goipp.Op{goipp.OpCupsGetPrinters, goipp.OpGetJobs, goipp.OpGetPrinterAttributes} {
		body := question{op: op}.encode(t, at)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n\r\n%s", at, len(body), body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%v on a kept connection: %v, %v", op, resp.Status, err)
		}
		resp.Body.Close()
	}
}

func BenchmarkFarm(b *testing.B) {
	f, err := persona.OpenFarm(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.Port())
	body := question{op: goipp.OpCupsGetPrinters}.encode(b, at)
	request := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n\r\n%s", at, len(body), body)
	conn := dial(b, at)
	r := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
