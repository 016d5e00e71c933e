package rule

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"ippwatch/exposure"
)

// leaksInternalAddress is a printer that tells strangers the addresses or names
// of an inner network.
var leaksInternalAddress = Rule{
	ID:        "leaks-internal-address",
	Title:     "Addresses of the inner network are told to strangers",
	Severity:  exposure.Low,
	Authority: []string{"RFC 1918", "RFC 4193", "RFC 6762, section 3 (.local)", "RFC 8011, section 9.4 (restricted queries)"},
	About:     "The addresses and names of devices behind the firewall show an intruder where to go next.",
	Remedy: Remedy{
		Owner:    "Close the service towards the Internet; with CUPS, what a queue leads to is told to whoever may list it.",
		Provider: "No notice needed for this alone.",
		CSIRT:    "Mention it in the notice for the open service; do not pass the addresses on to others.",
		Commands: []string{"cupsctl --no-share-printers --no-remote-any"},
	},
	Look:    lookLeaksInternalAddress,
	Cleared: overTCP(lookLeaksInternalAddress, clearedLeaksInternalAddress),
}

// uriAttributes are where printers write addresses. A device-uri leads away from
// the host by its nature, so any other host in it is behind; the others must be
// private by themselves.
var uriAttributes = []string{
	"device-uri", "printer-uri-supported", "printer-more-info", "printer-supply-info-uri",
	"printer-icons", "printer-strings-uri",
}

func lookLeaksInternalAddress(o *exposure.Observation) (string, bool) {
	if o.Transport != exposure.TCP {
		return "", false
	}
	var leaks []string
	seen := make(map[string]bool)
	leak := func(where, host string) {
		if !seen[host] {
			seen[host] = true
			leaks = append(leaks, where+" "+quote(host))
		}
	}
	for _, p := range o.Printers {
		for _, attribute := range uriAttributes {
			for _, uri := range p.Attributes[attribute] {
				h := uriHost(uri)
				if h == "" || isHost(h, o.Addr) || attribute != "device-uri" && !internal(h) {
					continue
				}
				leak(attribute, h)
			}
		}
	}
	if o.HTTP != nil {
		if h := uriHost(o.HTTP.Location); h != "" && !isHost(h, o.Addr) && internal(h) {
			leak("redirect to", h)
		}
	}
	if len(leaks) == 0 {
		return "", false
	}
	return fmt.Sprintf("The host tells strangers %s: %s", count(len(leaks), "inner address", "inner addresses"), list(leaks)), true
}

func clearedLeaksInternalAddress(o *exposure.Observation) (Answer, string) {
	return undescribed(o, "an inner address")
}

// uriHost returns the host of a URI over the network, in lower case, without
// port and brackets, or "". It reads what devices write, so it is no parser of
// RFC 3986: hplip's "hp:/net/...?ip=" is a device-uri, too.
func uriHost(uri string) string {
	if len(uri) > 1024 {
		uri = uri[:1024]
	}
	scheme, rest, ok := strings.Cut(strings.ToLower(strings.TrimSpace(uri)), ":")
	if !ok {
		return ""
	}
	switch scheme {
	case "socket", "ipp", "ipps", "http", "https", "lpd", "smb", "snmp", "dnssd", "ftp", "ws-discovery", "wsd":
	case "hp", "hpfax":
		_, ip, _ := strings.Cut(rest, "ip=")
		ip, _, _ = strings.Cut(ip, "&")
		return ip
	default: // usb, parallel, file, implicitclass ... name no host
		return ""
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	// CUPS escapes the brackets of IPv6 (%5b2001%3adb8%3a%3aa%5d) and, in some
	// places, writes the form of RFC 3986 for addresses to come: [v1.2001:db8::a].
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		inner, _, _ = strings.Cut(inner, "]")
		return strings.TrimPrefix(inner, "v1.")
	}
	host, _, _ := strings.Cut(rest, ":")
	return strings.TrimSuffix(host, ".")
}

// isHost reports whether the text is the address that was asked, or means the
// host itself.
func isHost(text string, addr netip.Addr) bool {
	if text == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return false
	}
	a = a.WithZone("").Unmap()
	return a == addr.WithZone("").Unmap() || a.IsLoopback() || a.IsUnspecified()
}

// sharedSpace is for carriers behind their own translation (RFC 6598).
var sharedSpace = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)

// innerDomains are not resolved by the public DNS.
var innerDomains = []string{".local", ".lan", ".internal", ".intranet", ".home.arpa", ".home", ".corp", ".localdomain", ".private", ".fritz.box"}

// internal reports whether an address or name has a meaning on an inner network
// only.
func internal(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		return a.IsPrivate() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a)
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, d := range innerDomains {
		if strings.HasSuffix(host, d) {
			return true
		}
	}
	return false
}
