package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
	"ippwatch/track"
	"ippwatch/verify"
)

// verifyFlags are what a user may say about a verification.
type verifyFlags struct {
	scan     scanFlags
	cases    caseFlags
	controls []string
	after    time.Duration
	failOn   string
	audit    string
	policy   string
	running  []string
	from     []string
}

func (s *street) verifyCommand() *cobra.Command {
	cmd, f := s.newVerifyCommand()
	cmd.RunE = do(func(ctx context.Context, args []string) error {
		return s.read(ctx, func(h *house) error {
			look := s.verify
			if f.audit != "" {
				look = s.weigh
			}
			results, err := look(ctx, h, f, args)
			if results == nil && err != nil {
				return err
			}
			return errors.Join(err, s.verdicts(f, results))
		})
	})
	return cmd
}

func (s *street) newVerifyCommand() (*cobra.Command, *verifyFlags) {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify [CASE...]",
		Short: "Look again whether cases are closed, and close what is proven",
		Long: `Verify asks again, at the address and port of each case and nowhere else. A case is
fixed after two clean probes at least 24 hours apart, each in a run in which another
host answered (the control): a refusal, a closed port, an ICMP error. Silence fixes
nothing; twice and with a control, and if the host answers elsewhere or a proven
filter covers it, it is filtered: off the list, never counted as fixed.

Without a CASE, those are looked at that are due: claimed fixed, clean once a day
ago, silent, reported by a feed, or not seen for a day. Over UDP the packet has a
second text, so that a queue left by a scan does not swallow it (docs/ethics.md).

With --audit nothing is asked: FILE is what ippwatch audit saw on the host itself.
It speaks for the cases at the host's own addresses. A host behind a router does not
know its public address: name the cases.`,
		Example: `  ippwatch verify
  ippwatch verify --audit printserver.json
  ippwatch verify 4C8B0F6E52A1 198.51.100.20
  ippwatch verify --state claimed --control 198.51.100.9:631/tcp --scope scope.yaml
  ippwatch verify --policy policy.yaml --running nftables:running.nft`,
		ValidArgsFunction: s.completeCase,
	}
	all := pflag.NewFlagSet("scan", pflag.ContinueOnError)
	f.scan.bind(all)
	f.scan.flags = all
	fl := cmd.Flags()
	for _, name := range []string{"rate", "per-network", "concurrency", "timeout", "callback", "grace", "vantage", "mmdb", "asn", "rdns"} {
		fl.AddFlag(all.Lookup(name))
	}
	fl.StringVar(&f.scan.scope, "scope", "", "file that authorises the asking; default: the scope of the newest scan that still holds")
	fl.StringVar(&f.cases.state, "state", "", "only cases in this state, as cases list takes it, due or not")
	fl.StringArrayVar(&f.controls, "control", nil, "HOST:PORT/tcp or /udp that should answer; repeats; default: hosts that are known to answer")
	fl.DurationVar(&f.after, "after", track.VerifyAfter, "how far apart two probes must be to prove something")
	fl.StringVar(&f.audit, "audit", "", "FILE of ippwatch audit, made on the host: ask nobody, and take its word")
	_ = cmd.MarkFlagFilename("audit", "json")
	fl.StringVar(&f.failOn, "fail-on", "", "exit 3 when a case of this severity or worse is still open")
	fl.StringVar(&f.policy, "policy", "", "policy of a filter that closes doors from outside; with --running")
	fl.StringArrayVar(&f.from, "from", nil, "with --policy: our address as the networks see it, if a translator changes it")
	fl.StringArrayVar(&f.running, "running", nil, "PLATFORM:FILE with what is in use where the policy says; if it is proven, silence twice is filtered; repeats")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateHelp(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severityWords(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("scope", "yaml", "yml")
	return cmd, f
}

func (f *verifyFlags) check() error {
	if f.failOn != "" && !slices.Contains(exposure.Severities, exposure.Severity(f.failOn)) {
		return usage("--fail-on %q: want %s", f.failOn, strings.Join(severityWords(), ", "))
	}
	if f.after < time.Hour {
		return usage("--after %s: want an hour or more: a host that restarts is not repaired", f.after)
	}
	return nil
}

// verify looks at the cases that are named, or due, and says what came of it.
func (s *street) verify(ctx context.Context, h *house, f *verifyFlags, args []string) ([]verify.Result, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	cases, err := s.toVerify(ctx, h, f, args)
	if err != nil {
		return nil, err
	}
	return s.verifyCases(ctx, h, f, cases, len(args) > 0)
}

// verifyCases looks at the cases; that one of those that were named cannot be
// asked is an error.
func (s *street) verifyCases(ctx context.Context, h *house, f *verifyFlags, cases []exposure.Exposure, named bool) ([]verify.Result, error) {
	controls, err := parseDoors(f.controls)
	if err != nil {
		return nil, err
	}
	covered, err := s.covered(f.policy, f.running, f.from)
	if err != nil || len(cases) == 0 {
		return nil, err
	}
	name, text, scope, err := s.verifyScope(ctx, h, f.scan.scope)
	if err != nil {
		return nil, err
	}
	within, outside, err := authorised(scope, s.now(), cases)
	if err != nil {
		return nil, err
	}
	if len(within) == 0 && named {
		return nil, hint(fmt.Errorf("%s at %s is outside of %s, or excluded: nothing was asked", outside[0].Case(), verify.DoorOf(outside[0].Key), name),
			"ippwatch scope check %s says what may be asked; another scope is named with --scope", shellWord(name))
	}
	if n := len(outside); n > 0 {
		s.Note("%s outside of %s or excluded: not asked, the first is %s at %s", screen.Count(n, "case is", "cases are"), name, outside[0].Case(), verify.DoorOf(outside[0].Key))
	}
	if len(controls) == 0 {
		if controls, err = s.controls(ctx, h, scope, within); err != nil {
			return nil, err
		}
	}
	if len(controls) == 0 {
		s.Note("no host is known that should answer: without a control nothing is closed; name one with --control")
	}
	f.scan.scope, f.scan.verify, f.scan.all = name, true, true
	v := &verify.Verifier{
		Store: h.store, Cases: h.tracker(), Rules: book{}, After: f.after, Now: func() time.Time { return s.now().UTC() },
		Covered: covered,
		Run: func(ctx context.Context, g verify.Group, vouch func(*exposure.Observation) string, heard func(exposure.Observation)) error {
			return s.verifyGroup(ctx, h, f, g, text, scope, vouch, heard)
		},
		Elsewhere: func(ctx context.Context, e exposure.Exposure, since time.Time) (string, error) {
			return s.answersElsewhere(ctx, h, e, since, f.scan.vantage)
		},
	}
	results, err := v.Look(ctx, s.view(), within, controls)
	if ctx.Err() != nil {
		err = hint(errStopped, "what was heard is kept; ask again with: %s", s.again("verify"))
	}
	return results, err
}

// toVerify are the cases that the user names, or those that are due.
func (s *street) toVerify(ctx context.Context, h *house, f *verifyFlags, args []string) ([]exposure.Exposure, error) {
	if len(args) > 0 {
		es, err := s.casesNamed(ctx, h, args)
		return slices.DeleteFunc(es, func(e exposure.Exposure) bool { return e.MovedTo.IsValid() }), err
	}
	filter := store.Work()
	if f.cases.state != "" {
		var err error
		if filter, err = s.caseFilter(&f.cases, nil); err != nil {
			return nil, err
		}
	}
	if err := s.pass(ctx, h); err != nil {
		return nil, err
	}
	var es []exposure.Exposure
	for e, err := range h.store.Exposures(ctx, s.view(), filter) {
		if err != nil {
			return nil, err
		}
		if f.cases.state != "" && !e.MovedTo.IsValid() || verify.Due(&e, s.now(), f.after) {
			es = append(es, e)
		}
	}
	return es, nil
}

// verifyScope is the authority under which is asked.
func (s *street) verifyScope(ctx context.Context, h *house, file string) (name string, text []byte, scope space.Scope, err error) {
	if file != "" {
		if text, err = os.ReadFile(file); err != nil {
			return "", nil, scope, fmt.Errorf("read scope: %w", err)
		}
		if scope, err = space.ParseScope(file, text); err != nil {
			return "", nil, scope, err
		}
		if scope.Expired(s.now()) != nil {
			return "", nil, scope, hint(fmt.Errorf("%s: the authorisation expired at %s UTC", file, screen.Stamp(scope.Expires)), "ask %s to authorise it anew and write the new date there", scope.AuthorisedBy)
		}
		return file, text, scope, nil
	}
	runs, err := h.store.Runs(ctx, s.view(), 100)
	if err != nil {
		return "", nil, scope, err
	}
	for _, r := range runs {
		scope, err := space.ParseScope(r.Options["scope"], []byte(r.Scope))
		if err == nil && scope.Expired(s.now()) == nil {
			return r.Options["scope"], []byte(r.Scope), scope, nil
		}
	}
	return "", nil, scope, hint(errors.New("no scan of the past has a scope that still authorises asking"), "name one with --scope FILE")
}

// authorised parts the cases into those that the scope lets us ask and others.
func authorised(scope space.Scope, now time.Time, cases []exposure.Exposure) (within, outside []exposure.Exposure, err error) {
	set, _, err := scope.Set(now, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range cases {
		if set.Contains(e.Addr) {
			within = append(within, e)
		} else {
			outside = append(outside, e)
		}
	}
	return within, outside, nil
}

// controlsWanted is how many hosts vouch for our network.
const controlsWanted = 2

// controls are hosts in the scope that are known to answer.
func (s *street) controls(ctx context.Context, h *house, scope space.Scope, verified []exposure.Exposure) ([]verify.Door, error) {
	filter := store.Work()
	filter.Conditions = []exposure.Condition{exposure.Confirmed}
	filter.Since = s.now().AddDate(0, 0, -7)
	var known []exposure.Exposure
	for e, err := range h.store.Exposures(ctx, s.view(), filter) {
		if err != nil {
			return nil, err
		}
		known = append(known, e)
	}
	within, _, err := authorised(scope, s.now(), known)
	return verify.Controls(within, verified, s.now(), controlsWanted), err
}

// parseDoors reads "198.51.100.9:631/tcp".
func parseDoors(words []string) ([]verify.Door, error) {
	var doors []verify.Door
	for _, word := range words {
		text, transport, ok := strings.Cut(word, "/")
		target, err := netip.ParseAddrPort(text)
		if !ok {
			transport = string(exposure.TCP)
		}
		if err != nil || transport != string(exposure.TCP) && transport != string(exposure.UDP) {
			return nil, usage("--control %q: want an address, a port and tcp or udp, such as 198.51.100.9:631/tcp", word)
		}
		doors = append(doors, verify.Door{AddrPort: target, Transport: exposure.Transport(transport)})
	}
	return doors, nil
}

// verifyGroup asks one group as a run of its own, which can be resumed and told
// of like any.
func (s *street) verifyGroup(ctx context.Context, h *house, f *verifyFlags, g verify.Group, text []byte, scope space.Scope,
	vouch func(*exposure.Observation) string, heard func(exposure.Observation),
) error {
	seed := make([]byte, 16)
	_, _ = rand.Read(seed)
	now := s.now()
	run := exposure.Run{
		ID:    fmt.Sprintf("%s-%x", now.UTC().Format("20060102T150405Z"), seed[:3]),
		State: exposure.Running, Started: now.UTC(), Vantage: f.scan.vantage,
		AuthorisedBy: scope.AuthorisedBy, ContactPoint: scope.Contact, Expires: scope.Expires,
		Scope: string(text), Shards: 1, Seed: seed,
	}
	for _, a := range slices.Concat(g.Hosts, g.Controls) {
		run.Targets = append(run.Targets, netip.PrefixFrom(a, a.BitLen()))
	}
	one := f.scan
	if g.Transport == exposure.UDP {
		run.UDP, run.UDPPort, one.udp, one.udpPort = true, g.Port, true, g.Port
	} else {
		run.Ports = []uint16{g.Port}
	}
	run.Options = one.options()
	scan, done, err := s.newScan(ctx, h, &one, run)
	if err != nil {
		return err
	}
	defer done()
	scan.Vouch, scan.After = vouch, f.after
	scan.Emit = func(batch []exposure.Observation) error {
		for _, o := range batch {
			heard(o)
		}
		return nil
	}
	if err := scan.Begin(ctx); err != nil {
		return err
	}
	s.Note("run %s: %s at port %d/%s, authorised by %s", run.ID, screen.Count(len(run.Targets), "host", "hosts"), g.Port, g.Transport, screen.Printable(run.AuthorisedBy))
	_, err = scan.Do(ctx)
	return err
}

// answersElsewhere tells where a host answered lately, other than at the door
// from here.
func (s *street) answersElsewhere(ctx context.Context, h *house, e exposure.Exposure, since time.Time, here string) (string, error) {
	q := archive.Query{From: since, Addr: netip.PrefixFrom(e.Addr, e.Addr.BitLen())}
	for r, err := range h.archive.Observations(ctx, s.view(), q) {
		if err != nil {
			return "", err
		}
		o := r.Observation
		if o.Source.Feed() || !o.Verdict.Spoke() {
			continue
		}
		if o.Port != e.Port || o.Transport != e.Transport {
			return fmt.Sprintf("it answered at port %d/%s at %s UTC", o.Port, o.Transport, screen.Stamp(o.Observed)), nil
		}
		if o.Vantage != here && o.Observed.After(e.SilentAt) {
			return fmt.Sprintf("it answered %s at %s UTC", o.Vantage, screen.Stamp(o.Observed)), nil
		}
	}
	return "", nil
}

// verdicts shows what came of it.
func (s *street) verdicts(f *verifyFlags, results []verify.Result) error {
	slices.SortStableFunc(results, func(a, b verify.Result) int { return a.Now.Severity.Rank() - b.Now.Severity.Rank() })
	err := screen.Listing[verify.Result]{
		Columns: []string{"case", "severity", "at", "rule", "before", "state", "verdict", "why"},
		Cells: func(r verify.Result) []string {
			return []string{
				r.Case, string(r.Now.Severity), verify.DoorOf(r.Now.Key).String(), r.Now.Rule,
				string(r.Before), r.State, string(r.Verdict), r.Why,
			}
		},
		Empty: "no case is due; " + s.again("cases list") + " shows them all",
	}.Show(&s.Screen, results)
	if err != nil || f.failOn == "" {
		return err
	}
	for _, r := range results {
		if r.Now.Work() && r.Now.Severity.AtLeast(exposure.Severity(f.failOn)) {
			return errFound
		}
	}
	return nil
}
