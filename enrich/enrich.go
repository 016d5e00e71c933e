// Package enrich tells where an address is and whose.
package enrich

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"ippwatch/exposure"
	"ippwatch/space"
)

// Options name the sources. The zero value knows countries only, from the
// embedded table.
type Options struct {
	// MMDB files are asked before all else, in this order; for each fact the
	// first file that has it counts.
	MMDB []string
	// ASN is a file of networks and their AS numbers: iptoasn's TSV, RouteViews'
	// pfx2as, CSV, or an RIR's delegated statistics, which have countries only;
	// any of them may be gzipped. "" for none.
	ASN string
	// Reverse asks for host names; nil for never.
	Reverse *Reverse
}

// An Enricher knows where addresses are. It is safe for concurrent use.
type Enricher struct {
	mmdb      []*mmdb
	origins   *origins
	countries *Countries
	reverse   *Reverse
}

// New opens the files. An error names the one that cannot be used and, in a
// text, the line and column.
func New(o Options) (*Enricher, error) {
	e := &Enricher{reverse: o.Reverse}
	for _, path := range o.MMDB {
		db, err := openMMDB(path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open MMDB %s: %w", path, err), e.Close())
		}
		e.mmdb = append(e.mmdb, db)
	}
	if o.ASN != "" {
		var err error
		if e.origins, err = openOrigins(o.ASN); err != nil {
			return nil, errors.Join(fmt.Errorf("read AS numbers: %s: %w", o.ASN, err), e.Close())
		}
	}
	countries, err := Embedded()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the embedded countries: %w", err), e.Close())
	}
	e.countries = countries
	return e, nil
}

// Close lets the files go. No method may be called after it.
func (e *Enricher) Close() error {
	var failed []error
	for _, db := range e.mmdb {
		failed = append(failed, db.close())
	}
	e.mmdb = nil
	return errors.Join(failed...)
}

// Where tells what the files and the embedded table know of the address. What
// nobody knows is absent. The user's files are believed about any address, the
// user's own inner ones included; the embedded table about those that have one
// place in the world.
func (e *Enricher) Where(a netip.Addr) exposure.Where {
	var w exposure.Where
	a = a.WithZone("").Unmap()
	for _, db := range e.mmdb {
		db.tell(a, &w)
	}
	if e.origins != nil {
		e.origins.tell(a, &w)
	}
	if w.Country == "" && placed(a) {
		w.Country = e.countries.Country(a)
	}
	return w
}

// Hostname returns the name of the address in reverse DNS, or "": when nobody
// enabled it, the address is of this link only, there is none, or none came in
// time.
func (e *Enricher) Hostname(ctx context.Context, a netip.Addr) string {
	a = a.WithZone("").Unmap()
	if e.reverse == nil || !a.IsGlobalUnicast() {
		return ""
	}
	return e.reverse.name(ctx, a)
}

// placed reports whether the address has one place in the world.
func placed(a netip.Addr) bool {
	_, special := space.SpecialPurpose(a)
	return !special && a.IsGlobalUnicast()
}
