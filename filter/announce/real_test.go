package announce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"ippwatch/acl"
	"ippwatch/filter"
)

// need finds programs, or skips the test with what to do; where the lab is
// required, that is a failure.
func need(t *testing.T, programs map[string]string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for name, how := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			built, fault := filepath.Abs(filepath.Join("../../.bin", name))
			if _, err = os.Stat(built); err == nil && fault == nil {
				path = built
			}
		}
		if err == nil {
			found[name] = path
			continue
		}
		if os.Getenv("IPPWATCH_LAB") == "require" {
			t.Fatalf("%s is not installed: %s (and IPPWATCH_LAB=require)", name, how)
		}
		t.Skipf("%s is not installed: %s", name, how)
	}
	return found
}

var (
	birdPrograms  = map[string]string{"bird": "apt-get install --no-install-recommends bird2", "birdc": "apt-get install --no-install-recommends bird2"}
	gobgpPrograms = map[string]string{"gobgpd": "make .bin/gobgpd", "gobgp": "make .bin/gobgpd"}
)

var ports atomic.Uint32

// port is one of the loopback that nobody has. It lies below those that the
// system gives away, so that nobody gets it before the program that shall listen
// there; and each process begins at another.
func port(t *testing.T) uint16 {
	t.Helper()
	for {
		p := uint16(10000 + (uint32(os.Getpid())*31+ports.Add(1))%10000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		return p
	}
}

// start runs a program until the test ends.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), out.String())
		}
	})
}

// until polls what a program prints.
func until(t *testing.T, ok func(out string) bool, name string, args ...string) string {
	t.Helper()
	var out []byte
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, _ = exec.Command(name, args...).CombinedOutput()
		if ok(string(out)) {
			return string(out)
		}
	}
	t.Fatalf("%s %s still prints:\n%s", filepath.Base(name), strings.Join(args, " "), out)
	return ""
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	ourAS   = 64500
	theirAS = 64501
)

// gobgpd runs one that waits for us; it returns the API's port.
func gobgpd(t *testing.T, programs map[string]string, bgpPort uint16) (api string) {
	t.Helper()
	api = fmt.Sprint(port(t))
	conf := write(t, "gobgpd.toml", fmt.Sprintf(`[global.config]
  as = %d
  router-id = "192.0.2.1"
  port = %d
  local-address-list = ["127.0.0.1"]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "127.0.0.1"
    peer-as = %d
  [neighbors.transport.config]
    passive-mode = true
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-flowspec"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-flowspec"
`, theirAS, bgpPort, ourAS))
	start(t, programs["gobgpd"], "-f", conf, "--api-hosts", "127.0.0.1:"+api, "--pprof-disable")
	until(t, func(out string) bool { return strings.Contains(out, "127.0.0.1") }, programs["gobgp"], "-p", api, "neighbor")
	return api
}

// announced sends a plan in the background; the function that it returns ends it.
func announced(t *testing.T, p Plan, peer netip.AddrPort, expire time.Duration) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var mu sync.Mutex
	go func() {
		done <- p.Announce(ctx, Peer{Addr: peer, AS: theirAS, LocalAS: ourAS, RouterID: netip.MustParseAddr("192.0.2.10"), Hops: 2}, Times{Wait: 60 * time.Second, Expire: expire}, func(s string) {
			mu.Lock()
			defer mu.Unlock()
			t.Log(s)
		})
	}()
	var err error
	var once sync.Once
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func plan(t *testing.T, countOnly bool) Plan {
	t.Helper()
	p, err := New(form(t, countOnly, func(p *acl.Policy) { p.TCP = acl.SynOnly }), own, 100)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// count is how many routes of a family the plan has.
func (p Plan) count(f acl.Family) int {
	n := 0
	for _, r := range p.Routes {
		if r.Family == f {
			n++
		}
	}
	return n
}

var flowLine = regexp.MustCompile(`(?m)^\*>? `)

func TestGoBGPReceivesAndLoses(t *testing.T) {
	t.Parallel()
	programs := need(t, gobgpPrograms)
	bgpPort := port(t)
	api := gobgpd(t, programs, bgpPort)
	p := plan(t, false)
	stop := announced(t, p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bgpPort), time.Hour)
	for family, word := range map[acl.Family]string{acl.V4: "ipv4-flowspec", acl.V6: "ipv6-flowspec"} {
		out := until(t, func(out string) bool { return len(flowLine.FindAllString(out, -1)) == p.count(family) }, programs["gobgp"], "-p", api, "global", "rib", "-a", word)
		drops := 0
		for _, r := range p.Routes {
			if r.Family == family && r.Drop {
				drops++
			}
			if r.Family == family && !strings.Contains(out, "[destination: "+r.Dst.String()) && r.Dst.IsValid() {
				t.Errorf("no flow to %s in:\n%s", r.Dst, out)
			}
		}
		if n := strings.Count(out, "discard"); n != drops {
			t.Errorf("%d flows are dropped, want %d:\n%s", n, drops, out)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"ipv4-flowspec", "ipv6-flowspec"} {
		until(t, func(out string) bool { return strings.Contains(out, "Network not in table") }, programs["gobgp"], "-p", api, "global", "rib", "-a", word)
	}
}

// bird runs one with the configuration; it returns the socket of birdc.
func bird(t *testing.T, programs map[string]string, conf string) (socket string) {
	t.Helper()
	path := write(t, "bird.conf", "router id 192.0.2.1;\nprotocol device { }\n"+conf)
	if out, err := exec.Command(programs["bird"], "-p", "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("bird -p: %v\n%s\n%s", err, out, conf)
	}
	socket = filepath.Join(t.TempDir(), "s")
	start(t, programs["bird"], "-f", "-c", path, "-s", socket)
	until(t, func(out string) bool { return strings.Contains(out, "Daemon is up") }, programs["birdc"], "-s", socket, "show", "status")
	return socket
}

// birdPeer is the protocol of one that waits for us on the loopback, or comes.
func birdPeer(bgpPort uint16, way string, families string) string {
	return fmt.Sprintf("protocol bgp ippwatch {\n\tlocal 127.0.0.1 port %d as %d;\n\tneighbor 127.0.0.1 %s as %d;\n\tmultihop 2;\n\tstrict bind yes;\n%s}\n", bgpPort, theirAS, way, ourAS, families)
}

const birdTakes = "\tflow4 { table f4; import all; export none; };\n\tflow6 { table f6; import all; export none; };\n"

func TestBIRDReceivesAndLoses(t *testing.T) {
	t.Parallel()
	programs := need(t, birdPrograms)
	bgpPort := port(t)
	socket := bird(t, programs, "flow4 table f4;\nflow6 table f6;\n"+birdPeer(bgpPort, "", "\tpassive yes;\n"+birdTakes))
	p := plan(t, false)
	const expire = 30 * time.Second // both tables are read before
	stop := announced(t, p, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bgpPort), expire)
	for family, table := range map[acl.Family]string{acl.V4: "f4", acl.V6: "f6"} {
		word := map[acl.Family]string{acl.V4: "flow4 {", acl.V6: "flow6 {"}[family]
		out := until(t, func(out string) bool { return strings.Count(out, word) == p.count(family) }, programs["birdc"], "-s", socket, "show", "route", "table", table, "all")
		drops := 0
		for _, r := range p.Routes {
			if r.Family == family && r.Drop {
				drops++
			}
		}
		if n := strings.Count(out, "(generic, 0x80060000, 0x0)"); n != drops {
			t.Errorf("%d flows are dropped, want %d:\n%s", n, drops, out)
		}
	}
	// Nobody stops it: it expires.
	for _, table := range []string{"f4", "f6"} {
		until(t, func(out string) bool {
			return !strings.Contains(out, "flow4 {") && !strings.Contains(out, "flow6 {") && !strings.Contains(out, "not")
		}, programs["birdc"], "-s", socket, "show", "route", "table", table)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestPeerThatTakesNoFlows(t *testing.T) {
	t.Parallel()
	programs := need(t, birdPrograms)
	bgpPort := port(t)
	bird(t, programs, "flow4 table f4;\n"+birdPeer(bgpPort, "", "\tpassive yes;\n\tflow4 { table f4; import all; export none; };\n"))
	err := plan(t, false).Announce(t.Context(), Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bgpPort), AS: theirAS, LocalAS: ourAS, RouterID: netip.MustParseAddr("192.0.2.10"), Hops: 2},
		Times{Wait: 60 * time.Second, Expire: time.Hour}, func(s string) { t.Error(s) })
	if err == nil || !strings.Contains(err.Error(), "takes no IPv6 flows") {
		t.Errorf("%v", err)
	}
}

// receiver is a speaker of our own that keeps what it is sent.
func receiver(t *testing.T, bgpPort uint16, connect uint16) *server.BgpServer {
	t.Helper()
	s := server.NewBgpServer()
	go s.Serve()
	t.Cleanup(s.Stop)
	global := &api.Global{Asn: ourAS, RouterId: "192.0.2.10", ListenPort: int32(bgpPort), ListenAddresses: []string{"127.0.0.1"}}
	if bgpPort == 0 {
		global.ListenPort = -1
	}
	if err := s.StartBgp(t.Context(), &api.StartBgpRequest{Global: global}); err != nil {
		t.Fatal(err)
	}
	peer := &api.Peer{
		Conf:         &api.PeerConf{NeighborAddress: "127.0.0.1", PeerAsn: theirAS},
		Transport:    &api.Transport{RemotePort: uint32(connect), PassiveMode: connect == 0},
		EbgpMultihop: &api.EbgpMultihop{Enabled: true, MultihopTtl: 2},
	}
	for _, f := range []bgp.Family{bgp.RF_FS_IPv4_UC, bgp.RF_FS_IPv6_UC} {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{Family: apiutil.ToApiFamily(f.Afi(), f.Safi()), Enabled: true}})
	}
	if err := s.AddPeer(t.Context(), &api.AddPeerRequest{Peer: peer}); err != nil {
		t.Fatal(err)
	}
	return s
}

// received are the routes of the receiver, as bytes and actions, sorted.
func received(t *testing.T, s *server.BgpServer) []string {
	t.Helper()
	var all []string
	for _, f := range []bgp.Family{bgp.RF_FS_IPv4_UC, bgp.RF_FS_IPv6_UC} {
		err := s.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: f}, func(nlri bgp.NLRI, paths []*apiutil.Path) {
			b, err := nlri.Serialize()
			if err != nil {
				t.Error(err)
			}
			action := "accept"
			for _, a := range paths[0].Attrs {
				if c, ok := a.(*bgp.PathAttributeExtendedCommunities); ok && len(c.Value) > 0 {
					action = "drop"
				}
			}
			all = append(all, fmt.Sprintf("%s %x %s", f, b, action))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

func (p Plan) wanted() []string {
	var all []string
	for _, r := range p.Routes {
		all = append(all, fmt.Sprintf("%s %x %s", r.family, r.NLRI, r.Action()))
	}
	slices.Sort(all)
	return all
}

// same waits until the receiver has the same bytes as the plan.
func same(t *testing.T, s *server.BgpServer, p Plan) {
	t.Helper()
	want := p.wanted()
	var got []string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = received(t, s); slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("received:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// What render writes for BIRD becomes, in a real BIRD, the bytes of the plan.
func TestRenderedForBIRD(t *testing.T) {
	t.Parallel()
	programs := need(t, birdPrograms)
	for _, countOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("count only %v", countOnly), func(t *testing.T) {
			r, err := filter.Render("flowspec-bird", form(t, countOnly, func(p *acl.Policy) { p.TCP = acl.SynOnly }))
			if err != nil {
				t.Fatal(err)
			}
			ours := port(t)
			s := receiver(t, ours, 0)
			sends := "\tflow4 { table epf631_flow4; import none; export all; };\n\tflow6 { table epf631_flow6; import none; export all; };\n"
			socket := bird(t, programs, r.Texts[0].Body+birdPeer(port(t), fmt.Sprintf("port %d", ours), "\tconnect retry time 1;\n\tconnect delay time 1;\n\terror wait time 1, 2;\n"+sends))
			same(t, s, plan(t, countOnly))
			if out, err := exec.Command(programs["birdc"], "-s", socket, "disable", `"epf631_*"`).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			same(t, s, Plan{})
			undo := write(t, "back.conf", "router id 192.0.2.1;\nprotocol device { }\n"+r.Rollback[0].Body)
			if out, err := exec.Command(programs["bird"], "-p", "-c", undo).CombinedOutput(); err != nil {
				t.Errorf("the rollback: %v\n%s", err, out)
			}
		})
	}
}

// What render writes for GoBGP becomes, in a real gobgpd, the bytes of the plan.
func TestRenderedForGoBGP(t *testing.T) {
	t.Parallel()
	programs := need(t, gobgpPrograms)
	r, err := filter.Render("flowspec-gobgp", form(t, false, func(p *acl.Policy) { p.TCP = acl.SynOnly }))
	if err != nil {
		t.Fatal(err)
	}
	bgpPort := port(t)
	apiPort := gobgpd(t, programs, bgpPort)
	s := receiver(t, 0, bgpPort)
	shell := func(script string) {
		t.Helper()
		bin := write(t, "gobgp", fmt.Sprintf("#!/bin/sh\nexec %s -p %s \"$@\"\n", programs["gobgp"], apiPort))
		if err := os.Chmod(bin, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-e", write(t, "load.sh", script))
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	shell(r.Texts[0].Body)
	same(t, s, plan(t, false))
	shell(r.Rollback[0].Body)
	same(t, s, Plan{})
}
