package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "ippwatch/api/v1"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/people/lease"
	"ippwatch/people/lookup"
	"ippwatch/screen"
	"ippwatch/space"
	"ippwatch/store"
)

func (s *street) whoCommand() *cobra.Command {
	var at string
	var where whereFlags
	var ask customerFlags
	cmd := &cobra.Command{
		Use:   "who ADDRESS",
		Short: "Say whom a host concerns, who is told first, and why",
		Long: `Who names every constituent that a host concerns: those with its network, the
longest prefix first, then those with its AS, then those with its country. It says
which source says so, which contacts there are and how old they are, whether they
may be used, and which customer had the address at the time.`,
		Example: `  ippwatch constituents who 198.51.100.7
  ippwatch constituents who 198.51.100.7 --at "2026-11-23 09:30" --format json`,
		Args: wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			addr, when, err := s.addrAndTime(args[0], at)
			if err != nil {
				return err
			}
			if s.remote != nil {
				w, err := s.remote.Who(ctx, addr, when)
				if err != nil {
					return s.fromThere(err)
				}
				return s.showWhose(w)
			}
			return s.people(ctx, func(h *house, _ *people.Registry) error {
				w, err := s.whose(ctx, h, &where, &ask, addr, when)
				if err != nil {
					return err
				}
				return s.showWhose(w)
			})
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "time, as 2026-11-23T09:30:00Z or 2026-11-23 09:30 in UTC; default: now")
	cmd.Flags().StringSliceVar(&where.mmdb, "mmdb", nil, "MMDB with country, city or AS; goes before the embedded table; repeats")
	cmd.Flags().StringVar(&where.asn, "asn", "", "table of AS numbers: iptoasn TSV or RouteViews pfx2as")
	ask.add(cmd.Flags())
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return s.refuseThere(cmd, "mmdb", "asn", "url", "command") }
	return there(cmd)
}

// addrAndTime reads what so many commands are asked.
func (s *street) addrAndTime(address, at string) (netip.Addr, time.Time, error) {
	p, err := space.Parse(address)
	if err != nil || !p.IsSingleIP() {
		return netip.Addr{}, time.Time{}, usage("%q: want one address", address)
	}
	when := s.now().UTC()
	if at != "" {
		if when, err = lease.ParseTime(at); err != nil {
			return netip.Addr{}, time.Time{}, usage("--at %w", err)
		}
	}
	return p.Addr(), when, nil
}

func (s *street) whose(ctx context.Context, h *house, f *whereFlags, ask *customerFlags, addr netip.Addr, at time.Time) (v1.Whose, error) {
	w := v1.Whose{Addr: addr, At: at, Contacts: []v1.Reach{}, Told: []people.Reason{}}
	var err error
	if w.Where, err = s.placeOf(ctx, h, f, addr, at); err != nil {
		return w, err
	}
	d, err := h.people.Directory(ctx, s.view())
	if err != nil {
		return w, err
	}
	w.Told = append(w.Told, d.Explain(addr, w.Where)...)
	for _, told := range w.Told {
		for _, c := range told.Constituent.Contacts {
			ok, why := people.Usable(c)
			w.Contacts = append(w.Contacts, v1.Reach{Constituent: told.Name, Recipient: c, Usable: ok, Why: why})
		}
	}
	found, err := s.lookedUp(ctx, h, addr, at)
	if err != nil {
		return w, err
	}
	w.Contacts = append(w.Contacts, found...)
	customers, err := s.customers(h, ask)
	if err != nil {
		return w, err
	}
	w.Customer, err = customers.Who(ctx, addr, at)
	return w, err
}

// placeOf is where a host was when it was observed last before the time, and
// what the tables say where that does not.
func (s *street) placeOf(ctx context.Context, h *house, f *whereFlags, addr netip.Addr, at time.Time) (exposure.Where, error) {
	tables, err := f.open()
	if err != nil {
		return exposure.Where{}, err
	}
	defer tables.Close()
	where := tables.Where(addr)
	for rec, err := range h.archive.History(ctx, s.view(), addr, 0) {
		if err != nil {
			return where, err
		}
		if rec.Observed.After(at) {
			continue
		}
		where.Country = cmp.Or(rec.Where.Country, where.Country)
		if rec.Where.ASN != 0 {
			where.ASN, where.ASName = rec.Where.ASN, rec.Where.ASName
		}
		where.Hostname = rec.Where.Hostname
		break
	}
	return where, nil
}

// lookedUp are the contacts that look-ups found for the address.
func (s *street) lookedUp(ctx context.Context, h *house, addr netip.Addr, at time.Time) ([]v1.Reach, error) {
	all, err := h.store.Lookups(ctx, s.view(), addr)
	if err != nil {
		return nil, err
	}
	marks, err := h.people.Statuses(ctx, s.view())
	if err != nil {
		return nil, err
	}
	order := []string{exposure.SecurityTxt, exposure.RDAP, exposure.NationalCSIRT}
	slices.SortStableFunc(all, func(a, b store.Lookup) int {
		return cmp.Compare(slices.Index(order, a.Source), slices.Index(order, b.Source))
	})
	var found []v1.Reach
	for _, l := range all {
		if l.Contact == nil {
			continue
		}
		c := people.Marked(*l.Contact, marks)
		ok, why := people.Usable(c)
		if !l.Expires.IsZero() && !at.Before(l.Expires) {
			ok, why = false, "has expired at "+screen.Stamp(l.Expires)
		}
		found = append(found, v1.Reach{Recipient: c, Via: l.Via, Usable: ok, Why: why})
	}
	return found, nil
}

func (s *street) showWhose(w v1.Whose) error {
	reaches := screen.Listing[v1.Reach]{
		Columns: []string{"constituent", "medium", "address", "role", "source", "age", "used"},
		Cells: func(r v1.Reach) []string {
			used := "yes"
			if !r.Usable {
				used = "no: " + r.Why
			}
			return []string{cmp.Or(r.Constituent, "-"), string(r.Medium), r.Address, r.Role, r.Source, age(s.now(), r.Found), used}
		},
		Empty: "nobody is known who could be told",
	}
	switch s.Format {
	case "json", "ndjson":
		return screen.Listing[v1.Whose]{}.ShowOne(&s.Screen, w)
	case "csv":
		return reaches.Show(&s.Screen, w.Contacts)
	}
	fmt.Fprintf(s.Out, "%s at %s UTC: %s\n", w.Addr, screen.Stamp(w.At), screen.Printable(describePlace(w.Where)))
	fmt.Fprintf(s.Out, "customer: %s\n\n", screen.Printable(describeHolder(w.Customer)))
	n := 0
	err := screen.Listing[people.Reason]{
		Columns: []string{"told", "constituent", "because_of", "says"},
		Cells: func(r people.Reason) []string {
			n++
			return []string{map[bool]string{true: "first", false: "too"}[n == 1], r.Name, r.By + " " + r.What, r.Source}
		},
		Empty: "it concerns no constituent",
	}.Show(&s.Screen, w.Told)
	fmt.Fprintln(s.Out)
	return errors.Join(err, reaches.Show(&s.Screen, w.Contacts))
}

func describePlace(w exposure.Where) string {
	var words []string
	if w.Country != "" {
		words = append(words, "country "+w.Country)
	}
	if w.ASN != 0 {
		words = append(words, strings.TrimSpace(fmt.Sprintf("AS%d %s", w.ASN, w.ASName)))
	}
	if w.Hostname != "" {
		words = append(words, "host "+w.Hostname)
	}
	if len(words) == 0 {
		return "it is not known where that is"
	}
	return strings.Join(words, ", ")
}

func describeHolder(h lease.Holder) string {
	switch {
	case h.Against != nil:
		return fmt.Sprintf("unknown: %s and %s are said to have %s from the same time on", h.By.Customer, h.Against.Customer, h.By.Prefix)
	case h.Customer == "":
		return "unknown"
	}
	text := h.Customer
	if !h.From.IsZero() {
		text += " from " + screen.Stamp(h.From)
	}
	if !h.To.IsZero() {
		text += " until " + screen.Stamp(h.To)
	}
	return fmt.Sprintf("%s, by %s of %s", text, h.By.Prefix, h.By.Source)
}

type lookupFlags struct {
	txt                   bool
	rdap, bootstrap, cert string
}

func (s *street) lookupCommand() *cobra.Command {
	f := &lookupFlags{}
	cmd := &cobra.Command{
		Use:   "lookup ADDRESS",
		Short: "Ask others whom to tell of a host: security.txt, RDAP, the national CSIRT",
		Long: `Lookup asks only whom the flags name, and keeps what they answer with its source
and age. Nothing is sent to a contact that was looked up unless a rule of yours
allows its source.

--security-txt asks the host by the names that it had in reverse DNS when it was
scanned with --rdns, over https alone. --bootstrap names a directory with IANA's
files ipv4.json and ipv6.json (RFC 9224), which say whose RDAP server to ask;
--rdap names the server itself. --cert names a CSV file of yours with the columns
country and address; ippwatch ships none.`,
		Example: `  ippwatch constituents lookup 198.51.100.7 --security-txt --bootstrap /var/lib/rdap
  ippwatch constituents lookup 198.51.100.7 --rdap https://rdap.example.net/ --cert csirts.csv`,
		Args: wants("ADDRESS"),
		RunE: do(func(ctx context.Context, args []string) error {
			addr, now, err := s.addrAndTime(args[0], "")
			if err != nil {
				return err
			}
			switch {
			case !f.txt && f.rdap == "" && f.bootstrap == "" && f.cert == "":
				return hint(usage("constituents lookup: say whom to ask"), "--security-txt, --rdap URL, --bootstrap DIR, --cert FILE; several together")
			case f.rdap != "" && f.bootstrap != "":
				return usage("--rdap and --bootstrap exclude each other: the one names the server that the other finds")
			}
			return s.people(ctx, func(h *house, _ *people.Registry) error { return s.lookup(ctx, h, f, addr, now) })
		}),
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.txt, "security-txt", false, "ask the host's own names for security.txt")
	fl.StringVar(&f.rdap, "rdap", "", "RDAP server to ask")
	fl.StringVar(&f.bootstrap, "bootstrap", "", "directory with ipv4.json and ipv6.json of IANA")
	fl.StringVar(&f.cert, "cert", "", "file with the national CSIRTs")
	_ = cmd.MarkFlagDirname("bootstrap")
	_ = cmd.MarkFlagFilename("cert", "csv")
	return cmd
}

// asking is how questions leave this machine.
func (s *street) asking(local bool) *lookup.Client {
	o := s.look
	o.Agent = "ippwatch/" + version()
	o.Local = o.Local || local
	return lookup.New(o)
}

func (s *street) lookup(ctx context.Context, h *house, f *lookupFlags, addr netip.Addr, now time.Time) error {
	var all []lookup.Found
	var wrong []error
	keep := func(found lookup.Found, err error) {
		if err != nil {
			wrong = append(wrong, err)
			return
		}
		all = append(all, found)
	}
	if f.txt {
		names, err := s.hostNames(ctx, h, addr)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			s.Note("security.txt: no host name of %s is known; ippwatch scan --rdns looks names up", addr)
		}
		for _, name := range names {
			keep(s.asking(false).SecurityTxt(ctx, addr, name, now))
		}
	}
	if f.rdap != "" || f.bootstrap != "" {
		server, local, err := f.server(addr)
		if err != nil {
			return err
		}
		keep(s.asking(local).RDAP(ctx, server, addr, now))
	}
	if f.cert != "" {
		text, err := os.ReadFile(f.cert)
		if err != nil {
			return fmt.Errorf("read national CSIRTs: %w", err)
		}
		d, err := lookup.ParseDirectory(f.cert, text)
		if err != nil {
			return err
		}
		where, err := s.placeOf(ctx, h, &whereFlags{}, addr, now)
		if err != nil {
			return err
		}
		keep(d.Find(addr, where.Country, now), nil)
	}
	if err := s.keepLookups(ctx, h, all, now); err != nil {
		return err
	}
	return errors.Join(append([]error{s.showFound(all)}, wrong...)...)
}

// server is the RDAP server to ask. One that the operator names by an address of
// his own network is his business.
func (f *lookupFlags) server(addr netip.Addr) (u *url.URL, local bool, err error) {
	if f.bootstrap != "" {
		b, err := lookup.ReadBootstrap(f.bootstrap)
		if err != nil {
			return nil, false, hint(err, "save ipv4.json and ipv6.json of https://data.iana.org/rdap/ there")
		}
		u, err := b.Server(addr)
		return u, false, err
	}
	u, err = url.Parse(f.rdap)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, false, usage("--rdap %q: want a URL such as https://rdap.example.net/", f.rdap)
	}
	if host, err := netip.ParseAddr(u.Hostname()); err == nil {
		_, local = space.SpecialPurpose(host)
	}
	return u, local, nil
}

// mostNames bounds how many names of one host are asked.
const mostNames = 3

// hostNames are the names that the host had in reverse DNS, the last first.
func (s *street) hostNames(ctx context.Context, h *house, addr netip.Addr) ([]string, error) {
	var names []string
	for rec, err := range h.archive.History(ctx, s.view(), addr, 0) {
		if err != nil {
			return nil, err
		}
		if name := rec.Where.Hostname; name != "" && !slices.Contains(names, name) {
			if names = append(names, name); len(names) == mostNames {
				break
			}
		}
	}
	return names, nil
}

func (s *street) keepLookups(ctx context.Context, h *house, all []lookup.Found, now time.Time) error {
	merged := make(map[string]*lookup.Found) // two names of one host are one look-up
	var order []string
	for _, found := range all {
		key := found.Source + " " + found.Range.String()
		if was := merged[key]; was != nil {
			was.Contacts = append(was.Contacts, found.Contacts...)
			continue
		}
		merged[key] = &found
		order = append(order, key)
	}
	for _, key := range order {
		found := merged[key]
		var rows []store.Lookup
		var words []string
		for _, c := range found.Contacts {
			rows = append(rows, store.Lookup{Range: found.Range, Source: found.Source, Contact: &c, Via: found.Via, At: now, Expires: found.Expires})
			words = append(words, c.Address)
		}
		if len(rows) == 0 {
			rows = []store.Lookup{{Range: found.Range, Source: found.Source, Via: found.Via, At: now, Expires: found.Expires}}
			words = []string{"nobody"}
		}
		err := h.store.PutLookups(ctx, rows, store.Action{
			At: now, Who: whoami(), What: people.DidLookUp,
			Detail: fmt.Sprintf("%s: %s by %s, %s", found.Range, strings.Join(words, ", "), found.Source, found.Via),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// A finding of a look-up, one row for each contact.
type foundRow struct {
	Source  string    `json:"source"`
	Range   string    `json:"range"`
	Contact string    `json:"contact"`
	Role    string    `json:"role"`
	Via     string    `json:"via"`
	Expires time.Time `json:"expires,omitzero"`
	Notes   []string  `json:"notes,omitempty"`
}

func (s *street) showFound(all []lookup.Found) error {
	var rows []foundRow
	for _, f := range all {
		row := foundRow{Source: f.Source, Range: f.Range.String(), Via: f.Via, Expires: f.Expires, Notes: f.Notes}
		if p, ok := f.Range.Prefix(); ok {
			row.Range = p.String()
		}
		if len(f.Contacts) == 0 {
			rows = append(rows, row)
		}
		for _, c := range f.Contacts {
			row.Contact, row.Role = c.Address, c.Role
			rows = append(rows, row)
			row.Notes = nil
		}
	}
	return screen.Listing[foundRow]{
		Columns: []string{"source", "range", "contact", "role", "expires", "via", "notes"},
		Cells: func(r foundRow) []string {
			return []string{r.Source, r.Range, cmp.Or(r.Contact, "-"), r.Role, s.Stamp(r.Expires), r.Via, strings.Join(r.Notes, "; ")}
		},
		Empty: "nobody was found",
	}.Show(&s.Screen, rows)
}
