package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/ingest"
	"ippwatch/rule"
	"ippwatch/screen"
)

func (s *street) ingestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Take in what others saw: Shadowserver's reports, zgrab2, nmap, a table",
		Long: `Ingest takes in what others saw. Every row is judged by the same rules as an
answer to our own probe and makes a case "reported", never "confirmed": that takes
a look of our own. A row is known by its content, so the same file may be taken in
again, renamed, or with more rows in it: only what is new changes anything.`,
		Example: `  ippwatch ingest shadowserver reports/
  ippwatch ingest shadowserver --api
  ippwatch ingest log`,
	}
	group(cmd)
	cmd.AddCommand(
		s.ingestShadowserverCommand(), s.ingestZGrab2Command(), s.ingestNmapCommand(), s.ingestCSVCommand(),
		s.ingestParkedCommand(), s.ingestAsideCommand(), s.ingestLogCommand(), s.ingestAgesCommand(),
	)
	return cmd
}

// An intake takes documents of one source into the opened data directory.
type intake struct {
	service *ingest.Service
	close   func() error
}

// parkedDir is where in the data directory files wait until they can be read.
const parkedDir = "parked"

// yard is where files of unknown types wait.
func (s *street) yard() ingest.Yard { return ingest.Yard{Dir: filepath.Join(s.data, parkedDir)} }

func (s *street) intake(h *house, source exposure.Source, where whereFlags) (*intake, error) {
	e, err := where.open()
	if err != nil {
		return nil, err
	}
	return &intake{
		service: &ingest.Service{
			Archive: h.archive, Cases: h.tracker(), Register: h.store, Judge: rule.Judge,
			Where: func(a netip.Addr) exposure.Where { return e.Where(a) },
			Now:   s.now, Source: source, Park: s.yard(),
			Done: s.toldIntake,
		},
		close: e.Close,
	}, nil
}

// toldIntake tells on a terminal how far the work has come.
func (s *street) toldIntake(in exposure.Intake) {
	if s.ErrTerminal {
		s.Note("%s: %s", screen.Printable(in.File), rowsOf(in.Rows))
	}
}

func rowsOf(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// takeIn takes the documents in and shows what became of them. What was not
// readable is told, and makes the command fail after all else was done.
func (s *street) takeIn(ctx context.Context, h *house, source exposure.Source, where whereFlags,
	documents iter.Seq2[feed.Document, error], parse feed.Parser, empty func() string,
) error {
	in, err := s.intake(h, source, where)
	if err != nil {
		return err
	}
	all, err := in.service.Take(ctx, documents, parse)
	err = errors.Join(err, in.close())
	if stopped := ctx.Err(); stopped != nil {
		s.Note("stopped after %s; the same command goes on, and takes nothing in twice", filesOf(len(all)))
		return stopped
	}
	if err != nil {
		return err
	}
	if err := h.count(ctx); err != nil {
		return err
	}
	if len(all) == 0 {
		s.Note("%s", empty())
	}
	if s.current(all) {
		if err := s.pass(ctx, h); err != nil {
			return err
		}
	}
	return s.showTaken(all)
}

// current reports whether one of the files tells of these days. Old files come
// one by one, and the next may have seen again what this one saw last: between
// them nothing lapses.
func (s *street) current(all []exposure.Intake) bool {
	return slices.ContainsFunc(all, func(in exposure.Intake) bool { return s.now().Sub(in.Day) < oldReport })
}

// oldReport is how old a report is that tells nothing of these days.
const oldReport = 7 * 24 * time.Hour

func filesOf(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// showTaken shows what became of the files.
func (s *street) showTaken(all []exposure.Intake) error {
	if err := s.intakes("nothing was taken in").Show(&s.Screen, all); err != nil {
		return err
	}
	var parked, aside, failed int
	for _, in := range all {
		aside += in.Aside
		switch in.Outcome {
		case exposure.Parked:
			parked++
			s.Note("parked: %s: %s", screen.Printable(in.File), screen.Printable(in.Error))
		case exposure.Failed:
			failed++
			s.Note("failed: %s: %s", screen.Printable(in.File), screen.Printable(in.Error))
		default:
			if in.Rows == 0 {
				s.Note("empty: %s has a header and no row", screen.Printable(in.File))
			}
		}
	}
	if aside > 0 {
		s.Note("%s set aside; see which and why: %s", rowsOf(aside), s.again("ingest aside"))
	}
	if parked > 0 {
		s.Note("%s parked, to be taken in by an ippwatch that knows the type: %s", filesOf(parked), s.again("ingest parked"))
	}
	if failed > 0 {
		return hint(fmt.Errorf("%s could not be read to the end", filesOf(failed)), "what could be read is taken in; the whole file may be given again")
	}
	return nil
}

func (s *street) intakes(empty string) screen.Listing[exposure.Intake] {
	return screen.Listing[exposure.Intake]{
		Columns: []string{"source", "type", "day", "rows", "new", "known", "other", "set_aside", "outcome", "file"},
		Cells: func(in exposure.Intake) []string {
			return []string{
				string(in.Source), in.Type, date(in.Day), fmt.Sprint(in.Rows), fmt.Sprint(in.New), fmt.Sprint(in.Known),
				fmt.Sprint(in.Other), fmt.Sprint(in.Aside), string(in.Outcome), in.File,
			}
		},
		Empty: empty,
	}
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// passed says what was passed over, if anything.
func (s *street) passed(f *feed.Files) {
	if f.Passed > 0 {
		s.Note("%s passed over: by the name no report", filesOf(f.Passed))
	}
	if f.Skipped > 0 {
		s.Note("%s taken in before: not read again", filesOf(f.Skipped))
	}
}
