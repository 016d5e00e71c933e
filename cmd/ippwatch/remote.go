package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/api/client"
	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/report"
	"ippwatch/screen"
	"ippwatch/store"
	"ippwatch/track"
)

// worksThere marks the commands that --server sends to another machine.
const worksThere = "works-there"

// there marks a command, and says so in its help.
func there(cmd *cobra.Command) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	cmd.Annotations[worksThere] = "yes"
	return cmd
}

// chooseServer makes ready to ask a server instead of the data directory.
func (s *street) chooseServer(cmd *cobra.Command) error {
	name := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	switch {
	case s.server == "" && s.keyFile != "":
		return usage("--key-file is for --server URL")
	case s.server == "":
		return nil
	case cmd.Annotations[worksThere] == "":
		return hint(usage("%s does not work on a server", name), "without --server it works on the data directory of this machine; log in there")
	case s.elsewhere:
		return usage("--server and --data exclude each other: the one has the data of the other machine")
	}
	key, err := client.Key(s.keyFile)
	if err != nil {
		return answer.Misuse(err)
	}
	if key == "" {
		return hint(usage("--server: there is no key"), "%s has it, or the file that --key-file names; an operator makes one: ippwatch keys add", client.KeyVariable)
	}
	s.remote, err = client.New(client.Options{URL: s.server, Key: key, Agent: "ippwatch/" + version()})
	if err != nil {
		return usage("--server %w", err)
	}
	return nil
}

// refuseThere refuses flags that name files of this machine, or whom it asks.
func (s *street) refuseThere(cmd *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if s.remote != nil && cmd.Flags().Changed(f) {
			return usage("--%s does not work on a server: it is about this machine", f)
		}
	}
	return nil
}

// fromThere says what helps against what a server said.
func (s *street) fromThere(err error) error {
	if err == nil || len(answer.Hints(err)) > 0 {
		return err
	}
	if p, ok := errors.AsType[*client.ProblemError](err); ok && p.Hint != "" {
		return hint(err, "%s", p.Hint)
	}
	switch {
	case client.Is(err, http.StatusUnauthorized):
		return hint(err, "the key is wrong, over or revoked: ippwatch keys list tells, on the server")
	case client.Is(err, http.StatusForbidden):
		return hint(err, "the key needs another role, or a scope: ippwatch keys add LABEL --role analyst --scope read --scope change")
	}
	return err
}

// queryOf is what the flags ask of a server.
func (f *caseFlags) queryOf(filter store.Filter) v1.CaseQuery {
	q := v1.CaseQuery{
		State: f.state, Severity: f.severity, Rules: f.rules, Assignee: f.assignee, Constituent: f.only, Since: filter.Since,
	}
	if filter.Prefix.IsValid() {
		q.Prefix = filter.Prefix.String()
	}
	return q
}

func (s *street) listCasesThere(ctx context.Context, f *caseFlags, filter store.Filter) error {
	var rows []v1.Case
	for c, err := range s.remote.Cases(ctx, f.queryOf(filter), f.limit) {
		if err != nil {
			return s.fromThere(err)
		}
		rows = append(rows, c)
	}
	return s.caseListing("no case of that kind").Show(&s.Screen, rows)
}

// casesThere returns the cases that the words mean, with what must happen next.
func (s *street) casesThere(ctx context.Context, words []string) ([]v1.CaseFile, error) {
	var all []v1.CaseFile
	seen := make(map[exposure.Key]bool)
	for _, word := range words {
		if addr, err := netip.ParseAddr(word); err == nil {
			q := v1.CaseQuery{Prefix: addr.Unmap().String()}
			for _, c := range store.Work().Conditions {
				q.Conditions = append(q.Conditions, string(c))
			}
			n := len(all)
			for c, err := range s.remote.Cases(ctx, q, 0) {
				if err != nil {
					return nil, s.fromThere(err)
				}
				if !seen[c.Key] {
					seen[c.Key] = true
					all = append(all, v1.CaseFile{Case: c})
				}
			}
			if len(all) == n {
				return nil, hint(fmt.Errorf("%s has no open case", addr), "%s", s.again("cases list %s --state all", addr))
			}
			continue
		}
		if !caseName.MatchString(word) {
			return nil, usage("%q: want the name of a case, such as 4C8B0F6E52A1, or an address", word)
		}
		f, _, err := s.remote.Case(ctx, word)
		if client.Is(err, http.StatusNotFound) {
			return nil, hint(fmt.Errorf("there is no case %s", strings.ToUpper(word)), "%s lists them", s.again("cases list --state all"))
		}
		if err != nil {
			return nil, s.fromThere(err)
		}
		if !seen[f.Key] {
			seen[f.Key] = true
			all = append(all, f)
		}
	}
	return all, nil
}

func (s *street) showCasesThere(ctx context.Context, args []string) error {
	files, err := s.casesThere(ctx, args)
	if err != nil {
		return err
	}
	for i := range files {
		f := &files[i]
		if f.Next == "" { // it was found by its address
			if *f, _, err = s.remote.Case(ctx, f.Case.Case); err != nil {
				return s.fromThere(err)
			}
		}
		for t, err := range s.remote.History(ctx, f.Case.Case) {
			if err != nil {
				return s.fromThere(err)
			}
			f.History = append(f.History, t)
		}
	}
	return s.showFiles(files)
}

func (s *street) decideThere(ctx context.Context, args []string, o track.Order, done string) error {
	files, err := s.casesThere(ctx, args)
	if err != nil {
		return err
	}
	var refused []error
	for _, f := range files {
		now, err := s.remote.Act(ctx, f.Case.Case, string(o.Step), o.Evidence, o.Until, "")
		switch {
		case client.Is(err, http.StatusConflict), client.Is(err, http.StatusNotFound):
			refused = append(refused, errors.New(err.Error()))
		case err != nil:
			return s.fromThere(err)
		default:
			s.Note("%s %s (%s at %s): %s", done, now.Case.Case, now.Rule, netip.AddrPortFrom(now.Addr, now.Port), now.State)
		}
	}
	if err := errors.Join(refused...); err != nil {
		return hint(err, "%s shows what was decided", s.again("cases show %s", args[0]))
	}
	return nil
}

func (s *street) assignThere(ctx context.Context, args []string, to string) error {
	files, err := s.casesThere(ctx, args)
	if err != nil {
		return err
	}
	for _, f := range files {
		now, err := s.remote.Assign(ctx, f.Case.Case, to, "")
		if err != nil {
			return s.fromThere(err)
		}
		s.Note("%s (%s at %s) is assigned to %s", now.Case.Case, now.Rule, netip.AddrPortFrom(now.Addr, now.Port), cmp.Or(now.Assignee, "nobody"))
	}
	return nil
}

func (s *street) changesThere(ctx context.Context, since time.Time) ([]v1.Change, error) {
	var rows []v1.Change
	for c, err := range s.remote.Changes(ctx, since) {
		if err != nil {
			return nil, s.fromThere(err)
		}
		rows = append(rows, c)
	}
	return rows, nil
}

// reportThere writes the report files that a server has.
func (s *street) reportThere(ctx context.Context, f *reportFlags) error {
	day, err := s.reportDay(f.date)
	if err != nil {
		return err
	}
	q := v1.ReportQuery{DayQuery: v1.DayQuery{Date: day.Format(time.DateOnly)}, Type: f.kind, Constituent: f.only, Formats: f.formats, Empty: f.out == ""}
	var jobs []v1.Report
	for r, err := range s.remote.Reports(ctx, q) {
		if err != nil {
			return s.fromThere(err)
		}
		jobs = append(jobs, r)
	}
	form := v1.ReportForm{Extended: f.opt.Extended, Spreadsheet: f.opt.Spreadsheet}
	switch {
	case f.out != "":
	case len(jobs) == 0:
		return hint(usage("--for %s: no such constituent", f.only), "the server knows it not, or does not show it to this key")
	case len(jobs) > 1:
		return hint(usage("%d files would be written, and stdout takes one", len(jobs)), "name a directory with --out, or one --type, --for and --format")
	default:
		return s.fromThere(s.remote.Report(ctx, s.Machine(), jobs[0].File, form))
	}
	// The order in which they are written here.
	place := func(r v1.Report) int {
		return 100*slices.Index(f.formats, r.Format) + slices.Index(report.Types, report.Type(r.Type))
	}
	slices.SortStableFunc(jobs, func(a, b v1.Report) int {
		return cmp.Or(cmp.Compare(a.Constituent, b.Constituent), cmp.Compare(place(a), place(b)))
	})
	if err := os.MkdirAll(f.out, 0o700); err != nil {
		return err
	}
	var files []written
	for _, j := range jobs {
		if j.File != filepath.Base(j.File) || !filepath.IsLocal(j.File) {
			return fmt.Errorf("the server names a file %q", j.File)
		}
		var b bytes.Buffer
		if err := s.remote.Report(ctx, &b, j.File, form); err != nil {
			return s.fromThere(err)
		}
		name := filepath.Join(f.out, j.File)
		if err := replace(name, b.Bytes()); err != nil {
			return err
		}
		files = append(files, written{name, j.Constituent, j.Type, j.Rows})
	}
	return s.showWritten(files, day)
}

func (s *street) excludeThere(ctx context.Context, prefixes []netip.Prefix, reason string) error {
	for _, p := range prefixes {
		if _, err := s.remote.Exclude(ctx, p, reason); err != nil {
			return s.fromThere(err)
		}
		s.Note("excluded %s: running scans stop asking it within a second", p)
	}
	return nil
}

func (s *street) exclusionsThere(ctx context.Context) ([]store.Exclusion, error) {
	var rows []store.Exclusion
	for e, err := range s.remote.Exclusions(ctx) {
		if err != nil {
			return nil, s.fromThere(err)
		}
		rows = append(rows, e)
	}
	return rows, nil
}

// showFiles writes cases with their history.
func (s *street) showFiles(files []v1.CaseFile) error {
	if s.Format != "table" {
		return screen.Listing[v1.CaseFile]{
			Columns: s.caseListing("").Columns,
			Cells:   func(f v1.CaseFile) []string { return s.caseListing("").Cells(f.Case) },
		}.Show(&s.Screen, files)
	}
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := s.showCase(f); err != nil {
			return err
		}
	}
	return nil
}
