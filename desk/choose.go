package desk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Choose returns the face for a seed: the same for ever, with clocks that go
// on. Everything in it is invented, but for what CUPS says of itself.
func Choose(seed string, now time.Time) Face { return choose(seed, now, "") }

// ChooseKind is [Choose] for a kind that is given: "cups" or "device".
func ChooseKind(kind, seed string, now time.Time) Face { return choose(seed, now, kind) }

// A draw turns a seed and a question into a number: the answer to one question
// does not change when another is added.
type draw string

func (d draw) bytes(question string) [32]byte {
	return sha256.Sum256([]byte("ippwatch desk\x00" + string(d) + "\x00" + question))
}

func (d draw) below(question string, n int) int {
	sum := d.bytes(question)
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(n))
}

func (d draw) of(question string, from ...string) string { return from[d.below(question, len(from))] }

// uuid is one of version 5, the same for the same part.
func (d draw) uuid(part string) string {
	sum := d.bytes("uuid " + part)
	return UUID(sum[:16])
}

// UUID writes sixteen bytes as a UUID of version 5.
func UUID(b []byte) string {
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// origin is before every machine that is played.
var origin = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// life is when the machine was made, and when it was last switched on: it is
// switched on again every few weeks, whether the sensor runs or not.
func (d draw) life(now time.Time) Life {
	made := origin.Add(time.Duration(d.below("made", 500*24*60)) * time.Minute)
	every := time.Duration(9+d.below("every", 38))*24*time.Hour + time.Duration(d.below("minutes", 1440))*time.Minute
	started := made
	if now.After(made) {
		started = made.Add(now.Sub(made) / every * every)
	}
	return Life{
		Made: made, Started: started.Add(time.Duration(d.below("seconds", 60)) * time.Second),
		Page: time.Duration(4+d.below("page", 55)) * time.Minute, UUID: d.uuid,
	}
}

func choose(seed string, now time.Time, kind string) Face {
	d := draw(seed)
	if kind == "" {
		kind = d.of("kind", "cups", "cups", "cups", "device")
	}
	if kind == "device" {
		return d.device(now)
	}
	return d.cups(now)
}

func (d draw) cups(now time.Time) Face {
	host := d.of("host", "print", "prn", "cups", "printsrv", "ps", "srv-print", "drucker", "impression") + d.of("host number", "", "1", "01", "02", "2")
	c := CUPS{
		Version: d.of("version", "2.4.2", "2.4.2", "2.4.1"),
		Life:    d.life(now),
	}
	if d.below("tokens", 5) == 0 {
		c.Tokens = d.of("kernel", "Linux 5.15.0-91-generic; x86_64", "Linux 6.1.0-18-amd64; x86_64", "Linux 5.4.0-169-generic; x86_64")
	}
	names := []string{"office", "reception", "accounts", "warehouse", "hp_laserjet", "brother", "label", "floor2", "meeting", "copy"}
	start := d.below("first queue", len(names))
	for i := range 1 + d.below("queues", 4) {
		name := names[(start+3*i)%len(names)] // 3 and 10 have no common divisor: none comes twice
		q := Queue{
			Name: name, Info: strings.ToUpper(name[:1]) + name[1:],
			Location: d.of("location "+name, "", "Office", "1st floor", "2nd floor", "Room 12", "Reception", "Basement"),
			Device:   fmt.Sprintf("socket://192.168.%d.%d:9100", d.below("net", 200), 20+d.below("device "+name, 200)),
			Model:    d.of("model "+name, "", "HP LaserJet Series PCL 4/5", "Generic PCL Laser Printer", "Generic PostScript Printer", "HP LaserJet Series PCL 6 CUPS"),
		}
		c.Queues = append(c.Queues, q)
	}
	return Face{CUPS: &c, Host: host}
}

func (d draw) device(now time.Time) Face {
	model := d.of("model", "HP LaserJet Pro M404dn", "Brother HL-L2350DW series", "Canon MF440 Series", "EPSON ET-3850 Series", "Lexmark MS431dw", "Xerox B230")
	serial := strings.ToUpper(hex.EncodeToString(func() []byte { b := d.bytes("serial"); return b[:3] }()))
	maker, _, _ := strings.Cut(model, " ")
	life := d.life(now)
	dev := Device{
		Server: "CUPS/2.4.2", Name: maker + serial, Location: d.of("location", "", "", "Office", "Reception", "1st floor"),
		Model: model, Secure: true, Life: life,
		More: fmt.Sprintf("ATTR text printer-device-id \"MFG:%s;MDL:%s;CMD:PWGRaster,AppleRaster;SN:%s;\"\n"+
			"ATTR integer printer-impressions-completed $pages\nATTR integer printer-media-sheets-completed $pages\n"+
			"ATTR text printer-organization \"\"\nATTR text printer-organizational-unit \"\"\n"+
			"ATTR name printer-dns-sd-name %q\n", maker, model, serial, model),
	}
	return Face{Device: &dev, Host: strings.ToLower(maker + serial)}
}
