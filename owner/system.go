package owner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ippwatch/exposure"
)

// A System is what a host runs, as far as it told: it decides which commands are
// shown. The names are keys of texts.
type System string

// Systems.
const (
	Unknown System = "unknown"
	Printer System = "printer" // a device of its own
	Linux   System = "linux"   // CUPS, and we do not know whose
	Debian  System = "debian"  // Debian, Ubuntu, Raspberry Pi OS
	RedHat  System = "redhat"  // Fedora, RHEL and what is made of it
	SUSE    System = "suse"
	Arch    System = "arch"
	MacOS   System = "macos"
)

// systems are told apart by what a host says of its kernel or its packages. The
// forms are those of the distributions' own kernels: 6.1.0-25-amd64,
// 6.8.0-45-generic, 5.14.0-427.el9.x86_64, 6.10.6-200.fc40.x86_64,
// 6.4.0-150600.21-default, 6.10.10-arch1-1.
var systems = []struct {
	System
	says *regexp.Regexp
}{
	{MacOS, regexp.MustCompile(`(?i)darwin|mac ?os ?x|macos`)},
	{Debian, regexp.MustCompile(`(?i)debian|ubuntu|raspbian|\+rpt|-rpi-|\bdeb1[0-9]u|\b[0-9.]+-[0-9]+-(amd64|arm64|686|686-pae|armmp|generic|lowlatency|raspi|cloud-amd64)\b`)},
	{RedHat, regexp.MustCompile(`(?i)fedora|red ?hat|centos|rocky|almalinux|\.fc[0-9]{2}\b|\.el[0-9]{1,2}(_[0-9]+)?\b`)},
	{SUSE, regexp.MustCompile(`(?i)suse|\b[0-9.]+-[0-9.]+-default\b`)},
	{Arch, regexp.MustCompile(`(?i)-arch[0-9]+-|archlinux`)},
	{Linux, regexp.MustCompile(`(?i)linux|cups/`)},
}

// SystemOf returns what the host runs by what it said of itself.
func SystemOf(o *exposure.Observation) System {
	var said []string
	if o.Callback != nil {
		said = append(said, o.Callback.UserAgent)
	}
	if o.HTTP != nil {
		said = append(said, o.HTTP.Server)
	}
	if o.CUPS != nil {
		said = append(said, "CUPS/"+o.CUPS.Reported, o.CUPS.Server)
	}
	all := strings.Join(said, "\n")
	for _, s := range systems {
		if s.says.MatchString(all) {
			return s.System
		}
	}
	if len(o.Printers) > 0 || o.IPP != nil && o.IPP.Version != "" {
		return Printer
	}
	return Unknown
}

// model is what a device says that it is, "" if nothing.
func model(o *exposure.Observation) string {
	for _, p := range o.Printers {
		for _, name := range []string{"printer-make-and-model", "printer-info", "printer-name"} {
			if v := clip(p.Get(name), 80); v != "" && v != "no-value" && v != "unknown" {
				return v
			}
		}
	}
	return ""
}

// What a rule is about decides which commands close it.
var browsedRules = []string{"cups-browsed-callback", "reflector"}

// Commands are what closes a door on the system, to be typed by who administers
// it.
func Commands(s System, rules []string, port uint16) []string {
	browsed := slices.ContainsFunc(rules, func(r string) bool { return slices.Contains(browsedRules, r) })
	service := slices.ContainsFunc(rules, func(r string) bool { return !slices.Contains(browsedRules, r) })
	var all []string
	switch s {
	case Printer, Unknown:
		return nil
	case MacOS:
		return []string{"cupsctl --no-share-printers --no-remote-any --no-remote-admin"}
	}
	if browsed {
		all = append(all, "systemctl disable --now cups-browsed")
	}
	if service {
		all = append(all, "cupsctl --no-share-printers --no-remote-any --no-remote-admin", "systemctl restart cups")
	}
	packages := "cups"
	if browsed {
		packages = "cups cups-browsed cups-filters"
	}
	switch s {
	case Debian:
		all = append(all, "apt-get update && apt-get install --only-upgrade "+packages)
	case RedHat:
		all = append(all, "dnf upgrade "+packages)
	case SUSE:
		all = append(all, "zypper refresh && zypper update "+packages)
	case Arch:
		all = append(all, "pacman -Syu")
	}
	if browsed {
		all = append(all, "lpstat -v | grep implicitclass   # a queue that our question left; remove it with: lpadmin -x NAME")
	}
	return append(all, fmt.Sprintf("ss -lntup 'sport = :%d'   # what still listens, and on which addresses", port))
}
