package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"ippwatch/lab"
	"ippwatch/watch"
)

// TestWatchSeesRealDaemonsAnswer records what passes the cable of a host with a
// real cups-browsed, and of one with the patched configuration, and lets watch
// read it.
func TestWatchSeesRealDaemonsAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, conf string
		posts      int
	}{
		{"legacy browsing", "BrowseRemoteProtocols dnssd cups\n", 3},
		{"allowed from elsewhere", "BrowseRemoteProtocols dnssd cups\nBrowseAllow 203.0.113.0/24\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "desktop")
			h.CUPS(0).Browsed(tt.conf)
			file := filepath.Join(t.TempDir(), "edge.pcap")
			stop := record(t, h, file)
			e := listen(t)
			e.ask(t, h.Addr4, "X", "ippwatch lab")
			if tt.posts > 0 {
				e.await(t, tt.posts)
			} else {
				time.Sleep(quiet)
			}
			stop()
			w := watch.New(false)
			if _, err := w.ReadFiles(t.Context(), []string{file}); err != nil {
				t.Fatal(err)
			}
			found := w.Take(time.Time{})
			if w.Counts.Packets == 0 {
				t.Error("the packet was not seen")
			}
			if (len(found) == 1) != (tt.posts > 0) {
				t.Fatalf("watch finds %+v", found)
			}
			for _, s := range found {
				if s.Host != h.Addr4 || s.Match != watch.Address || s.Posts != tt.posts || s.Bytes == 0 || s.Call.Sub(s.Packet) > time.Minute {
					t.Errorf("watch finds %+v", s)
				}
			}
		})
	}
}

// record writes what passes the cable of a host into a file, until stop.
func record(t *testing.T, h *lab.Host, file string) (stop func()) {
	t.Helper()
	link := fmt.Sprintf("lab%d", h.Addr4.As4()[3])
	handle, err := pcapgo.NewEthernetHandle(link)
	if err != nil {
		t.Fatalf("record %s: %v", link, err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	ended, heard := make(chan error, 1), make(chan struct{})
	const last = "nothing more is recorded"
	go func() {
		for {
			data, ci, err := handle.ReadPacketData()
			if err != nil {
				ended <- nil // the handle is closed
				return
			}
			if bytes.Contains(data, []byte(last)) {
				close(heard)
				ended <- nil
				return
			}
			if err := w.WritePacket(ci, data); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() {
		// What has passed is in the ring of the kernel, and this comes behind it.
		if _, err := dialUDP(t, h.Port4(9).String()).Write([]byte(last)); err != nil {
			t.Error(err)
		}
		select {
		case <-heard:
		case err := <-ended:
			ended <- err
		case <-time.After(2 * time.Minute):
			t.Error("the recorder does not hear the last packet")
		}
		handle.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
