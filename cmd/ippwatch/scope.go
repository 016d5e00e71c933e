package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ippwatch/enrich"
	"ippwatch/screen"
	"ippwatch/space"
)

func (s *street) scopeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scope",
		Short: "Write and check the file that says where we may look",
		Long: `A scope file names the networks that may be asked, who authorises it, a contact,
and when that ends. Nothing outside it is ever asked.`,
	}
	cmd.AddCommand(s.scopeInit(), s.scopeCheck(), s.scopeExpand())
	return group(cmd)
}

// signature is who stands behind a scope file; what is not given by a flag is
// asked on the terminal.
type signature struct {
	by, contact, expires string
}

func (g *signature) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&g.by, "authorised-by", "", "name and role of the person who authorises the scan; asked if absent")
	cmd.Flags().StringVar(&g.contact, "contact", "", "mail address or URL that a scanned host's owner can write to; asked if absent")
	cmd.Flags().StringVar(&g.expires, "expires", "", "last day of the authorisation, as 2026-12-31; default: in 30 days")
}

func (s *street) scopeInit() *cobra.Command {
	var g signature
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a scope file for this host's networks",
		Example: `  ippwatch scope init > scope.yaml
  ippwatch scope init --authorised-by "J. Doe, network owner" --contact noc@example.net > scope.yaml`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			networks, err := ownNetworks()
			if err != nil {
				return err
			}
			scope, err := s.sign(ctx, g)
			if err != nil {
				return err
			}
			scope.Networks = networks
			_, err = s.Out.Write(scope.Format())
			s.Note("read it, correct it, and let the person you named sign it: ippwatch scope check FILE")
			return err
		}),
	}
	g.add(cmd)
	return cmd
}

// ownNetworks are the IPv4 networks of this host's interfaces, and its own
// IPv6 addresses: an IPv6 network is too large to be walked.
func ownNetworks() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var networks []netip.Prefix
	seen := make(map[netip.Prefix]bool)
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() {
			continue
		}
		if p.Addr().Is6() {
			p = netip.PrefixFrom(p.Addr(), 128)
		}
		if p = p.Masked(); !seen[p] {
			seen[p] = true
			networks = append(networks, p)
		}
	}
	if len(networks) == 0 {
		return nil, hint(fmt.Errorf("this host has no network but loopback"), "write the networks into a scope file by hand; docs/network-owner.md shows one")
	}
	return networks, nil
}

// sign completes the signature, by asking where need be.
func (s *street) sign(ctx context.Context, g signature) (space.Scope, error) {
	expires := s.now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 31)
	if g.expires != "" {
		day, err := time.Parse(time.DateOnly, g.expires)
		if err != nil {
			return space.Scope{}, usage("--expires %q: want a date such as 2026-12-31", g.expires)
		}
		if expires = day.AddDate(0, 0, 1); !expires.After(s.now()) {
			return space.Scope{}, usage("--expires %s: the day is over", g.expires)
		}
	}
	in := bufio.NewReader(s.in)
	ask := func(value *string, flag, question string) error {
		if *value != "" {
			return nil
		}
		fmt.Fprint(s.Err, question+": ")
		line, err := readLine(ctx, in)
		if err != nil {
			fmt.Fprintln(s.Err)
		}
		if errors.Is(err, context.Canceled) {
			return err
		}
		if *value = strings.TrimSpace(line); *value == "" {
			return hint(fmt.Errorf("a scope needs an answer to: %s", question), "give it with --%s", flag)
		}
		return nil
	}
	if err := ask(&g.by, "authorised-by", "Who authorises the scan (name and role)"); err != nil {
		return space.Scope{}, err
	}
	if err := ask(&g.contact, "contact", "Where can an owner of a scanned host write to (mail or URL)"); err != nil {
		return space.Scope{}, err
	}
	return space.Scope{AuthorisedBy: g.by, Contact: g.contact, Expires: expires}, nil
}

// readLine reads a line that a person types, who may also press Ctrl-C. The
// read itself cannot be ended; the process does that.
func readLine(ctx context.Context, in *bufio.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		line, err := in.ReadString('\n')
		typed <- answer{line, err}
	}()
	select {
	case a := <-typed:
		return a.line, a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// A scopeReport is what scope check says.
type scopeReport struct {
	File         string   `json:"file"`
	AuthorisedBy string   `json:"authorised_by"`
	Contact      string   `json:"contact"`
	Expires      string   `json:"expires"`
	Expired      bool     `json:"expired"`
	Addresses    uint64   `json:"addresses"`
	Warnings     []string `json:"warnings"`
}

func (s *street) scopeCheck() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Read a scope file as a scan would, and say what it comes to",
		Example: `  ippwatch scope check scope.yaml`,
		Args:    wants("FILE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: do(func(_ context.Context, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read scope: %w", err)
			}
			scope, err := space.ParseScope(args[0], text)
			if err != nil {
				return err
			}
			return s.showScope(args[0], scope)
		}),
	}
}

// walkable is how long the prefix of an IPv6 network must be for it to be walked
// address by address (space.ErrTooLarge).
const walkable = 104

func (s *street) showScope(name string, scope space.Scope) error {
	now := s.now()
	expired := scope.Expired(now)
	at := now
	if expired != nil {
		at = scope.Expires.Add(-time.Second) // what it would come to, were it signed anew
	}
	set, dropped, err := scope.Set(at, nil, nil)
	if errors.Is(err, space.ErrTooLarge) {
		// A scan can use such a scope, with targets; what can be walked without
		// is counted, and Lint names the rest.
		small := slices.DeleteFunc(slices.Clone(scope.Networks), func(p netip.Prefix) bool { return p.Addr().Is6() && p.Bits() < walkable })
		if set, dropped, err = (space.Set{}), nil, nil; len(small) > 0 {
			set, dropped, err = scope.Set(at, small, nil)
		}
	}
	if err != nil {
		return err
	}
	r := scopeReport{
		File: name, AuthorisedBy: scope.AuthorisedBy, Contact: scope.Contact, Expires: screen.Stamp(scope.Expires),
		Expired: expired != nil, Addresses: set.Len(), Warnings: append([]string{}, scope.Lint(now)...),
	}
	for _, d := range dropped {
		r.Warnings = append(r.Warnings, d.String())
	}
	if r.Expired {
		err = hint(fmt.Errorf("%s: the authorisation has expired: a scan would refuse it", name), "ask %s to authorise the scan anew and write the new date there", r.AuthorisedBy)
	}
	if s.Format != "table" {
		r.Expires = s.Stamp(scope.Expires)
		return errors.Join(err, screen.Listing[scopeReport]{
			Columns: []string{"file", "authorised_by", "contact", "expires", "expired", "addresses", "warnings"},
			Cells: func(r scopeReport) []string {
				return []string{r.File, r.AuthorisedBy, r.Contact, r.Expires, fmt.Sprint(r.Expired), fmt.Sprint(r.Addresses), strings.Join(r.Warnings, "; ")}
			},
		}.ShowOne(&s.Screen, r))
	}
	fmt.Fprintf(s.Out, "%s: %s may be asked\n", screen.Printable(name), screen.Count(int(r.Addresses), "address", "addresses"))
	fmt.Fprintf(s.Out, "authorised by %s until %s UTC, contact %s\n", screen.Printable(r.AuthorisedBy), r.Expires, screen.Printable(r.Contact))
	for _, w := range r.Warnings {
		fmt.Fprintf(s.Out, "warning: %s\n", screen.Printable(w))
	}
	return err
}

// expandFlags are what scope expand turns into prefixes, and the user's tables.
type expandFlags struct {
	routes, mmdb string
	asns         []uint
	countries    []string
}

func (s *street) scopeExpand() *cobra.Command {
	var g signature
	var f expandFlags
	cmd := &cobra.Command{
		Use:   "expand [--routes FILE] [--mmdb FILE] [--asn N] [--country CC]",
		Short: "Turn AS numbers and countries into a scope file to read and sign",
		Long: `Expand turns AS numbers and countries into prefixes and writes them into a scope
file that a person reads and signs. Nothing is resolved when a scan runs.

AS numbers are looked up in a table of yours: RouteViews pfx2as or iptoasn TSV.
Countries are those of --mmdb, else of --routes, which may be an RIR's delegated
file, else of the embedded table. It has IPv6 down to /64. The file says which.`,
		Example: `  ippwatch scope expand --country DE > scope.yaml
  ippwatch scope expand --routes ip2asn-combined.tsv --asn 64496 > scope.yaml
  ippwatch scope expand --routes delegated-ripencc-extended-latest --country DE > scope.yaml`,
		Args: wants(),
		RunE: do(func(ctx context.Context, _ []string) error {
			networks, sources, err := f.expand()
			if err != nil {
				return err
			}
			scope, err := s.sign(ctx, g)
			if err != nil {
				return err
			}
			scope.Networks = networks
			_, err = s.Out.Write(append([]byte(sources), scope.Format()...))
			s.Note("%d prefixes: read them, correct them, and let the person you named sign them", len(networks))
			return err
		}),
	}
	g.add(cmd)
	cmd.Flags().StringVar(&f.routes, "routes", "", "table of prefixes: pfx2as, iptoasn TSV or RIR delegated file")
	cmd.Flags().StringVar(&f.mmdb, "mmdb", "", "MMDB with countries; goes before --routes and the embedded table")
	cmd.Flags().UintSliceVar(&f.asns, "asn", nil, "AS number; repeats")
	cmd.Flags().StringSliceVar(&f.countries, "country", nil, "ISO 3166-1 alpha-2 country; repeats")
	_ = cmd.MarkFlagFilename("routes")
	_ = cmd.MarkFlagFilename("mmdb", "mmdb")
	return cmd
}

// expand returns the prefixes, and comment lines that say where they are from.
func (f *expandFlags) expand() (networks []netip.Prefix, sources string, err error) {
	switch {
	case len(f.asns)+len(f.countries) == 0:
		return nil, "", usage("scope expand needs --asn or --country")
	case len(f.asns) > 0 && f.routes == "":
		return nil, "", usage("--asn needs --routes FILE: no table of AS numbers is embedded")
	case f.mmdb != "" && len(f.countries) == 0:
		return nil, "", usage("--mmdb needs --country")
	}
	var table space.Routes
	if f.routes != "" {
		file, err := os.Open(f.routes)
		if err != nil {
			return nil, "", err
		}
		defer file.Close()
		if table, err = space.ParseRoutes(f.routes, file); err != nil {
			return nil, "", err
		}
	}
	for _, n := range f.asns {
		if n == 0 || n > math.MaxUint32 {
			return nil, "", usage("--asn %d: AS numbers go from 1 to %d", n, uint32(math.MaxUint32))
		}
		found, err := table.ByASN(uint32(n))
		if err != nil {
			return nil, "", err
		}
		networks = append(networks, found...)
		sources += sourceLine(fmt.Sprintf("AS%d", n), f.routes)
	}
	for _, cc := range f.countries {
		cc = strings.ToUpper(cc)
		found, from, err := f.country(cc, table)
		if err != nil {
			return nil, "", err
		}
		networks = append(networks, found...)
		sources += sourceLine(cc, from)
	}
	return networks, sources + "\n", nil
}

// country looks one up, and says in which table.
func (f *expandFlags) country(cc string, routes space.Routes) (found []netip.Prefix, from string, err error) {
	switch {
	case f.mmdb != "":
		found, built, err := enrich.CountryPrefixes(f.mmdb, cc)
		return found, f.mmdb + " of " + built.Format(time.DateOnly), err
	case f.routes != "":
		found, err := routes.ByCountry(cc)
		return found, f.routes, err
	}
	table, err := enrich.Embedded()
	if err != nil {
		return nil, "", err
	}
	found, err = table.Prefixes(cc)
	if err != nil {
		return nil, "", hint(fmt.Errorf("the embedded table: %w", err), "name a table of yours with --routes or --mmdb")
	}
	// The licence asks for the credit, the link, and what was changed.
	return found, fmt.Sprintf("the embedded country table of %s:\n# %s, %s (CC BY 4.0), neighbours merged",
		table.Date().Format(time.DateOnly), enrich.Attribution, enrich.AttributionURL), nil
}

// sourceLine is a comment of a scope file.
func sourceLine(what, from string) string {
	lines := strings.Split(from, "\n")
	for i := range lines {
		lines[i] = screen.Printable(lines[i])
	}
	return "# Networks of " + what + " from " + strings.Join(lines, "\n") + "\n"
}
