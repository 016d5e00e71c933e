package lab_test

import (
	"net/netip"
	"strings"
	"testing"

	"ippwatch/exposure"
	"ippwatch/lab"
)

// TestVerify looks again at real daemons: one was repaired, one hides behind a
// filter, one is as it was, and a cupsd that is known to be open vouches for our
// network. That a second day is needed is shown in package verify, with a clock.
func TestVerify(t *testing.T) {
	t.Parallel()
	var networks []string
	add := func(name string, start func(h *lab.Host)) *lab.Host {
		h := lab.NewHost(t, name)
		start(h)
		networks = append(networks, h.Addr4.String())
		return h
	}
	var cups *lab.CUPS
	var browsed *lab.Daemon
	known := add("known", func(h *lab.Host) { h.CUPS(lab.Open) })
	repaired := add("repaired", func(h *lab.Host) {
		cups = h.CUPS(0)
		browsed = cups.Browsed(legacy)
	})
	hidden := add("hidden", func(h *lab.Host) { h.CUPS(0).Browsed(legacy) })
	still := add("still", func(h *lab.Host) { h.CUPS(0).Browsed(legacy) })
	o := newOperator(t, networks...)
	o.types(0, o.scan("400", patient)...)
	o.types(0, "cases", "claim", repaired.Addr4.String(), hidden.Addr4.String(), still.Addr4.String(), "--reason", "mail of today")

	browsed.Stop()
	cups.Browsed(repaired.AsShipped())
	hidden.NFT(keepsIn)
	// Who is asked over UDP alone sees no other packet of ours.
	still.NFT(`table inet count { counter asked {}; chain in { type filter hook input priority filter; iifname "eth0" meta l4proto tcp tcp flags syn / syn,ack counter name "asked"; }; }
`)
	type result struct {
		Case, State, Control, Why string
		Before                    exposure.Condition
		Verdict                   exposure.Verdict
		Exposure                  exposure.Exposure
	}
	out := o.types(3, "verify", "--state", "claimed", "--vantage", "lab", "--rate", "400", "--grace", patient, "--format", "ndjson", "--fail-on", "critical")
	type want struct {
		verdict   exposure.Verdict
		condition exposure.Condition
		contact   exposure.Contact
		why       string
	}
	wants := map[netip.Addr]want{
		repaired.Addr4: {exposure.Closed, exposure.OneClean, exposure.Claimed, "ICMP port unreachable"},
		hidden.Addr4:   {exposure.NoCallback, exposure.NotSeen, exposure.Claimed, "a second silence after"},
		still.Addr4:    {exposure.CalledBack, exposure.Confirmed, exposure.Acknowledged, "it is open"},
	}
	n := 0
	for _, r := range lines[result](t, out) {
		w, ok := wants[r.Exposure.Addr]
		if !ok {
			t.Errorf("verified %s, which nobody asked for", r.Exposure.Addr)
			continue
		}
		n++
		if r.Verdict != w.verdict || r.Exposure.Condition != w.condition || r.Exposure.Contact != w.contact || !strings.Contains(r.Why, w.why) || (r.Control == "") != (w.condition == exposure.Confirmed) {
			t.Errorf("%s %s: %s, %s, %s because %q, control %q; want %+v", r.Exposure.Addr, r.Exposure.Rule, r.Verdict, r.Exposure.Condition, r.Exposure.Contact, r.Why, r.Control, w)
		}
	}
	if n != 2*len(wants) {
		t.Errorf("%d cases were verified, want both rules of %d hosts", n, len(wants))
	}
	if count := still.Run("nft", "list", "counter", "inet", "count", "asked"); !strings.Contains(count, "packets 0 ") {
		t.Errorf("connections over TCP to a host with a case over UDP:\n%s", count)
	}
	if out := o.types(0, "asked", known.Addr4.String()); strings.Count(out, "IPP over TCP") != 2 {
		t.Errorf("the control was asked by the scan and by verify, and we say:\n%s", out)
	}
}
