package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// deskStrangers come at once; leastRequests is the aim of issue 4.
const (
	deskStrangers = 16
	deskRequests  = 20_000
	leastRequests = 3000
)

func deskTitle(options) string {
	return fmt.Sprintf("desk: the sensor's print service on 631/TCP, asked for all attributes of a queue by %d strangers at once", deskStrangers)
}

func measureDesk(ctx context.Context, o options) ([]figure, error) { return inWorker(ctx, "desk", o) }

// serveStrangers asks over connections of their own, and over kept ones.
func serveStrangers(ctx context.Context, _ options) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var seen atomic.Int64
	d, err := desk.New(desk.Options{
		Face: desk.ChooseKind("cups", "bench", time.Now()), Sensor: "bench",
		Limits: desk.Limits{PerSource: 4 * deskStrangers, Exchanges: 1 << 20}, Seen: func(exposure.Visit) { seen.Add(1) },
	})
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, l) }()
	figures, err := strangers(ctx, l.Addr().String(), &seen)
	cancel()
	return figures, errors.Join(err, <-ended)
}

func strangers(ctx context.Context, at string, seen *atomic.Int64) ([]figure, error) {
	var figures []figure
	for _, way := range []struct {
		what string
		kept bool
	}{{"full requests, a connection each", false}, {"full requests, on connections that are kept", true}} {
		seen.Store(0)
		used, err := cpuUsed()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := askAll(ctx, at, way.kept); err != nil {
			return nil, err
		}
		took := time.Since(began)
		after, err := cpuUsed()
		if err != nil {
			return nil, err
		}
		// A visit is told when the answer is out.
		for range 100 {
			if seen.Load() == deskRequests {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := seen.Load(); n != deskRequests {
			return nil, fmt.Errorf("%d of %d requests became visits", n, deskRequests)
		}
		figures = append(figures,
			figure{What: way.what, Value: deskRequests / took.Seconds(), Unit: "/s", Least: leastRequests},
			figure{What: "  CPU, with that of the strangers", Value: (after - used).Seconds() * 1e6 / deskRequests, Unit: "us/request"})
	}
	return figures, nil
}

func askAll(ctx context.Context, at string, kept bool) error {
	var wait sync.WaitGroup
	errs := make([]error, deskStrangers)
	for i := range errs {
		wait.Go(func() { errs[i] = askOften(ctx, at, kept, deskRequests/deskStrangers) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func askOften(ctx context.Context, at string, kept bool, n int) error {
	m := ipp.Request{Operation: ipp.CUPSGetPrinters, Version: ipp.Version20, ID: 1, Limit: 1}.Append(nil)
	text := fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ipp\r\nContent-Length: %d\r\n", len(m))
	if !kept {
		text = append(text, "Connection: close\r\n"...)
	}
	text = append(append(text, "\r\n"...), m...)
	var c net.Conn
	var r *bufio.Reader
	for range n {
		var err error
		if c == nil {
			if c, err = new(net.Dialer).DialContext(ctx, "tcp", at); err != nil {
				return err
			}
			r = bufio.NewReader(c)
		}
		if _, err := c.Write(text); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		size, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // it was read to its end
		if err != nil || resp.StatusCode != http.StatusOK || size < 4000 {
			return fmt.Errorf("answer of %d bytes, HTTP %d: %w", size, resp.StatusCode, err)
		}
		if !kept {
			if err := c.Close(); err != nil {
				return err
			}
			c = nil
		}
	}
	if c != nil {
		return c.Close()
	}
	return nil
}
