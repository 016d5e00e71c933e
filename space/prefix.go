package space

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"ippwatch/strict"
)

// Parse reads an address or a prefix, of IPv4 or IPv6, as the command line, the
// scope and target lists have it. It refuses what a person is likely not to
// have meant: bits set after the prefix length, zones, IPv4-mapped addresses.
// Names are never resolved.
func Parse(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s: %w", strict.Quote(s), err)
	}
	return p, nil
}

// parsePrefix is Parse with an error that does not repeat s.
func parsePrefix(s string) (netip.Prefix, error) {
	text, length, slash := strings.Cut(s, "/")
	a, err := parseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if !slash {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := strconv.ParseUint(length, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != length {
		return netip.Prefix{}, fmt.Errorf("prefix length %s is not a number", strict.Quote(length))
	}
	if n > uint64(a.BitLen()) {
		return netip.Prefix{}, fmt.Errorf("prefix length %d is over %d", n, a.BitLen())
	}
	p := netip.PrefixFrom(a, int(n))
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("bits are set after the prefix length: write %s for the network or %s for the address",
			p.Masked(), a)
	}
	return p, nil
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil && looksLikeRange(text):
		return netip.Addr{}, errors.New("not an address: write a range as prefixes")
	case err != nil:
		return netip.Addr{}, errors.New("not an address or a prefix; names are not resolved")
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("an address with a zone (%%%s) means another host on each machine", a.Zone())
	case a.Is4In6():
		return netip.Addr{}, fmt.Errorf("an IPv4-mapped address: write %s", a.Unmap())
	}
	return a, nil
}

func looksLikeRange(text string) bool {
	from, to, ok := strings.Cut(text, "-")
	if !ok {
		return false
	}
	_, errFrom := netip.ParseAddr(strings.TrimSpace(from))
	_, errTo := netip.ParseAddr(strings.TrimSpace(to))
	return errFrom == nil && (errTo == nil || to != "" && strings.Trim(to, "0123456789") == "")
}

// checkPrefix finds what parsePrefix would have refused, in a prefix made by hand.
func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("the zero prefix is not a network")
	case p.Addr().Is4In6():
		return fmt.Errorf("%s: an IPv4-mapped prefix", p)
	case p != p.Masked():
		return fmt.Errorf("%s: bits are set after the prefix length: want %s", p, p.Masked())
	}
	return nil
}

// canonical returns the exclusion in the form that the algebra understands. An
// exclusion is never refused for its form: it is masked, and an IPv4-mapped one
// covers the IPv4 addresses that it means. Only the zero prefix is not ok.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// within reports whether the inner prefix lies in the outer one, or is it.
func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// bare writes a prefix of one address as that address.
func bare(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
