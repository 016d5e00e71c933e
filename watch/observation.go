package watch

import (
	"bufio"
	"iter"
	"strconv"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// Type is the type of the reports that sightings make.
const Type = "edge"

// Observation is what a sighting says of its host. It is a feed's: a log tells
// that a call followed a packet, not that our own token came back, and whoever
// hands us the file may have written it. So a case of it is reported, and a probe
// of ours confirms it.
func (s Sighting) Observation(vantage string, received time.Time) exposure.Observation {
	row := map[string]string{
		"host": s.Host.String(), "packet": s.Packet.UTC().Format(time.RFC3339Nano), "packet_source": s.From.String(),
		"announced": s.Announced, "called": s.Called.String(), "call": s.Call.UTC().Format(time.RFC3339Nano), "match": string(s.Match),
	}
	o := exposure.Observation{
		V: exposure.Version, ID: exposure.NewFeedID(exposure.Edge, Type, row),
		Observed: s.Call.UTC(), Received: received.UTC(), Run: s.Call.UTC().Format(time.DateOnly), Source: exposure.Edge, Vantage: vantage,
		Addr: s.Host, Port: 631, Transport: exposure.UDP, Probe: exposure.ProbeBrowse, Verdict: exposure.CalledBack,
		Callback: &exposure.Callback{
			From: s.Host, UserAgent: s.UserAgent, Posts: s.Posts, Connections: s.Calls, After: max(0, s.Call.Sub(s.Packet)),
			Asked: s.Asked, BytesIn: s.Bytes,
		},
		Feed: &exposure.FeedRow{Type: Type, Columns: map[string]string{
			"packet_source": s.From.String(), "called": s.Called.String(), "match": string(s.Match), "where": feed.Clip(strings.Join(s.Where, ", "), feed.MaxColumn),
		}},
	}
	if s.Announced != "" {
		o.Feed.Columns["announced"] = s.Announced
	}
	if s.Asked > 0 && s.Bytes > 0 {
		o.Callback.RatioApp = float64(s.Bytes) / float64(s.Asked)
	}
	return o
}

// Parser hands sightings on as a feed does its rows; the document is empty.
func Parser(found []Sighting, vantage string) feed.Parser {
	return func(_ string, _ *bufio.Reader, received time.Time) (feed.Table, error) {
		return feed.Table{Type: Type, Rows: rows(found, vantage, received)}, nil
	}
}

func rows(found []Sighting, vantage string, received time.Time) iter.Seq2[feed.Row, error] {
	return func(yield func(feed.Row, error) bool) {
		for i, s := range found {
			row := feed.Row{Line: i + 1}
			if s.Call.After(received.Add(48 * time.Hour)) {
				row.Aside, row.Raw = "its time is in the future", s.Host.String()+" "+s.Call.String()+" "+strconv.Itoa(i)
			} else {
				o := s.Observation(vantage, received)
				row.Observation = &o
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}
