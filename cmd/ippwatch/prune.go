package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/retention"
	"ippwatch/screen"
	"ippwatch/space"
)

func (s *street) pruneCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what was kept as long as its retention says",
		Long: `Prune removes what is older than the retention of its class, which the configuration
names: observations, closed cases, transitions, runs with their ticks, the audit
log, alerts, parked files, the texts of messages, and call-back keys after a day. The
counts by day stay, open cases stay with their history, and so does what is held
(ippwatch hold). It works in short transactions beside running scans;
stopped, it goes on when it is begun again.`,
		Example: `  ippwatch prune --dry-run
  ippwatch prune --config ippwatch.yaml`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error { return s.prune(ctx, h, dry) })
		}),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	return cmd
}

// A prunedRow is a line as listings show it: what is only counted is not called
// removed, whatever the format.
type prunedRow struct {
	retention.Line
	Removed     *int64 `json:"removed,omitempty"`
	WouldRemove *int64 `json:"would_remove,omitempty"`
}

func (s *street) prune(ctx context.Context, h *house, dry bool) (err error) {
	if !dry {
		// One at a time, also beside the daemon's.
		holder := s.holder()
		got, err := h.store.Hold(ctx, "prune", holder, s.now())
		if err != nil {
			return err
		}
		if !got {
			return hint(errors.New("another prune is running"), "%s tells who does it; after a kill it is free again when ippwatch serve has noticed", s.again("doctor"))
		}
		defer func() { err = errors.Join(err, h.store.Release(context.WithoutCancel(ctx), "prune", holder)) }()
		stop := s.beat(ctx, h, "prune", holder)
		defer stop()
	}
	lines, err := s.pruner(h).Prune(ctx, s.now(), dry)
	word := "removed"
	if dry {
		word = "would_remove"
	}
	rows := make([]prunedRow, len(lines))
	for i, l := range lines {
		rows[i] = prunedRow{Line: l, Removed: &l.Removed}
		if dry {
			rows[i].Removed, rows[i].WouldRemove = nil, &l.Removed
		}
	}
	shown := screen.Listing[prunedRow]{
		Columns: []string{"class", "keep", "before", word, "held"},
		Cells: func(r prunedRow) []string {
			l := r.Line
			return []string{l.Class, l.Keep, s.Stamp(l.Before), fmt.Sprint(l.Removed), fmt.Sprint(l.Held)}
		},
	}.Show(&s.Screen, rows)
	if err != nil {
		err = hint(err, "what was removed is removed; begin again with: %s", s.again("prune"))
	}
	return errors.Join(err, shown)
}

// beat gives signs of life for work by hand that holds a lease, until the
// function that it returns is called.
func (s *street) beat(ctx context.Context, h *house, kind, holder string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(s.config.Schedule.Lease / 5)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				_, _ = h.store.Beat(ctx, kind, holder, s.now()) // the next one may come through
			}
		}
	}()
	return func() { cancel(); <-done }
}

// holder names this process in a lease.
func (s *street) holder() string {
	return fmt.Sprintf("%s %d %x", hostname(), os.Getpid(), s.now().UnixNano())
}

// pruner removes by the retention of the configuration.
func (s *street) pruner(h *house) *retention.Pruner {
	return &retention.Pruner{
		Policy: s.config.Retention, Store: h.store, Archive: h.archive,
		Asked: func(r exposure.Run) ([]netip.Prefix, error) {
			set, err := runSet(r)
			return set.Prefixes(), err
		},
		More: []retention.Class{
			{Name: "parked files", Keep: s.config.Retention.Parked, Prune: func(ctx context.Context, before time.Time, _ []netip.Prefix, dry bool) (exposure.Pruned, error) {
				return s.pruneParked(ctx, h, before, dry)
			}},
			// What a message says of a held host, all the others stay with.
			{Name: "texts of messages", Keep: s.config.Retention.Messages, Prune: func(ctx context.Context, before time.Time, held []netip.Prefix, dry bool) (exposure.Pruned, error) {
				n, err := h.store.ForgetContents(ctx, before, dry || len(held) > 0)
				if len(held) > 0 {
					return exposure.Pruned{Held: n}, err
				}
				return exposure.Pruned{Removed: n}, err
			}},
		},
	}
}

// pruneParked removes files of types that nobody could read for so long.
func (s *street) pruneParked(ctx context.Context, h *house, before time.Time, dry bool) (exposure.Pruned, error) {
	var done exposure.Pruned
	files, err := h.store.ParkedFiles(ctx, s.view())
	for _, p := range files {
		if !p.At.Before(before) {
			continue
		}
		if !dry {
			if err := s.yard().Drop(p); err != nil {
				return done, err
			}
			if err := h.store.DropParked(ctx, p.Digest); err != nil {
				return done, err
			}
		}
		done.Removed++
	}
	return done, err
}

func (s *street) holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep what is known of a case or network beyond its retention",
		Long: `What is held outlives its retention: observations, cases and their history at the
addresses, the runs that may have asked them, and, while anything is held, the audit
log. A case stands for all of its address.`,
	}
	var reason string
	add := &cobra.Command{
		Use:   "add CASE|PREFIX",
		Short: "Hold a case, an address or a network",
		Example: `  ippwatch hold add 198.51.100.0/24 --reason "court order 4711"
  ippwatch hold add 0123456789AB --reason "asked by the CSIRT"`,
		Args: wants("CASE|PREFIX"),
		RunE: do(func(ctx context.Context, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usage("hold add needs --reason TEXT: somebody will want to know why this is kept")
			}
			return s.read(ctx, func(h *house) error { return s.hold(ctx, h, args[0], reason) })
		}),
	}
	add.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	remove := &cobra.Command{
		Use:     "remove CASE|PREFIX",
		Short:   "Lift a hold; what is too old goes with the next prune",
		Example: `  ippwatch hold remove 198.51.100.0/24`,
		Args:    wants("CASE|PREFIX"),
		RunE: do(func(ctx context.Context, args []string) error {
			what, _, err := s.heldName(args[0])
			if err != nil {
				return err
			}
			return s.read(ctx, func(h *house) error {
				found, err := h.store.RemoveHold(ctx, what, whoami(), s.now())
				if err == nil && !found {
					err = hint(fmt.Errorf("%s is not held", what), "%s lists what is", s.again("hold list"))
				}
				if err == nil {
					s.Note("%s is no longer held", what)
				}
				return err
			})
		}),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			_ = s.read(cmd.Context(), func(h *house) error { // a shell that completes shows no errors
				rows, err := h.store.Holds(cmd.Context(), s.view())
				for _, r := range rows {
					words = append(words, r.What+"\t"+screen.Printable(r.Reason))
				}
				return err
			})
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List what is held, since when and why",
		Args:  wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				rows, err := h.store.Holds(ctx, s.view())
				if err != nil {
					return err
				}
				return screen.Listing[exposure.Hold]{
					Columns: []string{"what", "prefix", "at", "who", "reason"},
					Cells: func(r exposure.Hold) []string {
						return []string{r.What, r.Prefix.String(), s.Stamp(r.At), r.Who, r.Reason}
					},
					Empty: "nothing is held",
				}.Show(&s.Screen, rows)
			})
		}),
	}
	cmd.AddCommand(add, remove, list)
	return group(cmd)
}

// heldName is the name of a hold, and its prefix if that is what it names.
func (s *street) heldName(arg string) (what string, p netip.Prefix, err error) {
	if caseName.MatchString(arg) {
		return strings.ToUpper(arg), p, nil
	}
	if p, err = space.Parse(arg); err != nil {
		return "", p, usage("%q: want a case such as 0123456789AB, an address or a prefix", arg)
	}
	return p.String(), p, nil
}

func (s *street) hold(ctx context.Context, h *house, arg, reason string) error {
	what, p, err := s.heldName(arg)
	if err != nil {
		return err
	}
	prefixes := []netip.Prefix{p}
	if !p.IsValid() {
		cases, err := h.store.ExposuresNamed(ctx, s.view(), what)
		if err != nil {
			return hint(err, "an address or a network can be held, too")
		}
		prefixes = prefixes[:0]
		for _, c := range cases {
			a := c.Addr.WithZone("")
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if len(prefixes) != 1 {
		return hint(fmt.Errorf("%s is the name of %d cases", what, len(prefixes)), "hold the address: %s", prefixes[0])
	}
	err = h.store.AddHold(ctx, exposure.Hold{What: what, Prefix: prefixes[0], Reason: reason, Who: whoami(), At: s.now().UTC()})
	if err == nil {
		s.Note("held: what is known of %s outlives its retention", prefixes[0])
	}
	return err
}
