package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/acl"
	"ippwatch/filter"
	"ippwatch/filter/apply"
	"ippwatch/screen"
)

// onHost is the one platform that is loaded here.
const onHost = "nftables"

type applyFlags struct {
	platform string
	enforce  bool
	within   time.Duration
}

func (s *street) filterApply() *cobra.Command {
	f := &applyFlags{}
	cmd := &cobra.Command{
		Use:   "apply POLICY",
		Short: "Load the filter of a policy on this host, and take it back unless it is confirmed",
		Long: `Apply renders and proves the filter, has nft check it, and says what would become
different. That is all, unless --confirm-within is given: then a process of its own
is armed that brings the old rules back when the time is over, and only then the
filter is loaded. Whoever is locked out, loses the connection or kills the command
gets the old rules back. Typing yes keeps the filter, and so does
ippwatch filter confirm from elsewhere.`,
		Example: `  ippwatch filter apply --platform nftables policy.yaml
  ippwatch filter apply --platform nftables --confirm-within 60s policy.yaml
  ippwatch filter apply --platform nftables --enforce --confirm-within 60s policy.yaml`,
		Args:              wants("POLICY"),
		ValidArgsFunction: completePolicy,
		RunE:              do(func(ctx context.Context, args []string) error { return s.apply(ctx, f, args[0]) }),
	}
	addPlatform(cmd, &f.platform)
	cmd.Flags().BoolVar(&f.enforce, "enforce", false, "drop; otherwise what would be dropped is only counted")
	cmd.Flags().DurationVar(&f.within, "confirm-within", 0, "load the filter, and go back after this time unless it is confirmed")
	return cmd
}

func (s *street) applyDir() string { return filepath.Join(s.data, "filter") }

func (s *street) apply(ctx context.Context, f *applyFlags, file string) error {
	if err := knownPlatform(f.platform); err != nil {
		return err
	}
	if f.platform != onHost {
		return hint(usage("--platform %s: on this host only %s is loaded", f.platform, onHost), "ippwatch filter render writes the others, with how to load them")
	}
	if f.within != 0 && (f.within < 5*time.Second || f.within > 24*time.Hour) {
		return usage("--confirm-within %s: want 5s to 24h", f.within)
	}
	p, err := s.policy(file)
	if err != nil {
		return err
	}
	rendered, err := filter.Render(onHost, p.Form(s.now(), !f.enforce))
	if err != nil {
		return explainRender(err)
	}
	a, err := apply.Prepare(ctx, s.now(), s.applyDir(), p.Name, rendered.Texts[0].Body)
	if err != nil {
		return explainApply(err)
	}
	if err := s.announceChange(ctx, a, rendered); err != nil {
		return err
	}
	if f.within == 0 {
		s.Note("nothing was loaded; load it with: %s", s.again("filter apply --platform %s%s --confirm-within 60s %s", onHost, map[bool]string{true: " --enforce"}[f.enforce], shellWord(file)))
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := a.Load(ctx, s.now(), f.within, []string{self, "filter", "guard"}); err != nil {
		return explainApply(err)
	}
	return s.awaitConfirmation(ctx, a, f.within)
}

func explainApply(err error) error {
	switch {
	case errors.Is(err, apply.ErrPending):
		return hint(err, "keep it with: ippwatch filter confirm; or go back at once with: ippwatch filter confirm --undo")
	case errors.Is(err, exec.ErrNotFound):
		return hint(err, "install the package nftables; filters of other platforms are written by ippwatch filter render")
	case strings.Contains(err.Error(), "Operation not permitted"):
		return hint(err, "nft needs root: use sudo")
	}
	return err
}

// announceChange says what the new filter treats otherwise than the one that is
// in force.
func (s *street) announceChange(ctx context.Context, a *apply.Application, r filter.Rendered) error {
	running, err := a.Running(ctx, r.Form.Name)
	if err != nil {
		return explainApply(err)
	}
	was, err := filter.Read(onHost, []acl.Text{{Name: "running", Body: running}}, r.Form.At)
	if err != nil {
		return err
	}
	will, err := filter.Read(onHost, r.Texts, r.Form.At)
	if err != nil {
		return err
	}
	rows := filter.Differences(was, will)
	switch {
	case running == "":
		fmt.Fprintf(s.Out, "table inet %s is not there yet\n", r.Form.Name)
	case len(rows) == 0:
		fmt.Fprintf(s.Out, "table inet %s does the same already\n", r.Form.Name)
	}
	for _, row := range rows {
		fmt.Fprintf(s.Out, "%s\n    such as: %s\n    now: %s  then: %s\n", row.Packets, row.Witness, row.A, row.B)
	}
	return nil
}

// awaitConfirmation ends when somebody has confirmed, here or elsewhere, or when
// the old rules are back.
func (s *street) awaitConfirmation(ctx context.Context, a *apply.Application, within time.Duration) error {
	fmt.Fprintf(s.Err, "loaded; the old rules come back in %s. Type yes to keep the new ones: ", within)
	said := make(chan string, 1)
	go func() { // ends with the program: nobody can break off a read of stdin
		line, err := bufio.NewReader(s.in).ReadString('\n')
		if err == nil || line != "" {
			said <- strings.TrimSpace(line)
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case word := <-said:
			var err error
			if word == "yes" {
				err = a.Confirm()
			} else {
				err = a.Undo()
			}
			if err != nil && !errors.Is(err, apply.ErrOver) {
				return err
			}
		case <-ctx.Done():
			if err := a.Undo(); err != nil && !errors.Is(err, apply.ErrOver) {
				return err
			}
			return errors.New("stopped: the old rules come back at once")
		case <-tick.C:
		}
		switch a.State() {
		case apply.Confirmed:
			fmt.Fprintln(s.Out, "confirmed: the filter stays until it is taken off or the host starts again")
			return nil
		case apply.Gone:
			return hint(errors.New("not confirmed: the old rules are back"), "the filter that was tried is in %s", filepath.Join(s.applyDir(), "new.nft"))
		case apply.None, apply.Armed, apply.Going:
		}
	}
}

func (s *street) filterConfirm() *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "Keep the filter that apply has loaded, or go back at once",
		Example: `  ippwatch filter confirm
  ippwatch filter confirm --undo`,
		Args: wants(),
		RunE: do(func(context.Context, []string) error {
			a := apply.Open(s.applyDir())
			f := a.Confirm
			if undo {
				f = a.Undo
			}
			if err := f(); err != nil {
				return hint(err, "ippwatch filter apply --confirm-within loads a filter that waits for it")
			}
			if undo {
				fmt.Fprintln(s.Out, "the old rules come back at once")
			} else {
				fmt.Fprintln(s.Out, "confirmed: the filter stays until it is taken off or the host starts again")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "go back to the old rules")
	return cmd
}

// filterGuard is the process that apply arms.
func (s *street) filterGuard() *cobra.Command {
	return &cobra.Command{
		Use:    "guard DIR",
		Short:  "Wait for a confirmation and go back without one; apply starts it",
		Hidden: true,
		Args:   wants("DIR"),
		RunE: do(func(ctx context.Context, args []string) error {
			return apply.Guard(context.WithoutCancel(ctx), args[0], s.now)
		}),
	}
}

type countersFlags struct{ platform string }

func (s *street) filterCounters() *cobra.Command {
	f := &countersFlags{}
	cmd := &cobra.Command{
		Use:   "counters [FILE]",
		Short: "Say how many packets each rule of a filter has had",
		Long: `Counters asks nft or iptables on this host. Of other platforms it reads what they
print, pasted into a file or stdin; ippwatch filter render says which command that
is. Names that end in _hit count what a filter would drop.`,
		Example: `  ippwatch filter counters --platform nftables
  ssh router show access-lists | ippwatch filter counters --platform ios-xe -`,
		Args: wants("[FILE]"),
		RunE: do(func(ctx context.Context, args []string) error { return s.counters(ctx, f, args) }),
	}
	addPlatform(cmd, &f.platform)
	return cmd
}

// asked are the commands of this host that print counters.
var asked = map[string][][]string{
	"nftables": {{"nft", "list", "counters"}},
	"iptables": {{"iptables-save", "-c"}, {"ip6tables-save", "-c"}},
}

func (s *street) counters(ctx context.Context, f *countersFlags, files []string) error {
	if err := knownPlatform(f.platform); err != nil {
		return err
	}
	var texts []string
	for _, file := range files {
		text, err := s.readFile(file)
		if err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		texts = append(texts, string(text))
	}
	if len(files) == 0 {
		commands, ok := asked[f.platform]
		if !ok {
			return hint(usage("counters of %s: FILE is missing", f.platform), "paste what the device prints into a file, or - for stdin")
		}
		for _, words := range commands {
			out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
			if err != nil {
				return explainApply(fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(string(out))))
			}
			texts = append(texts, string(out))
		}
	}
	counters, err := filter.Counters(f.platform, texts)
	if err != nil {
		return hint(err, "those of %s are", strings.Join(filter.CounterPlatforms(), ", "))
	}
	return screen.Listing[filter.Counter]{
		Columns: []string{"rule", "packets", "bytes"},
		Cells: func(c filter.Counter) []string {
			return []string{c.Name, fmt.Sprint(c.Packets), fmt.Sprint(c.Bytes)}
		},
		Empty: "no counter was found",
	}.Show(&s.Screen, counters)
}
