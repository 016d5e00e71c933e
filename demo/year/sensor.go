package year

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"ippwatch/exposure"
	"ippwatch/sketch"
)

// sensorNames are two, so that one of them can be asked the same as the other.
var sensorNames = []string{"sensor-east", "sensor-west"}

// Surge is when the queries on 631/UDP began to rise.
var Surge = Disclosure.Add(20 * time.Hour)

// level is how many networks ask a sensor in an hour to be called back.
func level(hour time.Time) float64 {
	day := 1 + 0.25*math.Sin(2*math.Pi*float64(hour.Hour()-9)/24)
	if weekend(hour) {
		day *= 0.85
	}
	if hour.Before(Surge) {
		return 1.3 * day
	}
	days := hour.Sub(Surge).Hours() / 24
	return (6 + 58*math.Exp2(-days/5)) * day
}

// sensors are the counts of every hour since the sensors went up, and some of the
// visits.
func (w *writer) sensors(ctx context.Context) error {
	var censuses []exposure.Census
	var visits []exposure.Visit
	first := SensorsUp
	if w.Since.After(first) {
		first = w.Since
	}
	for hour := first; hour.Before(End); hour = hour.Add(time.Hour) {
		for i, name := range sensorNames {
			dice := rand.New(rand.NewPCG(w.Seed, uint64(hour.Unix())<<2|uint64(i))) //nolint:gosec // it is a story
			n := poisson(dice, level(hour))
			strangers := w.strangers(hour, n, dice)
			censuses = append(censuses, census(hour, name, i, exposure.Research, 1+dice.IntN(2), nil))
			if n > 0 {
				censuses = append(censuses, census(hour, name, i, exposure.Solicitation, n, strangers))
			}
			// Of the rush one visit in ten is kept here, of ordinary hours one in a few.
			keep := (n + 9) / 10
			if hour.Hour()%4 != 0 {
				keep = n / 10
			}
			for k := range min(keep, len(strangers)) {
				visits = append(visits, visit(hour, name, i, k, strangers[k], dice))
			}
		}
	}
	if _, err := w.archive.AppendCensuses(ctx, censuses); err != nil {
		return err
	}
	_, err := w.archive.AppendVisits(ctx, visits)
	return err
}

// strangers are who asks in an hour; at both sensors mostly the same.
func (w *writer) strangers(hour time.Time, n int, own *rand.Rand) []netip.Addr {
	shared := rand.New(rand.NewPCG(w.Seed^7, uint64(hour.Unix()))) //nolint:gosec // it is a story
	all := make([]netip.Addr, n)
	for i := range all {
		dice := shared
		if own.IntN(3) == 0 {
			dice = own
		}
		all[i] = netip.AddrFrom4([4]byte{byte(248 + dice.IntN(4)), byte(dice.IntN(256)), byte(dice.IntN(256)), byte(1 + dice.IntN(254))})
	}
	return all
}

func poisson(dice *rand.Rand, mean float64) int {
	if mean > 20 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*dice.NormFloat64())))
	}
	limit, p, n := math.Exp(-mean), 1.0, 0
	for p > limit {
		p *= dice.Float64()
		n++
	}
	return n - 1
}

func census(hour time.Time, name string, i int, class exposure.Class, n int, strangers []netip.Addr) exposure.Census {
	networks, hosts, sources := sketch.New(), sketch.New(), sketch.New()
	for k := range n {
		a := netip.AddrFrom4([4]byte{252, byte(i), byte(k), 1}) // of a scanner's networks
		if k < len(strangers) {
			a = strangers[k]
		}
		sources.Addr(a)
		networks.Network(a)
		if k%3 != 0 {
			hosts.Addr(a) // the others name a host of which there are few
		}
	}
	packets := int64(n) * (1 + int64(hour.Hour()%3))
	return exposure.Census{
		V: exposure.Version, ID: id(10, uint64(hour.Unix()), uint64(i), uint64(len(class))), Began: hour, Ended: hour.Add(time.Hour), Sensor: name, //nolint:gosec // after 1970
		Transport: exposure.UDP, Class: class, Packets: packets, Bytes: packets * 90, Told: int64(n), Health: &exposure.Health{},
		Sources: distinct(sources), Networks: distinct(networks), Hosts: distinct(hosts),
	}
}

func distinct(s *sketch.Sketch) exposure.Distinct {
	return exposure.Distinct{Estimate: s.Estimate(), Sketch: s.Bytes()}
}

// victim is a host that several packets name, and never asked for it.
var victim = netip.MustParseAddr("192.0.2.200")

func visit(hour time.Time, name string, i, k int, from netip.Addr, dice *rand.Rand) exposure.Visit {
	at := hour.Add(time.Duration(dice.IntN(3600)) * time.Second)
	v := exposure.Visit{
		V: exposure.Version, ID: id(11, uint64(hour.Unix()), uint64(i), uint64(k)), Observed: at, Received: at, Source: exposure.Sensor, Sensor: name, //nolint:gosec // all are small
		Kind: exposure.Knock, Addr: from, Port: uint16(1024 + dice.IntN(60000)), Spoofable: true, Transport: exposure.UDP, Door: 631, TTL: 50, Count: 1, //nolint:gosec // of ports
		Bytes: 90, Class: exposure.Solicitation, Severity: exposure.Medium, Reasons: []string{"asks_for_callback"}, Evidence: []string{"it asks its receiver to call an address"},
		Where: exposure.Where{Country: Countries()[dice.IntN(12)].Code},
	}
	host, relation := from, exposure.ToSelf
	if !hour.Before(Surge) && dice.IntN(4) == 0 {
		host, relation = victim, exposure.ToThird
	}
	name, info := "printer", ""
	switch dice.IntN(20) {
	case 0:
		info = Hostile
	case 1:
		name = "<script>alert(1)</script>"
	}
	url := fmt.Sprintf("http://%s:631/printers/%s", host, name)
	v.Browse = &exposure.Browse{Type: 2, State: 3, URI: url, Info: info}
	v.Callback = &exposure.Solicited{URL: url, Host: host.String(), Port: 631, Path: "/printers/" + name, Addr: host, Relation: relation}
	v.Payload = []byte("2 3 " + url)
	v.PayloadBytes = len(v.Payload)
	return v
}
