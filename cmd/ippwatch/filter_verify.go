package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/acl"
	"ippwatch/answer"
	"ippwatch/exposure"
	"ippwatch/filter"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
)

type outsideFlags struct {
	scan     scanFlags
	from     []string
	controls []string
}

func (s *street) filterVerify() *cobra.Command {
	f := &outsideFlags{}
	cmd := &cobra.Command{
		Use:   "verify POLICY --scope FILE [TARGET...]",
		Short: "Look from outside whether a filter does what its policy says",
		Long: `Verify asks the networks of a policy from here, as a scan does, and says of every
network what should be dropped and what came through; each leak names the rule that
should have caught it. An answer is a leak, and so is a refusal: the packet came
through. Silence proves something only while another host answers: one that the
policy lets pass, or a --control.

Run it from an address that no exception names, or it would say what the scanner
sees and not what the world sees; it refuses. IPv6 networks are too large to be
walked: hosts with cases in them are asked, and those that are named as TARGET or in
--targets. Over UDP it asks with --udp and --callback, as a scan does.

It exits with 3 if something came through, and with 1 if nothing was proven.`,
		Example: `  ippwatch filter verify policy.yaml --scope scope.yaml
  ippwatch filter verify policy.yaml --scope scope.yaml --udp --callback 192.0.2.7:6310
  ippwatch filter verify policy.yaml --scope scope.yaml --control 203.0.113.9 2001:db8:100::25`,
		ValidArgsFunction: completePolicy,
	}
	cmd.Args = cobra.ArbitraryArgs // a missing POLICY is told with the others
	cmd.RunE = do(func(ctx context.Context, args []string) error { return s.verifyFilter(ctx, f, args) })
	all := pflag.NewFlagSet("scan", pflag.ContinueOnError)
	f.scan.bind(all)
	f.scan.flags = all
	fl := cmd.Flags()
	for _, name := range []string{"scope", "targets", "udp", "callback", "grace", "rate", "per-network", "concurrency", "timeout", "vantage", "mmdb", "asn", "rdns"} {
		fl.AddFlag(all.Lookup(name))
	}
	fl.StringArrayVar(&f.from, "from", nil, "our address as the networks see it, if a translator changes it; one of each family")
	fl.StringArrayVar(&f.controls, "control", nil, "address of a host that should answer at the same port, in the scope; repeats; default: what the exceptions let pass")
	_ = cmd.MarkFlagFilename("scope", "yaml", "yml")
	return cmd
}

func (s *street) verifyFilter(ctx context.Context, f *outsideFlags, args []string) error {
	if len(args) == 0 {
		return usage("filter verify: POLICY is missing")
	}
	if f.scan.scope == "" {
		return hint(usage("filter verify needs --scope FILE"), "ippwatch scope init > scope.yaml writes a scope file")
	}
	p, err := s.policy(args[0])
	if err != nil {
		return err
	}
	v := &filter.Outside{Policy: p, Form: p.Form(s.now(), false), From: make(map[acl.Family]netip.Addr)}
	if err := f.whence(v); err != nil {
		return err
	}
	if rule, from := v.Excepted(); rule != "" {
		return hint(fmt.Errorf("the policy excepts our own address %s (rule %s): from here, closed cannot be told from open", from, rule),
			"verify from an address that no exception names; --from says which it is behind a translator")
	}
	for _, port := range p.Ports {
		f.scan.ports = append(f.scan.ports, uint(port))
	}
	f.scan.ports = f.scan.ports[1:] // the default of a scan
	f.scan.udpPort, f.scan.all, v.UDP = p.Ports[0], true, f.scan.udp
	return s.with(ctx, func(h *house) error {
		targets, err := s.filterTargets(ctx, h, f, p, args[1:])
		if err != nil {
			return err
		}
		if err := f.scan.check(nil); err != nil {
			return err
		}
		run, err := s.newRun(ctx, h, &f.scan, targets)
		if err != nil {
			return err
		}
		if err := s.listen(ctx, h, f, run, v); err != nil {
			return err
		}
		return s.showOutside(v)
	})
}

// whence finds our own address in each family.
func (f *outsideFlags) whence(v *filter.Outside) error {
	for _, word := range f.from {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return usage("--from %q: want an address", word)
		}
		v.From[family(a)] = a
	}
	for _, n := range v.Policy.Networks {
		if v.From[family(n.Addr())].IsValid() {
			continue
		}
		// Nothing is sent: connecting a UDP socket only asks the routes.
		conn, err := net.Dial("udp", netip.AddrPortFrom(n.Addr(), 9).String()) //nolint:noctx // does not wait
		if err != nil {
			continue // no route: the networks of this family will be not asked
		}
		if at, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			v.From[family(n.Addr())] = at.AddrPort().Addr().Unmap()
		}
		_ = conn.Close()
	}
	return nil
}

func family(a netip.Addr) acl.Family {
	if a.Is4() {
		return acl.V4
	}
	return acl.V6
}

// filterTargets are the networks that can be walked, the hosts in the others that
// are known, and the controls.
func (s *street) filterTargets(ctx context.Context, h *house, f *outsideFlags, p acl.Policy, named []string) ([]string, error) {
	var targets []string
	add := func(words ...string) {
		for _, w := range words {
			if !slices.Contains(targets, w) {
				targets = append(targets, w)
			}
		}
	}
	for _, c := range f.controls {
		a, err := netip.ParseAddr(c)
		if err != nil {
			return nil, usage("--control %q: want an address", c)
		}
		add(a.String())
	}
	within := func(a netip.Addr) bool {
		return slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	for _, word := range named {
		t, err := space.Parse(word)
		if err != nil {
			return nil, answer.Misuse(err)
		}
		if !within(t.Addr()) {
			return nil, usage("TARGET %s is in none of the networks of the policy", word)
		}
		add(t.String())
	}
	if len(named) > 0 || f.scan.targets != "" {
		return targets, nil
	}
	for _, n := range p.Networks {
		if n.Addr().Is4() || n.Bits() >= 112 {
			add(n.String())
		}
	}
	for _, e := range p.Exceptions {
		for _, to := range e.To {
			if to.IsSingleIP() && to.Addr().Is6() {
				add(to.Addr().String())
			}
		}
	}
	for e, err := range h.store.Exposures(ctx, s.view(), store.Filter{}) {
		if err != nil {
			return nil, err
		}
		if e.Addr.Is6() && within(e.Addr) {
			add(e.Addr.String())
		}
	}
	if len(targets) == 0 {
		return nil, hint(errors.New("no host is known to ask: IPv6 networks are too large to be walked"), "name hosts as TARGET, or in a file with --targets")
	}
	return targets, nil
}

// listen makes the run and lets the policy hear what comes back.
func (s *street) listen(ctx context.Context, h *house, f *outsideFlags, run exposure.Run, v *filter.Outside) error {
	scan, done, err := s.newScan(ctx, h, &f.scan, run)
	if err != nil {
		return err
	}
	defer done()
	scan.Emit = func(batch []exposure.Observation) error {
		for _, o := range batch {
			v.Hear(o)
		}
		return nil
	}
	if err := scan.Begin(ctx); err != nil {
		return err
	}
	s.Note("run %s: %s, authorised by %s", run.ID, screen.Count(int(scan.Total()), "target", "targets"), screen.Printable(run.AuthorisedBy))
	if _, err := scan.Do(ctx); err != nil {
		if ctx.Err() != nil {
			err = hint(errStopped, "what was heard is kept; ask again")
		}
		return err
	}
	return nil
}

// outsideRow is a way, or a passage through one.
type outsideRow struct {
	Kind string          `json:"kind"` // network or leak
	Way  *filter.Way     `json:"way,omitempty"`
	Leak *filter.Passage `json:"leak,omitempty"`
}

func (s *street) showOutside(v *filter.Outside) error {
	ways, passages := v.Judge()
	var rows []outsideRow
	for i := range ways {
		rows = append(rows, outsideRow{Kind: "network", Way: &ways[i]})
	}
	for i := range passages {
		rows = append(rows, outsideRow{Kind: "leak", Leak: &passages[i]})
	}
	if err := s.showOutsideRows(rows, ways, passages); err != nil {
		return err
	}
	unproven := slices.DeleteFunc(ways, func(w filter.Way) bool { return w.Verdict == filter.Holds || w.Verdict == filter.NotApplicable })
	switch {
	case len(passages) > 0:
		return errFound
	case len(unproven) > 0:
		w := unproven[0]
		return fmt.Errorf("not proven: %s %s: %s", w.Network, w.Leg, w.Why)
	}
	return nil
}

func (s *street) showOutsideRows(rows []outsideRow, ways []filter.Way, passages []filter.Passage) error {
	if s.Format == "table" {
		list := screen.Listing[filter.Way]{
			Columns: []string{"network", "leg", "verdict", "asked", "silent", "came_through", "excepted", "why"},
			Cells: func(w filter.Way) []string {
				return []string{w.Network, w.Leg, w.Verdict, fmt.Sprint(w.Asked), fmt.Sprint(w.Silent), fmt.Sprint(w.Leaked), fmt.Sprint(w.Except), w.Why}
			},
			Empty: "the policy drops nothing that comes in",
		}
		if err := list.Show(&s.Screen, ways); err != nil || len(passages) == 0 {
			return err
		}
		fmt.Fprintln(s.Out)
		return screen.Listing[filter.Passage]{
			Columns: []string{"came_through", "verdict", "rule_that_should_have_caught_it", "meaning"},
			Cells: func(p filter.Passage) []string {
				return []string{fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.Addr, p.Port), p.Transport), string(p.Verdict), p.Rule, p.Meaning}
			},
		}.Show(&s.Screen, passages)
	}
	return screen.Listing[outsideRow]{
		Columns: []string{"kind", "network", "leg", "rule", "verdict", "asked", "silent", "leaked", "excepted", "ip", "port", "transport", "why"},
		Cells: func(r outsideRow) []string {
			if w := r.Way; w != nil {
				return []string{r.Kind, w.Network, w.Leg, w.Rule, w.Verdict, fmt.Sprint(w.Asked), fmt.Sprint(w.Silent), fmt.Sprint(w.Leaked), fmt.Sprint(w.Except), "", "", "", w.Why}
			}
			p := r.Leak
			return []string{r.Kind, p.Network, "", p.Rule, string(p.Verdict), "", "", "", "", p.Addr.String(), fmt.Sprint(p.Port), string(p.Transport), p.Meaning}
		},
	}.Show(&s.Screen, rows)
}

// covered tells of a case which proven filter closes it from outside: a policy,
// and what runs at its interfaces.
func (s *street) covered(policy string, running, from []string) (func(exposure.Exposure) string, error) {
	if policy == "" && len(running) == 0 {
		return nil, nil
	}
	if policy == "" || len(running) == 0 {
		return nil, usage("--policy and --running belong together: what should be dropped, and what is in use")
	}
	p, err := s.policy(policy)
	if err != nil {
		return nil, err
	}
	form := p.Form(s.now(), false)
	outside := &filter.Outside{Policy: p, Form: form, From: make(map[acl.Family]netip.Addr)}
	if err := (&outsideFlags{from: from}).whence(outside); err != nil {
		return nil, err
	}
	if rule, own := outside.Excepted(); rule != "" {
		return nil, hint(fmt.Errorf("%s excepts our own address %s (rule %s): silence here does not show its filter", policy, own, rule),
			"verify from an address that no exception names; --from says which it is behind a translator")
	}
	var seen []filter.Seen
	for _, side := range running {
		platform, _, ok := strings.Cut(side, ":")
		if !ok || !filter.Has(platform) {
			return nil, usage("--running %q: want PLATFORM:FILE with a platform of %s", side, strings.Join(filter.Names(), ", "))
		}
		more, err := s.side(side, form.At)
		if err != nil {
			return nil, err
		}
		seen = append(seen, more...)
	}
	for _, one := range seen {
		if n := len(one.Unverified); n > 0 {
			s.Note("%s of %s not understood, the first is %s: it proves nothing", screen.Count(n, "line", "lines"), strings.Join(running, ", "), screen.Printable(filter.Unread(one.Unverified[0])))
		}
	}
	return func(e exposure.Exposure) string {
		rule, ok := filter.Covers(form, seen, e.Addr, e.Port, e.Transport)
		if !ok {
			return ""
		}
		return fmt.Sprintf("the filter %s (rule %s of %s) is proven in %s", p.Name, rule, policy, strings.Join(running, ", "))
	}, nil
}
