package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"net/netip"

	"ippwatch/persona"
)

// farmBase is the first address that is asked; Linux answers for all of
// 127.0.0.0/8.
var farmBase = netip.MustParseAddr("127.80.0.0")

// farmHosts returns the first n addresses of the farm.
func farmHosts(n int) []netip.Addr {
	hosts := make([]netip.Addr, n)
	for i, a := 0, farmBase; i < n; i, a = i+1, a.Next() {
		hosts[i] = a
	}
	return hosts
}

// networks returns the prefixes that are exactly the n addresses from a network
// of IPv4 on that is no smaller.
func networks(from netip.Addr, n int) []netip.Prefix {
	var list []netip.Prefix
	b := from.As4()
	at := binary.BigEndian.Uint32(b[:])
	for bit := bits.Len(uint(n)) - 1; bit >= 0; bit-- {
		if n&(1<<bit) == 0 {
			continue
		}
		binary.BigEndian.PutUint32(b[:], at)
		list = append(list, netip.PrefixFrom(netip.AddrFrom4(b), 32-bit))
		at += 1 << bit
	}
	return list
}

// farm is the inside of the farm's process. It lives as long as its input, so
// that it never outlives the bench.
func farm(ctx context.Context, in io.Reader, out io.Writer) error {
	f, err := persona.OpenFarm(ctx, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewEncoder(out).Encode(f.Port()); err != nil {
		return err
	}
	discard(in)
	return nil
}

// A farmProcess is a farm that runs apart.
type farmProcess struct {
	port  uint16
	close func()
}

func openFarm(ctx context.Context) (*farmProcess, error) {
	w, err := startWorker(ctx, farmWord)
	if err != nil {
		return nil, err
	}
	f := &farmProcess{close: func() {
		_ = w.in.Close()
		_ = w.Wait() // its end is of no interest any more
	}}
	if err := json.NewEncoder(w.in).Encode(options{}); err != nil {
		f.close()
		return nil, fmt.Errorf("start the farm: %w", err)
	}
	if err := json.NewDecoder(w.out).Decode(&f.port); err != nil {
		f.close()
		return nil, fmt.Errorf("start the farm: %w", err)
	}
	return f, nil
}
