package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/acl"
	"ippwatch/exposure"
	"ippwatch/filter"
	"ippwatch/people/lease"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/track"
)

type filterCustomersFlags struct {
	ask            customerFlags
	cases          caseFlags
	interfaces     []string
	owner, contact string
	out            string
}

func (s *street) filterCustomers() *cobra.Command {
	f := &filterCustomersFlags{}
	cmd := &cobra.Command{
		Use:   "customers [CUSTOMER]",
		Short: "Write a policy for each customer who has open cases",
		Long: `Customers writes policies of the profile customer-edge, whose networks are the hosts
with open cases: the filter closes what is open, and nothing else of the customer. Who
has an address is taken from the leases (ippwatch customers import); with --for, the
hosts of one constituent are one policy. Cases whose customer is not known are told
and left out.`,
		Example: `  ippwatch filter customers --interface cust0 --out policies
  ippwatch filter customers C-4711 --interface ge-0/0/7 > policy.yaml
  ippwatch filter customers --for university --interface xe-0/0/1`,
		Args: wants("[CUSTOMER]"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error { return s.customerPolicies(ctx, h, f, args) })
		}),
	}
	fl := cmd.Flags()
	f.ask.add(fl)
	fl.StringArrayVar(&f.interfaces, "interface", nil, "interface that faces the customer; repeats")
	fl.StringVar(&f.owner, "owner", "", "who answers for the filter; default: who types this")
	fl.StringVar(&f.contact, "contact", "", "where the customer asks for an exception")
	fl.StringVar(&f.cases.only, "for", "", "the hosts of this constituent, instead of customers")
	fl.StringVar(&f.cases.constituents, "constituents", "", "file that says who is responsible for what; default: the constituents that were imported")
	fl.StringVar(&f.out, "out", "", "directory to write a policy for each customer into")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func (s *street) customerPolicies(ctx context.Context, h *house, f *filterCustomersFlags, args []string) error {
	switch {
	case len(f.interfaces) == 0:
		return usage("--interface is missing: a filter of a customer is bound to the one that faces the customer")
	case f.contact == "":
		return usage("--contact is missing: a customer who is filtered has to know where to ask")
	case f.cases.only != "" && len(args) > 0:
		return usage("CUSTOMER and --for exclude each other")
	case f.out == "" && len(args) == 0 && f.cases.only == "":
		return usage("say for whom: CUSTOMER, --for NAME, or all of them with --out DIR")
	}
	for _, name := range f.interfaces {
		if !acl.InterfaceName(name) {
			return usage("--interface %q: want the name of an interface as the platform has it", name)
		}
	}
	hosts, err := s.openHosts(ctx, h, f)
	if err != nil {
		return err
	}
	if n := len(hosts[""]); n > 0 {
		s.Note("%s of no known customer: left out, the first is %s", screen.Count(n, "host is", "hosts are"), hosts[""][0])
		delete(hosts, "")
	}
	names := make([]string, 0, len(hosts))
	for name := range hosts {
		if len(args) == 0 || args[0] == name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return hint(fmt.Errorf("no open case is known of %s", append(args, "any customer")[0]), "%s shows what is open, %s whose it is", s.again("cases list"), s.again("customers who ADDRESS"))
	}
	files := make(map[string]int)
	for _, name := range names {
		text := filter.CustomerPolicy(filter.Customer{
			Name: name, Hosts: hosts[name], Interfaces: f.interfaces, Contact: f.contact, Owner: orElse(f.owner, whoami()),
		}, s.now())
		if f.out == "" {
			if _, err := fmt.Fprint(s.Out, text); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(f.out, 0o755); err != nil {
			return err
		}
		// Two names may be the same as names of files.
		base := filter.FileName(name)
		if files[base]++; files[base] > 1 {
			base = fmt.Sprintf("%s.%d", base, files[base])
		}
		path := filepath.Join(f.out, base+".yaml")
		if err := replace(path, []byte(text)); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		fmt.Fprintln(s.Out, path)
	}
	return nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// openHosts are the addresses with open cases, by customer.
func (s *street) openHosts(ctx context.Context, h *house, f *filterCustomersFlags) (map[string][]netip.Addr, error) {
	work := store.Work()
	if err := s.partOf(ctx, h, &f.cases, &work); err != nil {
		return nil, err
	}
	customers, err := s.customers(h, &f.ask)
	if err != nil {
		return nil, err
	}
	hosts := make(map[string][]netip.Addr)
	known := make(map[netip.Addr]bool)
	for e, err := range h.store.Exposures(ctx, s.view(), work) {
		if err != nil {
			return nil, err
		}
		if known[e.Addr] || !e.Condition.Open() || e.MovedTo.IsValid() {
			continue
		}
		known[e.Addr] = true
		name := f.cases.only
		if name == "" {
			var holder lease.Holder
			if holder, err = customers.Who(ctx, e.Addr, s.now()); err != nil {
				return nil, err
			}
			name = holder.Customer
		}
		hosts[name] = append(hosts[name], e.Addr)
	}
	for _, all := range hosts {
		slices.SortFunc(all, netip.Addr.Compare)
	}
	return hosts, nil
}

// An exceptionRow is an exception, with the cases at its hosts.
type exceptionRow struct {
	Line   int      `json:"line"`
	Ticket string   `json:"ticket"`
	Kind   string   `json:"kind"`
	Owner  string   `json:"owner"`
	Until  string   `json:"until"`
	State  string   `json:"state"` // holds, ends soon, expired
	Cases  []string `json:"cases"`
	Taken  int      `json:"accepted"`
}

func (s *street) filterExceptions() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "exceptions POLICY",
		Short: "List the exceptions of a policy with the cases at their hosts, which end with them",
		Long: `A host that the filter lets be reached is a risk that its owner takes, until the
exception ends. With --accept the open cases at the hosts of an exception are accepted
until then, with owner and ticket in their history. On the day after, the exception is
left out of every filter that is rendered, and the cases are work again.`,
		Example: `  ippwatch filter exceptions policy.yaml
  ippwatch filter exceptions policy.yaml --accept`,
		Args:              wants("POLICY"),
		ValidArgsFunction: completePolicy,
		RunE: do(func(ctx context.Context, args []string) error {
			p, err := s.policy(args[0])
			if err != nil {
				return err
			}
			return s.read(ctx, func(h *house) error { return s.exceptions(ctx, h, p, args[0], accept) })
		}),
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "accept the risk of the open cases at hosts that are excepted, until the exception ends")
	return cmd
}

func (s *street) exceptions(ctx context.Context, h *house, p acl.Policy, file string, accept bool) error {
	if err := s.pass(ctx, h); err != nil {
		return err
	}
	rows := make([]exceptionRow, len(p.Exceptions))
	keys := make([][]exposure.Key, len(p.Exceptions))
	for i, e := range p.Exceptions {
		rows[i] = exceptionRow{Line: e.Line, Ticket: e.Ticket, Kind: e.Kind, Owner: e.Owner, Until: e.LastDay(), State: "holds", Cases: []string{}}
		switch left := e.Expires.Sub(s.now()); {
		case left <= 0:
			rows[i].State = "expired"
		case left < 14*24*time.Hour:
			rows[i].State = "ends soon"
		}
	}
	for e, err := range h.store.Exposures(ctx, s.view(), store.Filter{}) {
		if err != nil {
			return err
		}
		if !e.Condition.Open() || e.MovedTo.IsValid() {
			continue
		}
		for i, x := range p.Exceptions {
			if excepts(p, x, e) {
				rows[i].Cases = append(rows[i].Cases, e.Case())
				if e.Ruling == exposure.NoRuling && x.Holds(s.now()) {
					keys[i] = append(keys[i], e.Key)
				}
			}
		}
	}
	if accept {
		for i, x := range p.Exceptions {
			n, err := s.acceptUntil(ctx, h, keys[i], x, file)
			if err != nil {
				return err
			}
			rows[i].Taken = n
		}
	}
	return screen.Listing[exceptionRow]{
		Columns: []string{"line", "ticket", "kind", "until", "state", "cases", "accepted", "owner"},
		Cells: func(r exceptionRow) []string {
			return []string{fmt.Sprint(r.Line), r.Ticket, r.Kind, r.Until, r.State, few(r.Cases), fmt.Sprint(r.Taken), r.Owner}
		},
		Empty: "the policy has no exception",
	}.Show(&s.Screen, rows)
}

func few(words []string) string {
	const most = 3
	if n := len(words) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], " "), n)
	}
	return strings.Join(words, " ")
}

// excepts reports whether the exception lets everybody reach the door of a case.
func excepts(p acl.Policy, x acl.Exception, e exposure.Exposure) bool {
	if x.From != nil || x.To == nil || !slices.Contains(p.Ports, e.Port) {
		return false
	}
	opens := slices.ContainsFunc(acl.AllLegs, func(leg acl.Leg) bool {
		return leg.Dir == acl.In && x.Opens(leg) && (leg.Proto == acl.TCP) == (e.Transport == exposure.TCP)
	})
	return opens && slices.ContainsFunc(x.To, func(to netip.Prefix) bool { return to.Contains(e.Addr) })
}

func (s *street) acceptUntil(ctx context.Context, h *house, keys []exposure.Key, x acl.Exception, file string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	until := x.Expires
	if latest := s.now().UTC().AddDate(longestRisk, 0, 0); until.After(latest) {
		until = latest
	}
	taken, err := h.tracker().Take(ctx, keys, track.Order{
		Step: track.Accept, Actor: "filter exceptions (" + whoami() + ")", At: s.now().UTC(), Until: until,
		Evidence: fmt.Sprintf("exception %s of %s, owner %s", x.Ticket, file, x.Owner),
	})
	return len(taken), err
}
