package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/filter/announce"
	"ippwatch/screen"
)

type announceFlags struct {
	peer, routerID, passwordFile string
	peerAS, as                   uint32
	hops                         uint8
	own                          []string
	most                         int
	expire, wait                 time.Duration
	enforce, send                bool
}

// The bounds of --expire: nobody remembers an announcement for longer.
const (
	leastExpire = time.Minute
	mostExpire  = 30 * 24 * time.Hour
	bgpPort     = 179
)

func (s *street) filterAnnounce() *cobra.Command {
	f := &announceFlags{}
	cmd := &cobra.Command{
		Use:   "announce POLICY",
		Short: "Announce the filter of a policy as BGP FlowSpec, for a while",
		Long: `Announce turns the policy into FlowSpec routes (RFC 8955, RFC 8956), decodes their
bytes again and proves that they do what the policy says. It shows them and sends
nothing; with --send it opens a BGP session to the peer, announces them, and stays
until they expire or it is interrupted; then it withdraws them. If it dies, the
session dies with it, and the peer drops what it was sent.

Every route has to be within the prefixes that --own names, which are yours: a
mistake here makes packets vanish in all of your network. Without --enforce the
routes let pass what they match, and routers count it: begin with that.

Routes have no direction. What they match is dropped wherever it arrives at an
interface with FlowSpec, also between your own networks.`,
		Example: `  ippwatch filter announce --own 198.51.100.0/24 --own 2001:db8:100::/48 policy.yaml
  ippwatch filter announce --own 198.51.100.0/24 --own 2001:db8:100::/48 --enforce \
    --peer 192.0.2.1 --peer-as 64500 --as 64500 --router-id 192.0.2.10 --expire 4h --send policy.yaml`,
		Args:              wants("POLICY"),
		ValidArgsFunction: completePolicy,
		RunE:              do(func(ctx context.Context, args []string) error { return s.announce(ctx, f, args[0]) }),
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.own, "own", nil, "prefix that you originate; repeats; a route outside of all of them is refused")
	fl.IntVar(&f.most, "max-routes", 100, "refuse to announce more routes than this")
	fl.BoolVar(&f.enforce, "enforce", false, "drop; otherwise what would be dropped is only counted by the routers")
	fl.BoolVar(&f.send, "send", false, "announce; otherwise the routes are only shown")
	fl.DurationVar(&f.expire, "expire", time.Hour, "withdraw after this time")
	fl.DurationVar(&f.wait, "wait", 30*time.Second, "give up if there is no session after this time")
	fl.StringVar(&f.peer, "peer", "", "address of the BGP peer, with a port if it is not 179")
	fl.Uint32Var(&f.peerAS, "peer-as", 0, "its AS number")
	fl.Uint32Var(&f.as, "as", 0, "AS number of this side")
	fl.StringVar(&f.routerID, "router-id", "", "router ID of this side, an IPv4 address")
	fl.StringVar(&f.passwordFile, "password-file", "", "file with the password of the session (TCP MD5)")
	fl.Uint8Var(&f.hops, "hops", 0, "how far away a peer of another AS may be; default: next to this host")
	return cmd
}

func (s *street) announce(ctx context.Context, f *announceFlags, file string) error {
	own, err := f.prefixes()
	if err != nil {
		return err
	}
	if f.expire < leastExpire || f.expire > mostExpire {
		return usage("--expire %s: want between %s and %s", f.expire, leastExpire, mostExpire)
	}
	if f.most < 1 {
		return usage("--max-routes %d: want at least 1", f.most)
	}
	var peer announce.Peer
	if f.send {
		if peer, err = s.bgpPeer(f); err != nil {
			return err
		}
	}
	p, err := s.policy(file)
	if err != nil {
		return err
	}
	plan, err := announce.New(p.Form(s.now(), !f.enforce), own, f.most)
	if err != nil {
		return explainAnnounce(err)
	}
	if err := s.showRoutes(plan); err != nil {
		return err
	}
	for _, n := range plan.Notes {
		s.Note("%s", n)
	}
	routes := screen.Count(len(plan.Routes), "route", "routes")
	if !f.send {
		s.Note("dry run: %s, none was sent; --send announces them for %s", routes, f.expire)
		return nil
	}
	err = plan.Announce(ctx, peer, announce.Times{Wait: f.wait, Expire: f.expire}, func(what string) { s.Note("%s", what) })
	if errors.Is(err, announce.ErrNoSession) {
		return hint(err, "the peer needs this host as a neighbor, with the families IPv4 and IPv6 FlowSpec; nothing was announced")
	}
	return err
}

func (f *announceFlags) prefixes() ([]netip.Prefix, error) {
	if len(f.own) == 0 {
		return nil, hint(usage("--own is missing"), "name the prefixes that you originate: a route outside of them is refused")
	}
	var own []netip.Prefix
	for _, word := range f.own {
		p, err := netip.ParsePrefix(word)
		if err != nil || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() {
			return nil, usage("--own %q: want a prefix without host bits, such as 198.51.100.0/24", word)
		}
		own = append(own, p)
	}
	return own, nil
}

// bgpPeer reads what only a session needs.
func (s *street) bgpPeer(f *announceFlags) (announce.Peer, error) {
	peer := announce.Peer{AS: f.peerAS, LocalAS: f.as, Hops: f.hops}
	for _, one := range []struct {
		flag    string
		missing bool
	}{{"peer", f.peer == ""}, {"peer-as", f.peerAS == 0}, {"as", f.as == 0}, {"router-id", f.routerID == ""}} {
		if one.missing {
			return peer, usage("--%s is missing: a BGP session needs it", one.flag)
		}
	}
	var err error
	if peer.Addr, err = netip.ParseAddrPort(f.peer); err != nil {
		addr, fault := netip.ParseAddr(f.peer)
		if fault != nil {
			return peer, usage("--peer %q: want an address, such as 192.0.2.1 or [2001:db8::1]:1790", f.peer)
		}
		peer.Addr = netip.AddrPortFrom(addr, bgpPort)
	}
	peer.RouterID, err = netip.ParseAddr(f.routerID)
	if err != nil || !peer.RouterID.Is4() || peer.RouterID.IsUnspecified() {
		return peer, usage("--router-id %q: want an IPv4 address of this host", f.routerID)
	}
	if f.hops != 0 && f.as == f.peerAS {
		return peer, usage("--hops is for a peer of another AS")
	}
	if f.wait <= 0 || f.wait > math.MaxInt32*time.Second {
		return peer, usage("--wait %s: want a time", f.wait)
	}
	if f.passwordFile != "" {
		b, err := s.readFile(f.passwordFile)
		if err != nil {
			return peer, fmt.Errorf("read password: %w", err)
		}
		peer.Password = strings.TrimSpace(string(b))
	}
	return peer, nil
}

func explainAnnounce(err error) error {
	switch {
	case errors.Is(err, announce.ErrForeign):
		return hint(err, "the networks of the policy, or --own, are not what you meant")
	case errors.Is(err, announce.ErrMany):
		return hint(err, "--max-routes N allows more, if the routers have room; fewer exceptions need fewer")
	}
	return explainRender(err)
}

type routeRow struct {
	Rule   string `json:"rule"`
	Flow   string `json:"flow"`
	Action string `json:"action"`
	NLRI   string `json:"nlri"`
}

func (s *street) showRoutes(plan announce.Plan) error {
	var rows []routeRow
	for _, r := range plan.Routes {
		rows = append(rows, routeRow{r.Rule, r.String(), r.Action(), fmt.Sprintf("%x", r.NLRI)})
	}
	return screen.Listing[routeRow]{
		Columns: []string{"rule", "flow", "action", "nlri"},
		Cells:   func(r routeRow) []string { return []string{r.Rule, r.Flow, r.Action, r.NLRI} },
	}.Show(&s.Screen, rows)
}
