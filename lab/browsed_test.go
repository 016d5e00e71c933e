package lab_test

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/lab"
)

// TestCallBack is the matrix of facts/cups.md, section 1.2.
func TestCallBack(t *testing.T) {
	t.Parallel()
	const legacy = "BrowseRemoteProtocols dnssd cups\n"
	shipped := "shipped"
	tests := []struct {
		name  string
		conf  string
		avahi bool
		bound bool
		posts int
		queue bool // stays
	}{
		{"as shipped", shipped, false, false, 0, false},
		{"as shipped, with Avahi", shipped, true, false, 0, false},
		{"legacy browsing", legacy, false, true, 3, true},
		{"legacy browsing, with Avahi", legacy, true, true, 6, false},
		{"allowed from here", legacy + "BrowseAllow 198.51.100.0/24\n", false, true, 3, true},
		{"allowed from elsewhere", legacy + "BrowseAllow 203.0.113.0/24\n", false, true, 0, false},
		{"denied from everywhere", legacy + "BrowseDeny all\n", false, true, 0, false},
		{"no queues for remote printers", legacy + "CreateRemoteCUPSPrinterQueues No\n", false, true, 0, false},
		{"local protocol only", "BrowseLocalProtocols cups\n", false, true, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "desktop")
			if tt.avahi {
				h.Avahi()
			}
			c := h.CUPS(0)
			conf := tt.conf
			if conf == shipped {
				conf = h.AsShipped()
			}
			c.Browsed(conf)
			if got := h.Bound(631); got != tt.bound {
				t.Errorf("631/UDP bound: %t, want %t", got, tt.bound)
			}
			e := listen(t)
			refused := e.ask(t, h.Addr4, "X", "ippwatch lab")
			if refused == tt.bound {
				t.Errorf("ICMP port unreachable: %t, want %t", refused, !tt.bound)
			}
			switch {
			case tt.posts > 0:
				e.await(t, tt.posts)
				time.Sleep(quiet)
				// The queue comes when all calls have been made, and goes at once or
				// stays: one that goes may still come when nobody has seen it yet.
				await(t, "the queue", func() bool { return (len(c.Queues()) == 1) == tt.queue })
			default:
				time.Sleep(quiet)
			}
			if from := e.callers(); len(from) != tt.posts {
				t.Errorf("%d calls %v, want %d", len(from), from, tt.posts)
			}
			if got := c.Queues(); tt.posts == 0 && len(got) > 0 {
				t.Errorf("queues %q, want none", got)
			}
		})
	}
}

// TestCallIsAsMeasured compares every byte of the three calls with facts/cups.md,
// section 1.4. Only date, kernel and the number of the request vary.
func TestCallIsAsMeasured(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "desktop")
	h.CUPS(0).Browsed("BrowseRemoteProtocols cups\n")
	e := listen(t)
	e.send(t, h.Addr4, "TOKEN0001", "ippwatch lab")
	await(t, "three connections and their ends", func() bool { return len(e.said()) == 3 })

	attribute := func(tag byte, name, value string) string {
		b := binary.BigEndian.AppendUint16([]byte{tag}, uint16(len(name)))
		b = binary.BigEndian.AppendUint16(append(b, name...), uint16(len(value)))
		return string(append(b, value...))
	}
	call := func(version string, last string) string {
		body := version + "\x00\x0b" + "\x00\x00\x00\x00" + "\x01" +
			attribute(0x47, "attributes-charset", "utf-8") +
			attribute(0x48, "attributes-natural-language", "en") +
			attribute(0x45, "printer-uri", "ipp://"+e.ln.Addr().String()+"/printers/TOKEN0001") +
			attribute(0x44, "requested-attributes", "all") + last + "\x03"
		return fmt.Sprintf("POST /printers/TOKEN0001 HTTP/1.1\r\nContent-Length: %d\r\nContent-Type: application/ipp\r\n"+
			"Date: (date)\r\nHost: %s\r\nUser-Agent: CUPS/2.4.2 (kernel) IPP/2.0\r\nExpect: 100-continue\r\n\r\n%s",
			len(body), e.ln.Addr(), body)
	}
	media := attribute(0x44, "", "media-col-database")
	want := []string{call("\x02\x00", media), call("\x01\x01", media), call("\x02\x00", "")}
	slices.Sort(want)
	got := e.said()
	for i := range got {
		got[i] = regexp.MustCompile(`(?m)^Date: .* GMT\r$`).ReplaceAllString(got[i], "Date: (date)\r")
		got[i] = regexp.MustCompile(`\(Linux [^)]*\)`).ReplaceAllString(got[i], "(kernel)")
		got[i] = regexp.MustCompile(`(\r\n\r\n..\x00\x0b)(?s:....)`).ReplaceAllString(got[i], "${1}\x00\x00\x00\x00")
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestOneTextLeavesOneQueue is why the text of our packet never changes
// (facts/cups.md, sections 1.6 and 1.7).
func TestOneTextLeavesOneQueue(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "minimal")
	c := h.CUPS(0)
	c.Browsed("BrowseRemoteProtocols cups\n")
	e := listen(t)
	const scans = 30
	for i := range scans {
		e.send(t, h.Addr4, fmt.Sprint("TOKEN", i), "ippwatch lab")
		e.await(t, 3*(i+1))
	}
	await(t, "the queue", func() bool { return len(c.Queues()) > 0 })
	if got := c.Queues(); len(got) != 1 {
		t.Errorf("%d scans left the queues %q, want one", scans, got)
	}
	if got := len(e.callers()); got != 3*scans {
		t.Errorf("%d scans were called %d times, want %d", scans, got, 3*scans)
	}
}

// TestLeftOverQueueSwallowsProbe is why a silent host is asked once more with a
// second text (facts/cups.md, section 1.7).
func TestLeftOverQueueSwallowsProbe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(*lab.Daemon)
	}{
		{"after an orderly end", (*lab.Daemon).Stop},
		{"after a loss of power", (*lab.Daemon).Kill},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "minimal")
			c := h.CUPS(0)
			const conf = "BrowseRemoteProtocols cups\n"
			b := c.Browsed(conf)
			e := listen(t)
			e.send(t, h.Addr4, "TOKEN1", "ippwatch lab")
			e.await(t, 3)
			await(t, "the queue", func() bool { return len(c.Queues()) > 0 })
			e.send(t, h.Addr4, "TOKEN1", "ippwatch lab")
			time.Sleep(quiet)
			if got := len(e.callers()); got != 3 {
				t.Errorf("the same packet again was answered: %d calls, want 3", got)
			}
			tt.end(b)
			if got := c.Queues(); len(got) != 1 {
				t.Errorf("cups-browsed has ended and left the queues %q, want one", got)
			}
			c.Browsed(conf)
			e.send(t, h.Addr4, "TOKEN2", "ippwatch lab")
			time.Sleep(quiet)
			if got := len(e.callers()); got != 3 {
				t.Errorf("with the queue left over, the first text was answered: %d calls, want still 3", got)
			}
			e.send(t, h.Addr4, "TOKEN3", "ippwatch lab, second text")
			e.await(t, 6)
		})
	}
}

// TestQueueStaysWhenItsTimeIsOver is what daily scans do to a host without
// D-Bus: cups-browsed tries to remove the queue and does not, and the next day's
// packet is answered all the same (facts/cups.md, section 1.6).
func TestQueueStaysWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "minimal")
	c := h.CUPS(0)
	b := c.Browsed("BrowseRemoteProtocols cups\nBrowseTimeout 1\n")
	e := listen(t)
	const days = 3
	for day := range days {
		e.send(t, h.Addr4, fmt.Sprint("DAY", day), "ippwatch lab")
		e.await(t, 3*(day+1))
		await(t, "the end of BrowseTimeout", func() bool {
			return b.Wrote(fmt.Sprintf("/printers/DAY%d) and its CUPS queue", day))
		})
	}
	if got := c.Queues(); len(got) != 1 {
		t.Errorf("%d days left the queues %q, want one", days, got)
	}
}
