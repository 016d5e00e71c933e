// Package outpost is the command that runs a sensor, for the whole ippwatch and
// for the small program that is a sensor alone.
package outpost

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/answer"
	"ippwatch/courier"
	"ippwatch/exposure"
	"ippwatch/screen"
)

// A Host is the program around the command.
type Host struct {
	Screen *screen.Screen
	Data   *string // the data directory, known when a command runs
	Now    func() time.Time

	// Open opens where events of sensors are kept; nil in a program that has no
	// such place. There says whether it is there already.
	Open  func(ctx context.Context) (Kept, error)
	There func() bool
}

// Kept is where events of sensors are kept: an archive.
type Kept interface {
	courier.Archive
	Where(netip.Addr) exposure.Where
	Visits(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Visit, error]
	Censuses(ctx context.Context, from, to time.Time) iter.Seq2[exposure.Census, error]
	Close() error
}

// Directories below the data directory. The inner one belongs to the process
// that hears strangers, the outer one to the one that does not.
const (
	outerDir = "sensor"
	innerDir = "post"
)

func (h *Host) outer() string { return filepath.Join(*h.Data, outerDir) }
func (h *Host) inner() string { return filepath.Join(*h.Data, outerDir, innerDir) }

// flags are how a sensor is to run.
type flags struct {
	listen                   []string
	name, persona, seed, own string
	keep, user               string
	detail, workers, buffer  int
	forward                  string
	keys                     courier.Keys
}

var personas = []string{"auto", "cups", "device", "none"}

// Command returns the command and its subcommands.
func Command(h *Host) *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:   "sensor",
		Short: "Listen where strangers look for printers: who asks, and what do they want",
		Long: `Sensor listens on 631 over UDP and TCP and tells who came. Over UDP it is mute: it
never sends, never asks for a name from a packet, never opens a connection. A packet
is read exactly as cups-browsed reads it; its source can be forged, and the same
packet serves a check and an attack, so a class never says more than is known. Over
TCP it plays a print service, picked by a seed; documents are kept by their digest
and never opened. The process that hears strangers gives up its privileges and can
neither connect nor write outside its directory; another one keeps and forwards.

Events are kept in a journal below --data up to --keep, the oldest removed first;
counts are never removed. --format table and ndjson also show them as they come.`,
		Example: `  ippwatch sensor --listen :631
  ippwatch sensor --listen 192.0.2.1:631 --listen 192.0.2.2:631 --persona none --format ndjson
  ippwatch sensor --forward https://central.example.net:6310 \
    --cert sensor.crt --key sensor.key --ca central-ca.crt
  ippwatch sensor report --date yesterday`,
		Args: answer.Wants(),
		RunE: answer.Do(func(ctx context.Context, _ []string) error { return h.run(ctx, f) }),
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.listen, "listen", []string{":631"}, "address and port, UDP and TCP; without an address all of IPv4 and IPv6; repeats")
	fl.StringVar(&f.name, "name", hostname(), "name of this sensor, in all that it tells")
	fl.StringVar(&f.persona, "persona", "auto", "what is played over TCP: auto (by the seed), cups, device, or none for UDP alone")
	fl.StringVar(&f.seed, "seed", "", "what the persona is picked by; default: made at the first start, and kept")
	fl.StringVar(&f.own, "own", "", "networks that you call your own, with commas: a call-back into one is told so")
	fl.StringVar(&f.keep, "keep", "1GB", "how much of the disk events may take; counts come on top")
	fl.IntVar(&f.detail, "detail", 100, "new visits of one class that are told a second; the rest is counted")
	fl.StringVar(&f.user, "user", "nobody", "whom the process that hears strangers becomes when it is started by root")
	fl.IntVar(&f.workers, "workers", 0, "sockets per address; default: one for each core")
	fl.IntVar(&f.buffer, "buffer", 8, "megabytes that the kernel may hold for each socket; for all together 256")
	fl.StringVar(&f.forward, "forward", "", "central ippwatch to which all is sent, over mutual TLS")
	addKeys(cmd, &f.keys, "central ippwatch")
	_ = cmd.RegisterFlagCompletionFunc("persona", cobra.FixedCompletions(personas, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"listen", "name", "seed", "own", "keep", "user", "forward"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	cmd.AddCommand(h.reportCommand(), h.postCommand())
	if h.Open != nil {
		cmd.AddCommand(h.receiveCommand())
	}
	return cmd
}

func addKeys(cmd *cobra.Command, k *courier.Keys, other string) {
	fl := cmd.Flags()
	fl.StringVar(&k.Certificate, "cert", "", "our certificate, in PEM; its name is the sensor's")
	fl.StringVar(&k.Key, "key", "", "its key, in PEM")
	fl.StringVar(&k.CA, "ca", "", "CA by which the "+other+" is known, in PEM")
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "sensor"
	}
	return name
}

// orders are what the process that hears strangers is told.
type orders struct {
	Dir     string           `json:"dir"`
	Listen  []netip.AddrPort `json:"listen"`
	Name    string           `json:"name"`
	Persona string           `json:"persona"`
	Seed    string           `json:"seed"`
	Own     []netip.Prefix   `json:"own"`
	Keep    int64            `json:"keep"`
	Detail  int              `json:"detail"`
	Workers int              `json:"workers"`
	Buffer  int              `json:"buffer"`
	User    string           `json:"user"`
}

const (
	maxName      = 64
	mostBuffered = 256 << 20 // by the kernel, for all sockets
)

// orders checks the flags.
func (f *flags) orders(h *Host) (orders, error) {
	o := orders{Dir: h.inner(), Name: f.name, Persona: f.persona, Seed: f.seed, Detail: f.detail, Workers: f.workers, Buffer: f.buffer << 20, User: f.user}
	for _, text := range f.listen {
		at, err := listenAt(text)
		if err != nil {
			return o, answer.Usage("--listen %q: want an address and a port such as :631, 192.0.2.1:631 or [2001:db8::1]:631", text)
		}
		o.Listen = append(o.Listen, at...)
	}
	for text := range strings.SplitSeq(f.own, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return o, answer.Usage("--own %q: want networks such as 192.0.2.0/24,2001:db8::/48", f.own)
		}
		o.Own = append(o.Own, p.Masked())
	}
	keep, ok := bytesOf(f.keep)
	switch {
	case !slices.Contains(personas, f.persona):
		return o, answer.Usage("--persona %q: want %s", f.persona, strings.Join(personas, ", "))
	case f.name == "" || len(f.name) > maxName || screen.Printable(f.name) != f.name:
		return o, answer.Usage("--name %q: want 1 to %d letters", f.name, maxName)
	case !ok || keep < 1<<20:
		return o, answer.Usage("--keep %q: want a size of 1MB or more, such as 500MB or 20GB", f.keep)
	case f.detail < 1 || f.detail > 1_000_000:
		return o, answer.Usage("--detail %d: want a number above 0", f.detail)
	case f.workers < 0 || f.workers > 256:
		return o, answer.Usage("--workers %d: want 0 to 256", f.workers)
	case f.buffer < 1 || f.buffer > 1024:
		return o, answer.Usage("--buffer %d: want 1 to 1024", f.buffer)
	case f.forward == "" && f.keys != (courier.Keys{}):
		return o, answer.Usage("--cert, --key and --ca are for --forward, which is not given")
	}
	o.Keep = keep
	sockets := len(o.Listen) * cmp.Or(o.Workers, runtime.GOMAXPROCS(0))
	o.Buffer = min(o.Buffer, max(mostBuffered/sockets, 1<<18))
	return o, nil
}

// listenAt reads an address to listen at: without a host it is all of IPv4 and
// all of IPv6.
func listenAt(text string) ([]netip.AddrPort, error) {
	if port, found := strings.CutPrefix(text, ":"); found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)),
		}, nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil, err
	}
	return []netip.AddrPort{netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}, nil
}

// bytesOf reads a size.
func bytesOf(text string) (int64, bool) {
	upper := strings.ToUpper(strings.TrimSpace(text))
	for _, unit := range []struct {
		name string
		size int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}} {
		if number, found := strings.CutSuffix(upper, unit.name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			return n * unit.size, err == nil && n > 0 && n < 1e6
		}
	}
	return 0, false
}

// day reads a UTC day.
func (h *Host) day(text string) (from, to time.Time, err error) {
	today := h.Now().UTC().Truncate(24 * time.Hour)
	switch text {
	case "today":
		from = today
	case "yesterday":
		from = today.AddDate(0, 0, -1)
	default:
		if from, err = time.Parse(time.DateOnly, text); err != nil {
			return from, to, answer.Usage("--date %q: want yesterday, today, or a day such as 2026-11-23", text)
		}
	}
	return from, from.AddDate(0, 0, 1), nil
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
