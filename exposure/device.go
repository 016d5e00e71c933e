package exposure

import (
	"slices"
	"strings"
)

// A Device is what kind of thing a host seems to be.
type Device struct{ Vendor, Kind, Model string }

// vendors begin the make and model of their printers, in the order in which
// they are tried.
var vendors = []string{
	"Brother", "Canon", "Dell", "EPSON", "Fuji Xerox", "FUJIFILM", "Hewlett-Packard", "HP", "Konica Minolta", "KONICA MINOLTA",
	"Kyocera", "Lexmark", "OKI", "Pantum", "Ricoh", "Samsung", "Sharp", "TOSHIBA", "Xerox", "Zebra",
}

// Device tells what it is from what the host says, or what a feed took it for.
// The queues of a CUPS server lead to devices elsewhere, so such a host is a
// server and nothing more.
func (o *Observation) Device() Device {
	if o.Feed != nil {
		return Device{o.Feed.Column("device_vendor"), o.Feed.Column("device_type"), o.Feed.Column("device_model")}
	}
	if o.CUPS != nil && o.CUPS.Queues {
		return Device{Kind: "print-server"}
	}
	if len(o.Printers) == 0 {
		return Device{}
	}
	p := o.Printers[0]
	d := Device{Kind: "printer"}
	for field := range strings.SplitSeq(p.Get("printer-device-id"), ";") { // IEEE 1284
		key, value, _ := strings.Cut(field, ":")
		switch strings.TrimSpace(key) {
		case "MFG", "MANUFACTURER":
			d.Vendor = strings.TrimSpace(value)
		case "MDL", "MODEL":
			d.Model = strings.TrimSpace(value)
		}
	}
	made := p.Get("printer-make-and-model")
	if made == "no-value" || made == "unknown" || made == "unsupported" {
		made = ""
	}
	if i := slices.IndexFunc(vendors, func(v string) bool { return hasWord(made, v) }); d.Vendor == "" && i >= 0 {
		d.Vendor = vendors[i]
	}
	if d.Model == "" {
		d.Model = made
		if d.Vendor != "" && hasWord(made, d.Vendor) {
			d.Model = strings.TrimSpace(made[len(d.Vendor):])
		}
	}
	return d
}

// hasWord reports whether text begins with the word or words, in any case.
func hasWord(text, word string) bool {
	return len(text) > len(word) && text[len(word)] == ' ' && strings.EqualFold(text[:len(word)], word)
}
