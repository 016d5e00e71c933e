package main

import (
	"context"
	"sync"

	"github.com/spf13/pflag"

	"ippwatch/enrich"
	"ippwatch/exposure"
)

// whereFlags are the user's own tables.
type whereFlags struct {
	mmdb []string
	asn  string
	rdns bool
}

func (f *whereFlags) add(fl *pflag.FlagSet) {
	fl.StringSliceVar(&f.mmdb, "mmdb", nil, "MMDB with country, city or AS; goes before the embedded table; repeats")
	fl.StringVar(&f.asn, "asn", "", "table of AS numbers: iptoasn TSV or RouteViews pfx2as")
	fl.BoolVar(&f.rdns, "rdns", false, "look up the host names of what is found")
}

func (f *whereFlags) open() (*enrich.Enricher, error) {
	o := enrich.Options{MMDB: f.mmdb, ASN: f.asn}
	if f.rdns {
		o.Reverse = &enrich.Reverse{}
	}
	return enrich.New(o)
}

// fill returns what a campaign does with each batch: the enricher paces the
// questions to the servers of names, so all of a batch may wait together.
func (f *whereFlags) fill(e *enrich.Enricher) func(context.Context, []exposure.Observation) {
	return func(ctx context.Context, batch []exposure.Observation) {
		var asking sync.WaitGroup
		for i := range batch {
			o := &batch[i]
			o.Where = e.Where(o.Addr)
			if f.rdns && o.Verdict.Spoke() {
				asking.Go(func() { o.Where.Hostname = e.Hostname(ctx, o.Addr) })
			}
		}
		asking.Wait()
	}
}
