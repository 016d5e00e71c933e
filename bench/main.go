// Command bench measures what a scan costs, and prints each figure beside its
// aim; with the argument cycles, what days of scans leave in memory and on disk; with year, it
// writes a generated year.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) == 3 && os.Args[1] == workerWord {
		err = work(ctx, os.Args[2], os.Stdin, os.Stdout)
	} else if len(os.Args) > 1 && os.Args[1] == cyclesWord {
		err = cycles(ctx, os.Args[2:], os.Stdout, os.Stderr)
	} else if len(os.Args) > 1 && os.Args[1] == surgeWord {
		err = surges(ctx, os.Args[2:], os.Stdout, os.Stderr)
	} else if len(os.Args) > 1 && os.Args[1] == yearWord {
		err = years(ctx, os.Args[2:], os.Stdout, os.Stderr)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const (
	mostHosts  = 1 << 16 // of the /16 on which the farm is asked
	mostRounds = 20
)

// options are what a user may say, and what a worker is told.
type options struct {
	Hosts    int
	Flight   int    // conversations at once
	Rounds   int    // of the farm's measurements
	Silent   int    // addresses of the long walk
	Rows     int    // observations a day
	Ippwatch string // the binary
	Profile  string // directory for CPU profiles of workers
	Packets  int    // that a sensor is sent, of each size
	Size     int    // of them, for a worker
	Port     uint16 // of the farm, or of a sensor
	Readers  int    // of the pages
}

// run measures what the arguments ask for.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o := options{}
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.SetOutput(errs)
	fl.IntVar(&o.Hosts, "hosts", 20_000, "hosts of the farm")
	fl.IntVar(&o.Flight, "flight", 1000, "conversations at once")
	fl.IntVar(&o.Rounds, "rounds", 3, "times that the farm is asked; the median is shown")
	fl.IntVar(&o.Silent, "silent", 1<<20, "addresses that never answer")
	fl.IntVar(&o.Rows, "rows", 100_000, "observations of one archived day")
	fl.IntVar(&o.Packets, "packets", 3_000_000, "packets that a sensor is sent, of each size")
	fl.StringVar(&o.Ippwatch, "ippwatch", "", "the binary to measure end to end; built when not given")
	fl.StringVar(&o.Profile, "profile", "", "directory to write the CPU profiles of grab, silent, archive and sensor into")
	fl.IntVar(&o.Readers, "readers", 500, "readers of the pages")
	only := fl.String("only", "", "one of "+strings.Join(benchNames(), ", "))
	limit := fl.Duration("limit", 10*time.Minute, "give up after this time")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("on %s: only Linux answers for every address of 127.0.0.0/8 and tells what a process uses", runtime.GOOS)
	}
	if err := o.check(*only, fl.Args()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done after %v: see -limit", *limit))
	defer cancel()

	fmt.Fprintf(out, "%s\n", machine())
	fmt.Fprintln(out, "Farm and client share these cores: for sizing, use the CPU per host.")
	for _, b := range benches {
		if *only != "" && *only != b.name {
			continue
		}
		figures, err := b.measure(ctx, o)
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s: %w", b.name, cause)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		fmt.Fprintf(out, "\n%s\n", b.title(o))
		if err := table(out, figures); err != nil {
			return err
		}
	}
	return nil
}

func (o options) check(only string, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: only flags are understood", rest[0])
	case only != "" && !slices.Contains(benchNames(), only):
		return fmt.Errorf("-only %q: want %s", only, strings.Join(benchNames(), ", "))
	case o.Hosts < 1 || o.Hosts > mostHosts:
		return fmt.Errorf("-hosts %d: want 1 to %d", o.Hosts, mostHosts)
	case o.Flight < 1 || o.Flight > mostHosts:
		return fmt.Errorf("-flight %d: want 1 to %d", o.Flight, mostHosts)
	case o.Rounds < 1 || o.Rounds > mostRounds:
		return fmt.Errorf("-rounds %d: want 1 to %d", o.Rounds, mostRounds)
	case o.Readers < 1 || o.Readers > 50_000:
		return fmt.Errorf("-readers %d: want 1 to 50000", o.Readers)
	case o.Silent < fewSilent || o.Silent > 1<<24:
		return fmt.Errorf("-silent %d: want %d to %d", o.Silent, fewSilent, 1<<24)
	case o.Packets < 1000 || o.Packets > 1<<24:
		return fmt.Errorf("-packets %d: want 1000 to %d", o.Packets, 1<<24)
	case o.Rows < 1000 || o.Rows > 1<<24:
		return fmt.Errorf("-rows %d: want 1000 to %d", o.Rows, 1<<24)
	}
	return nil
}

// A bench is one measurement, made in processes of its own.
type bench struct {
	name    string
	title   func(options) string
	measure func(context.Context, options) ([]figure, error)
}

var benches = []bench{
	{"grab", grabTitle, measureGrab},
	{"scan", scanTitle, measureScan},
	{"silent", silentTitle, measureSilent},
	{"archive", archiveTitle, measureArchive},
	{"desk", deskTitle, measureDesk},
	{"sensor", sensorTitle, measureSensor},
	{"dashboard", dashboardTitle, measureDashboard},
	{"web", webTitle, measureWeb},
}

func benchNames() []string {
	names := make([]string, len(benches))
	for i, b := range benches {
		names[i] = b.name
	}
	return names
}

// work is the inside of a worker: options in, figures out. The farm says its
// port instead, and ends with its input.
func work(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	dec := json.NewDecoder(in)
	var o options
	if err := dec.Decode(&o); err != nil {
		return fmt.Errorf("worker %s: read options: %w", name, err)
	}
	if name == farmWord {
		return farm(ctx, io.MultiReader(dec.Buffered(), in), out)
	}
	if name == showerWord {
		return rain(ctx, o, out)
	}
	does, ok := map[string]func(context.Context, options) ([]figure, error){
		"grab": grabAll, "scan": scanAll, "silent": walkSilence, "archive": appendDays, "desk": serveStrangers, "sensor": hearShower, "dashboard": showYear,
	}[name]
	if !ok {
		return fmt.Errorf("no worker %q", name)
	}
	end, err := profile(o.Profile, name)
	if err != nil {
		return err
	}
	figures, err := does(ctx, o)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(figures)
}
