// Package ingest takes in what feeds yield: it judges and keeps each row as a
// scan does, and remembers which files came, what could not be read, and what
// waits until somebody can read it.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/track"
)

// batchRows is how many rows are recorded at once: a few megabytes. In the order
// of addresses, neighbours among them fill the same pages.
const batchRows = 4000

// mostAsides is how many rows of one file are remembered as set aside; beyond
// it they are counted.
const mostAsides = 1000

// An Archive keeps what was observed; package archive does.
type Archive interface {
	Append(ctx context.Context, observations []exposure.Observation) (added int, err error)
	AppendVisits(ctx context.Context, visits []exposure.Visit) (added int, err error)
}

// Cases follow exposures; package track does.
type Cases interface {
	Fold(ctx context.Context, observations []exposure.Observation) (track.Summary, error)
}

// A Register remembers the files; package store does.
type Register interface {
	PutIntake(ctx context.Context, in exposure.Intake, asides []exposure.Aside) error
	PutParked(ctx context.Context, p exposure.ParkedFile) error
	DropParked(ctx context.Context, digest string) error
}

// A Service takes documents in.
type Service struct {
	Archive  Archive
	Cases    Cases
	Register Register
	Judge    func(*exposure.Observation) []exposure.Finding
	// Where is where an address is and whose, for what a row does not tell.
	Where  func(netip.Addr) exposure.Where
	Now    func() time.Time
	Source exposure.Source
	Park   Yard
	// Done is called after each document, whatever became of it.
	Done func(exposure.Intake)
}

// Take takes the documents in, one after another. What is wrong with one is
// written down and does not end it; what is wrong with us does. After a crash
// at any moment the same call may be made again: what was kept is known by its
// content, and what was not is kept then.
func (s *Service) Take(ctx context.Context, documents iter.Seq2[feed.Document, error], parse feed.Parser) ([]exposure.Intake, error) {
	// The batches bound the memory: garbage may lie a little longer, for some
	// of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(125))
	var all []exposure.Intake
	for doc, wrong := range documents {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		in, _, err := s.one(ctx, doc, wrong, parse)
		if err != nil {
			return all, err
		}
		all = append(all, in)
		if s.Done != nil {
			s.Done(in)
		}
	}
	return all, ctx.Err()
}

// one takes one document in; left tells that some of it could not be read yet.
// The error is ours: a database that fails, or a stop.
func (s *Service) one(ctx context.Context, doc feed.Document, wrong error, parse feed.Parser) (in exposure.Intake, left bool, err error) {
	begun := s.Now()
	w := &work{
		Service: s, received: begun,
		in: exposure.Intake{Source: s.Source, File: doc.Name, Ref: doc.Ref, Begun: begun, Outcome: exposure.Taken},
	}
	if wrong == nil {
		if wrong, err = w.read(ctx, doc, parse); err != nil {
			return w.in, false, fmt.Errorf("take in %s: %w", doc.Name, err)
		}
	}
	if ctx.Err() != nil {
		return w.in, false, ctx.Err()
	}
	if wrong != nil {
		w.in.Outcome, w.in.Error = exposure.Failed, feed.Clip(wrong.Error(), 300)
	}
	w.in.Ended = s.Now()
	return w.in, w.left, s.Register.PutIntake(ctx, w.in, w.asides)
}

// A work is one document being taken in.
type work struct {
	*Service
	in       exposure.Intake
	asides   []exposure.Aside
	received time.Time
	left     bool // some of it is parked
}

// read reads the document. wrong is the document's fault, err is ours.
func (w *work) read(ctx context.Context, doc feed.Document, parse feed.Parser) (wrong, err error) {
	var spool *spool
	defer func() { spool.discard() }()
	r := feed.NewBuffer(doc.Reader)
	table, wrong := parse(doc.Name, r, w.received)
	if wrong != nil {
		return wrong, nil
	}
	w.in.Type = table.Type
	if table.Unknown != "" {
		return w.park(ctx, r, table.Unknown)
	}
	if table.Mixed {
		// What some rows are is known at the end only, when they are read.
		if spool, err = w.Park.spool(w.received); err != nil {
			return nil, err
		}
		r = feed.NewBuffer(io.TeeReader(r, spool))
		if table, wrong = parse(doc.Name, r, w.received); wrong != nil {
			return wrong, nil
		}
	}
	wrong, err = w.rows(ctx, table.Rows)
	if wrong != nil || err != nil || w.in.Other == 0 || spool == nil {
		return wrong, err
	}
	w.left = true
	why := fmt.Sprintf("%d of its %d rows are of a campaign that is not known yet", w.in.Other, w.in.Rows)
	if w.in.Other == w.in.Rows {
		w.in.Outcome, w.in.Error = exposure.Parked, why
	}
	return w.keepParked(ctx, spool, why)
}

// A batch is rows on their way.
type batch struct {
	observations []exposure.Observation
	visits       []exposure.Visit
}

func (b *batch) full() bool { return len(b.observations)+len(b.visits) >= batchRows }

// rows records the rows in batches: while one is folded into the cases, which is
// most of the work, the next is read and kept.
func (w *work) rows(ctx context.Context, rows iter.Seq2[feed.Row, error]) (wrong, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan *batch)
	var folding sync.WaitGroup
	var unfolded error
	folding.Go(func() {
		for b := range batches {
			if unfolded == nil {
				if unfolded = w.fold(ctx, b); unfolded != nil {
					cancel() // reading on is of no use
				}
			}
		}
	})
	var unkept error
	hand := func(b *batch) bool {
		if unkept = w.keep(ctx, b); unkept == nil {
			batches <- b
		}
		return unkept == nil && ctx.Err() == nil
	}
	b := new(batch)
	for row, broke := range rows {
		if broke != nil {
			wrong = broke
			break
		}
		w.take(b, row)
		if b.full() {
			if !hand(b) {
				break
			}
			b = new(batch)
		}
	}
	if unkept == nil && ctx.Err() == nil {
		hand(b)
	}
	close(batches)
	folding.Wait()
	for _, failed := range []error{unfolded, unkept} {
		if failed != nil && !errors.Is(failed, context.Canceled) {
			return nil, failed
		}
	}
	return wrong, ctx.Err()
}

// take counts a row and adds it to the batch.
func (w *work) take(b *batch, row feed.Row) {
	w.in.Rows++
	switch {
	case row.Aside != "":
		w.in.Aside++
		if len(w.asides) < mostAsides {
			w.asides = append(w.asides, exposure.Aside{
				Source: w.Source, Type: w.in.Type, File: w.in.File, Line: row.Line, Reason: row.Aside, Row: row.Raw, At: w.received,
				Hash: string(exposure.NewFeedID(w.Source, "aside", map[string]string{"row": row.Raw, "reason": row.Aside})),
			})
		}
	case row.Observation != nil:
		o := row.Observation
		w.fill(&o.Where, o.Addr)
		o.Findings = w.Judge(o)
		w.note(o.Observed)
		b.observations = append(b.observations, *o)
	case row.Visit != nil:
		v := row.Visit
		w.fill(&v.Where, v.Addr)
		w.note(v.Observed)
		b.visits = append(b.visits, *v)
	default:
		w.in.Other++
	}
}

func (w *work) note(at time.Time) {
	if day := at.UTC().Truncate(24 * time.Hour); day.After(w.in.Day) {
		w.in.Day = day
	}
}

// fill adds what the row lacks, and changes nothing of what it says.
func (w *work) fill(where *exposure.Where, addr netip.Addr) {
	if w.Where == nil || where.Country != "" && where.ASN != 0 {
		return
	}
	ours := w.Where(addr)
	if where.Country == "" {
		where.Country = ours.Country
		if where.Region == "" && where.City == "" {
			where.Region, where.City = ours.Region, ours.City
		}
	}
	if where.ASN == 0 {
		where.ASN, where.ASName = ours.ASN, ours.ASName
	}
}

// keep writes a batch into the archive, and fold folds it into the cases, as a
// scan does: what only one of them got before a crash, the other gets the next
// time.
func (w *work) keep(ctx context.Context, b *batch) error {
	slices.SortStableFunc(b.observations, func(x, y exposure.Observation) int { return x.Addr.Compare(y.Addr) })
	added, err := w.Archive.Append(ctx, b.observations)
	if err == nil && len(b.visits) > 0 {
		var visits int
		visits, err = w.Archive.AppendVisits(ctx, b.visits)
		added += visits
	}
	w.in.New += added
	w.in.Known += len(b.observations) + len(b.visits) - added
	if err != nil {
		return fmt.Errorf("keep rows: %w", err)
	}
	return nil
}

func (w *work) fold(ctx context.Context, b *batch) error {
	if len(b.observations) == 0 {
		return nil
	}
	if _, err := w.Cases.Fold(ctx, b.observations); err != nil {
		return fmt.Errorf("fold into cases: %w", err)
	}
	return nil
}
