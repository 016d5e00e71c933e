package rule_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"ippwatch/exposure"
	"ippwatch/rule"
)

var observed = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// An edit makes one observation out of another.
type edit func(o *exposure.Observation)

// tcp is a conversation with the verdict, edited.
func tcp(v exposure.Verdict, edits ...edit) *exposure.Observation {
	o := &exposure.Observation{
		V: exposure.Version, Observed: observed, Source: exposure.Scan,
		Addr: netip.MustParseAddr("198.51.100.7"), Port: 631,
		Transport: exposure.TCP, Probe: exposure.ProbeIPP, Verdict: v,
	}
	for _, e := range edits {
		e(o)
	}
	return o
}

// udp is the outcome of a browse packet, edited.
func udp(v exposure.Verdict, edits ...edit) *exposure.Observation {
	return tcp(v, append([]edit{func(o *exposure.Observation) {
		o.Transport, o.Probe = exposure.UDP, exposure.ProbeBrowse
	}}, edits...)...)
}

func ipp(status exposure.StatusCode, exchanges ...exposure.Exchange) edit {
	return func(o *exposure.Observation) {
		o.IPP = &exposure.IPP{Version: "2.0", Status: status, Exchanges: exchanges}
	}
}

func operation(name string, http int, status ...exposure.StatusCode) exposure.Exchange {
	e := exposure.Exchange{Operation: name, Path: "/", HTTP: http}
	if len(status) > 0 {
		e.Status = &status[0]
	}
	return e
}

func http(status int) edit {
	return func(o *exposure.Observation) { o.HTTP = &exposure.HTTP{Status: status} }
}

func pages(m map[string]int) edit {
	return func(o *exposure.Observation) { o.HTTP = &exposure.HTTP{Status: 200, Pages: m} }
}

func cups(server, reported string, queues bool) edit {
	return func(o *exposure.Observation) {
		o.CUPS = &exposure.CUPS{Server: server, Reported: reported, Queues: queues}
	}
}

// printer takes lines such as "printer-name=office" and "operations-supported=2 4".
func printer(lines ...string) edit {
	return func(o *exposure.Observation) {
		p := exposure.Printer{Attributes: map[string][]string{}}
		for _, line := range lines {
			name, values, _ := strings.Cut(line, "=")
			p.Attributes[name] = strings.Split(values, "|")
		}
		o.Printers = append(o.Printers, p)
	}
}

func offers(offered bool) edit {
	return func(o *exposure.Observation) { o.TLS = &exposure.TLS{Offered: offered} }
}

func alerts(o *exposure.Observation) {
	o.TLS = &exposure.TLS{Error: "remote error: tls: handshake failure"}
}

func upgrades(o *exposure.Observation) {
	o.HTTP = &exposure.HTTP{Status: 426, Upgrade: "TLS/1.2,TLS/1.1,TLS/1.0"}
}

func certificate(c exposure.Certificate) edit {
	return func(o *exposure.Observation) {
		o.TLS = &exposure.TLS{Offered: true, Certificate: &c}
	}
}

func jobs(status exposure.StatusCode, listed int, attributes ...string) edit {
	return func(o *exposure.Observation) {
		o.Jobs = &exposure.Jobs{Status: status, Listed: listed, Attributes: attributes}
	}
}

func calls(c exposure.Callback) edit {
	return func(o *exposure.Observation) { o.Callback = &c }
}

func from(s exposure.Source) edit { return func(o *exposure.Observation) { o.Source = s } }

var (
	good = exposure.Certificate{
		Subject: "CN=print01", NotBefore: observed.AddDate(-1, 0, 0), NotAfter: observed.AddDate(1, 0, 0),
		Key: "RSA 2048", KeyBits: 2048, Signature: "SHA256-RSA", SelfSigned: true,
	}
	threePosts = exposure.Callback{
		From: netip.MustParseAddr("198.51.100.7"), UserAgent: "CUPS/2.4.2 (Linux 6.1.0; x86_64) IPP/2.0",
		Posts: 3, Connections: 3, After: 1234 * time.Microsecond, Asked: 83, BytesIn: 1219, RatioApp: 14.69, RatioIP: 21.04,
	}
	prints = []string{
		"printer-name=office", "operations-supported=2|4|11", "uri-authentication-supported=requesting-user-name|none",
		"printer-is-accepting-jobs=true",
	}
)

func edited(c exposure.Certificate, e func(*exposure.Certificate)) exposure.Certificate {
	e(&c)
	return c
}

// looks have for each rule what it accepts, with the whole evidence, and what it
// does not: evidence "".
var looks = []struct {
	rule, name string
	o          *exposure.Observation
	evidence   string
}{
	{
		"open-ipp", "a printer that describes itself", tcp(exposure.Answered, ipp(0), printer("printer-name=office")),
		`TCP port 631 answered a stranger in IPP 2.0 with status 0x0000 and described 1 printer: "office"`,
	},
	{
		"open-ipp", "a cupsd that says not found", tcp(exposure.Answered, ipp(0x0406)),
		`TCP port 631 answered a stranger in IPP 2.0 with status 0x0406 (not found, yet the service is exposed)`,
	},
	{
		"open-ipp", "a row of a feed without IPP", tcp(exposure.Answered, from(exposure.Shadowserver)),
		`TCP port 631 answered a stranger in IPP, as shadowserver reports`,
	},
	{"open-ipp", "a refusal", tcp(exposure.Restricted, http(403)), ""},
	{"open-ipp", "a web server", tcp(exposure.NotIPP), ""},

	{
		"open-cups", "a list of queues", tcp(exposure.Answered, cups("CUPS/2.4", "2.4.2", true),
			printer("printer-name=a"), printer("printer-name=b"), printer("printer-name=c"), printer("printer-info=d")),
		`"CUPS/2.4" listed 4 queues to a stranger: "a", "b", "c" and 1 more`,
	},
	{"open-cups", "a list that was not kept", tcp(exposure.Answered, cups("", "", true)), `CUPS lists its queues to a stranger`},
	{"open-cups", "a CUPS without a list", tcp(exposure.Answered, cups("CUPS/2.4", "", false)), ""},
	{"open-cups", "a printer that is not CUPS", tcp(exposure.Answered, printer("printer-name=a")), ""},

	{
		"ipp-restricted", "forbidden", tcp(exposure.Restricted, http(403)),
		`A print service can be reached on TCP port 631, and it refused us (HTTP 403)`,
	},
	{
		"ipp-restricted", "a password", tcp(exposure.Restricted, http(401)),
		`A print service can be reached on TCP port 631, and it asked for a password (HTTP 401)`,
	},
	{
		"ipp-restricted", "upgrade required", tcp(exposure.Restricted, http(426)),
		`A print service can be reached on TCP port 631, and it asked for TLS (HTTP 426) and gave nothing without`,
	},
	{"ipp-restricted", "an answer", tcp(exposure.Answered, http(200)), ""},

	{
		"cups-browsed-callback", "three posts", udp(exposure.CalledBack, calls(threePosts)),
		`One packet to UDP port 631 made the host call us over TCP with 3 POSTs after 1ms, as "CUPS/2.4.2 (Linux 6.1.0; x86_64) IPP/2.0"`,
	},
	{
		"cups-browsed-callback", "a neighbour, at once",
		udp(exposure.CalledBack, calls(exposure.Callback{From: netip.MustParseAddr("198.51.100.7"), Posts: 3, After: 400 * time.Microsecond})),
		`One packet to UDP port 631 made the host call us over TCP with 3 POSTs within a millisecond`,
	},
	{
		"cups-browsed-callback", "a call from another address, late",
		udp(exposure.CalledBack, calls(exposure.Callback{From: netip.MustParseAddr("203.0.113.9"), Posts: 1, Late: true})),
		`One packet to UDP port 631 made the host call us over TCP with 1 POST from 203.0.113.9, after the run had ended`,
	},
	{
		"cups-browsed-callback", "a row of a feed", udp(exposure.CalledBack, from(exposure.Shadowserver)),
		`A packet to UDP port 631 made the host call back, as shadowserver reports`,
	},
	{"cups-browsed-callback", "silence", udp(exposure.NoCallback), ""},
	{"cups-browsed-callback", "another transport", tcp(exposure.Answered, calls(threePosts)), ""},

	{
		"reflector", "a measured ratio", udp(exposure.CalledBack, calls(threePosts)),
		`83 bytes of ours brought back 1219 bytes over TCP: a ratio of 14.7 (21.0 counted as IP bytes), a lower bound, as we answer 404 and complete the handshake`,
	},
	{
		"reflector", "a call that was not measured", udp(exposure.CalledBack),
		`The host sends requests to an address that a packet names; how much it sends was not measured`,
	},
	{"reflector", "a closed port", udp(exposure.Closed), ""},

	{
		"anonymous-print", "no authentication", tcp(exposure.Answered, printer(prints...)),
		`Print-Job is offered, jobs are accepted and no proof of identity is asked for (uri-authentication-supported none) by 1 printer: "office"`,
	},
	{"anonymous-print", "authentication", tcp(exposure.Answered,
		printer("operations-supported=2", "uri-authentication-supported=basic", "printer-is-accepting-jobs=true")), ""},
	{"anonymous-print", "no Print-Job", tcp(exposure.Answered,
		printer("operations-supported=11|16386", "uri-authentication-supported=none", "printer-is-accepting-jobs=true")), ""},
	{"anonymous-print", "a printer that accepts no jobs", tcp(exposure.Answered,
		printer("operations-supported=2", "uri-authentication-supported=none", "printer-is-accepting-jobs=false")), ""},
	{"anonymous-print", "a printer that does not say", tcp(exposure.Answered, printer("printer-name=a")), ""},

	{
		"admin-pages", "the page", tcp(exposure.Answered, cups("CUPS/2.4", "", true), pages(map[string]int{"/admin": 200, "/admin/conf/cupsd.conf": 401})),
		`1 page was given to a stranger with HTTP 200: "/admin"`,
	},
	{"admin-pages", "a password", tcp(exposure.Answered, cups("CUPS/2.4", "", true), pages(map[string]int{"/admin": 401})), ""},
	{"admin-pages", "a device that answers 200 to every path", tcp(exposure.Answered, pages(map[string]int{"/admin": 200})), ""},
	{
		"config-disclosed", "the file", tcp(exposure.Answered, cups("CUPS/2.4", "", true), pages(map[string]int{"/admin/conf/cupsd.conf": 200})),
		`1 page was given to a stranger with HTTP 200: "/admin/conf/cupsd.conf"`,
	},
	{"config-disclosed", "upgrade required", tcp(exposure.Answered, cups("CUPS/2.4", "", true), pages(map[string]int{"/admin/conf/cupsd.conf": 426, "/admin": 200})), ""},
	{
		"log-disclosed", "two files", tcp(exposure.Answered, cups("CUPS/2.4", "", true),
			pages(map[string]int{"/admin/log/error_log": 200, "/admin/log/access_log": 200})),
		`2 pages were given to a stranger with HTTP 200: "/admin/log/access_log", "/admin/log/error_log"`,
	},
	{"log-disclosed", "forbidden", tcp(exposure.Answered, cups("CUPS/2.4", "", true), pages(map[string]int{"/admin/log/error_log": 403})), ""},

	{
		"jobs-disclosed", "jobs", tcp(exposure.Answered, jobs(0, 2, "document-name-supplied", "job-uuid")),
		`Get-Jobs listed 2 jobs to a stranger, with "document-name-supplied", "job-uuid"`,
	},
	{"jobs-disclosed", "an empty list", tcp(exposure.Answered, jobs(0, 0)), ""},
	{"jobs-disclosed", "a refusal", tcp(exposure.Answered, jobs(0x0401, 0)), ""},
	{"jobs-disclosed", "not asked", tcp(exposure.Answered), ""},

	{"no-tls", "a handshake that was refused", tcp(exposure.Answered, offers(false)), `A TLS handshake on the same port was tried and refused`},
	{
		"no-tls", "a device that says so", tcp(exposure.Answered, printer("uri-security-supported=none", "printer-uri-supported=ipp://198.51.100.7/ipp/print")),
		`The device states that it has no security (uri-security-supported none); no handshake was tried`,
	},
	{"no-tls", "a handshake", tcp(exposure.Answered, offers(true)), ""},
	{"no-tls", "an alert, which is TLS too", tcp(exposure.Answered, alerts), ""},
	{"no-tls", "a host that asks for TLS and breaks it off", tcp(exposure.Restricted, offers(false), upgrades), ""},
	{"no-tls", "a device with ipps", tcp(exposure.Answered, printer("uri-security-supported=none|tls")), ""},
	{"no-tls", "a cupsd, which always says none over plain", tcp(exposure.Answered, cups("CUPS/2.4", "", true), printer("uri-security-supported=none")), ""},
	{"no-tls", "silence", tcp(exposure.NoAnswer, offers(false)), ""},

	{"expired-or-weak-certificate", "everything wrong", tcp(exposure.Answered, certificate(exposure.Certificate{
		Subject: "CN=old", NotAfter: time.Date(2020, 2, 3, 0, 0, 0, 0, time.UTC), Key: "RSA 1024", KeyBits: 1024, Signature: "MD5-RSA",
	})), `The certificate of "CN=old" expired on 2020-02-03 and has a key of 1024 bits ("RSA 1024"), fewer than 2048 and is signed with "MD5-RSA"`},
	{
		"expired-or-weak-certificate", "not valid yet", tcp(exposure.Restricted, certificate(edited(good, func(c *exposure.Certificate) { c.NotBefore = observed.Add(48 * time.Hour) }))),
		`The certificate of "CN=print01" is not valid before 2026-11-25`,
	},
	{
		"expired-or-weak-certificate", "SHA-1 with ECDSA", tcp(exposure.Answered, certificate(edited(good, func(c *exposure.Certificate) { c.Signature = "ECDSA-SHA1" }))),
		`The certificate of "CN=print01" is signed with "ECDSA-SHA1"`,
	},
	{"expired-or-weak-certificate", "a short curve is not short", tcp(exposure.Answered, certificate(edited(good, func(c *exposure.Certificate) { c.Key, c.KeyBits = "ECDSA P-256", 256 }))), ""},
	{"expired-or-weak-certificate", "good, self-signed", tcp(exposure.Answered, certificate(good)), ""},
	{"expired-or-weak-certificate", "no certificate", tcp(exposure.Answered, offers(true)), ""},

	{
		"leaks-internal-address", "a device behind", tcp(exposure.Answered, printer("device-uri=socket://10.1.2.3:9100"), printer("printer-more-info=http://PRINT01.local:631/x")),
		`The host tells strangers 2 inner addresses: device-uri "10.1.2.3", printer-more-info "print01.local"`,
	},
	{
		"leaks-internal-address", "IPv6, credentials, hplip", tcp(exposure.Answered,
			printer("printer-uri-supported=ipp://[fd00::1]:631/ipp/print", "device-uri=hp:/net/HP_LaserJet?ip=192.168.1.9"), printer("device-uri=smb://u:p@fileserver/q")),
		`The host tells strangers 3 inner addresses: device-uri "192.168.1.9", printer-uri-supported "fd00::1", device-uri "fileserver"`,
	},
	{
		"leaks-internal-address", "a redirect inwards", tcp(exposure.NotIPP, func(o *exposure.Observation) { o.HTTP = &exposure.HTTP{Location: "https://192.168.0.4/"} }),
		`The host tells strangers 1 inner address: redirect to "192.168.0.4"`,
	},
	{"leaks-internal-address", "its own address and public names", tcp(exposure.Answered, printer(
		"printer-uri-supported=ipp://198.51.100.7/ipp/print|ipp://localhost/printers/a|ipp://[::ffff:198.51.100.7]/x",
		"printer-more-info=http://printer.example.org/", "device-uri=usb://HP/LaserJet?serial=1")), ""},
	{"leaks-internal-address", "its own IPv6 address as CUPS writes it", tcp(exposure.Answered,
		func(o *exposure.Observation) { o.Addr = netip.MustParseAddr("2001:db8:100::a") },
		printer("printer-uri-supported=ipp://%5b2001%3adb8%3a100%3a%3aa%5d:631/printers/a|ipp://[v1.2001:db8:100::a]:631/printers/a")), ""},
	{"expired-or-weak-certificate", "signed while we looked", tcp(exposure.Restricted,
		certificate(edited(good, func(c *exposure.Certificate) { c.NotBefore = observed.Add(2 * time.Second) }))), ""},
	{"leaks-internal-address", "an inner host that names itself", tcp(exposure.Answered,
		func(o *exposure.Observation) { o.Addr = netip.MustParseAddr("10.0.0.7") }, printer("printer-uri-supported=ipp://10.0.0.7/ipp/print")), ""},

	{
		"leaks-people", "a place and a network", tcp(exposure.Answered, printer("printer-location=Room 12", "printer-wifi-ssid=Doe Home", "printer-organization=")),
		`The printers tell strangers 2 facts about people or places: printer-location "Room 12", printer-wifi-ssid "Doe Home"`,
	},
	{
		"leaks-people", "an owner", tcp(exposure.Answered, printer("printer-info=Office printer of Jane Doe"), printer("printer-dns-sd-name=Jane’s LaserJet")),
		`The printers tell strangers 2 facts about people or places: printer-info "Office printer of Jane Doe", printer-dns-sd-name "Jane’s LaserJet"`,
	},
	{"leaks-people", "a model and empty places", tcp(exposure.Answered, printer("printer-location=unknown", "printer-info=HP LaserJet 4250", "printer-geo-location=no-value")), ""},

	{
		"reported-cups-version", "an old version", tcp(exposure.Answered, cups("CUPS/2.4", "2.4.14", true)),
		`Reported version "2.4.14"; upstream's later versions: 2.4.15 fixed CVE-2025-58436, CVE-2025-61915; 2.4.17 fixed CVE-2026-27447, CVE-2026-34978, CVE-2026-34979, CVE-2026-34980, CVE-2026-34990, CVE-2026-39314, CVE-2026-39316, CVE-2026-41079; distributions backport fixes without changing this number, so it proves nothing by itself`,
	},
	{"reported-cups-version", "the newest", tcp(exposure.Answered, cups("CUPS/2.4", "2.4.19", true)), ""},
	{"reported-cups-version", "a version without its patch", tcp(exposure.Answered, cups("CUPS/2.4", "CUPS/2.4", true)), ""},
	{"reported-cups-version", "a pre-release", tcp(exposure.Answered, cups("", "2.5b1", true)), ""},
	{"reported-cups-version", "nonsense", tcp(exposure.Answered, cups("", "2.4.99999999999999999999", true)), ""},
}

func TestLook(t *testing.T) {
	seen := map[string][2]bool{}
	for _, tt := range looks {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			r, ok := rule.ByID(tt.rule)
			if !ok {
				t.Fatalf("ByID(%q): no such rule", tt.rule)
			}
			got, found := r.Look(tt.o)
			if got != tt.evidence || found != (tt.evidence != "") {
				t.Errorf("Look = %q, %v\nwant   %q", got, found, tt.evidence)
			}
		})
		s := seen[tt.rule]
		s[0], s[1] = s[0] || tt.evidence != "", s[1] || tt.evidence == ""
		seen[tt.rule] = s
	}
	for _, r := range rule.All {
		if seen[r.ID] != [2]bool{true, true} {
			t.Errorf("%s: want one accepted and one refused observation at least", r.ID)
		}
	}
}

func TestOldVersionsNameEveryLaterFix(t *testing.T) {
	r, _ := rule.ByID("reported-cups-version")
	for _, reported := range []string{"1.6.3", "CUPS/2.2", "CUPS/2.3.3op2 (Linux 5.10.0; x86_64) IPP/2.1", "CUPS v2.4.2", "2.4.1op1"} {
		got, found := r.Look(tcp(exposure.Restricted, cups("", reported, false)))
		for _, want := range []string{"CVE-2024-35235", "CVE-2025-58060", "CVE-2026-41079", "backport"} {
			if !found || !strings.Contains(got, want) {
				t.Errorf("Look(%q) = %q, want %s in it", reported, got, want)
			}
		}
		if strings.Contains(strings.ToLower(got), "vulnerable") {
			t.Errorf("Look(%q) = %q: a version is not a proof", reported, got)
		}
	}
}

const listing = "CUPS-Get-Printers"

// clearings have for each rule what shows that it is over, and what does not.
var clearings = []struct {
	rule, name string
	o          *exposure.Observation
	want       rule.Answer
}{
	{"open-ipp", "it answers", tcp(exposure.Answered), rule.No},
	{"open-ipp", "a refusal can still be reached", tcp(exposure.Restricted, http(403)), rule.CannotTell},
	{"open-ipp", "TLS first", tcp(exposure.Restricted, http(426)), rule.CannotTell},
	{"open-cups", "forbidden", tcp(exposure.Restricted, http(403)), rule.Yes},
	{"open-cups", "a password", tcp(exposure.Restricted, http(401)), rule.Yes},
	{"open-cups", "TLS first", tcp(exposure.Restricted, http(426)), rule.CannotTell},
	{"open-cups", "it lists", tcp(exposure.Answered, cups("", "", true)), rule.No},
	{"open-cups", "it has no queue", tcp(exposure.Answered, cups("", "", false), ipp(0x0406, operation(listing, 200, 0x0406))), rule.CannotTell},
	{"open-cups", "the listing alone is refused", tcp(exposure.Answered, cups("", "", false), ipp(0x0406, operation(listing, 200, 0x0403))), rule.Yes},
	{"open-cups", "refused over TLS after 426", tcp(exposure.Answered, ipp(0, operation(listing, 426), operation(listing, 403))), rule.Yes},
	{"open-cups", "it is busy", tcp(exposure.Answered, ipp(0x0507, operation(listing, 200, 0x0507))), rule.CannotTell},
	{"open-cups", "a printer without the operation", tcp(exposure.Answered, ipp(0, operation(listing, 200, 0x0501))), rule.Yes},
	{"open-cups", "the list was not asked for", tcp(exposure.Answered, ipp(0)), rule.CannotTell},
	{"open-cups", "no IPP came back", tcp(exposure.Answered, ipp(0, operation(listing, 500))), rule.CannotTell},
	{"ipp-restricted", "it still refuses", tcp(exposure.Restricted, http(403)), rule.No},
	{"ipp-restricted", "it answers now", tcp(exposure.Answered), rule.No},
	{"anonymous-print", "it asks for a password", tcp(exposure.Answered, printer("operations-supported=2", "uri-authentication-supported=basic|digest")), rule.Yes},
	{"anonymous-print", "it lacks Print-Job", tcp(exposure.Answered, printer("operations-supported=11")), rule.Yes},
	{"anonymous-print", "it accepts no jobs today", tcp(exposure.Answered, printer("operations-supported=2", "uri-authentication-supported=none", "printer-is-accepting-jobs=false")), rule.CannotTell},
	{"anonymous-print", "one printer does not say", tcp(exposure.Answered, printer("operations-supported=11"), printer("printer-name=b")), rule.CannotTell},
	{"anonymous-print", "a refusal to describe", tcp(exposure.Restricted, http(403)), rule.CannotTell},
	{"anonymous-print", "no description", tcp(exposure.Answered), rule.CannotTell},
	{"anonymous-print", "it prints", tcp(exposure.Answered, printer(prints...)), rule.No},
	{"admin-pages", "a password", tcp(exposure.Answered, pages(map[string]int{"/admin": 401})), rule.Yes},
	{"admin-pages", "not asked", tcp(exposure.Restricted, http(403)), rule.CannotTell},
	{"config-disclosed", "only the admin page was asked for", tcp(exposure.Answered, pages(map[string]int{"/admin": 401})), rule.CannotTell},
	{"config-disclosed", "TLS first", tcp(exposure.Answered, pages(map[string]int{"/admin/conf/cupsd.conf": 426})), rule.CannotTell},
	{"config-disclosed", "not there", tcp(exposure.Answered, pages(map[string]int{"/admin/conf/cupsd.conf": 404})), rule.Yes},
	{"log-disclosed", "forbidden", tcp(exposure.Restricted, pages(map[string]int{"/admin/log/error_log": 403})), rule.Yes},
	{"log-disclosed", "one of two", tcp(exposure.Answered, pages(map[string]int{"/admin/log/error_log": 403, "/admin/log/page_log": 200})), rule.CannotTell},
	{"jobs-disclosed", "refused by HTTP", tcp(exposure.Restricted, ipp(0, operation("Get-Jobs", 401))), rule.Yes},
	{"jobs-disclosed", "refused by IPP", tcp(exposure.Answered, jobs(0x0402, 0)), rule.Yes},
	{"jobs-disclosed", "empty", tcp(exposure.Answered, jobs(0, 0)), rule.CannotTell},
	{"jobs-disclosed", "failed", tcp(exposure.Answered, jobs(0x0500, 0)), rule.CannotTell},
	{"jobs-disclosed", "not asked", tcp(exposure.Answered), rule.CannotTell},
	{"no-tls", "a handshake", tcp(exposure.Restricted, offers(true)), rule.Yes},
	{"no-tls", "an alert", tcp(exposure.Answered, alerts), rule.CannotTell},
	{"no-tls", "not tried", tcp(exposure.Answered), rule.CannotTell},
	{"expired-or-weak-certificate", "a good one", tcp(exposure.Answered, certificate(good)), rule.Yes},
	{"expired-or-weak-certificate", "none seen", tcp(exposure.Answered, offers(false)), rule.CannotTell},
	{"leaks-internal-address", "a clean description", tcp(exposure.Answered, printer("device-uri=usb://HP/X")), rule.Yes},
	{"leaks-internal-address", "no description", tcp(exposure.Answered), rule.CannotTell},
	{"leaks-internal-address", "a description cut short", tcp(exposure.Answered, printer("printer-name=a"),
		func(o *exposure.Observation) { o.IPP = &exposure.IPP{Stopped: "limit"} }), rule.CannotTell},
	{"leaks-people", "refused", tcp(exposure.Restricted, http(403)), rule.Yes},
	{"leaks-people", "still told", tcp(exposure.Answered, printer("printer-location=Room 1")), rule.No},
	{"reported-cups-version", "the newest", tcp(exposure.Answered, cups("", "2.4.17", true)), rule.Yes},
	{"reported-cups-version", "without its patch", tcp(exposure.Answered, cups("", "2.4", true)), rule.CannotTell},
	{"reported-cups-version", "hidden", tcp(exposure.Restricted, cups("", "", true)), rule.CannotTell},
	{"cups-browsed-callback", "it calls", udp(exposure.CalledBack, calls(threePosts)), rule.No},
	{"cups-browsed-callback", "IPv6", udp(exposure.NotApplicable), rule.CannotTell},
}

func TestCleared(t *testing.T) {
	for _, tt := range clearings {
		t.Run(tt.rule+"/"+tt.name, func(t *testing.T) {
			r, _ := rule.ByID(tt.rule)
			if got, why := r.Cleared(tt.o); got != tt.want || why == "" {
				t.Errorf("Cleared = %v (%q), want %v with a reason", got, why, tt.want)
			}
		})
	}
}

// An alike is what is the same for every rule of a transport.
type alike struct {
	o    *exposure.Observation
	want rule.Answer
}

func alikes(id string) []alike {
	mine, other := tcp, udp
	if id == "cups-browsed-callback" || id == "reflector" {
		mine, other = udp, tcp
	}
	all := []alike{
		{mine(exposure.Closed), rule.Yes},
		{mine(exposure.Closed, from(exposure.Verification)), rule.Yes},
		{mine(exposure.Closed, from(exposure.Audit)), rule.Yes},
		{mine(exposure.Closed, from(exposure.Shadowserver)), rule.CannotTell},
		{other(exposure.Closed), rule.CannotTell},
		{mine(exposure.Closed, func(o *exposure.Observation) { o.Probe = "lpd" }), rule.CannotTell},
	}
	for _, v := range []exposure.Verdict{
		exposure.NotIPP, exposure.Malformed, exposure.Tarpit, exposure.Unreachable, exposure.NoAnswer,
		exposure.NoCallback, exposure.Interrupted, exposure.NotApplicable, "",
	} {
		all = append(all, alike{mine(v), rule.CannotTell})
	}
	return all
}

func TestClearedAlike(t *testing.T) {
	for _, r := range rule.All {
		for _, tt := range alikes(r.ID) {
			o := tt.o
			if got, why := r.Cleared(o); got != tt.want || why == "" {
				t.Errorf("%s: Cleared(%s %s %s from %s) = %v (%q), want %v with a reason",
					r.ID, o.Probe, o.Transport, o.Verdict, o.Source, got, why, tt.want)
			}
		}
	}
}

func TestJudgeWorstFirst(t *testing.T) {
	o := tcp(exposure.Answered, ipp(0), cups("CUPS/2.4", "2.4.2", true), offers(false), printer(prints...),
		printer("device-uri=socket://10.1.2.3", "printer-location=Room 12"))
	var got []string
	for _, f := range rule.Judge(o) {
		got = append(got, string(f.Severity)+" "+f.Rule)
	}
	want := []string{
		"high open-ipp", "high open-cups", "high anonymous-print", "medium leaks-people", "medium no-tls",
		"low leaks-internal-address", "info reported-cups-version",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Judge: -want +got\n%s", diff)
	}
	o.Simulated = true
	if diff := cmp.Diff(rule.Judge(tcp(exposure.NoAnswer)), []exposure.Finding{}); diff != "" {
		t.Errorf("Judge(silence): not an empty array: %s", diff)
	}
	if n := len(rule.Judge(o)); n != len(want) {
		t.Errorf("Judge of a simulated host = %d findings, want %d like any other", n, len(want))
	}
}

// TestFiles keeps the book: every rule is complete and stands in a file of its
// own that is named after it.
func TestFiles(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range rule.All {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.ID) || ids[r.ID] {
			t.Errorf("id %q: malformed or twice", r.ID)
		}
		ids[r.ID] = true
		if r.Title == "" || r.About == "" || len(r.Authority) == 0 || r.Look == nil || r.Cleared == nil ||
			r.Remedy.Owner == "" || r.Remedy.Provider == "" || r.Remedy.CSIRT == "" || len(r.Remedy.Commands) == 0 ||
			r.Severity.Rank() >= len(exposure.Severities) {
			t.Errorf("%s: a field is missing", r.ID)
		}
		file := strings.ReplaceAll(r.ID, "-", "_") + ".go"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
		if n := len(regexp.MustCompile(`\bID: +"`).FindAll(text, -1)); n != 1 || !strings.Contains(string(text), `"`+r.ID+`"`) {
			t.Errorf("%s: holds %d rules, want %s alone", file, n, r.ID)
		}
	}
	if _, ok := rule.ByID("no-such-rule"); ok {
		t.Error("ByID(no-such-rule) = ok")
	}
}

// FuzzJudge feeds observations of any shape: whatever was kept, by whatever
// version, judging ends, and ends alike twice.
func FuzzJudge(f *testing.F) {
	for _, o := range []*exposure.Observation{
		tcp(exposure.Answered, ipp(0), cups("CUPS/2.4", "2.4.2", true), offers(false), printer(prints...), printer("device-uri=socket://10.1.2.3", "printer-location=Room 12")),
		tcp(exposure.Restricted, http(403), certificate(good)),
		tcp(exposure.Answered, jobs(0, 2, "job-id"), pages(map[string]int{"/admin/log/x": 200})),
		udp(exposure.CalledBack, calls(threePosts)),
	} {
		b, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var o exposure.Observation
		if json.Unmarshal(b, &o) != nil {
			t.Skip()
		}
		first := rule.Judge(&o)
		if first == nil {
			t.Fatal("Judge = nil, want an array")
		}
		if diff := cmp.Diff(first, rule.Judge(&o)); diff != "" {
			t.Fatalf("Judge twice differs: %s", diff)
		}
		worst := 0
		for _, found := range first {
			if rank := found.Severity.Rank(); rank < worst {
				t.Fatalf("%s: not worst first", found.Rule)
			} else {
				worst = rank
			}
			if len(found.Evidence) > 4096 || !utf8.ValidString(found.Evidence) || strings.ContainsAny(found.Evidence, "\x00\n\r\x1b\u202e") {
				t.Fatalf("%s: evidence is not one plain line: %q", found.Rule, found.Evidence)
			}
		}
		for _, r := range rule.All {
			answer, why := r.Cleared(&o)
			if why == "" {
				t.Fatalf("%s: Cleared without a reason", r.ID)
			}
			if _, found := r.Look(&o); found && answer == rule.Yes {
				t.Fatalf("%s: found and cleared", r.ID)
			}
		}
	})
}
