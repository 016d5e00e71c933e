// Package space says which addresses may be asked, and in what order.
package space

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"ippwatch/strict"
)

// Why an address is not asked. Errors of [Scope.Set] and [Guard.Allow] wrap one
// of them.
var (
	ErrOutside  = errors.New("outside the scope")
	ErrExcluded = errors.New("excluded")
	ErrSpecial  = errors.New("special-purpose, and the scope does not name it")
	ErrExpired  = errors.New("scope expired")
	ErrPaused   = errors.New("paused")
	ErrTooLarge = errors.New("too large to enumerate")
)

// The largest set. Every IPv4 address fits. An IPv6 set is a list or a small
// prefix: at the default pace of 100 packets/s, 2^24 addresses take two days,
// and one /64 takes six thousand million years.
const (
	maxAddrs  = 1 << 32
	maxAddrs6 = 1 << 24
)

// A Dropped is a part of the wanted addresses that is left out of the set.
type Dropped struct {
	Prefix    netip.Prefix // the exclusion, or the special-purpose block
	Why       error        // ErrExcluded or ErrSpecial
	By        string       // where the exclusion stands, or what the block is for
	Addresses uint64       // wanted addresses inside; math.MaxUint64 for that or more
}

// String returns one line for a person.
func (d Dropped) String() string {
	n := fmt.Sprintf("%d addresses", d.Addresses)
	switch d.Addresses {
	case 1:
		n = "1 address"
	case math.MaxUint64:
		n = "2^64 addresses or more"
	}
	return fmt.Sprintf("%s: %s: %v (%s)", bare(d.Prefix), n, d.Why, d.By)
}

// Set returns the addresses that may be asked: networks, less the exclusions of
// the scope, less excluded (those of the store), less the special-purpose blocks
// that the scope does not name itself. A network names a block when it lies
// inside: 10.1.0.0/16 names Private-Use, 0.0.0.0/0 does not; of nested blocks
// the most specific one counts, so 240.0.0.0/4 does not name the broadcast
// address. Targets, when there are any, narrow the set and never widen it.
//
// The report tells what was left out, and by which exclusion or block; parts
// that two exclusions cover are counted for both.
//
// A target with nothing left inside the scope is an error that wraps
// ErrOutside, ErrExcluded or ErrSpecial. The set beside such an error holds what
// is left of the other targets, for a caller who may go on; it is empty beside
// any other error.
func (s Scope) Set(now time.Time, targets, excluded []netip.Prefix) (Set, []Dropped, error) {
	if err := s.check(); err != nil {
		return Set{}, nil, err
	}
	if err := s.Expired(now); err != nil {
		return Set{}, nil, err
	}
	for _, t := range targets {
		if err := checkPrefix(t); err != nil {
			return Set{}, nil, fmt.Errorf("target %w", err)
		}
	}
	l, err := s.layer(targets, excluded)
	if err != nil {
		return Set{}, nil, err
	}
	set, err := newSet(l.left)
	if err != nil {
		return Set{}, nil, err
	}
	dropped := l.dropped(s.Exclude, excluded)
	if err := l.checkTargets(targets); err != nil {
		return set, dropped, err
	}
	if set.Len() == 0 {
		return Set{}, dropped, l.emptiness()
	}
	return set, dropped, nil
}

// Expired returns an error that wraps ErrExpired when the scope does not hold
// any more at the time now.
func (s Scope) Expired(now time.Time) error {
	if now.Before(s.Expires) {
		return nil
	}
	return fmt.Errorf("%w at %s", ErrExpired, s.Expires.UTC().Format(time.RFC3339))
}

// check finds what ParseScope would have refused, in a scope made by hand.
func (s Scope) check() error {
	switch {
	case s.AuthorisedBy == "":
		return errors.New("scope: authorised_by is missing")
	case s.Contact == "":
		return errors.New("scope: contact is missing")
	case len(s.Networks) == 0:
		return errors.New("scope: networks is empty")
	}
	for _, p := range s.Networks {
		if err := checkPrefix(p); err != nil {
			return fmt.Errorf("scope: networks: %w", err)
		}
	}
	return nil
}

// Layers are the stages between the networks and the set.
type layers struct {
	networks spans     // of the scope
	wanted   spans     // networks, narrowed by targets
	included spans     // wanted, less exclusions
	left     spans     // included, less unnamed special-purpose blocks
	refused  []refusal // those blocks
}

// A refusal is the part of a special-purpose block that the scope does not name.
type refusal struct {
	block Special
	part  spans
}

func (s Scope) layer(targets, excluded []netip.Prefix) (layers, error) {
	var l layers
	networks, err := setOf(s.Networks)
	if err != nil {
		return l, err
	}
	l.networks = networks.Ranges()

	wanted := networks
	if len(targets) > 0 {
		var b netipx.IPSetBuilder
		for _, t := range targets {
			b.AddPrefix(t)
		}
		b.Intersect(networks)
		if wanted, err = b.IPSet(); err != nil {
			return l, fmt.Errorf("narrow the scope to %d targets: %w", len(targets), err)
		}
	}
	l.wanted = wanted.Ranges()

	var b netipx.IPSetBuilder
	b.AddSet(wanted)
	for _, p := range slices.Concat(s.Exclude, excluded) {
		if p, ok := canonical(p); ok {
			b.RemovePrefix(p)
		}
	}
	included, err := b.IPSet()
	if err != nil {
		return l, fmt.Errorf("remove exclusions: %w", err)
	}
	l.included = included.Ranges()

	b = netipx.IPSetBuilder{}
	b.AddSet(included)
	for _, block := range specials() {
		part, err := s.unnamed(block)
		if err != nil {
			return l, err
		}
		b.RemoveSet(part)
		if parts := spans(part.Ranges()); len(parts) > 0 {
			l.refused = append(l.refused, refusal{block, parts})
		}
	}
	left, err := b.IPSet()
	if err != nil {
		return l, fmt.Errorf("remove special-purpose blocks: %w", err)
	}
	l.left = left.Ranges()
	return l, nil
}

// unnamed returns the block less the more specific blocks in it, which speak
// for themselves, and less the networks that lie in it.
func (s Scope) unnamed(block Special) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	b.AddPrefix(block.Prefix)
	for _, inner := range specials() {
		if inner.Prefix != block.Prefix && within(inner.Prefix, block.Prefix) {
			b.RemovePrefix(inner.Prefix)
		}
	}
	for _, n := range s.Networks {
		if within(n, block.Prefix) {
			b.RemovePrefix(n)
		}
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("special-purpose block %s: %w", block.Prefix, err)
	}
	return set, nil
}

// dropped tells what the exclusions and the special-purpose blocks took away.
func (l layers) dropped(scope, store []netip.Prefix) []Dropped {
	var all []Dropped
	add := func(exclusions []netip.Prefix, by string) {
		for _, p := range exclusions {
			p, ok := canonical(p)
			if !ok {
				continue
			}
			if n := l.wanted.count(netipx.RangeOfPrefix(p)); n > 0 {
				all = append(all, Dropped{Prefix: p, Why: ErrExcluded, By: by, Addresses: n})
			}
		}
	}
	add(scope, "exclude, in the scope")
	add(store, "ippwatch exclude")
	for _, r := range l.refused {
		var n uint64
		for _, part := range r.part {
			n = addUpTo(n, l.included.count(part))
		}
		if n > 0 {
			all = append(all, Dropped{Prefix: r.block.Prefix, Why: ErrSpecial, By: r.block.String(), Addresses: n})
		}
	}
	return all
}

// checkTargets returns an error for each target with nothing left inside.
func (l layers) checkTargets(targets []netip.Prefix) error {
	var c strict.File
	for _, t := range targets {
		r := netipx.RangeOfPrefix(t)
		if l.left.overlap(r) {
			continue
		}
		switch {
		case !l.networks.overlap(r):
			c.Add(fmt.Errorf("target %s: %w", bare(t), ErrOutside))
		case !l.included.overlap(r):
			c.Add(fmt.Errorf("target %s: %w", bare(t), ErrExcluded))
		default:
			c.Add(fmt.Errorf("target %s: %s: %w", bare(t), l.blockOf(r), ErrSpecial))
		}
	}
	return c.Err()
}

// emptiness says why nothing is left of a scope that was not narrowed.
func (l layers) emptiness() error {
	if len(l.included) == 0 {
		return fmt.Errorf("scope: nothing is left of networks: all of it is %w", ErrExcluded)
	}
	return fmt.Errorf("scope: nothing is left of networks: the rest is %w: %s", ErrSpecial, l.blockOf(l.included[0]))
}

// blockOf returns the first refused block that the range touches.
func (l layers) blockOf(r netipx.IPRange) string {
	for _, f := range l.refused {
		if f.part.overlap(r) {
			return f.block.String()
		}
	}
	return "IANA registry"
}

func setOf(prefixes []netip.Prefix) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil, fmt.Errorf("merge %d prefixes: %w", len(prefixes), err)
	}
	return set, nil
}
