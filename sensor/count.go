package sensor

import (
	"net/netip"
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

// counts are what one fold counted, class by class, over UDP and over TCP.
type counts struct {
	udp, tcp [classes]*count
}

func (all *counts) class(n int, t exposure.Transport) *count {
	at := &all.udp[n]
	if t == exposure.TCP {
		at = &all.tcp[n]
	}
	if *at == nil {
		*at = newCount()
	}
	return *at
}

// A count is what was counted in one class. Its size is bounded, whatever comes.
type count struct {
	Packets, Bytes, Told, Listed int64

	sources, networks, hosts *sketch.Sketch
	frequentSources          frequent[netip.Addr]
	frequentHosts            frequent[string]
}

func newCount() *count {
	return &count{
		sources: sketch.New(), networks: sketch.New(), hosts: sketch.New(),
		frequentHosts: frequent[string]{keep: strings.Clone},
	}
}

func (c *count) add(packets, bytes int64, listed, told bool) {
	c.Packets += packets
	c.Bytes += bytes
	if listed {
		c.Listed += packets
	}
	if told {
		c.Told += packets
	}
}

// who counts that a source came n times, and whom it asked others to call.
func (c *count) who(src netip.Addr, host string, calls bool, n int64) {
	hash := sketch.HashAddr(src)
	c.sources.Add(hash)
	c.networks.Network(src)
	c.frequentSources.add(src, hash, n)
	if calls {
		hash := sketch.HashText(host)
		c.hosts.Add(hash)
		c.frequentHosts.add(host, hash, n)
	}
}

// merge adds what another fold counted.
func (all *counts) merge(other counts) {
	for n := range classes {
		join(&all.udp[n], other.udp[n])
		join(&all.tcp[n], other.tcp[n])
	}
}

func join(to **count, c *count) {
	switch {
	case c == nil:
		return
	case *to == nil:
		*to = c
		return
	}
	t := *to
	t.Packets += c.Packets
	t.Bytes += c.Bytes
	t.Told += c.Told
	t.Listed += c.Listed
	t.sources.Join(c.sources)
	t.networks.Join(c.networks)
	t.hosts.Join(c.hosts)
	t.frequentSources.merge(&c.frequentSources)
	t.frequentHosts.merge(&c.frequentHosts)
}

// shown is how many of the most frequent are told.
const shown = 10

// censuses are what is told, and how the sensor itself fared.
func (all *counts) censuses(sensor string, began, ended time.Time, h exposure.Health) []exposure.Census {
	var told []exposure.Census
	write := func(c exposure.Census) {
		c.V, c.Sensor, c.Began, c.Ended = exposure.Version, sensor, began.UTC().Round(0), ended.UTC().Round(0)
		c.ID = exposure.NewCensusID(&c)
		told = append(told, c)
	}
	for n, name := range exposure.Classes {
		for _, t := range []exposure.Transport{exposure.UDP, exposure.TCP} {
			c := all.udp[n]
			if t == exposure.TCP {
				c = all.tcp[n]
			}
			if c == nil {
				continue
			}
			write(exposure.Census{
				Transport: t, Class: name, Packets: c.Packets, Bytes: c.Bytes, Told: c.Told, Listed: c.Listed,
				Sources: distinct(c.sources), Networks: distinct(c.networks), Hosts: distinct(c.hosts),
				TopSources: c.frequentSources.list(shown), TopHosts: c.frequentHosts.list(shown),
			})
		}
	}
	write(exposure.Census{Transport: exposure.UDP, Health: &h})
	return told
}

func distinct(s *sketch.Sketch) exposure.Distinct {
	return exposure.Distinct{Estimate: s.Estimate(), Sketch: s.Bytes()}
}
