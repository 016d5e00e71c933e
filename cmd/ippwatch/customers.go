package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ippwatch/archive"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/people/lookup"
	"ippwatch/screen"
	"ippwatch/store"
)

// tokenVariable names the token for --url: one on the command line could be read
// by everybody on the machine.
const tokenVariable = "IPPWATCH_CUSTOMERS_TOKEN"

func (s *street) customersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "customers",
		Short: "Say which customer had which address when",
		Long: `An address belongs to a customer for a time. Leases come from files, and from an
HTTP service or a program where those do not know. The longest prefix decides,
then the lease that began last; "unknown" is an answer. Nobody sees evidence from
before or after his lease.`,
	}
	cmd.AddCommand(s.customersImportCommand(), s.customersWhoCommand(), s.customersCountCommand(), s.customersForgetCommand(), s.customersSourcesCommand())
	return group(cmd)
}

// customerFlags say whom to ask beside what was imported.
type customerFlags struct {
	url     string
	command []string
}

func (f *customerFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.url, "url", "", "HTTP service that knows customers; {ip} and {time} stand in it; the token is in "+tokenVariable)
	fl.StringArrayVar(&f.command, "command", nil, "program that knows customers, and its arguments, one each; {ip} and {time} stand in them")
}

// customers are those that were imported, and those of the flags behind them.
func (s *street) customers(h *house, f *customerFlags) (*lease.Customers, error) {
	var from lookup.Asker
	switch {
	case f.url != "" && len(f.command) > 0:
		return nil, usage("--url and --command exclude each other")
	case f.url != "":
		service, err := s.asking(true).NewService(f.url, os.Getenv(tokenVariable))
		if err != nil {
			return nil, usage("--url %w", err)
		}
		from = service
	case len(f.command) > 0:
		program, err := lookup.NewCommand(f.command, 0)
		if err != nil {
			return nil, usage("--command: %w", err)
		}
		from = program
	default:
		return lease.NewCustomers(h.store, s.view(), nil), nil
	}
	return lease.NewCustomers(h.store, s.view(), &lookup.Cache{Now: s.now, From: from}), nil
}

func (s *street) customersImportCommand() *cobra.Command {
	var source string
	var complete, dry bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take in who has which address when",
		Long: `The file is CSV with the columns prefix (or address), customer, from and to; - is
stdin. Times are RFC 3339, or a date with or without a time of day in UTC; an empty
from is "ever since", an empty to "still". What was imported before stays, so that
old evidence finds its owner. A file with a mistake changes nothing, and that one
address belongs to two customers from the same moment on is one.

With --complete the file lists every lease that goes on: one of the source that
went on and is not in it any more ends now. This is for a daily list of leases.`,
		Example: `  ippwatch customers import leases.csv --source dhcp --complete`,
		Args:    wants("FILE"),
		RunE: do(func(ctx context.Context, args []string) error {
			return s.importCustomers(ctx, args[0], source, complete, dry)
		}),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "name of the source; default: that of the file")
	cmd.Flags().BoolVar(&complete, "complete", false, "what goes on is all in the file")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "read and check the file, and change nothing")
	return cmd
}

// An imported tells what an import of customers did.
type imported struct {
	Source   string `json:"source"`
	Rows     int    `json:"rows"`
	Added    int    `json:"added"`
	Changed  int    `json:"changed"`
	Ended    int    `json:"ended"`
	Same     int    `json:"same"`
	Overlaps int    `json:"overlaps"`
}

func (s *street) importCustomers(ctx context.Context, file, source string, complete, dry bool) error {
	if file == "-" && source == "" {
		return usage("customers import -: name the --source")
	}
	source, err := importSource(file, source)
	if err != nil {
		return err
	}
	in := s.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read customers: %w", err)
		}
		defer f.Close()
		in = f
	}
	all, err := lease.Parse(file, in)
	if err != nil {
		return err
	}
	if all.Overlaps > 0 {
		s.Note("%s: the one that began last is believed", screen.Count(all.Overlaps, "lease overlaps another of its prefix", "leases overlap others of their prefixes"))
	}
	if dry {
		s.Note("%s has %s; this was a dry run, nothing was changed", file, screen.Count(len(all.Rows), "assignment", "assignments"))
		return nil
	}
	return s.with(ctx, func(h *house) error {
		got, err := h.store.ImportAssignments(ctx, store.AssignmentImport{
			Import: store.Import{Source: source, File: file, Who: whoami(), At: s.now().UTC()}, Rows: all.Rows, Complete: complete,
		})
		if err != nil {
			return hint(err, "what was kept is whole; import the file again to finish")
		}
		return screen.Listing[imported]{
			Columns: []string{"source", "rows", "added", "changed", "ended", "same", "overlaps"},
			Cells: func(i imported) []string {
				return []string{i.Source, fmt.Sprint(i.Rows), fmt.Sprint(i.Added), fmt.Sprint(i.Changed), fmt.Sprint(i.Ended), fmt.Sprint(i.Same), fmt.Sprint(i.Overlaps)}
			},
		}.ShowOne(&s.Screen, imported{source, len(all.Rows), got.Added, got.Changed, got.Ended, got.Same, all.Overlaps})
	})
}

// A held is the answer to whose an address was.
type held struct {
	Addr netip.Addr `json:"ip"`
	At   time.Time  `json:"at"`
	lease.Holder
}

func (s *street) customersWhoCommand() *cobra.Command {
	var at string
	var ask customerFlags
	cmd := &cobra.Command{
		Use:   "who ADDRESS",
		Short: "Say which customer had an address at a time, and for how long",
		Example: `  ippwatch customers who 203.0.113.7 --at "2026-11-23 09:30"
  ippwatch customers who 203.0.113.7 --url "https://ipam.example.net/lease?ip={ip}&at={time}"
  ippwatch customers who 203.0.113.7 --command radius-who --command --ip={ip} --command --at={time}`,
		Args: wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			addr, when, err := s.addrAndTime(args[0], at)
			if err != nil {
				return err
			}
			return s.read(ctx, func(h *house) error {
				customers, err := s.customers(h, &ask)
				if err != nil {
					return err
				}
				holder, err := customers.Who(ctx, addr, when)
				if err != nil {
					return err
				}
				return screen.Listing[held]{
					Columns: []string{"ip", "at", "customer", "from", "to", "by", "source"},
					Cells: func(a held) []string {
						by := ""
						if a.By.Prefix.IsValid() {
							by = a.By.Prefix.String()
						}
						name := cmp.Or(a.Customer, "unknown")
						if a.Against != nil {
							name += fmt.Sprintf(" (%s or %s)", a.By.Customer, a.Against.Customer)
						}
						return []string{a.Addr.String(), s.Stamp(a.At), name, s.Stamp(a.From), s.Stamp(a.To), by, a.By.Source}
					},
				}.ShowOne(&s.Screen, held{addr, when, holder})
			})
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "time, as 2026-11-23T09:30:00Z or 2026-11-23 09:30 in UTC; default: now")
	ask.add(cmd.Flags())
	return cmd
}

func (s *street) customersForgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "forget SOURCE",
		Short:   "Forget every assignment of a source",
		Example: `  ippwatch customers forget dhcp`,
		Args:    wants("SOURCE"),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return s.sources(cmd.Context(), store.ImportCustomers), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: do(func(ctx context.Context, args []string) error {
			return s.read(ctx, func(h *house) error {
				all, err := h.store.Imports(ctx, s.view(), store.ImportCustomers)
				if err != nil {
					return err
				}
				for _, i := range all {
					if i.Source == args[0] {
						n, err := h.store.ForgetAssignments(ctx, i.Source, whoami(), s.now().UTC())
						s.Note("forgot %s of %s", screen.Count(n, "assignment", "assignments"), i.Source)
						return err
					}
				}
				return s.unknownSource(ctx, h, store.ImportCustomers, fmt.Errorf("source %q: %w", args[0], people.ErrUnknown))
			})
		}),
	}
}

func (s *street) customersSourcesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sources",
		Short: "List where assignments came from, and when last",
		Args:  wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			return s.read(ctx, func(h *house) error {
				all, err := h.store.Imports(ctx, s.view(), store.ImportCustomers)
				if err != nil {
					return err
				}
				return screen.Listing[store.Import]{
					Columns: []string{"source", "file", "who", "at", "done"},
					Cells: func(i store.Import) []string {
						done := "yes"
						if !i.Done {
							done = "no: import it again"
						}
						return []string{i.Source, i.File, i.Who, s.Stamp(i.At), done}
					},
					Empty: "no customers were imported yet",
				}.Show(&s.Screen, all)
			})
		}),
	}
}

func (s *street) customersCountCommand() *cobra.Command {
	var date string
	var ask customerFlags
	cmd := &cobra.Command{
		Use:   "count",
		Short: "Count the customers, addresses and devices that were open on a day",
		Long: `Count tells apart how many customers, how many addresses and how many devices were
found open on a UTC day. An address counts once however often it was seen. A
device is told by its printer-uuid, so that one that changed its address counts
once. What is not known is counted too.`,
		Example: `  ippwatch customers count --date 2026-11-23`,
		Args:    wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			day, err := s.reportDay(date)
			if err != nil {
				return err
			}
			return s.read(ctx, func(h *house) error {
				c, err := s.countCustomers(ctx, h, &ask, day)
				if err != nil {
					return err
				}
				return screen.Listing[lease.Count]{
					Columns: []string{"what", "count", "unknown", "note"},
					Cells: func(c lease.Count) []string {
						return []string{c.What, fmt.Sprint(c.Count), fmt.Sprint(c.Unknown), c.Note}
					},
				}.Show(&s.Screen, c)
			})
		}),
	}
	cmd.Flags().StringVar(&date, "date", "today", "UTC day: yesterday, today, or as 2026-11-23")
	ask.add(cmd.Flags())
	return cmd
}

// countCustomers counts over what was found open on the day. The leases of the
// day are loaded at once; elsewhere is asked only where they do not know.
func (s *street) countCustomers(ctx context.Context, h *house, ask *customerFlags, day time.Time) ([]lease.Count, error) {
	from, to := archive.Day(day)
	leases, err := lease.Load(ctx, h.store, s.view(), from, to)
	if err != nil {
		return nil, err
	}
	customers, err := s.customers(h, ask)
	if err != nil {
		return nil, err
	}
	var tally lease.Tally
	for rec, err := range h.archive.Observations(ctx, s.view(), archive.Query{From: from, To: to}) {
		if err != nil {
			return nil, err
		}
		if rec.Worst == "" {
			continue // nothing was found open
		}
		customer := leases.Customer(rec.Addr, rec.Observed)
		if customer == "" && (ask.url != "" || len(ask.command) > 0) {
			holder, err := customers.Who(ctx, rec.Addr, rec.Observed)
			if err != nil {
				return nil, err
			}
			customer = holder.Customer
		}
		tally.Add(&rec.Observation, customer)
	}
	return tally.Counts(), nil
}
