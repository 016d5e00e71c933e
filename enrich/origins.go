package enrich

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"

	"ippwatch/exposure"
)

// Origins are networks and who announces them, from a text file of the user.
type origins struct {
	from []netip.Addr // where the owner changes, in order
	who  []int32      // index into owners
	own  []owner
}

// An owner is what a line says of its network; the zero owner is nobody.
type owner struct {
	asn     uint32
	name    string
	country string // only of an RIR's statistics, where it is that of the registration
}

const (
	maxLine    = 64 << 10
	maxNetwork = 1 << 23 // lines with a network: eight times today's tables
	maxBytes   = 2 << 30
)

func openOrigins(path string) (*origins, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOrigins(f)
}

// tell fills in what is still absent.
func (o *origins) tell(a netip.Addr, w *exposure.Where) {
	i, found := slices.BinarySearchFunc(o.from, a, netip.Addr.Compare)
	if !found {
		i--
	}
	// Addresses of IPv4 sort before those of IPv6.
	if i < 0 || o.from[i].BitLen() != a.BitLen() {
		return
	}
	who := o.own[o.who[i]]
	if w.ASN == 0 {
		w.ASN, w.ASName = who.asn, who.name
	}
	if w.Country == "" {
		w.Country = who.country
	}
}

// A claim is one line: the range and its owner.
type claim struct {
	netipx.IPRange
	who int32
}

// A mistake is what is wrong with a field of a line.
type mistake struct {
	column int // counted in fields, from 1
	err    error
}

func (m *mistake) Error() string { return fmt.Sprintf("column %d: %v", m.column, m.err) }
func (m *mistake) Unwrap() error { return m.err }

// readOrigins reads any of the formats of [Options].
func readOrigins(r io.Reader) (*origins, error) {
	b := bufio.NewReader(r)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		b = bufio.NewReader(z)
	}
	lines := bufio.NewScanner(io.LimitReader(b, maxBytes))
	lines.Buffer(make([]byte, 4096), maxLine)
	var claims []claim
	p := parser{known: make(map[owner]int32)}
	p.index(owner{})
	n := 0
	for n = 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c, ok, err := p.parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if ok {
			claims = append(claims, c)
		}
		if len(claims) > maxNetwork {
			return nil, fmt.Errorf("line %d: more than %d networks", n, maxNetwork)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n, err)
	}
	if len(claims) == 0 {
		return nil, errors.New("no network in it")
	}
	o := flatten(claims)
	o.own = p.owners
	return o, nil
}

// flatten turns ranges, which may lie in each other, into a list of changes.
// Where several hold an address, the one that begins last counts, and of those
// the shortest: for prefixes that is the longest match.
func flatten(claims []claim) *origins {
	slices.SortStableFunc(claims, func(a, b claim) int {
		if c := a.From().Compare(b.From()); c != 0 {
			return c
		}
		return b.To().Compare(a.To())
	})
	o := new(origins)
	var open []claim // begun and not ended, the innermost last
	// close ends what ends before at; what lay around it goes on.
	end := func(at netip.Addr) {
		for len(open) > 0 {
			last := open[len(open)-1]
			if at.IsValid() && at.BitLen() == last.To().BitLen() && last.To().Compare(at) >= 0 {
				return
			}
			for len(open) > 0 && open[len(open)-1].To().Compare(last.To()) <= 0 {
				open = open[:len(open)-1]
			}
			next := last.To().Next()
			if !next.IsValid() {
				continue
			}
			who := int32(0)
			if len(open) > 0 {
				who = open[len(open)-1].who
			}
			o.change(next, who)
		}
	}
	for _, c := range claims {
		end(c.From())
		o.change(c.From(), c.who)
		open = append(open, c)
	}
	end(netip.Addr{})
	o.from, o.who = slices.Clip(o.from), slices.Clip(o.who)
	return o
}

func (o *origins) change(at netip.Addr, who int32) {
	n := len(o.from)
	if n > 0 && o.from[n-1] == at {
		o.who[n-1] = who
		return
	}
	if n > 0 && o.who[n-1] == who && o.from[n-1].BitLen() == at.BitLen() {
		return
	}
	o.from, o.who = append(o.from, at), append(o.who, who)
}

// A parser reads lines; a CSV's head line tells it where the columns are.
type parser struct {
	owners []owner
	known  map[owner]int32
	head   *columns
}

// columns are the places of a CSV's columns; -1 where there is none.
type columns struct{ network, from, to, asn, name int }

func (p *parser) index(w owner) int32 {
	if i, ok := p.known[w]; ok {
		return i
	}
	i := int32(len(p.owners))
	w.name = strings.Clone(w.name) // not the whole line
	p.owners = append(p.owners, w)
	p.known[w] = i
	return i
}

// parse reads one line; ok is false for one that has no network.
func (p *parser) parse(line string) (c claim, ok bool, err error) {
	var r netipx.IPRange
	var w owner
	switch {
	case strings.Contains(line, "|"):
		r, w, ok, err = parseDelegated(strings.Split(line, "|"))
	case strings.Contains(line, "\t"):
		fields := strings.Split(line, "\t")
		if bits, e := strconv.Atoi(at(fields, 1)); e == nil && bits <= 128 {
			r, w, err = parsePfx2as(fields)
		} else {
			r, w, err = parseIPtoASN(fields)
		}
		ok = true
	default:
		fields := splitCSV(line)
		if p.head == nil {
			var isHead bool
			if p.head, isHead, err = headOf(fields); isHead || err != nil {
				return claim{}, false, err
			}
		}
		r, w, err = p.head.parse(fields)
		ok = true
	}
	if err != nil || !ok || w == (owner{}) {
		return claim{}, false, err
	}
	return claim{r, p.index(w)}, true, nil
}

func at(fields []string, i int) string {
	if i < 0 || i >= len(fields) {
		return ""
	}
	return strings.TrimSpace(fields[i])
}

var (
	errAddr  = errors.New("is not an address")
	errRange = errors.New("the range ends before it begins")
)

// address reads an address or, as iptoasn's u32 file has it, a number.
func address(fields []string, i int) (netip.Addr, error) {
	s := at(fields, i)
	a, err := netip.ParseAddr(s)
	if err == nil && a.Zone() == "" {
		return a.Unmap(), nil
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n))
		return netip.AddrFrom4(b), nil
	}
	return netip.Addr{}, &mistake{i + 1, fmt.Errorf("%.60q %w", s, errAddr)}
}

func span(fields []string, from, to int) (netipx.IPRange, error) {
	a, err := address(fields, from)
	if err != nil {
		return netipx.IPRange{}, err
	}
	b, err := address(fields, to)
	if err != nil {
		return netipx.IPRange{}, err
	}
	r := netipx.IPRangeFrom(a, b)
	if !r.IsValid() {
		return r, &mistake{to + 1, errRange}
	}
	return r, nil
}

func asnAt(fields []string, i int) (uint32, error) {
	s := at(fields, i)
	if s == "" {
		return 0, nil
	}
	n, err := parseASN(s)
	if err != nil {
		return 0, &mistake{i + 1, fmt.Errorf("%.60q %w", s, err)}
	}
	return n, nil
}

// parseIPtoASN reads range_start, range_end, AS_number, country_code,
// AS_description; 0 is "Not routed". The country is that of the AS, not of the
// network, and is left out.
func parseIPtoASN(fields []string) (netipx.IPRange, owner, error) {
	r, err := span(fields, 0, 1)
	if err != nil {
		return r, owner{}, err
	}
	asn, err := asnAt(fields, 2)
	if err != nil || asn == 0 {
		return r, owner{}, err
	}
	return r, owner{asn: asn, name: clip(at(fields, 4))}, nil
}

// parsePfx2as reads address, length, origin. Of several origins ("1_2") and of
// a set ("1,2") the first counts.
func parsePfx2as(fields []string) (netipx.IPRange, owner, error) {
	a, err := address(fields, 0)
	if err != nil {
		return netipx.IPRange{}, owner{}, err
	}
	bits, err := strconv.Atoi(at(fields, 1))
	if err != nil || bits < 0 || bits > a.BitLen() {
		return netipx.IPRange{}, owner{}, &mistake{2, fmt.Errorf("%q is not a prefix length of %s", at(fields, 1), a)}
	}
	origin := at(fields, 2)
	if i := strings.IndexAny(origin, "_,"); i >= 0 {
		origin = origin[:i]
	}
	asn, err := parseASN(strings.Trim(origin, "{}"))
	if err != nil {
		return netipx.IPRange{}, owner{}, &mistake{3, fmt.Errorf("%.60q %w", at(fields, 2), err)}
	}
	return netipx.RangeOfPrefix(netip.PrefixFrom(a, bits)), owner{asn: asn}, nil
}

// parseDelegated reads registry|cc|type|start|value|date|status, the statistics
// exchange format of the RIRs. Value is a number of addresses for ipv4 and a
// prefix length for ipv6. Head, summaries and AS numbers are passed over.
func parseDelegated(fields []string) (r netipx.IPRange, w owner, ok bool, err error) {
	kind, status := at(fields, 2), at(fields, 6)
	if kind != "ipv4" && kind != "ipv6" || status != "allocated" && status != "assigned" {
		return r, w, false, nil
	}
	country := at(fields, 1)
	if !isCountry(country) {
		return r, w, false, nil
	}
	a, err := address(fields, 3)
	if err != nil {
		return r, w, false, err
	}
	bad := func() error {
		return &mistake{5, fmt.Errorf("%.60q does not fit %s", at(fields, 4), a)}
	}
	n, err := strconv.ParseUint(at(fields, 4), 10, 33)
	if err != nil || n == 0 {
		return r, w, false, bad()
	}
	if kind == "ipv6" {
		if a.Is4() || n > 128 {
			return r, w, false, bad()
		}
		return netipx.RangeOfPrefix(netip.PrefixFrom(a, int(n))), owner{country: country}, true, nil
	}
	if a.Is6() {
		return r, w, false, bad()
	}
	b := a.As4()
	last := uint64(binary.BigEndian.Uint32(b[:])) + n - 1
	if last > 1<<32-1 {
		return r, w, false, bad()
	}
	binary.BigEndian.PutUint32(b[:], uint32(last))
	return netipx.IPRangeFrom(a, netip.AddrFrom4(b)), owner{country: country}, true, nil
}

// headOf reads the head line of a CSV, or guesses the columns from the first
// line with a network: network,asn,name or from,to,asn,name.
func headOf(fields []string) (c *columns, isHead bool, err error) {
	if _, err := netip.ParsePrefix(at(fields, 0)); err == nil {
		return &columns{network: 0, from: -1, to: -1, asn: 1, name: 2}, false, nil
	}
	if _, err := address(fields, 0); err == nil {
		return &columns{network: -1, from: 0, to: 1, asn: 2, name: 3}, false, nil
	}
	c = &columns{-1, -1, -1, -1, -1}
	for i, name := range fields {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "network", "prefix", "cidr":
			c.network = i
		case "start", "from", "start_ip", "ip_start", "range_start", "ip_range_start", "first":
			c.from = i
		case "end", "to", "end_ip", "ip_end", "range_end", "ip_range_end", "last":
			c.to = i
		case "asn", "as", "as_number", "autonomous_system_number":
			c.asn = i
		case "name", "as_name", "organization", "as_organization", "as_org", "autonomous_system_organization", "description", "as_description":
			c.name = i
		}
	}
	if c.asn < 0 || c.network < 0 && (c.from < 0 || c.to < 0) {
		return nil, false, &mistake{1, fmt.Errorf("%.60q is neither a network nor the head of columns network or start and end, asn, name", at(fields, 0))}
	}
	return c, true, nil
}

func (c *columns) parse(fields []string) (r netipx.IPRange, w owner, err error) {
	if c.network >= 0 {
		p, e := netip.ParsePrefix(at(fields, c.network))
		if e != nil {
			return r, w, &mistake{c.network + 1, fmt.Errorf("%.60q is not a prefix", at(fields, c.network))}
		}
		r = netipx.RangeOfPrefix(p.Masked())
	} else if r, err = span(fields, c.from, c.to); err != nil {
		return r, w, err
	}
	asn, err := asnAt(fields, c.asn)
	if err != nil || asn == 0 {
		return r, w, err
	}
	return r, owner{asn: asn, name: clip(at(fields, c.name))}, nil
}

// splitCSV splits one line (RFC 4180); a quoted field does not run over lines.
func splitCSV(line string) []string {
	var fields []string
	for {
		line = strings.TrimLeft(line, " ")
		if !strings.HasPrefix(line, `"`) {
			field, rest, more := strings.Cut(line, ",")
			fields = append(fields, field)
			if !more {
				return fields
			}
			line = rest
			continue
		}
		var b strings.Builder
		i := 1
		for ; i < len(line); i++ {
			if line[i] == '"' {
				if i+1 >= len(line) || line[i+1] != '"' {
					i++
					break
				}
				i++
			}
			b.WriteByte(line[i])
		}
		fields = append(fields, b.String())
		_, rest, more := strings.Cut(line[i:], ",")
		if !more {
			return fields
		}
		line = rest
	}
}
