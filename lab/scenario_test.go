package lab_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/grab"
	"ippwatch/lab"
	"ippwatch/rule"
)

// anywhere is the scope of the lab, which has no way out.
type anywhere struct{}

func (anywhere) Allow(netip.Addr, time.Time) error { return nil }

// TestGrabOfRealServers holds the conversation of a scan with each kind of
// server, over both families, and judges it.
func TestGrabOfRealServers(t *testing.T) {
	t.Parallel()
	queues := func(c *lab.CUPS) {
		c.SharedQueue("office", "socket://192.0.2.9:9100", "-L", "Room 12")
		c.PrivateQueue("boss", "usb://Example/Printer?serial=VNF123")
	}
	// What every cupsd says that lists a queue.
	lists := []string{"anonymous-print", "leaks-internal-address", "leaks-people", "open-cups", "open-ipp", "reported-cups-version"}
	tests := []struct {
		name     string
		start    func(h *lab.Host)
		admin    bool
		onlyTLS  bool
		verdict  exposure.Verdict
		status   exposure.StatusCode
		server   string // product token
		printers []string
		rules    []string
	}{
		{
			name:    "cupsd as shipped",
			start:   func(h *lab.Host) { queues(h.CUPS(0)) },
			verdict: exposure.Closed,
			rules:   []string{},
		},
		{
			name:     "cupsd open, with a shared queue and one that is not",
			start:    func(h *lab.Host) { queues(h.CUPS(lab.Open)) },
			server:   "CUPS/2.4",
			verdict:  exposure.Answered,
			printers: []string{"office"},
			rules:    lists,
		},
		{
			name:    "cupsd open, with no shared queue",
			start:   func(h *lab.Host) { h.CUPS(lab.Open).PrivateQueue("boss", "usb://Example/Printer") },
			server:  "CUPS/2.4",
			verdict: exposure.Answered,
			rules:   []string{"open-ipp"},
		},
		{
			name:    "cupsd open, without queues",
			start:   func(h *lab.Host) { h.CUPS(lab.Open) },
			server:  "CUPS/2.4",
			verdict: exposure.Answered,
			status:  0x0406,
			rules:   []string{"open-ipp"},
		},
		{
			name:    "cupsd that denies by default",
			start:   func(h *lab.Host) { queues(h.CUPS(lab.Denied)) },
			server:  "CUPS/2.4",
			verdict: exposure.Restricted,
			rules:   []string{"ipp-restricted", "reported-cups-version"},
		},
		{
			name:     "cupsd that tells its tokens in full",
			start:    func(h *lab.Host) { queues(h.CUPS(lab.Open | lab.FullTokens)) },
			server:   "CUPS/2.4.2",
			verdict:  exposure.Answered,
			printers: []string{"office"},
			rules:    lists,
		},
		{
			name:     "cupsd over TLS only",
			start:    func(h *lab.Host) { queues(h.CUPS(lab.Open | lab.OnlyTLS)) },
			onlyTLS:  true,
			server:   "CUPS/2.4",
			verdict:  exposure.Answered,
			printers: []string{"office"},
			rules:    lists,
		},
		{
			name: "cupsd with an expired certificate",
			start: func(h *lab.Host) {
				h.CUPS(lab.Open).Certificate(selfSigned(t, h.Name, time.Date(2020, time.January, 31, 0, 0, 0, 0, time.UTC)))
			},
			server:  "CUPS/2.4",
			verdict: exposure.Answered,
			status:  0x0406,
			rules:   []string{"expired-or-weak-certificate", "open-ipp"},
		},
		{
			name:     "cupsd with open administration",
			start:    func(h *lab.Host) { queues(h.CUPS(lab.OpenAdmin)) },
			admin:    true,
			server:   "CUPS/2.4",
			verdict:  exposure.Answered,
			printers: []string{"office"},
			rules: []string{
				"admin-pages", "anonymous-print", "config-disclosed", "leaks-internal-address", "leaks-people",
				"log-disclosed", "open-cups", "open-ipp", "reported-cups-version",
			},
		},
		{
			name:     "ippeveprinter",
			start:    func(h *lab.Host) { h.Avahi(); h.Eve() },
			server:   "CUPS/2.4.2",
			verdict:  exposure.Answered,
			printers: []string{"Lab Printer"},
			rules:    []string{"anonymous-print", "open-ipp", "reported-cups-version"},
		},
		{
			name: "ippeveprinter with authentication",
			// It guards its pages and its jobs, and describes itself to anybody.
			start:    func(h *lab.Host) { h.Avahi(); h.Eve("-A") },
			server:   "CUPS/2.4.2",
			verdict:  exposure.Answered,
			printers: []string{"Lab Printer"},
			rules:    []string{"open-ipp", "reported-cups-version"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "printhost")
			tt.start(h)
			// A cupsd makes its certificate during the first handshake, and its pages
			// with programs that it starts.
			patient := grab.Limits{FirstByte: time.Minute, Handshake: time.Minute}
			g := grab.New(grab.Options{Run: "lab", Vantage: "lab", Admin: tt.admin, Gate: anywhere{}, Limits: patient})
			for _, at := range []netip.AddrPort{h.Port4(631), h.Port6(631)} {
				o := g.Grab(t.Context(), at)
				if o.Verdict != tt.verdict {
					t.Errorf("Grab(%s): %s (%s), want %s", at, o.Verdict, o.Reason, tt.verdict)
				}
				var names []string
				for _, p := range o.Printers {
					names = append(names, p.Get("printer-name"))
				}
				if !slices.Equal(names, tt.printers) {
					t.Errorf("Grab(%s): printers %q, want %q", at, names, tt.printers)
				}
				rules := []string{}
				for _, f := range rule.Judge(&o) {
					rules = append(rules, f.Rule)
				}
				slices.Sort(rules)
				if diff := cmp.Diff(tt.rules, rules); diff != "" {
					t.Errorf("findings of %s (-want +got):\n%s", at, diff)
				}
			}
		})
	}
}
