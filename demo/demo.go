// Package demo plays a neighbourhood of print services and does with it what a
// user would do with a network.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ippwatch/persona"
	"ippwatch/screen"
	"ippwatch/space"
)

// A Demo is one performance.
type Demo struct {
	Screen *screen.Screen
	Now    time.Time
	Keep   string // directory in which data and reports are kept; "" keeps nothing
	CUPSD  string // the real cupsd to play with; "" for none
	// Type types a command of ippwatch, whose output goes to the screen.
	Type func(ctx context.Context, args []string) error
}

var errStopped = errors.New("the demo was stopped before its end")

// Run shows everything.
func (d Demo) Run(ctx context.Context) (err error) {
	dir, err := directory(d.Keep)
	if err != nil {
		return err
	}
	if d.Keep == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	hood, err := persona.Open(ctx, persona.Options{})
	if err != nil {
		return fmt.Errorf("open the simulated neighbourhood: %w", err)
	}
	defer hood.Close()
	d.Screen.Note("%d simulated print services stand at %s; nothing leaves this machine.", len(hood.Hosts()), join(hood.Networks()))
	networks, ports := hood.Networks(), slices.Clone(hood.Ports())
	if cups := d.addCUPS(ctx, dir, ports[0]); cups != nil {
		defer func() { err = errors.Join(err, cups.stop()) }()
		networks, ports = withDoor(networks, ports, cups.at)
	}

	scopeFile := filepath.Join(dir, "scope.yaml")
	scope := space.Scope{
		AuthorisedBy: "the user of ippwatch demo", Contact: "nobody@example.net",
		Expires: d.Now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 2), Networks: networks,
		Note: "The loopback addresses on which the demo plays print services.",
	}
	if err := os.WriteFile(scopeFile, scope.Format(), 0o600); err != nil {
		return err
	}
	constituents := filepath.Join(dir, "constituents.yaml")
	if err := os.WriteFile(constituents, constituentsOf(hood), 0o600); err != nil {
		return err
	}

	data := filepath.Join(dir, "data")
	scan := []string{
		"scan", "--scope", scopeFile, "--udp", "--udp-port", fmt.Sprint(hood.UDPPort()), "--callback", "127.0.0.1:0",
		"--rate", "200", "--per-network", "100", "--grace", "3s", "--admin", "--jobs", "--vantage", "demo",
		"--format", d.Screen.Format,
	}
	for _, p := range ports {
		scan = append(scan, "--port", fmt.Sprint(p))
	}
	if err := d.step(ctx, data, scan); err != nil {
		if ctx.Err() != nil {
			return errStopped // a resumed scan would find nobody: the street is gone with us
		}
		return err
	}
	reports := filepath.Join(dir, "reports")
	err = d.step(ctx, data, []string{
		"report", "--type", "all", "--constituents", constituents, "--format", "csv,html", "--out", reports,
	})
	if err != nil {
		return err
	}
	if d.Keep == "" {
		d.Screen.Note("\nKeep data and reports with: ippwatch demo --keep DIR")
		return nil
	}
	d.Screen.Note("\nKept in %s. Go on with:\n  ippwatch --data %s changes --since today\n  ippwatch --data %s asked %s",
		dir, data, data, hood.Hosts()[0].Addr)
	return nil
}

// addCUPS starts the real CUPS of this machine, if there is one that starts.
func (d Demo) addCUPS(ctx context.Context, dir string, port uint16) *realCUPS {
	if d.CUPSD == "" {
		return nil
	}
	cups, err := startCUPS(ctx, d.CUPSD, dir, port)
	if err != nil {
		d.Screen.Note("The real CUPS of this machine is left out: %v", err)
		return nil
	}
	d.Screen.Note("One more is not simulated: the real CUPS of this machine (%s), started for the demo at %s.", d.CUPSD, cups.at)
	return cups
}

// withDoor adds what a scan must name to come to at.
func withDoor(networks []netip.Prefix, ports []uint16, at netip.AddrPort) ([]netip.Prefix, []uint16) {
	if !slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(at.Addr()) }) {
		networks = append(networks, netip.PrefixFrom(at.Addr(), at.Addr().BitLen()))
	}
	if !slices.Contains(ports, at.Port()) {
		ports = append(ports, at.Port())
	}
	return networks, ports
}

// step shows a command and types it, on the demo's data directory.
func (d Demo) step(ctx context.Context, data string, args []string) error {
	d.Screen.Note("\n$ ippwatch %s", strings.Join(args, " "))
	return d.Type(ctx, append([]string{"--data", data}, args...))
}

// directory is where everything goes.
func directory(keep string) (string, error) {
	if keep == "" {
		return os.MkdirTemp("", "ippwatch-demo-")
	}
	if entries, err := os.ReadDir(keep); err == nil && len(entries) > 0 {
		return "", notEmptyError(keep)
	}
	return keep, os.MkdirAll(keep, 0o700)
}

// A notEmptyError says that a directory has something in it.
type notEmptyError string

func (e notEmptyError) Error() string { return string(e) + " is not empty" }

// Hint says what helps.
func (e notEmptyError) Hint() string { return "name a directory that is not there yet" }

// constituentsOf gives the street two owners, so that the reports have
// somebody to go to, and leaves a part without one.
func constituentsOf(hood *persona.Neighbourhood) []byte {
	hosts := hood.Hosts()
	owners := []struct{ name, title string }{{"north-hospital", "North Hospital (simulated)"}, {"city-library", "City Library (simulated)"}}
	var b strings.Builder
	b.WriteString("constituents:\n")
	for i, o := range owners {
		fmt.Fprintf(&b, "  - name: %s\n    title: %s\n    networks:\n", o.name, o.title)
		seen := make(map[string]bool)
		for n, h := range hosts {
			if a := h.Addr.String(); n%5/2 == i && !seen[a] {
				seen[a] = true
				fmt.Fprintf(&b, "      - %s\n", a)
			}
		}
	}
	return []byte(b.String())
}

func join[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}
