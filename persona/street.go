package persona

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ippwatch/desk"
	"ippwatch/exposure"
	"ippwatch/wire/ipp"
)

// Street is the whole cast: print services as they stand in the Internet, and
// what stands beside them. Everything in it is invented.
func Street() []Persona {
	street := slices.Concat(openCUPS(), guardedCUPS(), devices(), oddities(), notPrinters(), browseds())
	for i := range street {
		p := &street[i]
		if p.play == nil && p.greet == nil {
			p.Truth.TCP = []exposure.Verdict{exposure.Closed}
		}
		if p.udp == nil {
			p.Truth.UDP = exposure.Closed
		}
		slices.Sort(p.Truth.Rules)
	}
	return street
}

// What a scan finds at an ordinary part; a persona adds to it.
var (
	cupsRules   = []string{"open-ipp", "open-cups", "anonymous-print", "reported-cups-version"}
	deviceRules = []string{"open-ipp", "anonymous-print"}
)

func answered(base []string, more ...string) Truth {
	return Truth{TCP: []exposure.Verdict{exposure.Answered}, Rules: slices.Concat(base, more)}
}

func restricted(more ...string) Truth {
	return Truth{TCP: []exposure.Verdict{exposure.Restricted}, Rules: append([]string{"ipp-restricted"}, more...)}
}

// openCUPS are those that list their queues to strangers, or would.
func openCUPS() []Persona {
	return []Persona{
		{
			Name: "cups-office", About: "CUPS 2.4.2 open to all, with three queues and waiting jobs",
			play: &cupsd{version: "2.4.2", jobs: 2, queues: []desk.Queue{
				{Name: "office", Info: "Office printer of Jane Doe", Location: "HQ 3rd floor room 301", Device: "socket://192.0.2.9:9100", Paused: 2},
				{Name: "accounts", Info: "Accounts", Location: "HQ 2nd floor", Device: "ipp://192.0.2.10/ipp/print", Model: "Hartwell LaserJot 400 PCL"},
				{Name: "usbdev", Info: "usbdev", Location: "Basement", Device: "usb://Hartwell/LaserJot%20400?serial=SIM000123", Model: "Hartwell LaserJot 400 PCL"},
			}},
			tls:   sound,
			Truth: jobsToo(answered(cupsRules, "leaks-internal-address", "leaks-people")),
		},
		{
			Name: "cups-school", About: "CUPS 2.4.7 of a school, whose queues name rooms and an organisation",
			play: &cupsd{version: "2.4.7", queues: []desk.Queue{
				{Name: "staffroom", Info: "Staff room", Location: "Building B, staff room", Organization: "Northfield School (example)", Unit: "Administration", Device: "socket://10.20.30.40:9100", Model: "Kyosei TaskForm 4054ci"},
				{Name: "library", Info: "Library", Location: "Building A, library", Organization: "Northfield School (example)", Device: "socket://10.20.30.41:9100", Model: "Brookner HL-2350"},
			}},
			tls:   sound,
			Truth: answered(cupsRules, "leaks-internal-address", "leaks-people"),
		},
		{
			Name: "cups-clinic", About: "CUPS 2.4.12 of a clinic, with a queue at a named ward and its place on the map",
			play: &cupsd{version: "2.4.12", queues: []desk.Queue{
				{Name: "ward-4", Info: "Labels for ward 4", Location: "Ward 4, nurses' desk", Organization: "St. Example Clinic", Geo: "geo:52.0907,5.1214", Device: "ipps://ward4.clinic.internal/ipp/print", Model: "Zephyr ZD-420 label"},
			}},
			tls:   sound,
			Truth: answered(cupsRules, "leaks-internal-address", "leaks-people"),
		},
		{
			Name: "cups-printserver", About: "CUPS 2.4.2 with twelve queues, the print server of a company",
			play: &cupsd{version: "2.4.2", tokens: "Linux 5.15.0-91-generic; x86_64", queues: manyQueues(12)},
			tls:  sound, Truth: answered(cupsRules, "leaks-internal-address", "leaks-people"),
		},
		{
			Name: "cups-nas", About: "CUPS 2.3.3 on a storage box, one printer at its USB port",
			play:  &cupsd{version: "2.3.3", queues: []desk.Queue{{Name: "usb", Info: "usb", Device: "usb://Canonet/PIXIE%20TS3100?serial=SIM77", Model: "Canonet PIXIE TS3100"}}},
			Truth: answered(cupsRules, "no-tls"),
		},
		{
			Name: "cups-router", About: "CUPS 2.2.10 in a router's firmware, without TLS",
			play:  &cupsd{version: "2.2.10", queues: []desk.Queue{{Name: "lp0", Info: "lp0", Device: "socket://192.168.178.20:9100"}}},
			Truth: answered(cupsRules, "no-tls", "leaks-internal-address"),
		},
		{
			Name: "cups-ancient", About: "CUPS 1.7.5, not updated for ten years",
			play:  &cupsd{version: "1.7.5", queues: []desk.Queue{{Name: "laser", Info: "Drucker von Max Mustermann", Device: "parallel:/dev/lp0"}}},
			Truth: answered(cupsRules, "no-tls", "leaks-people"),
		},
		{
			Name: "cups-current", About: "CUPS 2.4.19, up to date, and open all the same",
			play:  &cupsd{version: "2.4.19", queues: []desk.Queue{{Name: "photo", Info: "Photo printer", Device: "usb://Epsilon/ET-2720?serial=SIM42", Model: "Epsilon ET-2720"}}},
			tls:   sound,
			Truth: answered([]string{"open-ipp", "open-cups", "anonymous-print"}),
		},
		{
			Name: "cups-accounts-only", About: "CUPS 2.4.19 that lists its queue and prints only with a password",
			play:  &cupsd{version: "2.4.19", queues: []desk.Queue{{Name: "secure", Info: "Secure", Device: "usb://Hartwell/LaserJot?serial=SIM9", Auth: "basic"}}},
			tls:   sound,
			Truth: answered([]string{"open-ipp", "open-cups"}),
		},
		{
			Name: "cups-empty", About: "CUPS 2.4.2 open to all, and no queue: it answers 0x0406",
			play: &cupsd{version: "2.4.2"}, tls: sound,
			Truth: maybe(answered([]string{"open-ipp"}), "open-cups", "reported-cups-version"),
		},
		{
			Name: "cups-empty-old", About: "CUPS 2.3.3 open to all, no queue and no TLS",
			play:  &cupsd{version: "2.3.3"},
			Truth: maybe(answered([]string{"open-ipp", "no-tls"}), "open-cups", "reported-cups-version"),
		},
		{
			Name: "cups-admin", About: "CUPS 2.4.2 whose administration page opens for strangers",
			play: &cupsd{version: "2.4.2", admin: adminPage, queues: []desk.Queue{{Name: "lab", Info: "lab", Device: "usb://Hartwell/LaserJot?serial=SIM5"}}},
			tls:  sound, Truth: adminToo(answered(cupsRules), "admin-pages"),
		},
		{
			Name: "cups-disclosed", About: "CUPS 2.4.2 with ServerTokens Full that gives its configuration and logs to strangers",
			play: &cupsd{version: "2.4.2", tokens: "Linux 6.1.0-18-amd64; x86_64", admin: adminDisclosed, jobs: 1, queues: []desk.Queue{{Name: "front", Info: "front", Device: "socket://172.16.4.20:9100"}}},
			tls:  sound, Truth: jobsToo(adminToo(answered(cupsRules, "leaks-internal-address"), "admin-pages", "config-disclosed", "log-disclosed")),
		},
		{
			Name: "cups-upgrade", About: "CUPS 2.4.2 that answers 426 in plain and lists its queue over TLS",
			play: &cupsd{version: "2.4.2", guard: upgrade, queues: []desk.Queue{{Name: "desk", Info: "desk", Device: "usb://Hartwell/LaserJot?serial=SIM6"}}},
			tls:  sound, Truth: answered(cupsRules),
		},
		{
			Name: "cups-expired", About: "CUPS 2.4.2 with a certificate that has expired",
			play: &cupsd{version: "2.4.2", queues: []desk.Queue{{Name: "till", Info: "till", Device: "usb://Hartwell/LaserJot?serial=SIM8"}}},
			tls:  expired, Truth: answered(cupsRules, "expired-or-weak-certificate"),
		},
	}
}

func manyQueues(n int) []desk.Queue {
	list := make([]desk.Queue, n)
	for i := range list {
		list[i] = desk.Queue{
			Name: fmt.Sprintf("floor%d-%d", i/3+1, i%3+1), Info: fmt.Sprintf("Floor %d", i/3+1), Location: fmt.Sprintf("Floor %d, corridor %d", i/3+1, i%3+1),
			Organization: "Example Works", Device: fmt.Sprintf("socket://10.8.%d.%d:9100", i/3+1, 20+i%3),
		}
	}
	return list
}

// guardedCUPS refuse strangers, each in its way.
func guardedCUPS() []Persona {
	return []Persona{
		{
			Name: "cups-denied", About: "CUPS 2.4.2 as shipped but listening outside: 403",
			play: &cupsd{version: "2.4.2", guard: refuse}, tls: sound, Truth: restricted("reported-cups-version"),
		},
		{
			Name: "cups-denied-new", About: "CUPS 2.4.19 that answers 403",
			play: &cupsd{version: "2.4.19", guard: refuse}, tls: sound, Truth: restricted(),
		},
		{
			Name: "cups-denied-plain", About: "CUPS 2.2.10 that answers 403 and has no TLS",
			play: &cupsd{version: "2.2.10", guard: refuse}, Truth: restricted("no-tls", "reported-cups-version"),
		},
		{
			Name: "cups-password", About: "CUPS 2.4.2 that asks everybody for a password: 401",
			play: &cupsd{version: "2.4.2", guard: password}, tls: sound, Truth: restricted("reported-cups-version"),
		},
		{
			Name: "cups-upgrade-denied", About: "CUPS 2.4.2 that answers 426 in plain and 403 over TLS",
			play: &cupsd{version: "2.4.2", guard: upgradeRefuse}, tls: sound, Truth: restricted("reported-cups-version"),
		},
	}
}

// devices are network printers with their own IPP.
func devices() []Persona {
	return []Persona{
		{
			Name: "device-kyosei", About: "office copier with everything filled in: place, organisation, firmware, network",
			play: &device{server: "KM-MFP-http/V0.0.1", name: "copier-2", location: "Town hall, 2nd floor", model: "Kyosei TaskForm 4054ci", secure: true, attrs: rich + `
ATTR text printer-organization "Town of Example"
ATTR uri printer-geo-location "geo:53.5511,9.9937"
ATTR uri printer-uri-supported "ipp://192.168.10.21/ipp/print","ipps://192.168.10.21/ipp/print"`},
			tls: sound, Truth: answered(deviceRules, "leaks-internal-address", "leaks-people"),
		},
		{
			Name: "device-hartwell", About: "home printer that tells the name of its wireless network",
			play: &device{server: "HW HTTP Server; OfficeJot 9010", name: "OfficeJot-9010", model: "Hartwell OfficeJot 9010", secure: true, attrs: rich + `
ATTR name printer-wifi-ssid "Doe family"
ATTR text printer-dns-sd-name "OfficeJot of Jane Doe"`},
			tls: sound, Truth: answered(deviceRules, "leaks-people"),
		},
		{
			Name: "device-brookner", About: "laser printer without TLS",
			play:  &device{server: "debut/1.30", name: "BRN3C2AF4", model: "Brookner HL-2350 series", attrs: rich},
			Truth: answered(deviceRules, "no-tls"),
		},
		{
			Name: "device-canonet", About: "laser printer whose certificate has an RSA key of 1024 bits",
			play: &device{server: "Canonet Http Server", name: "LPP215", location: "Reception", model: "Canonet LPP215", secure: true, attrs: rich},
			tls:  weak, Truth: answered(deviceRules, "expired-or-weak-certificate", "leaks-people"),
		},
		{
			Name: "device-epsilon", About: "ink printer whose certificate has expired",
			play: &device{server: "EPSILON_Linux UPnP/1.0", name: "ET-4850", model: "Epsilon ET-4850", secure: true, attrs: rich},
			tls:  expired, Truth: answered(deviceRules, "expired-or-weak-certificate"),
		},
		{
			Name: "device-ricado", About: "copier that takes IPP 2.0 for a broken request: HTTP 400",
			play:  &device{server: "Web-Server/3.0", name: "MP-C3004", location: "Archive", model: "Ricado MP C3004", dialect: refuses20, attrs: rich + "\nATTR keyword ipp-versions-supported 1.0,1.1"},
			Truth: answered(deviceRules, "no-tls", "leaks-people"),
		},
		{
			Name: "device-xenon", About: "printer that speaks IPP 1.1 only: 0x0503 for 2.0",
			play:  &device{server: "Allegro-Software-RomPager/4.34", name: "Phase-6510", model: "Xenon Phase 6510", dialect: answers11, attrs: rich + "\nATTR keyword ipp-versions-supported 1.0,1.1"},
			Truth: answered(deviceRules, "no-tls"),
		},
		{
			Name: "device-lexington", About: "printer that answers under / and not under /ipp/print",
			play:  &device{server: "Lexington-Web", name: "MS321", model: "Lexington MS321", paths: []string{"/"}, attrs: rich},
			Truth: answered(deviceRules, "no-tls"),
		},
		{
			Name: "device-zephyr", About: "label printer that answers under /ipp/print only",
			play:  &device{server: "Zephyr/1.0", name: "ZD-421", location: "Dispatch", model: "Zephyr ZD-421 label", paths: []string{"/ipp/print"}, attrs: "ATTR keyword media-ready oe_w288h432_4x6in"},
			Truth: answered(deviceRules, "no-tls", "leaks-people"),
		},
		{
			Name: "device-ippeve", About: "ippeveprinter of CUPS 2.4.2: it rejects CUPS-Get-Printers with 0x0400",
			play: &device{server: "CUPS/2.4.2", name: "officejet", location: "Reception, HQ Utrecht", model: "Hartwell OfficeJot Pro 9010", unknown: ipp.StatusBadRequest, secure: true},
			tls:  sound, Truth: maybe(answered(deviceRules, "leaks-people"), "reported-cups-version"),
		},
		{
			Name: "device-ippeve-password", About: "ippeveprinter -A: 401",
			play: &device{server: "CUPS/2.4.2", name: "officejet", model: "Hartwell OfficeJot Pro 9010", auth: `Basic realm="Printing"`, secure: true},
			tls:  sound, Truth: maybe(restricted(), "reported-cups-version"),
		},
		{
			Name: "device-tls-only", About: "printer that closes what is not TLS, with a certificate that has expired",
			play: &device{server: "Hartwell-IPPS", name: "Vault-1", model: "Hartwell Vault 1", secure: true, attrs: "ATTR uri printer-uri-supported \"ipps://$host/ipp/print\"\nATTR keyword uri-security-supported tls\nATTR keyword uri-authentication-supported basic"},
			tls:  expired, strict: true, Truth: answered([]string{"open-ipp"}, "expired-or-weak-certificate"),
		},
	}
}

// rich is what real devices add: firmware, supplies, counters that live.
const rich = `
ATTR name printer-firmware-name "System"
ATTR text printer-firmware-string-version "SIM-7.3.1"
ATTR text printer-firmware-patches ""
ATTR octetString printer-firmware-version "SIM7"
ATTR text printer-device-id "MFG:Simulated;MDL:Simulated;CMD:PWG,URF,PDF;SN:SIM000451;"
ATTR mimeMediaType document-format-supported application/octet-stream,application/pdf,image/pwg-raster,image/urf,image/jpeg
ATTR octetString printer-alert "code=subunitNearlyEmpty;severity=warning;group=markerSupplies;groupindex=2;location=0;"
ATTR integer printer-impressions-completed $pages
ATTR integer printer-media-sheets-completed $pages
ATTR integer marker-levels 63,41
ATTR name marker-names "Black","Waste"
ATTR boolean color-supported true
`

// oddities are devices that answer rightly in substance and strangely in form,
// or not rightly at all.
func oddities() []Persona {
	plain := answered(deviceRules, "no-tls")
	broken := Truth{TCP: []exposure.Verdict{exposure.Malformed, exposure.Answered}, MayAlso: slices.Concat(deviceRules, []string{"no-tls", "leaks-people"})}
	odd := func(name, about string, m manner, truth Truth, d device) Persona {
		d.server, d.name = "Oddment/1.0", name
		if d.model == "" {
			d.model = "Oddment " + name
		}
		return Persona{Name: "odd-" + name, About: about, play: &d, manner: m, Truth: truth}
	}
	return []Persona{
		odd("slow", "device that wakes up for 700 ms before its first byte", late(700*time.Millisecond), plain, device{}),
		odd("chunked", "device that answers in chunks", chunked, plain, device{attrs: rich}),
		odd("until-close", "device that gives no length and closes", untilClose, plain, device{}),
		odd("http10", "device that answers in HTTP/1.0", oldHTTP, plain, device{}),
		odd("interim", "device that sends 100 Continue unasked", interim, plain, device{}),
		odd("nul", "device with NULs in its names", nil, answered(deviceRules, "no-tls", "leaks-people"), device{
			attrs: "ATTR text printer-info \"nul\\x00nul\\x00\"\nATTR text printer-location \"\\x00\\x00room\\x00\"\nATTR name printer-name \"a\\x00b\"",
		}),
		odd("hostile", "device whose names attack terminals, pages and spreadsheets", nil, answered(deviceRules, "no-tls", "leaks-people"), device{
			model: "<script>alert(1)</script>",
			attrs: fmt.Sprintf("ATTR name printer-name %q\nATTR text printer-info %q\nATTR text printer-location %q\nATTR text printer-organization %q\nATTR text printer-state-message %q",
				"\x1b[2J\x1b]0;owned\x07\x1b[31mred", "=cmd|' /C calc'!A0", "\u202egnp.exe \u2066room\u2069\r\nSet-Cookie: a=b", "\"><img src=x onerror=alert(1)>", strings.Repeat("long ", 2000)),
		}),
		odd("truncated", "device whose answer ends inside an attribute", nil, broken, device{spoil: truncate}),
		odd("nested", "device that nests collections 1,000 deep", nil, broken, device{spoil: nest}),
		odd("short", "device that promises more bytes than it sends", short, broken, device{}),
		odd("half-head", "device that hangs up in the middle of the head", halfHead, Truth{TCP: []exposure.Verdict{exposure.Malformed}}, device{}),
		{
			Name: "odd-endless", About: "service that answers with a gigabyte",
			play: endless{}, Truth: broken,
		},
		{
			Name: "odd-tarpit", About: "service that sends one byte a second from the head on",
			play: tarpit{head: true}, Truth: Truth{TCP: []exposure.Verdict{exposure.Tarpit}},
		},
		{
			Name: "odd-tarpit-body", About: "service that sends its body one byte a second",
			play: tarpit{}, Truth: Truth{TCP: []exposure.Verdict{exposure.Tarpit}},
		},
		{
			Name: "odd-redirect", About: "service that redirects to another host",
			play: redirect{to: "http://192.0.2.80:631/ipp/print"}, Truth: Truth{TCP: []exposure.Verdict{exposure.NotIPP}},
		},
	}
}

// notPrinters stand at the port and do not print.
func notPrinters() []Persona {
	return []Persona{
		{Name: "web-server", About: "web server that knows nothing of printing", play: site{}, Truth: Truth{TCP: []exposure.Verdict{exposure.NotIPP}}},
		{Name: "ssh-banner", About: "SSH on the port for printing", greet: banner, Truth: Truth{TCP: []exposure.Verdict{exposure.NotIPP}}},
		{Name: "hang-up", About: "service that closes at once", greet: hangUp, Truth: Truth{TCP: []exposure.Verdict{exposure.NotIPP, exposure.NoAnswer, exposure.Closed}}},
		{Name: "reset", About: "service that resets the connection", greet: slam, Truth: Truth{TCP: []exposure.Verdict{exposure.NotIPP, exposure.NoAnswer, exposure.Closed}}},
		{Name: "mute", About: "service that takes the connection and never answers", greet: mute, Truth: Truth{TCP: []exposure.Verdict{exposure.NoAnswer, exposure.Tarpit, exposure.NotIPP}}},
	}
}

// browseds are hosts on which cups-browsed listens over UDP.
func browseds() []Persona {
	proven := []string{"cups-browsed-callback", "reflector"}
	heard := func(t Truth, posts int) Truth {
		t.UDP, t.UDPRules, t.Posts = exposure.CalledBack, proven, posts
		return t
	}
	one := func(name string) part {
		return &cupsd{version: "2.4.2", guard: refuse, queues: []desk.Queue{{Name: name}}}
	}
	return []Persona{
		{
			Name: "browsed-server", About: "cups-browsed 1.28.17 without D-Bus, which calls back three times, beside a CUPS that refuses",
			play: one("server"), tls: sound, udp: &browsed{version: "2.4.2", kernel: "6.1.0-18-amd64; x86_64"},
			Truth: heard(restricted("reported-cups-version"), 3),
		},
		{
			Name: "browsed-desktop", About: "cups-browsed 1.28.17 on a desktop with D-Bus and Avahi, which calls back six times; CUPS listens within only",
			udp: &browsed{version: "2.4.2", kernel: "6.5.0-41-generic; x86_64", twice: true}, Truth: heard(Truth{}, 6),
		},
		{
			Name: "browsed-open", About: "open CUPS 2.4.7 with a queue and a cups-browsed that calls back",
			play: &cupsd{version: "2.4.7", queues: []desk.Queue{{Name: "shop", Info: "Shop of Erika Mustermann", Device: "socket://192.168.1.50:9100"}}},
			tls:  sound, udp: &browsed{version: "2.4.7", kernel: "6.8.0-31-generic; aarch64"},
			Truth: heard(answered(cupsRules, "leaks-internal-address", "leaks-people"), 3),
		},
		{
			Name: "browsed-natted", About: "cups-browsed behind a translation of addresses: it calls from another address",
			udp:   &browsed{version: "2.3.3", kernel: "5.10.0-28-amd64; x86_64", natted: gateway()},
			Truth: heard(Truth{}, 3),
		},
		{
			Name: "browsed-elsewhere", About: "cups-browsed that listens but whose BrowseAllow names another network",
			udp: &browsed{version: "2.4.2", kernel: "6.1.0-18-amd64; x86_64", deaf: true}, Truth: Truth{UDP: exposure.NoCallback},
		},
	}
}

func jobsToo(t Truth) Truth {
	t.Jobs = []string{"jobs-disclosed"}
	return t
}

func adminToo(t Truth, rules ...string) Truth {
	t.Admin = rules
	return t
}

func maybe(t Truth, rules ...string) Truth {
	t.MayAlso = rules
	return t
}
