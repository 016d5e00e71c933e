package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/exposure"
	"ippwatch/feed"
	"ippwatch/screen"
	"ippwatch/watch"
)

// watchFlags are those of ippwatch watch.
type watchFlags struct {
	where   whereFlags
	own     []string
	vantage string
	follow  bool
	dry     bool
}

func (s *street) watchCommand() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch FILE...",
		Short: "Find hosts that answered a browse packet in logs and captures of your edge",
		Long: `Watch reads what your edge has written: Suricata's eve.json, conn, http and dns logs
of Zeek (in columns or JSON), and pcap or pcapng files. It looks for a packet that
came to 631/UDP of a host, and within ten minutes a call over TCP from that host to
whom the packet named: such a host is vulnerable, and has answered. Names are
matched only by what the logs themselves show; nothing is resolved and nothing sent.

How sure it is stands in the column match: "address" and "name" have the packet's
content and the call, "request" has a POST as CUPS makes it, and "source" only a
connection back to where the packet came from: that one is shown and not kept. The
others make cases that are "reported"; ippwatch verify confirms them.

Give all the logs of one time together: a flow log has the packets, an http log the
requests, a dns log the names.`,
		Example: `  ippwatch watch conn.log http.log dns.log --own 198.51.100.0/24
  ippwatch watch /var/log/suricata/eve.json --follow
  ippwatch watch edge.pcap --dry-run --format ndjson`,
		Args: wants("FILE..."),
		RunE: do(func(ctx context.Context, args []string) error {
			w, err := f.watcher()
			if err != nil {
				return err
			}
			if f.follow {
				return s.follow(ctx, w, f, args)
			}
			return s.watchFiles(ctx, w, f, args)
		}),
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.own, "own", nil, "a network of yours, whose hosts are looked at; repeats; all when not given")
	fl.StringVar(&f.vantage, "vantage", "", "name of the edge, kept with what it saw")
	fl.BoolVar(&f.follow, "follow", false, "go on reading logs as they are written and rotated")
	fl.BoolVar(&f.dry, "dry-run", false, "show what was found and keep nothing")
	f.where.add(fl)
	return cmd
}

func (f *watchFlags) watcher() (*watch.Watcher, error) {
	w := watch.New(f.follow)
	for _, text := range f.own {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usage("--own %q: want a network such as 198.51.100.0/24", text)
		}
		w.Own = append(w.Own, p.Masked())
	}
	return w, nil
}

func (s *street) watchFiles(ctx context.Context, w *watch.Watcher, f watchFlags, files []string) error {
	read, wrong := w.ReadFiles(ctx, files)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	found := w.Take(time.Time{})
	if err := s.sightings(found); err != nil {
		return err
	}
	s.toldRead(read, w.Counts)
	if !f.dry {
		if err := s.keepSightings(ctx, f, found, strings.Join(files, ", ")); err != nil {
			return err
		}
	}
	if errors.Is(wrong, watch.ErrKind) {
		return hint(wrong, "the others were read; unpack what is packed in another way than gzip or zip, and give logs as they were written")
	}
	return wrong
}

// follow shows each host when nothing more comes of it.
func (s *street) follow(ctx context.Context, w *watch.Watcher, f watchFlags, files []string) error {
	if s.Format != "table" && s.Format != "ndjson" {
		return usage("--follow shows one host a line: want --format table or ndjson")
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	read, err := w.Follow(ctx, files, tick.C, func() error {
		found := w.Settled(s.now())
		if len(found) == 0 {
			return nil
		}
		if err := s.lines(found); err != nil || f.dry {
			return err
		}
		return s.keepSightings(ctx, f, found, strings.Join(files, ", "))
	})
	s.toldRead(read, w.Counts)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // how it ends
	}
	if errors.Is(err, watch.ErrKind) {
		return hint(err, "only logs in text are followed: eve.json, and conn, http and dns logs of Zeek")
	}
	return err
}

func (s *street) lines(found []watch.Sighting) error {
	if s.Format == "ndjson" {
		enc := json.NewEncoder(s.Machine())
		enc.SetEscapeHTML(false)
		for _, one := range found {
			if err := enc.Encode(one); err != nil {
				return err
			}
		}
		return nil
	}
	for _, one := range found {
		if _, err := fmt.Fprintf(s.Out, "%s  %s called %s, %s after a packet of %s (%s)\n", screen.Stamp(one.Call), one.Host, one.Called,
			max(0, one.Call.Sub(one.Packet)).Round(time.Millisecond), one.From, one.Match); err != nil {
			return err
		}
	}
	return nil
}

func (s *street) sightings(found []watch.Sighting) error {
	return screen.Listing[watch.Sighting]{
		Columns: []string{"host", "packet", "packet_source", "announced", "called", "after", "posts", "connections", "match"},
		Cells: func(one watch.Sighting) []string {
			return []string{
				one.Host.String(), s.Stamp(one.Packet), one.From.String(), one.Announced, one.Called.String(),
				max(0, one.Call.Sub(one.Packet)).Round(time.Millisecond).String(), fmt.Sprint(one.Posts), fmt.Sprint(one.Calls), string(one.Match),
			}
		},
		Empty: "no host answered a browse packet there",
	}.Show(&s.Screen, found)
}

// toldRead says what was read, and what could not be.
func (s *street) toldRead(read []watch.Read, c watch.Counts) {
	for _, r := range read {
		n := screen.Count(r.Lines, "line", "lines")
		if r.Kind == "pcap" {
			n = screen.Count(r.Lines, "packet", "packets")
		}
		s.Note("%s: %s, %s", screen.Printable(r.File), r.Kind, n)
		if r.Bad > 0 {
			at := fmt.Sprintf("line %d", r.First.Line)
			if r.First.Column > 0 {
				at += fmt.Sprintf(", column %d", r.First.Column)
			}
			s.Note("%s: %s could not be read; the first at %s: %s", screen.Printable(r.File), screen.Count(r.Bad, "line", "lines"), at, screen.Printable(r.First.Reason))
		}
		if r.Cut != "" {
			s.Note("%s: it ends in the middle: %s", screen.Printable(r.File), screen.Printable(r.Cut))
		}
	}
	s.Note("%s to 631/UDP, %s over TCP looked at", screen.Count(c.Packets, "packet", "packets"), screen.Count(c.Calls, "call", "calls"))
	if c.Forgotten > 0 {
		s.Note("%s forgotten because there were too many: give fewer files at a time, or --own", screen.Count(c.Forgotten, "entry was", "entries were"))
	}
}

// keepSightings takes what was found in by the door of the feeds.
func (s *street) keepSightings(ctx context.Context, f watchFlags, found []watch.Sighting, files string) error {
	var proven []watch.Sighting
	for _, one := range found {
		if one.Match.Proves() {
			proven = append(proven, one)
		}
	}
	if len(proven) == 0 {
		return nil
	}
	return s.with(ctx, func(h *house) error {
		in, err := s.intake(h, exposure.Edge, f.where)
		if err != nil {
			return err
		}
		in.service.Done = nil
		all, err := in.service.Take(ctx, oneDocument(feed.Clip(files, feed.MaxColumn)), watch.Parser(proven, f.vantage))
		if err := errors.Join(err, in.close()); err != nil {
			return err
		}
		for _, one := range all {
			s.Note("%d new, %d known; the cases are reported, and ippwatch verify confirms them", one.New, one.Known)
			if one.Aside > 0 {
				s.Note("%s set aside; see which and why: %s", rowsOf(one.Aside), s.again("ingest aside"))
			}
		}
		return nil
	})
}

// oneDocument is a document whose rows are known already.
func oneDocument(name string) iter.Seq2[feed.Document, error] {
	return func(yield func(feed.Document, error) bool) {
		yield(feed.Document{Name: name, Reader: strings.NewReader("")}, nil)
	}
}
