package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"time"

	"ippwatch/exposure"
	"ippwatch/journal"
	"ippwatch/scanners"
	"ippwatch/sensor"
	"ippwatch/sensor/class"
)

// The aim of issue 4, and how much is sent of each size. Every packet has a
// source, a call-back host and a path of its own.
const (
	leastPackets = 300_000 // per CPU-second of the sensor's process
	mostGrowth   = 128 << 20
	showerWord   = "shower"
	settled      = 100 * time.Millisecond // without a packet: all has come
)

func sensorTitle(o options) string {
	return fmt.Sprintf("sensor: %d packets from as many sources over 631/UDP as fast as another process can send them: received, parsed, classified, counted, kept", o.Packets)
}

func measureSensor(ctx context.Context, o options) ([]figure, error) {
	var all []figure
	for _, size := range []int{70, 1000} {
		o.Size = size
		figures, err := inWorker(ctx, "sensor", o)
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

// hearShower is a sensor as it runs, but for the jail, and a shower on it.
func hearShower(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "ippwatch-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	visits, err := journal.Open(journal.Options{Dir: dir, Name: "visits", Cap: 64 << 20})
	if err != nil {
		return nil, err
	}
	defer visits.Close()
	table, err := scanners.Embedded()
	if err != nil {
		return nil, err
	}
	var packets, told int64
	var failed error
	s := sensor.New(sensor.Options{
		Name: "bench", Judge: &class.Judge{Scanners: table}, Detail: 100, Log: slog.New(slog.DiscardHandler), Buffer: 32 << 20,
		Tell: func(all []exposure.Visit) {
			lines := make([][]byte, len(all))
			for i := range all {
				lines[i], _ = json.Marshal(&all[i]) // its types can be
			}
			_, err := visits.Append(lines)
			failed = errors.Join(failed, err, visits.Sync())
			told += int64(len(all))
		},
		Count: func(all []exposure.Census) {
			for _, c := range all {
				packets += c.Packets
			}
		},
	})
	if err := s.Listen(ctx, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		return nil, err
	}
	defer s.Close()
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()

	o.Port = s.Listens()[0].Port()
	figures, err := shower(ctx, s, o)
	end()
	if err := errors.Join(err, <-ended, failed); err != nil {
		return nil, err
	}
	if packets != s.Heard() {
		return nil, fmt.Errorf("%d packets were heard and %d counted", s.Heard(), packets)
	}
	return append(figures, figure{What: "  visits told, the rest is counted", Value: float64(told)}), nil
}

// shower has another process send, and measures this one meanwhile.
func shower(ctx context.Context, s *sensor.Sensor, o options) ([]figure, error) {
	cmd, err := workerCommand(ctx, showerWord)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd.Stdin = bytes.NewReader(text)
	runtime.GC()
	memory, err := residentMemory()
	if err != nil {
		return nil, err
	}
	used, err := cpuUsed()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("shower: %w", err)
	}
	last := time.Now()
	for n := s.Heard(); time.Since(last) < settled; time.Sleep(time.Millisecond) {
		if more := s.Heard(); more != n {
			n, last = more, time.Now()
		}
	}
	after, err := cpuUsed()
	if err != nil {
		return nil, err
	}
	peak, err := peakMemory()
	if err != nil {
		return nil, err
	}
	heard, dropped := float64(s.Heard()), float64(s.Dropped())
	if sent := float64(o.Packets); heard+dropped != sent {
		return nil, fmt.Errorf("%.0f packets were sent, %.0f heard and %.0f dropped: some are missing", sent, heard, dropped)
	}
	took := last.Sub(began).Seconds()
	return []figure{
		{What: fmt.Sprintf("packets of %d bytes", o.Size), Value: heard / (after - used).Seconds(), Unit: "/CPU s", Least: leastPackets},
		{What: "  offered", Value: float64(o.Packets) / took, Unit: "/s"},
		{What: "  delivered", Value: heard / took, Unit: "/s"},
		{What: "  dropped by the kernel, and told so", Value: 100 * dropped / float64(o.Packets), Unit: "%"},
		{What: "  memory, more than before", Value: (peak - memory) / (1 << 20), Unit: "MiB", Most: mostGrowth >> 20},
	}, nil
}

// rain is the inside of the shower.
func rain(ctx context.Context, o options, _ io.Writer) error {
	return sendAll(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), o.Port), o.Packets, o.Size)
}
