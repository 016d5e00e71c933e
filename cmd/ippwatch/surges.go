package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "ippwatch/api/v1"
	"ippwatch/archive"
	"ippwatch/exposure"
	"ippwatch/screen"
	"ippwatch/surge"
)

func (s *street) surgesCommand() *cobra.Command {
	days := 30
	cmd := &cobra.Command{
		Use:   "surges",
		Short: "Say when more strangers came to the sensors than usual",
		Long: `Surges lists the episodes in which more different networks came to your sensors than
the hour of the week explains, or asked for more different hosts to be called, and what
needs no statistics: several sensors that are to call one host, a host of your own
networks that is to be called, a third party that is named for the first time.

It counts networks (/24 and /48), never packets. For the first three days it says
nothing; until it has seen four weeks it compares the day's average with that before
it, and says so; then each hour with the same hour of the weeks before. What is usual is
not learnt while an episode lasts. ippwatch serve tells an episode once when it begins,
again when it gets worse, and once when it is over: see the section alerts.`,
		Example: `  ippwatch surges
  ippwatch surges --days 90 --format ndjson`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			if days < 1 || days > 3660 {
				return usage("--days %d: want 1 to 3660", days)
			}
			return s.read(ctx, func(h *house) error {
				state, err := s.surgeState(ctx, h)
				if err != nil {
					return err
				}
				return s.showSurges(state, days)
			})
		}),
	}
	cmd.Flags().IntVar(&days, "days", days, "how long ago an episode may have ended")
	return cmd
}

// surgeState is what is known of surges by now.
func (s *street) surgeState(ctx context.Context, h *house) (*surge.State, error) {
	state, err := surge.Load(s.data)
	if err != nil {
		return nil, err
	}
	err = state.Advance(s.now(), surge.Sources{
		Censuses: func(from, to time.Time) iter.Seq2[exposure.Census, error] {
			return h.archive.Censuses(ctx, s.view(), from, to)
		},
		Visits: func(from, to time.Time) iter.Seq2[exposure.Visit, error] {
			return h.archive.Visits(ctx, s.view(), archive.VisitQuery{From: from, To: to, Source: exposure.Sensor})
		},
	})
	if err != nil {
		return nil, err
	}
	if state.Empty() {
		return state, nil
	}
	return state, state.Save(s.data)
}

// surges are what a daemon tells.
func (s *street) surges(ctx context.Context, h *house) ([]exposure.Alert, error) {
	state, err := s.surgeState(ctx, h)
	if err != nil {
		return nil, err
	}
	return state.Alerts(s.now()), nil
}

// surgeRows are the episodes that did not end longer ago, and the signs.
func (s *street) surgeRows(state *surge.State, days int) []v1.Surge {
	var rows []v1.Surge
	for _, e := range state.Detector.Episodes(s.now().AddDate(0, 0, -days)) {
		rows = append(rows, v1.Surge{Kind: "episode", Episode: &e, Detail: e.Detail(), Step: e.Step()})
	}
	for _, f := range state.Aims.Findings(s.now()) {
		rows = append(rows, v1.Surge{Kind: string(f.Sign), Sign: &f, Detail: f.Detail(), Step: f.Step()})
	}
	return rows
}

func (s *street) showSurges(state *surge.State, days int) error {
	rows := s.surgeRows(state, days)
	err := screen.Listing[v1.Surge]{
		Columns: []string{"kind", "id", "class", "began", "ended", "observed", "expected", "sensors"},
		Cells: func(r v1.Surge) []string {
			if f := r.Sign; f != nil {
				return []string{r.Kind, f.Host, "", s.Stamp(f.Began), "", "", "", strings.Join(f.Sensors, " ")}
			}
			e := r.Episode
			ended := ""
			if !e.Ended.IsZero() {
				ended = s.Stamp(e.Ended)
			}
			return []string{
				r.Kind, e.ID, string(e.Class), s.Stamp(e.Began), ended, fmt.Sprintf("%.0f", e.Observed), fmt.Sprintf("%.0f", e.Expected), strings.Join(e.Sensors, " "),
			}
		},
		Empty: "nothing was more than usual",
	}.Show(&s.Screen, rows)
	if err != nil || s.Format != "table" {
		return err
	}
	for _, r := range rows {
		if r.Episode == nil || r.Episode.Ended.IsZero() {
			s.Note("%s\n  next: %s", screen.Printable(r.Detail), r.Step)
		}
	}
	return nil
}
