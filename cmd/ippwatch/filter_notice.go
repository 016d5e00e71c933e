package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/filter"
)

type noticeFlags struct {
	kind, from     string
	page, counting bool
}

func (s *street) filterNotice() *cobra.Command {
	f := &noticeFlags{}
	cmd := &cobra.Command{
		Use:   "notice POLICY",
		Short: "Write the change notice for customers, or the public page on what is filtered",
		Long: `Whoever blocks a port says so in public, lets customers out who have a reason, asks
again regularly, and can be complained to (BITAG, Port Blocking, 2013). Notice writes
the mail that goes out before a filter begins, and the page that stays; both are made
of the policy, and name no exception's owner or host.`,
		Example: `  ippwatch filter notice policy.yaml --from 2027-02-01 > change.md
  ippwatch filter notice policy.yaml --kind disclosure --page > filters.html`,
		Args:              wants("POLICY"),
		ValidArgsFunction: completePolicy,
		RunE:              do(func(_ context.Context, args []string) error { return s.notice(f, args[0]) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kind, "kind", "change", strings.Join(filter.Notices, " or "))
	fl.StringVar(&f.from, "from", "", "day on which it begins, as 2027-02-01")
	fl.BoolVar(&f.counting, "count-only", false, "say that packets are only counted for now")
	fl.BoolVar(&f.page, "page", false, "the disclosure as an HTML page")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(filter.Notices, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (s *street) notice(f *noticeFlags, file string) error {
	var from time.Time
	var err error
	switch {
	case !slices.Contains(filter.Notices, f.kind):
		return usage("--kind %q: want %s", f.kind, strings.Join(filter.Notices, " or "))
	case f.page && f.kind != "disclosure":
		return usage("--page is for --kind disclosure")
	case f.from != "":
		if from, err = time.Parse(time.DateOnly, f.from); err != nil {
			return usage("--from %q: want a day such as 2027-02-01", f.from)
		}
	}
	p, err := s.policy(file)
	if err != nil {
		return err
	}
	n := filter.NewNotice(p, s.now(), from, f.counting)
	if f.page {
		err = n.WritePage(s.Out)
	} else {
		err = n.Write(s.Out, f.kind)
	}
	if err != nil {
		return fmt.Errorf("write the notice: %w", err)
	}
	return nil
}
