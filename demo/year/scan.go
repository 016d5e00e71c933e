package year

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// id is the name of an invented thing.
func id(parts ...uint64) exposure.ID {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, p)
	}
	sum := sha256.Sum256(append([]byte("generated year 1 "), b...))
	return exposure.ID(hex.EncodeToString(sum[:16]))
}

// batch is how many observations are appended at once.
const batch = 4096

func weekend(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
}

// found reports whether the scan found the host. One that was torn came halfway.
func (r *run) found(h *host) bool {
	return h.answers(dayOf(r.day), weekend(r.day)) && (r.State == exposure.Done || h.salt%2 == 0)
}

// when the scan came to the host.
func (r *run) when(h *host) time.Time {
	return r.Started.Add(time.Duration(h.salt % uint64(r.Ended.Sub(r.Started)))) //nolint:gosec // it is positive
}

// scans are the observations of the daily scans.
func (w *writer) scans(ctx context.Context) error {
	var all []exposure.Observation
	flush := func() error {
		_, err := w.archive.Append(ctx, all)
		all = all[:0]
		return err
	}
	for i := range w.runs {
		r := &w.runs[i]
		if err := w.store.CreateRun(ctx, r.Run); err != nil {
			return err
		}
		for n := range w.hosts {
			h := &w.hosts[n]
			if !r.found(h) {
				continue
			}
			all = append(all, h.tcp(r, n))
			if r.UDP && h.browsed {
				all = append(all, h.udp(r, n))
			}
			if len(all) >= batch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		if err := w.store.FinishRun(ctx, r.ID, r.State, r.Ended); err != nil {
			return err
		}
		w.step(i, len(w.runs))
	}
	return nil
}

func (h *host) tcp(r *run, n int) exposure.Observation {
	o := models()[h.model].tcp
	o.Run, o.Addr, o.Where, o.Printers = r.ID, h.addr, h.where, h.printers
	o.Observed = r.when(h)
	o.Received = o.Observed
	o.ID = id(1, uint64(n), uint64(r.day.Unix())) //nolint:gosec // after 1970
	return o
}

func (h *host) udp(r *run, n int) exposure.Observation {
	o := models()[h.model].udp
	o.Run, o.Addr, o.Where, o.Source = r.ID, h.addr, h.where, exposure.Scan
	o.Observed = r.when(h).Add(time.Second)
	o.Received = o.Observed
	o.ID = id(2, uint64(n), uint64(r.day.Unix())) //nolint:gosec // after 1970
	return o
}

// calls is a host that called back.
func calls(agent string) exposure.Observation {
	o := exposure.Observation{
		V: exposure.Version, Source: exposure.Scan, Vantage: "demo", Port: 631, Transport: exposure.UDP, Probe: exposure.ProbeBrowse, Verdict: exposure.CalledBack,
		Simulated: true, Addr: blocks()[0].at(0),
		Callback: &exposure.Callback{
			UserAgent: agent, Posts: 2, Connections: 1, After: 40 * time.Millisecond, Asked: 83, BytesIn: 1219, BytesOut: 135, RatioApp: 14.7, RatioIP: 12.2,
		},
	}
	o.Findings = rule.Judge(&o)
	return o
}
