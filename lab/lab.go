// Package lab builds small real networks, with real print servers in them, for
// tests.
//
// [Main] runs the tests of a package again in namespaces of their own: nothing
// they do can be seen from outside, no route leads out, and every program they
// started ends with them. The test process itself is the scanner, at [Here4]
// and [Here6]. Each [Host] hangs on a cable of its own, so that hosts of tests
// that run in parallel do not hear each other. The recipe and what the daemons
// need are from facts/cups.md, section 7.
package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The test process has these addresses. All addresses of the lab are set aside
// for documentation (RFC 5737, section 3; RFC 3849, section 2).
var (
	Here4 = netip.MustParseAddr("198.51.100.1")
	Here6 = netip.MustParseAddr("2001:db8:100::1")
)

const (
	// wanted is set by the user: to "require", a lab that cannot be had is a
	// failure and not a skip.
	wanted = "IPPWATCH_LAB"
	// inside marks the process that runs in the lab: asRoot or asUser.
	inside = "IPPWATCH_LAB_INSIDE"
	// refused is why there is no lab; Main leaves it for Need.
	refused = "IPPWATCH_LAB_REFUSED"

	asRoot = "root" // users and groups as on the machine
	asUser = "user" // an ordinary user, alone in a user namespace
)

// debian names the package of each program that a test may ask for.
var debian = map[string]string{
	"avahi-daemon":  "avahi-daemon",
	"cups-browsed":  "cups-browsed",
	"cupsd":         "cups",
	"dbus-daemon":   "dbus",
	"dnsmasq":       "dnsmasq-base",
	"ip":            "iproute2",
	"ip6tables":     "iptables",
	"iptables":      "iptables",
	"ippeveprinter": "cups-ipp-utils",
	"ipptool":       "cups-ipp-utils",
	"lpadmin":       "cups-client",
	"lpstat":        "cups-client",
	"nft":           "nftables",
	"nmap":          "nmap",
}

// unprivileged are the programs that work where root has no other users.
// cupsd becomes lp, dbus-daemon becomes messagebus, and the rest needs those.
var unprivileged = []string{"ip", "ip6tables", "iptables", "nft"}

// Main runs m inside a lab. Call it from TestMain. Where no lab can be had, m
// runs as it is, and the tests that call [Need] are skipped.
func Main(m *testing.M) {
	if os.Getenv(inside) == "" {
		code, err := enter()
		if err == nil {
			os.Exit(code)
		}
		refuse(err)
	} else if err := furnish(); err != nil {
		refuse(err)
	}
	os.Exit(m.Run())
}

func refuse(err error) {
	if err := os.Setenv(refused, err.Error()); err != nil {
		panic(err)
	}
}

// Need skips the test, saying why and what to do, unless it runs in a lab that
// has the programs. Where IPPWATCH_LAB is "require" the test fails instead.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	why := missing(programs)
	switch {
	case why == "":
	case os.Getenv(wanted) == "require":
		t.Fatalf("lab: %s (and %s=require)", why, wanted)
	default:
		t.Skipf("lab: %s", why)
	}
}

// missing returns why the lab cannot run the programs, with the commands that
// change it, or "".
func missing(programs []string) string {
	if why := os.Getenv(refused); why != "" {
		return why
	}
	mode := os.Getenv(inside)
	if mode == "" {
		return "TestMain does not call lab.Main"
	}
	var absent, packages []string
	for _, program := range programs {
		if mode == asUser && !slices.Contains(unprivileged, program) {
			return program + " needs other users than root: as root, go test ./lab"
		}
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		absent = append(absent, program)
		if name := debian[program]; name != "" && !slices.Contains(packages, name) {
			packages = append(packages, name)
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return fmt.Sprintf("not installed: %s: apt-get install --no-install-recommends %s; go test ./lab",
		strings.Join(absent, ", "), strings.Join(packages, " "))
}
