package lab_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
	"ippwatch/filter"
	"ippwatch/lab"
)

// TestFilterIsVerifiedFromOutside asks through a router without the filter and
// with it: what came through before is silent after, while a control answers.
func TestFilterIsVerifiedFromOutside(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nft")
	router := lab.NewHost(t, "router")
	customer := router.Behind("customer")
	control := lab.NewHost(t, "control")
	speak(control.Listen(control.Port4(631)))
	speak(customer.Listen(customer.Port4(631)))

	o := newOperator(t, customer.Addr4.String(), customer.Addr6.String(), control.Addr4.String())
	policy := filepath.Join(o.dir, "policy.yaml")
	text := fmt.Sprintf(`profile: edge
interfaces: [eth0]
owner: noc@example.net
contact: https://www.example.net/filters
review: 2999-01-01
networks: [%s/32, "%s/128"]
log: none
`, customer.Addr4, customer.Addr6)
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	look := func(code int, args ...string) (ways map[string]filter.Way, leaks []filter.Passage) {
		t.Helper()
		out := o.types(code, append([]string{
			"filter", "verify", policy, "--scope", o.scope, "--udp", "--grace", "2s", "--timeout", "5s", "--format", "ndjson", "--control", control.Addr4.String(),
		}, args...)...)
		ways = make(map[string]filter.Way)
		for line := range strings.Lines(out) {
			var row struct {
				Way  *filter.Way
				Leak *filter.Passage
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if row.Way != nil {
				ways[row.Way.Network+" "+row.Way.Leg] = *row.Way
			} else if row.Leak != nil {
				leaks = append(leaks, *row.Leak)
			}
		}
		return ways, leaks
	}

	// Nothing filters: TCP answers over IPv4 and refuses over IPv6, and ICMP says
	// that the packet over UDP came through to where nobody listens.
	_, leaks := look(3)
	got := make(map[string]string)
	for _, l := range leaks {
		got[fmt.Sprintf("%s/%s", l.Addr, l.Transport)] = l.Rule
	}
	want := map[string]string{
		customer.Addr4.String() + "/tcp": "epf631_in_tcp", customer.Addr6.String() + "/tcp": "epf631_in_tcp", customer.Addr4.String() + "/udp": "epf631_in_udp",
	}
	for at, rule := range want {
		if got[at] != rule {
			t.Errorf("%s: leaks past %q, want %q", at, got[at], rule)
		}
	}
	if len(leaks) != len(want) {
		t.Errorf("leaks: %+v", leaks)
	}

	p, err := acl.ParsePolicy(policy, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := filter.Render("nftables", p.Form(time.Now(), false))
	if err != nil {
		t.Fatal(err)
	}
	router.NFT(rendered.Texts[0].Body)
	ways, leaks := look(0)
	if len(leaks) > 0 {
		t.Errorf("leaks: %+v", leaks)
	}
	for way, verdict := range map[string]string{
		customer.Addr4.String() + "/32 in_tcp": filter.Holds, customer.Addr4.String() + "/32 in_udp": filter.Holds,
		customer.Addr6.String() + "/128 in_tcp": filter.Holds, customer.Addr6.String() + "/128 in_udp": filter.NotApplicable,
	} {
		if w := ways[way]; w.Verdict != verdict {
			t.Errorf("%s: %+v, want %s", way, w, verdict)
		}
	}

	// When nothing vouches for our own network, silence proves nothing.
	control.NFT("table inet gone { chain in { type filter hook input priority 0; tcp dport 631 drop; }; }\n")
	ways, _ = look(1)
	if w := ways[customer.Addr4.String()+"/32 in_tcp"]; w.Verdict != filter.Unproven {
		t.Errorf("without a control: %+v", w)
	}
}

// speak answers everybody with a word, as something that is no printer.
func speak(ln net.Listener) {
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("220 hello\r\n"))
			_ = conn.Close()
		}
	}()
}
