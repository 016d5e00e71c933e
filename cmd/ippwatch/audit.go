package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/audit"
	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/verify"
)

// theFuture is how far the clock of an audited host may be ahead of ours.
const theFuture = 10 * time.Minute

func (s *street) auditCommand() *cobra.Command {
	var ports []uint
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look at this host from inside: what listens at the ports of print services",
		Long: `Audit shows what listens on this host at the ports of print services, for whom, and
which program it is (as root: of all users). It asks nobody and changes nothing.
Whoever cares for the cases takes it as evidence: an audit in which nothing listens
any more counts like a clean probe with a control, and two that are a day apart fix
a case. It sees its own network namespace only, and no firewall.`,
		Example: `  sudo ippwatch audit
  sudo ippwatch audit --format json > printserver.json
  ippwatch verify --audit printserver.json`,
		Args: cobra.NoArgs,
		RunE: do(func(context.Context, []string) error { return s.auditHost(ports) }),
	}
	cmd.Flags().UintSliceVar(&ports, "port", []uint{631}, "port to look at; repeats")
	_ = cmd.RegisterFlagCompletionFunc("port", cobra.NoFileCompletions)
	return cmd
}

func (s *street) auditHost(ports []uint) error {
	if runtime.GOOS != "linux" {
		return errors.New("audit reads /proc, which only Linux has")
	}
	var wanted []uint16
	for _, p := range ports {
		if p < 1 || p > 65535 {
			return usage("--port %d: want 1 to 65535", p)
		}
		wanted = append(wanted, uint16(p))
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("list the addresses of this host: %w", err)
	}
	var addresses []netip.Addr
	for _, i := range interfaces {
		if p, err := netip.ParsePrefix(i.String()); err == nil {
			addresses = append(addresses, p.Addr())
		}
	}
	r, err := audit.Look(os.DirFS("/proc"), hostname(), addresses, wanted, s.now())
	if err != nil {
		return err
	}
	return s.listening(r)
}

// listening shows a report: in JSON as a whole, since that is what is handed on.
func (s *street) listening(r audit.Report) error {
	if s.Format == "json" || s.Format == "ndjson" {
		return s.Document(r)
	}
	return screen.Listing[audit.Listener]{
		Columns: []string{"address", "port", "transport", "for", "program"},
		Cells: func(l audit.Listener) []string {
			return []string{l.Addr.String(), fmt.Sprint(l.Port), string(l.Transport), audience(l), l.Program}
		},
		Empty: "nothing listens at these ports",
	}.Show(&s.Screen, r.Listeners)
}

func audience(l audit.Listener) string {
	switch {
	case l.Local():
		return "this host alone"
	case l.Addr.IsUnspecified():
		return "everybody whom no filter stops"
	}
	return "everybody who reaches this address"
}

// weigh looks at cases by what an audit saw.
func (s *street) weigh(ctx context.Context, h *house, f *verifyFlags, args []string) ([]verify.Result, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := os.Open(f.audit)
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	defer file.Close()
	r, err := audit.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.audit, err)
	}
	if ahead := r.At.Sub(s.now()); ahead > theFuture {
		return nil, hint(fmt.Errorf("%s: it was made %s from now", f.audit, ahead.Round(time.Minute)), "set the clock of %s and audit again", screen.Printable(r.Host))
	}
	cases, err := s.audited(ctx, h, f, r, args)
	if err != nil {
		return nil, err
	}
	closed, open, err := weighed(r, cases, s.now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.audit, err)
	}
	if _, err := h.archive.Append(ctx, closed); err != nil {
		return nil, err
	}
	if err := h.count(ctx); err != nil {
		return nil, err
	}
	v := &verify.Verifier{Store: h.store, Cases: h.tracker(), Rules: book{}, After: f.after, Now: func() time.Time { return s.now().UTC() }}
	return v.Weigh(ctx, s.view(), cases, closed, open)
}

// audited are the cases that are named, or those at the host's addresses.
func (s *street) audited(ctx context.Context, h *house, f *verifyFlags, r audit.Report, args []string) ([]exposure.Exposure, error) {
	if len(args) > 0 || f.cases.state != "" {
		return s.toVerify(ctx, h, f, args)
	}
	var doors []netip.AddrPort
	for _, a := range r.Addresses {
		for _, p := range r.Ports {
			doors = append(doors, netip.AddrPortFrom(a, p))
		}
	}
	all, err := h.store.ExposuresAt(ctx, s.view(), doors...)
	if err != nil {
		return nil, err
	}
	var cases []exposure.Exposure
	for _, e := range all {
		if e.Work() {
			cases = append(cases, e)
		}
	}
	if len(cases) == 0 {
		s.Note("no case is open at an address of %s; behind a router, name the cases", screen.Printable(r.Host))
	}
	return cases, nil
}

// weighed says of each door whether something listens there.
func weighed(r audit.Report, cases []exposure.Exposure, now time.Time) (closed []exposure.Observation, open map[verify.Door]string, err error) {
	open = make(map[verify.Door]string)
	done := make(map[verify.Door]bool)
	for _, e := range cases {
		door := verify.DoorOf(e.Key)
		if done[door] {
			continue
		}
		done[door] = true
		if !r.Covers(e.Port) {
			return nil, nil, fmt.Errorf("it does not tell of port %d, where case %s is: audit with --port %d", e.Port, e.Case(), e.Port)
		}
		if l, listens := r.Listens(e.Addr, e.Transport, e.Port); listens {
			open[door] = screen.Printable(l.String())
		} else {
			closed = append(closed, r.Closed(e.Addr, e.Transport, e.Port, now.UTC()))
		}
	}
	return closed, open, nil
}
