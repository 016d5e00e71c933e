package space

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"

	"ippwatch/strict"
)

// Routes are a table of the user's that tells which networks belong to an AS
// number or a country: what `ippwatch scope expand` reads. The zero Routes is
// empty. A row costs 16 bytes in IPv4 and 40 in IPv6.
type Routes struct {
	name   string
	format *tableFormat
	v4     []route4
	v6     []route6
}

type route4 struct {
	from, to [4]byte
	asn      uint32
	country  country
}

type route6 struct {
	from, to [16]byte
	asn      uint32
	country  country
}

// A country is the two letters of ISO 3166-1, zero when unknown.
type country [2]byte

// A row is one line of a table before it is stored: a range, its countries and
// its origins. One with neither is passed over.
type row struct {
	from, to netip.Addr
	asns     []uint32
	country  country
}

// The most routes of a table: 16 times the million that a test reads.
const maxRoutes = 16 << 20

// A tableFormat is one of the formats that are told apart by their first line.
type tableFormat struct {
	name      string
	separator string // of fields; "" for any white space
	asns      bool
	countries bool
	// parse reads the fields of one line. An error is about the field bad.
	parse func(fields []string) (r row, bad int, err error)
}

// The formats. Their authorities: the README of CAIDA's RouteViews
// prefix-to-AS data set; iptoasn.com; and "RIR statistics exchange format" of
// the regional registries, with the eighth field of "extended".
var (
	pfx2as    = tableFormat{name: "RouteViews pfx2as", asns: true, parse: parsePfx2as}
	iptoasn   = tableFormat{name: "iptoasn", separator: "\t", asns: true, countries: true, parse: parseIPtoASN}
	delegated = tableFormat{name: "RIR delegated-extended", separator: "|", countries: true, parse: parseDelegated}
)

// ParseRoutes reads a table in one of three formats, told by its first line:
// RouteViews pfx2as (prefix, length, origins), iptoasn TSV (start, end, ASN,
// country, name) and RIR delegated-extended (ripencc|DE|ipv4|...). Errors name
// the table, line and column, up to twenty at once.
func ParseRoutes(name string, r io.Reader) (Routes, error) {
	t := Routes{name: name}
	c := strict.File{Name: name}
	err := eachLine(name, r, func(number int, line string) bool {
		if s := strings.TrimSpace(line); s == "" || s[0] == '#' {
			return true
		}
		if t.format == nil {
			if t.format = detect(line); t.format == nil {
				c.At(number, 1, "%s: want a line of RouteViews pfx2as, iptoasn or RIR delegated-extended", strict.Quote(line))
				return false
			}
		}
		fields := split(line, t.format.separator)
		switch row, bad, err := t.format.parse(fields); {
		case err != nil:
			c.At(number, fieldColumn(line, t.format.separator, bad), "%s: %w", t.format.name, err)
		case len(t.v4)+len(t.v6) >= maxRoutes:
			c.At(number, 1, "more than %d routes", maxRoutes)
			return false
		default:
			t.add(row)
		}
		return !c.Full()
	})
	if err != nil {
		c.Add(err)
	}
	if t.format == nil && c.Mistakes() == 0 {
		c.Add(fmt.Errorf("%s: the table is empty", name))
	}
	if err := c.Err(); err != nil {
		return Routes{}, err
	}
	t.v4, t.v6 = slices.Clip(t.v4), slices.Clip(t.v6)
	return t, nil
}

// detect tells the format by the first line that is not a comment.
func detect(line string) *tableFormat {
	if strings.Contains(line, "|") {
		return &delegated
	}
	if f := split(line, iptoasn.separator); len(f) >= 4 {
		return &iptoasn
	}
	if f := split(line, pfx2as.separator); len(f) == 3 {
		return &pfx2as
	}
	return nil
}

// Format returns the name of the table's format.
func (t Routes) Format() string {
	if t.format == nil {
		return ""
	}
	return t.format.name
}

// Len returns the number of routes; one with two origins counts twice.
func (t Routes) Len() int { return len(t.v4) + len(t.v6) }

// ByASN returns the fewest prefixes that hold all that the AS originates. A
// network with several origins belongs to each of them.
func (t Routes) ByASN(asn uint32) ([]netip.Prefix, error) {
	if t.format != nil && !t.format.asns {
		return nil, hintError{
			err:  fmt.Errorf("AS%d: %s has no AS numbers: it is a %s table", asn, t.name, t.format.name),
			hint: "give a table of iptoasn or RouteViews pfx2as",
		}
	}
	found, err := t.find(func(a uint32, _ country) bool { return a == asn && a != 0 })
	if err == nil && len(found) == 0 {
		err = errors.New("not in the table")
	}
	if err != nil {
		return nil, fmt.Errorf("AS%d in %s: %w", asn, t.name, err)
	}
	return found, nil
}

// ByCountry returns the fewest prefixes that hold all that the table gives to
// the country (ISO 3166-1, two letters). A delegated-extended table tells where
// the holder is registered, iptoasn where the AS is; neither tells where a host
// stands.
func (t Routes) ByCountry(cc string) ([]netip.Prefix, error) {
	want, err := parseCountry(cc)
	if err != nil {
		return nil, err
	}
	if t.format != nil && !t.format.countries {
		return nil, hintError{
			err:  fmt.Errorf("country %s: %s has no countries: it is a %s table", cc, t.name, t.format.name),
			hint: "give a delegated-extended file of the regional registry, or a table of iptoasn",
		}
	}
	found, err := t.find(func(_ uint32, c country) bool { return c == want })
	if err == nil && len(found) == 0 {
		err = errors.New("not in the table")
	}
	if err != nil {
		return nil, fmt.Errorf("country %s in %s: %w", cc, t.name, err)
	}
	return found, nil
}

func (t Routes) find(match func(uint32, country) bool) ([]netip.Prefix, error) {
	var b netipx.IPSetBuilder
	for i := range t.v4 {
		if r := &t.v4[i]; match(r.asn, r.country) {
			b.AddRange(netipx.IPRangeFrom(netip.AddrFrom4(r.from), netip.AddrFrom4(r.to)))
		}
	}
	for i := range t.v6 {
		if r := &t.v6[i]; match(r.asn, r.country) {
			b.AddRange(netipx.IPRangeFrom(netip.AddrFrom16(r.from), netip.AddrFrom16(r.to)))
		}
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("merge networks: %w", err)
	}
	return set.Prefixes(), nil
}

func (t *Routes) add(r row) {
	if len(r.asns) == 0 && r.country != (country{}) {
		r.asns = []uint32{0}
	}
	for _, asn := range r.asns {
		if r.from.Is4() {
			t.v4 = append(t.v4, route4{r.from.As4(), r.to.As4(), asn, r.country})
		} else {
			t.v6 = append(t.v6, route6{r.from.As16(), r.to.As16(), asn, r.country})
		}
	}
}

// parsePfx2as reads "1.0.0.0 24 13335".
func parsePfx2as(f []string) (r row, bad int, err error) {
	if len(f) != 3 {
		return r, 0, fmt.Errorf("%d fields: want prefix, length and origins", len(f))
	}
	p, err := Parse(f[0] + "/" + f[1])
	if err != nil {
		return r, 0, err
	}
	if r.asns, err = parseOrigins(f[2]); err != nil {
		return r, 2, err
	}
	whole := netipx.RangeOfPrefix(p)
	r.from, r.to = whole.From(), whole.To()
	return r, 0, nil
}

// parseIPtoASN reads "1.0.0.0 1.0.0.255 13335 US CLOUDFLARENET", with tabs. AS 0
// and the country "None" stand for a range that nobody announces.
func parseIPtoASN(f []string) (r row, bad int, err error) {
	if len(f) < 4 {
		return r, 0, fmt.Errorf("%d fields: want start, end, AS number, country and name, with tabs between", len(f))
	}
	if r.from, err = parseAddr(f[0]); err != nil {
		return r, 0, fmt.Errorf("start %s: %w", strict.Quote(f[0]), err)
	}
	if r.to, err = parseAddr(f[1]); err != nil {
		return r, 1, fmt.Errorf("end %s: %w", strict.Quote(f[1]), err)
	}
	if r.from.BitLen() != r.to.BitLen() || r.to.Less(r.from) {
		return r, 1, fmt.Errorf("end %s is not after start %s", r.to, r.from)
	}
	asn, err := parseASN(f[2])
	if err != nil {
		return r, 2, err
	}
	if asn != 0 {
		r.asns = []uint32{asn}
	}
	if cc := f[3]; cc != "" && cc != "None" && cc != "Unknown" {
		if r.country, err = parseCountry(cc); err != nil {
			return r, 3, err
		}
	}
	return r, 0, nil
}

// parseDelegated reads "ripencc|DE|ipv4|2.56.0.0|1024|20190312|allocated|id". The
// version line, summaries, AS numbers, and space that nobody holds are passed over.
func parseDelegated(f []string) (r row, bad int, err error) {
	if len(f) < 6 {
		return r, 0, fmt.Errorf("%d fields: want registry|country|type|start|value|date|status", len(f))
	}
	if f[0] != "" && f[0][0] >= '0' && f[0][0] <= '9' || f[5] == "summary" || f[2] == "asn" {
		return r, 0, nil
	}
	if len(f) < 7 {
		return r, 0, fmt.Errorf("%d fields: want registry|country|type|start|value|date|status", len(f))
	}
	if f[6] != "allocated" && f[6] != "assigned" || f[1] == "" {
		return r, 0, nil
	}
	if r.country, err = parseCountry(f[1]); err != nil {
		return r, 1, err
	}
	if r.from, err = parseAddr(f[3]); err != nil {
		return r, 3, fmt.Errorf("start %s: %w", strict.Quote(f[3]), err)
	}
	switch {
	case f[2] == "ipv4" && r.from.Is4():
		n, err := strconv.ParseUint(f[4], 10, 64)
		first := numberOf(r.from)
		if err != nil || n == 0 || n > 1<<32-first.lo {
			return r, 4, fmt.Errorf("value %s: want the number of addresses after %s", strict.Quote(f[4]), r.from)
		}
		r.to = first.plus4(n - 1)
	case f[2] == "ipv6" && r.from.Is6():
		p, err := Parse(f[3] + "/" + f[4])
		if err != nil {
			return r, 4, err
		}
		r.to = netipx.PrefixLastIP(p)
	default:
		return r, 2, fmt.Errorf("type %s with start %s: want ipv4, ipv6 or asn", strict.Quote(f[2]), r.from)
	}
	return r, 0, nil
}

// parseOrigins reads "13335", and the forms for several origins: "1_2" for a
// prefix that more than one AS announces, "1,2" or "{1,2}" for an AS set.
func parseOrigins(s string) ([]uint32, error) {
	var all []uint32
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune("_,{}", r) }) {
		asn, err := parseASN(word)
		if err != nil {
			return nil, err
		}
		if asn != 0 && !slices.Contains(all, asn) {
			all = append(all, asn)
		}
		if len(all) > maxOrigins {
			return nil, fmt.Errorf("more than %d origins", maxOrigins)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("origin %s: want an AS number", strict.Quote(s))
	}
	return all, nil
}

const maxOrigins = 1000

func parseASN(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("AS number %s: want a number of 32 bits", strict.Quote(s))
	}
	return uint32(n), nil
}

func parseCountry(s string) (country, error) {
	up := strings.ToUpper(s)
	if len(up) != 2 || strings.Trim(up, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return country{}, fmt.Errorf("country %s: want two letters, such as DE", strict.Quote(s))
	}
	return country{up[0], up[1]}, nil
}

func split(line, separator string) []string {
	if separator == "" {
		return strings.Fields(line)
	}
	return strings.Split(line, separator)
}

// fieldColumn returns the column at which the field begins.
func fieldColumn(line, separator string, field int) int {
	offset := 0
	for i, f := range split(line, separator) {
		at := strings.Index(line[offset:], f)
		if i == field {
			return columnOf(line, offset+at)
		}
		offset += at + len(f) + len(separator)
	}
	return 1
}
