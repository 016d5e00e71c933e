package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ippwatch/exposure"
	"ippwatch/grab"
)

// spareFiles are descriptors that are not conversations.
const spareFiles = 64

func grabTitle(o options) string {
	return fmt.Sprintf("grab alone: one answered request a host, no TLS check, nothing kept (%d hosts, %d in flight)", o.Hosts, o.Flight)
}

func measureGrab(ctx context.Context, o options) ([]figure, error) { return rounds(ctx, "grab", o) }

// loopback is a gate that lets nothing leave this machine.
type loopback struct{}

func (loopback) Allow(a netip.Addr, _ time.Time) error {
	if !a.IsLoopback() {
		return fmt.Errorf("%s is no loopback address", a)
	}
	return nil
}

// grabAll asks every host of the farm once.
func grabAll(ctx context.Context, o options) ([]figure, error) {
	g := grab.New(grab.Options{Run: "bench", Vantage: "bench", Version: "bench", NoTLSCheck: true, Gate: loopback{}})
	hosts := farmHosts(o.Hosts)
	used, err := cpuUsed()
	if err != nil {
		return nil, err
	}
	files := mostFiles(ctx, os.Getpid())
	began := time.Now()
	var next, listed atomic.Int64
	var flying sync.WaitGroup
	for range min(o.Flight, o.Hosts) {
		flying.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(hosts) {
					return
				}
				ob := g.Grab(ctx, netip.AddrPortFrom(hosts[i], o.Port))
				if ob.Verdict == exposure.Answered && len(ob.Printers) == 1 {
					listed.Add(1)
				}
			}
		})
	}
	flying.Wait()
	took := time.Since(began)
	most := files()
	after, err := cpuUsed()
	if err != nil {
		return nil, err
	}
	memory, err := peakMemory()
	if err != nil {
		return nil, err
	}
	return hostFigures(o, took, after-used, memory, most, int(listed.Load())), ctx.Err()
}

// hostFigures are what is told of hosts that were asked.
func hostFigures(o options, took, cpu time.Duration, memory float64, files, answered int) []figure {
	n := float64(o.Hosts)
	return []figure{
		{What: "speed, client and farm together", Value: n / took.Seconds(), Unit: "hosts/s", Least: 5000},
		{What: "CPU of the client", Value: cpu.Seconds() * 1000 / n, Unit: "ms/host", Most: 0.25},
		{What: "memory of the client, at most", Value: memory / mega, Unit: "MB", Most: 100},
		{What: "open descriptors, at most", Value: float64(files), Most: float64(o.Flight + spareFiles)},
		{What: "answered with their queue", Value: float64(answered), Unit: "hosts", Least: n},
	}
}
