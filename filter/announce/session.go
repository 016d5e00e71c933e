package announce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"ippwatch/acl"
)

// A Peer is who the flows are sent to.
type Peer struct {
	Addr     netip.AddrPort
	AS       uint32
	LocalAS  uint32
	RouterID netip.Addr // of ours, IPv4
	Password string     // of TCP MD5 (RFC 2385); empty: none
	Hops     uint8      // for a peer of another AS that is not next to us; 0: it is
}

// Times are how long things take.
type Times struct {
	Wait   time.Duration // for the session, the first time
	Expire time.Duration // until the flows are withdrawn
}

// ErrNoSession is for a peer that does not answer, or that takes no FlowSpec.
var ErrNoSession = errors.New("no BGP session")

// Announce sends the routes and keeps them until they expire or the context
// ends; then it withdraws them and closes the session. When the process ends
// otherwise, the session ends with it, and the peer drops what came from it: no
// graceful restart is offered. said is told of what happens.
func (p Plan) Announce(ctx context.Context, peer Peer, times Times, said func(string)) error {
	bgpServer := server.NewBgpServer(server.LoggerOption(slog.New(slog.NewTextHandler(io.Discard, nil)), nil))
	serving := make(chan struct{})
	go func() {
		bgpServer.Serve()
		close(serving)
	}()
	defer func() {
		bgpServer.Stop()
		<-serving
	}()
	s := session{server: bgpServer, peer: peer, plan: p, states: make(chan apiutil.PeerState, 64)}
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.established(ctx, times.Wait); err != nil {
		return err
	}
	said(fmt.Sprintf("%d flows are announced to %s for %s", len(p.Routes), peer.Addr.Addr(), times.Expire))
	end := time.NewTimer(times.Expire)
	defer end.Stop()
	for {
		select {
		case state := <-s.states:
			switch state.SessionState {
			case bgp.BGP_FSM_ESTABLISHED:
				said("the session is back: the flows are announced again")
			case bgp.BGP_FSM_IDLE:
				said("the session is lost: the peer has dropped the flows; connecting again")
			}
			continue
		case <-end.C:
			said("the flows have expired")
		case <-ctx.Done():
		}
		break
	}
	err := s.withdraw()
	said("the flows are withdrawn")
	return err
}

type session struct {
	server *server.BgpServer
	peer   Peer
	plan   Plan
	states chan apiutil.PeerState
	last   apiutil.PeerState
}

// families are those of which there are routes.
func (s *session) families() []bgp.Family {
	var all []bgp.Family
	for _, r := range s.plan.Routes {
		if !slices.Contains(all, r.family) {
			all = append(all, r.family)
		}
	}
	return all
}

// open starts a speaker that listens to nobody, fills its table and connects.
func (s *session) open(ctx context.Context) error {
	global := &api.Global{Asn: s.peer.LocalAS, RouterId: s.peer.RouterID.String(), ListenPort: -1}
	if err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: global}); err != nil {
		return fmt.Errorf("start BGP: %w", err)
	}
	err := s.server.WatchEvent(ctx, server.WatchEventMessageCallbacks{OnPeerUpdate: func(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
		select {
		case s.states <- e.Peer.State:
		default: // nobody looks any more
		}
	}}, server.WatchPeer())
	if err != nil {
		return fmt.Errorf("watch BGP: %w", err)
	}
	for _, r := range s.plan.Routes {
		attrs, err := r.attributes()
		if err != nil {
			return err
		}
		path := &apiutil.Path{Family: r.family, Nlri: r.path, Attrs: attrs}
		if _, err := s.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}}); err != nil {
			return fmt.Errorf("%s: %w", r.Flow, err)
		}
	}
	neighbor := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: s.peer.Addr.Addr().String(), PeerAsn: s.peer.AS, AuthPassword: s.peer.Password},
		Transport: &api.Transport{RemotePort: uint32(s.peer.Addr.Port())},
		Timers:    &api.Timers{Config: &api.TimersConfig{ConnectRetry: 5, HoldTime: 90, KeepaliveInterval: 30, IdleHoldTimeAfterReset: 5}},
	}
	if s.peer.Hops > 0 {
		neighbor.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(s.peer.Hops)}
	}
	for _, f := range s.families() {
		neighbor.AfiSafis = append(neighbor.AfiSafis, &api.AfiSafi{Config: &api.AfiSafiConfig{Family: apiutil.ToApiFamily(f.Afi(), f.Safi()), Enabled: true}})
	}
	if err := s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: neighbor}); err != nil {
		return fmt.Errorf("peer %s: %w", s.peer.Addr, err)
	}
	return nil
}

func (r Route) attributes() ([]bgp.PathAttributeInterface, error) {
	reach, err := bgp.NewPathAttributeMpReachNLRI(r.family, []bgp.PathNLRI{{NLRI: r.path}}, netip.Addr{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Flow, err)
	}
	attrs := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(0), reach}
	if r.Drop {
		attrs = append(attrs, bgp.NewPathAttributeExtendedCommunities([]bgp.ExtendedCommunityInterface{bgp.NewTrafficRateExtended(0, 0)}))
	}
	return attrs, nil
}

// established waits for the session, and looks whether the peer takes flows.
func (s *session) established(ctx context.Context, wait time.Duration) error {
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for {
		select {
		case state := <-s.states:
			s.last = state
			if state.SessionState != bgp.BGP_FSM_ESTABLISHED {
				continue
			}
			for _, f := range s.families() {
				if !takes(state.RemoteCap, f) {
					return fmt.Errorf("%w: %s takes no %s", ErrNoSession, s.peer.Addr, map[bgp.Family]string{bgp.RF_FS_IPv4_UC: acl.V4.String() + " flows", bgp.RF_FS_IPv6_UC: acl.V6.String() + " flows"}[f])
				}
			}
			return nil
		case <-patience.C:
			why := ""
			if m := strings.TrimSpace(s.last.DisconnectMessage); m != "" {
				why = ": " + m
			}
			return fmt.Errorf("%w with %s within %s%s", ErrNoSession, s.peer.Addr, wait, why)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func takes(caps []bgp.ParameterCapabilityInterface, f bgp.Family) bool {
	return slices.ContainsFunc(caps, func(c bgp.ParameterCapabilityInterface) bool {
		m, ok := c.(*bgp.CapMultiProtocol)
		return ok && m.CapValue == f
	})
}

// withdraw takes every route back. The session is closed right behind it, which
// says the same once more.
func (s *session) withdraw() error {
	var all []*apiutil.Path
	for _, r := range s.plan.Routes {
		attrs, err := r.attributes()
		if err != nil {
			return err
		}
		all = append(all, &apiutil.Path{Family: r.family, Nlri: r.path, Attrs: attrs, Withdrawal: true})
	}
	return s.server.DeletePath(apiutil.DeletePathRequest{Paths: all})
}
