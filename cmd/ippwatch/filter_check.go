package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ippwatch/acl"
	"ippwatch/filter"
	"ippwatch/screen"
)

type checkFlags struct {
	platform, policy string
	at               spot
}

func (s *street) filterCheck() *cobra.Command {
	f := &checkFlags{}
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say which packets of the policy a filter in use lets pass",
		Long: `Check reads what a router or firewall runs today, a whole configuration if need
be, and says which packets that the policy drops it lets pass, the worst first, each
with one packet as a witness, and which exceptions it blocks. Lines that could
change the answer and are not understood are told as unverified; with one of them
nothing is called closed. Without a policy it asks for 631 over TCP and UDP into any
network. Where a rule depends on state, packets are taken for the first ones of a
conversation.

It exits with 3 if something passes, is blocked or is unverified.`,
		Example: `  ippwatch filter check --platform nftables --policy policy.yaml running.nft
  nft list ruleset | ippwatch filter check --platform nftables --interface eth0 -`,
		Args: wants("FILE..."),
		RunE: do(func(_ context.Context, args []string) error { return s.check(f, args) }),
	}
	addPlatform(cmd, &f.platform)
	cmd.Flags().StringVar(&f.policy, "policy", "", "policy to hold it against; default: 631 over TCP and UDP into any network")
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml")
	f.at.add(cmd)
	return cmd
}

func (s *street) check(f *checkFlags, files []string) error {
	if err := knownPlatform(f.platform); err != nil {
		return err
	}
	var p acl.Policy
	var err error
	if f.policy != "" {
		if p, err = s.policy(f.policy); err != nil {
			return err
		}
	}
	at, err := f.at.attach(acl.Attach{Profile: p.Profile, Interfaces: p.Interfaces})
	if err != nil {
		return err
	}
	if f.policy == "" {
		p = filter.AnyNetwork(at)
	}
	texts, err := s.platformTexts(files)
	if err != nil {
		return err
	}
	got, err := filter.Read(f.platform, texts, at)
	if err != nil {
		return err
	}
	report := filter.Check(p.Form(s.now(), false), got)
	rows := report.Rows()
	if err := s.showPackets(rows, func() { s.showCheck(report) }); err != nil {
		return err
	}
	if !report.Fine() {
		return errFound
	}
	return nil
}

func (s *street) showPackets(rows []filter.Row, table func()) error {
	if s.Format == "table" {
		table()
		return nil
	}
	return screen.Listing[filter.Row]{
		Columns: []string{"what", "packets", "witness", "rule", "a", "b", "by", "file", "line", "text", "why"},
		Cells: func(r filter.Row) []string {
			line := ""
			if r.Line > 0 {
				line = fmt.Sprint(r.Line)
			}
			return []string{r.What, r.Packets, r.Witness, r.Rule, r.A, r.B, r.By, r.File, line, r.Text, r.Why}
		},
	}.Show(&s.Screen, rows)
}

func (s *street) showCheck(r filter.Report) {
	say := func(format string, args ...any) {
		fmt.Fprintln(s.Out, screen.Printable(fmt.Sprintf(format, args...)))
	}
	switch {
	case len(r.Stages) == 0:
		say("no filter was found on this path")
	case r.Skipped > 0:
		say("on this path: %s (%s about other things)", strings.Join(r.Stages, ", "), screen.Count(r.Skipped, "line is", "lines are"))
	default:
		say("on this path: %s", strings.Join(r.Stages, ", "))
	}
	for _, l := range r.Leaks {
		say("%s: %s", l.Word(), l.Packets)
		say("    such as: %s", l.Witness)
		say("    the policy drops it (%s); what decides: %s", l.Rule, l.Decided())
	}
	for _, l := range r.Blocked {
		say("blocked: %s", l.Packets)
		say("    such as: %s", l.Witness)
		say("    the policy excepts it (%s); what decides: %s", l.Rule, l.Decided())
	}
	for _, l := range r.Unverified {
		say("unverified: %s", filter.Unread(l))
	}
	switch {
	case r.Fine():
		say("nothing that the policy drops passes, and every exception does")
	case len(r.Leaks) == 0 && len(r.Unverified) > 0:
		say("nothing is known to pass, but %s not understood: this proves nothing", screen.Count(len(r.Unverified), "line is", "lines are"))
	}
}

type diffFlags struct {
	at, other spot
}

func (s *street) filterDiff() *cobra.Command {
	f := &diffFlags{}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what two filters treat differently, whatever their platforms",
		Long: `Diff compares packets, not lines. A and B are each a policy (FILE.yaml) or a text
with its platform in front: PLATFORM:FILE, where several files have a comma between
them. It exits with 3 if there is a difference.`,
		Example: `  ippwatch filter diff nftables:yesterday.nft nftables:today.nft --interface wan
  ippwatch filter diff policy.yaml iptables:rules.v4,rules.v6`,
		Args: wants("A", "B"),
		RunE: do(func(_ context.Context, args []string) error { return s.diff(f, args[0], args[1]) }),
	}
	f.at.add(cmd)
	cmd.Flags().StringArrayVar(&f.other.interfaces, "interface-b", nil, "interface of B, if it has another name than that of A; repeats")
	return cmd
}

func (s *street) diff(f *diffFlags, a, b string) error {
	var from acl.Attach // of a policy, for the side that has none
	for _, side := range []string{a, b} {
		if isPolicy(side) {
			p, err := s.policy(side)
			if err != nil {
				return err
			}
			from = acl.Attach{Profile: p.Profile, Interfaces: p.Interfaces}
		}
	}
	at, err := f.at.attach(from)
	if err != nil {
		return err
	}
	there := at
	if f.other.interfaces != nil {
		f.other.profile = f.at.profile
		if there, err = f.other.attach(from); err != nil {
			return err
		}
	}
	left, err := s.side(a, at)
	if err != nil {
		return err
	}
	right, err := s.side(b, there)
	if err != nil {
		return err
	}
	rows := filter.Differences(left, right)
	err = s.showPackets(rows, func() {
		for _, r := range rows {
			if r.What == "unverified" {
				fmt.Fprintf(s.Out, "unverified: %s\n", screen.Printable(filter.Unread(acl.Line{File: r.File, Number: r.Line, Text: r.Text, Why: r.Why})))
				continue
			}
			fmt.Fprintf(s.Out, "%s\n    such as: %s\n    A: %s  B: %s\n", r.Packets, r.Witness, r.A, r.B)
		}
		if len(rows) == 0 {
			fmt.Fprintln(s.Out, "both treat every packet alike")
		}
	})
	if err == nil && len(rows) > 0 {
		return errFound
	}
	return err
}

func isPolicy(side string) bool {
	ext := filepath.Ext(side)
	return ext == ".yaml" || ext == ".yml"
}

// side reads what stands on one side of a comparison.
func (s *street) side(side string, at acl.Attach) ([]filter.Seen, error) {
	if isPolicy(side) {
		p, err := s.policy(side)
		if err != nil {
			return nil, err
		}
		return []filter.Seen{{Filter: p.Form(s.now(), false).Filter()}}, nil
	}
	platform, files, ok := strings.Cut(side, ":")
	if !ok || !filter.Has(platform) {
		return nil, usage("%q: want a policy (FILE.yaml), or PLATFORM:FILE with a platform of %s", side, strings.Join(filter.Names(), ", "))
	}
	texts, err := s.platformTexts(strings.Split(files, ","))
	if err != nil {
		return nil, err
	}
	return filter.Read(platform, texts, at)
}
