package year

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"ippwatch/exposure"
	"ippwatch/rule"
)

// A host is one print service of the daily scans, and its life.
type host struct {
	addr    netip.Addr
	where   exposure.Where
	model   int // in models
	browsed bool
	office  bool // closed on weekends
	salt    uint64
	// printers are those of the model, with an uuid of their own for the first.
	printers []exposure.Printer

	born, gone int // days since Begin; gone is the first on which it is not there
	fixed      bool
	told       int // the day of its mail; 0: none
	party      string
}

const yearDays = 366

// day is the number of a day of the year.
func dayOf(t time.Time) int { return int(t.Sub(Begin) / (24 * time.Hour)) }

// population is everybody who is found once in the year. At any time before the
// disclosure there are about n of them; afterwards people close their doors, and
// those who are told do so sooner.
func population(seed uint64, n int) []host {
	all, known := blocks(), parties()
	var hosts []host
	next := make([]int, len(all))
	grow := func(number, count int, born func(dice *rand.Rand) int) {
		b := all[number]
		for range count {
			k := next[number]
			next[number]++
			dice := rand.New(rand.NewPCG(seed, uint64(number)<<32|uint64(k))) //nolint:gosec // it is a story
			h := host{salt: dice.Uint64(), model: pick(dice), office: dice.Float64() < 0.4, born: born(dice)}
			h.addr = b.at(spread(k, b.size))
			if dice.IntN(25) == 0 {
				h.addr = b.six(k)
			}
			m := models()[h.model]
			h.browsed = m.cups && h.addr.Is4() && dice.Float64() < 0.6
			h.printers = own(m.tcp.Printers, h.salt)
			asn, name := network(number, k)
			h.where = exposure.Where{Country: b.country, ASN: asn, ASName: name}
			for i := range known {
				if known[i].holds(h.addr) {
					h.party = known[i].Name
				}
			}
			h.live(dice)
			hosts = append(hosts, h)
		}
	}
	for number, b := range all {
		share := part(number, b, n) * float64(n)
		old := int(share)
		if rand.New(rand.NewPCG(seed, uint64(b.first))).Float64() < share-math.Floor(share) { //nolint:gosec // it is a story
			old++
		}
		grow(number, old, func(dice *rand.Rand) int { return -1 - dice.IntN(400) })
		// As many come in a year as go in an ordinary one.
		grow(number, int(float64(old)*usual*yearDays+0.5), func(dice *rand.Rand) int { return dice.IntN(yearDays) })
	}
	return hosts
}

// own are the printers of one host of a model; of three hosts two tell who they
// are.
func own(of []exposure.Printer, salt uint64) []exposure.Printer {
	if len(of) == 0 || salt%3 == 0 {
		return of
	}
	printers := slices.Clone(of)
	printers[0].Attributes = maps.Clone(of[0].Attributes)
	printers[0].Attributes["printer-uuid"] = []string{fmt.Sprintf("urn:uuid:%08x-0000-4000-8000-%012x", uint32(salt>>32), salt&0xffffffffffff)} //nolint:gosec // a part of it
	return printers
}

// part is the share of a country among the hosts that are scanned daily. A few are
// a constituency: of Germany, with some from elsewhere. Many are the world.
func part(number int, b block, n int) float64 {
	if n >= 20_000 {
		return float64(b.size) / Published
	}
	switch b.country {
	case "DE":
		return 0.6
	case "NL":
		return 0.12
	case "US":
		return 0.16
	}
	return 0.12 / 24 * max(0, 1-float64(number)/51)
}

// spread lays the hosts of a country over its addresses, so that the networks of
// constituents have their part. The number is a prime that divides no size.
func spread(k, size int) int {
	if k >= size {
		return k
	}
	return k * 7919 % size
}

// What of all hosts goes in a day: usually, when the world had read of the flaw,
// and when its owner was told.
const (
	usual = 0.0010
	after = 0.0035
	heard = 0.028
)

// live decides when it goes. What is fixed before the year is nobody here.
func (h *host) live(dice *rand.Rand) {
	disclosed := dayOf(Disclosure)
	if h.party != "" && h.party != "cert-example" && dice.Float64() < 0.85 {
		h.told = dayOf(FirstMails) + dice.IntN(3)
	}
	h.gone = yearDays
	for day := max(h.born+1, 0); day < yearDays; day++ {
		rate := usual
		if day > disclosed {
			rate = after
			if !h.browsed {
				rate = after / 2
			}
		}
		if h.told > 0 && day > h.told && h.born < h.told {
			rate = heard
		}
		if dice.Float64() < rate {
			h.gone, h.fixed = day, dice.Float64() < 0.8
			break
		}
	}
	if h.told > 0 && (h.born >= h.told || h.gone <= h.told) {
		h.told = 0
	}
}

// answers reports whether the host answers on the day: some are off at times, and
// offices on weekends.
func (h *host) answers(day int, weekend bool) bool {
	if day < h.born || day >= h.gone {
		return false
	}
	x := (h.salt ^ uint64(day)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9 //nolint:gosec // days of a year
	chance := float64(x>>11) / (1 << 53)
	if weekend && h.office {
		return chance < 0.65
	}
	return chance < 0.975
}

// A model is what kind of service it is.
type model struct {
	weight int
	cups   bool
	agent  string // of its call-back
	// What a scan hears, judged; without the host and the time.
	tcp, udp exposure.Observation
}

// Hostile is the name of a printer that tries everything: markup, a formula, a
// terminal's escape, a turned direction, a line break.
const Hostile = "=HYPERLINK(\"http://192.0.2.66\",\"x\")<script>alert(1)</script>\x1b[31m\u202eterces\nline two"

var cast = makeModels()

func models() []model { return cast }

func pick(dice *rand.Rand) int {
	n := dice.IntN(1000)
	for i := range cast {
		if n -= cast[i].weight; n < 0 {
			return i
		}
	}
	return 0
}

func makeModels() []model {
	device := func(weight int, made, name string, more ...string) model {
		p := exposure.Printer{Attributes: map[string][]string{
			"printer-name": {name}, "printer-make-and-model": {made}, "printer-state": {"3"}, "printer-is-accepting-jobs": {"true"},
			"operations-supported": {"2", "4", "11"}, "uri-authentication-supported": {"none"},
		}}
		for i := 0; i+1 < len(more); i += 2 {
			p.Attributes[more[i]] = []string{more[i+1]}
		}
		return model{weight: weight, tcp: exposure.Observation{
			HTTP: &exposure.HTTP{Status: 200, Server: "debut/1.30"}, IPP: &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}},
			Printers: []exposure.Printer{p},
		}}
	}
	server := func(weight int, version, kernel string, queues ...string) model {
		o := exposure.Observation{
			HTTP: &exposure.HTTP{Status: 200, Server: "CUPS/" + version[:3] + " IPP/2.1"}, IPP: &exposure.IPP{Version: "2.0", Versions: []string{"1.1", "2.0"}},
			CUPS: &exposure.CUPS{Server: "CUPS/" + version[:3], Reported: version, Queues: true}, TLS: &exposure.TLS{Offered: false},
		}
		for i := 0; i+1 < len(queues); i += 2 {
			o.Printers = append(o.Printers, exposure.Printer{Attributes: map[string][]string{
				"printer-name": {queues[i]}, "printer-location": {queues[i+1]}, "printer-info": {queues[i]}, "printer-is-accepting-jobs": {"true"},
				"operations-supported": {"2", "4", "11"}, "uri-authentication-supported": {"requesting-user-name"},
			}})
		}
		return model{weight: weight, cups: true, tcp: o, agent: "CUPS/" + version + " (Linux " + kernel + "; x86_64) IPP/2.0"}
	}
	all := []model{
		server(210, "2.4.2", "6.1.0-25-amd64", "office", "2nd floor"),
		server(150, "2.3.3", "5.10.0-32-amd64", "laser", ""),
		server(110, "2.4.7", "6.8.0-45-generic", "staffroom", "Building B", "library", "Building A"),
		server(80, "2.2.10", "4.19.0-27-amd64", "lp0", ""),
		server(50, "2.4.1", "5.15.0-122-generic", "accounts", "HQ", "lab", "Room 14"),
		server(40, "1.7.5", "3.16.0-4-amd64", "Drucker von Max Mustermann", "Keller"),
		device(90, "Hartwell LaserJot 400", "HWI400", "printer-firmware-string-version", "20200612"),
		device(80, "Brookner HL-2350DW", "BRN30055C"),
		device(70, "Epsilon ET-2720", "EPSI42", "printer-wifi-ssid", "Example Home"),
		device(60, "Kyosei TaskForm 4054ci", "KM4054", "printer-organization", "Northfield School (example)"),
		device(40, "Zephyr ZD-420 label", "ward-4", "printer-location", "St. Example Clinic, ward 4"),
		device(15, "Hartwell LaserJot 9 <b>bold</b>", Hostile, "printer-info", "\x00\xff\xfe not UTF-8", "printer-location", "'; DROP TABLE hosts; --"),
		device(5, "Canonet PIXIE", "@SUM(1+1)*cmd|' /C calc'!A0", "printer-info", "\u202egnp.exe"),
	}
	for i := range all {
		o := &all[i].tcp
		o.V, o.Source, o.Vantage, o.Port, o.Transport = exposure.Version, exposure.Scan, "demo", 631, exposure.TCP
		o.Probe, o.Verdict, o.Simulated = exposure.ProbeIPP, exposure.Answered, true
		o.Addr = netip.MustParseAddr("198.18.0.1")
		o.Findings = rule.Judge(o)
		if all[i].cups {
			all[i].udp = calls(all[i].agent)
		}
	}
	return all
}
