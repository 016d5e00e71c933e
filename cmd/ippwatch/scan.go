package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/answer"
	"ippwatch/campaign"
	"ippwatch/exposure"
	"ippwatch/found"
	"ippwatch/probe"
	"ippwatch/screen"
	"ippwatch/space"
)

// scanFlags are what a user may say about a scan.
type scanFlags struct {
	flags    *pflag.FlagSet
	scope    string
	resume   string
	targets  string
	shard    string
	ports    []uint
	udp      bool
	udpPort  uint16
	callback string
	grace    time.Duration

	rate        int
	perNetwork  int
	concurrency int
	timeout     time.Duration

	admin, jobs, all bool
	verify           bool // to verify a fix: see runSource
	where            whereFlags
	vantage          string
	out              string
	failOn           string
}

func (s *street) scanCommand() *cobra.Command {
	cmd, _ := s.newScanCommand()
	return cmd
}

// newScanCommand returns the command with what its flags fill.
func (s *street) newScanCommand() (*cobra.Command, *scanFlags) {
	f := &scanFlags{}
	cmd := &cobra.Command{
		Use:   "scan --scope FILE [TARGET...]",
		Short: "Ask the hosts of a scope which print services answer",
		Long: `Scan asks every address of the scope on port 631 over TCP and, with --udp, sends
one browse packet over UDP and waits for the call-back that proves CVE-2024-47176.

Only what the scope file authorises is asked. A TARGET (address, prefix, or - for
a list on stdin) narrows the scope and never widens it. What is found is kept in
the data directory; the table shows one line a host, worst first. Ctrl-C stops
cleanly, and --resume goes on.`,
		Example: `  ippwatch scan --scope scope.yaml
  ippwatch scan --scope scope.yaml --udp --callback 198.51.100.7:6310
  ippwatch scan --scope scope.yaml 198.51.100.0/28 --port 631 --port 8631
  ippwatch scan --scope scope.yaml --format ndjson --fail-on high
  ippwatch scan --resume 20261123T093000Z-7f3a`,
		RunE: do(func(ctx context.Context, args []string) error { return s.scan(ctx, f, args) }),
	}
	fl := cmd.Flags()
	f.bind(fl)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	_ = cmd.RegisterFlagCompletionFunc("resume", s.completeRun)
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(severityWords(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("scope", "yaml", "yml")
	_ = cmd.MarkFlagDirname("out")
	return cmd, f
}

// bind declares the flags of a scan; other commands that ask hosts take some of
// them from here.
func (f *scanFlags) bind(fl *pflag.FlagSet) {
	f.flags = fl
	fl.StringVar(&f.scope, "scope", "", "file that says what may be asked, by whose authority, until when")
	fl.StringVar(&f.resume, "resume", "", "go on with a run that was stopped")
	fl.StringVar(&f.targets, "targets", "", "file with addresses and prefixes to narrow the scope to, one a line")
	fl.StringVar(&f.shard, "shard", "", "only part I of N of the targets, as I/N with I from 1")
	fl.UintSliceVar(&f.ports, "port", []uint{631}, "TCP port to ask; repeats")
	fl.BoolVar(&f.udp, "udp", false, "also send a browse packet over UDP and wait for call-backs; may leave a queue on vulnerable hosts (docs/ethics.md)")
	fl.Uint16Var(&f.udpPort, "udp-port", 631, "UDP port to send to")
	fl.StringVar(&f.callback, "callback", "", "our HOST:PORT that hosts are asked to call; default: the outgoing address and a free port")
	fl.DurationVar(&f.grace, "grace", 15*time.Second, "how long to wait for call-backs after the last packet")
	fl.IntVar(&f.rate, "rate", 100, "new targets per second, TCP and UDP together")
	fl.IntVar(&f.perNetwork, "per-network", probe.DefaultPerNetwork, "of them at most for one /24 or /48")
	fl.IntVar(&f.concurrency, "concurrency", 200, "TCP conversations at once")
	fl.DurationVar(&f.timeout, "timeout", 15*time.Second, "longest conversation with one host")
	fl.BoolVar(&f.admin, "admin", false, "also ask whether administrator pages answer; bodies are discarded")
	fl.BoolVar(&f.jobs, "jobs", false, "also ask whether jobs are listed to strangers; their contents are discarded")
	fl.BoolVar(&f.all, "all", false, "keep and show silent hosts too")
	fl.StringVar(&f.vantage, "vantage", hostname(), "name of the place that the scan looks from")
	fl.StringVar(&f.out, "out", "", "directory to write RUN.ndjson into as well")
	fl.StringVar(&f.failOn, "fail-on", "", "exit 3 when a host has a finding of this severity or worse")
	f.where.add(fl)
}

func severityWords() []string {
	words := make([]string, len(exposure.Severities))
	for i, sev := range exposure.Severities {
		words[i] = string(sev)
	}
	return words
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

func (s *street) scan(ctx context.Context, f *scanFlags, args []string) error {
	if err := f.check(args); err != nil {
		return err
	}
	open := s.with
	if f.resume != "" {
		open = s.read
	}
	return open(ctx, func(h *house) error {
		var run exposure.Run
		var err error
		if f.resume != "" {
			run, err = s.resumed(ctx, h, f)
		} else {
			run, err = s.newRun(ctx, h, f, args)
		}
		if err != nil {
			return err
		}
		_, err = s.perform(ctx, h, f, run)
		return err
	})
}

// udpFlags say nothing without --udp: who gives one believes that hosts are
// asked over UDP, and would read the silence as good news.
var udpFlags = []string{"callback", "grace", "udp-port"}

// check refuses what no scan can be made of, before anything is opened.
func (f *scanFlags) check(args []string) error {
	switch {
	case f.flags.Changed("scope") && f.resume != "":
		return usage("--scope and --resume exclude each other: a resumed run has the scope it began with")
	case f.scope == "" && f.resume == "":
		err := usage("a scan needs --scope FILE, or --resume RUN")
		if len(args) == 1 && (strings.HasSuffix(args[0], ".yaml") || strings.HasSuffix(args[0], ".yml")) {
			return hint(err, "ippwatch scan --scope %s", shellWord(args[0]))
		}
		return hint(err, "ippwatch scope init > scope.yaml writes a scope file")
	case f.failOn != "" && !slices.Contains(exposure.Severities, exposure.Severity(f.failOn)):
		return usage("--fail-on %q: want %s", f.failOn, strings.Join(severityWords(), ", "))
	case f.timeout <= 0:
		return usage("--timeout %s: want a time above 0", f.timeout)
	case f.grace < 0:
		return usage("--grace %s: want a time, or 0 for no waiting", f.grace)
	case f.udpPort == 0:
		return usage("--udp-port 0: want 1 to 65535")
	}
	for name, n := range map[string]int{"rate": f.rate, "per-network": f.perNetwork, "concurrency": f.concurrency} {
		if n < 1 {
			return usage("--%s %d: want a number above 0", name, n)
		}
	}
	if f.resume == "" {
		for _, name := range udpFlags {
			if f.flags.Changed(name) && !f.udp {
				return usage("--%s is for --udp, which is not given", name)
			}
		}
		return nil
	}
	if len(args) > 0 {
		return usage("a resumed run keeps its targets: %q is one argument too many", args[0])
	}
	for _, name := range fixedFlags {
		if f.flags.Changed(name) {
			return usage("a resumed run keeps its --%s: leave it out", name)
		}
	}
	return nil
}

// newRun is a run as the flags describe it.
func (s *street) newRun(ctx context.Context, h *house, f *scanFlags, args []string) (exposure.Run, error) {
	text, err := os.ReadFile(f.scope)
	if err != nil {
		err = fmt.Errorf("read scope: %w", err)
		if errors.Is(err, os.ErrNotExist) {
			err = hint(err, "ippwatch scope init > %s writes one", shellWord(f.scope))
		}
		return exposure.Run{}, err
	}
	scope, err := space.ParseScope(f.scope, text)
	if err != nil {
		return exposure.Run{}, err
	}
	now := s.now()
	if scope.Expired(now) != nil {
		return exposure.Run{}, hint(fmt.Errorf("%s: the authorisation expired at %s UTC", f.scope, screen.Stamp(scope.Expires)), "ask %s to authorise the scan anew and write the new date there", scope.AuthorisedBy)
	}
	targets, err := s.readTargets(f, args)
	if err != nil {
		return exposure.Run{}, err
	}
	shard, shards, err := parseShard(f.shard)
	if err != nil {
		return exposure.Run{}, err
	}
	ports, err := parsePorts(f.ports)
	if err != nil {
		return exposure.Run{}, err
	}
	if err := s.doubtClock(ctx, h); err != nil {
		return exposure.Run{}, err
	}
	seed := make([]byte, 16)
	_, _ = rand.Read(seed)
	id := fmt.Sprintf("%s-%x", now.UTC().Format("20060102T150405Z"), seed[:3])
	if shards > 1 {
		seed = sharedSeed(text, targets)
	}
	// What the store excludes is not taken out of the order but refused by the
	// guard: then shards agree on the order whatever each machine excludes, and
	// one opt-out does not spoil a list of targets.
	return exposure.Run{
		ID:    id,
		State: exposure.Running, Started: now.UTC(), Vantage: f.vantage,
		AuthorisedBy: scope.AuthorisedBy, ContactPoint: scope.Contact, Expires: scope.Expires,
		Scope: string(text), Targets: targets,
		Ports: ports, UDP: f.udp, UDPPort: f.udpPort, Shard: shard, Shards: shards, Seed: seed,
		Options: f.options(),
	}, nil
}

// sharedSeed is the same on every machine that takes a shard of the same scope
// and targets: shards of different orders would overlap, and miss the rest.
func sharedSeed(scope []byte, targets []netip.Prefix) []byte {
	h := sha256.New()
	h.Write(scope)
	for _, p := range targets {
		h.Write([]byte("\n" + p.String()))
	}
	return h.Sum(nil)[:16]
}

// readTargets gathers what narrows the scope: arguments, a file, stdin. A list
// without a target is a mistake, such as a filter that let nothing through: it
// must never widen the scan to the whole scope.
func (s *street) readTargets(f *scanFlags, args []string) ([]netip.Prefix, error) {
	var targets []netip.Prefix
	list := func(name string, r io.Reader) error {
		found, err := space.ParseTargets(name, r)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%s: no target in it, so nothing is asked", name)
		}
		targets = append(targets, found...)
		return err
	}
	for _, arg := range args {
		if arg == "-" {
			if err := list("stdin", s.in); err != nil {
				return nil, err
			}
			continue
		}
		p, err := space.Parse(arg)
		if err != nil {
			return nil, answer.Misuse(err)
		}
		targets = append(targets, p)
	}
	if f.targets == "" {
		return targets, nil
	}
	file, err := os.Open(f.targets)
	if err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	defer file.Close()
	return targets, list(f.targets, file)
}

func parseShard(text string) (shard, shards int, err error) {
	if text == "" {
		return 0, 1, nil
	}
	if n, err := fmt.Sscanf(text+"\n", "%d/%d\n", &shard, &shards); n != 2 || err != nil || shard < 1 || shard > shards {
		return 0, 0, usage("--shard %q: want I/N with I from 1 to N, such as 2/4", text)
	}
	return shard - 1, shards, nil
}

func parsePorts(flags []uint) ([]uint16, error) {
	var ports []uint16
	for _, p := range flags {
		if p == 0 || p > 65535 {
			return nil, usage("--port %d: want 1 to 65535", p)
		}
		if !slices.Contains(ports, uint16(p)) {
			ports = append(ports, uint16(p))
		}
	}
	return ports, nil
}

// perform makes the run and shows what it found.
func (s *street) perform(ctx context.Context, h *house, f *scanFlags, run exposure.Run) (campaign.Summary, error) {
	scan, done, err := s.newScan(ctx, h, f, run)
	if err != nil {
		return campaign.Summary{}, err
	}
	defer done()
	file, err := outFile(f.out, run.ID)
	if err != nil {
		return campaign.Summary{}, err
	}
	show, bar := found.New(&s.Screen, file, s.again("report --type all --format csv,html --out reports")), s.Bar()
	scan.Emit = show.Add
	scan.Progress = func(p campaign.Progress) { bar.Show(screen.Progress(p)) }
	if f.resume == "" {
		if err := scan.Begin(ctx); err != nil {
			return campaign.Summary{}, errors.Join(err, show.Close())
		}
	} else {
		s.Note("what was found before is kept and not shown again")
	}
	s.Note("run %s: %s, authorised by %s until %s UTC", run.ID, screen.Count(int(scan.Total()), "target", "targets"), screen.Printable(run.AuthorisedBy), screen.Stamp(run.Expires))
	sum, err := scan.Do(ctx)
	bar.End()
	shown := show.Finish(sum)
	switch {
	case errors.Is(err, campaign.ErrExpired):
		return sum, hint(err, "what was found is kept; begin a new scan with a scope that is authorised anew")
	case ctx.Err() != nil:
		return sum, hint(errStopped, "what was found is kept; go on with: %s", s.again("scan --resume %s", run.ID))
	case err != nil:
		return sum, hint(err, "what was found is kept; go on with: %s", s.again("scan --resume %s", run.ID))
	case shown != nil:
		return sum, shown
	}
	ties, err := s.tieDay(ctx, h, run.Started)
	if err != nil {
		return sum, err
	}
	if len(ties) > 0 {
		s.Note("%s at a new address: %s", screen.Count(len(ties), "case goes on", "cases go on"), s.again("cases tie"))
	}
	if f.failOn != "" {
		for sev, n := range sum.Severity {
			if n > 0 && sev.AtLeast(exposure.Severity(f.failOn)) {
				return sum, errFound
			}
		}
	}
	return sum, nil
}

var errStopped = errors.New("the scan was stopped before its end")

// outFile opens RUN.ndjson in the directory; without one it is nil.
func outFile(dir, run string) (io.WriteCloser, error) {
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, run+".ndjson"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
