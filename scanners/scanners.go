// Package scanners knows the addresses of organisations that say of themselves
// that they scan the Internet.
package scanners

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"

	"github.com/gaissmai/bart"
)

//go:generate go run gen.go OPENFILTERS_DIRECTORY MISP_DIRECTORY

// data holds what gen.go made of the lists; table.LICENSE.md says where they
// are from. A list is what a spoofer would imitate, too: that an address is
// listed makes what it sends less severe, and never unheard.
//
//go:embed table.gz
var data []byte

// A List is where entries are from.
type List struct {
	Name    string
	Licence string
	Date    string // of the data, as 2026-08-20
}

// An Entry is one listed network.
type Entry struct {
	Prefix netip.Prefix
	Name   string // of the organisation, as the list has it
	List   List
}

// A Table is all listed networks. The zero value has none.
type Table struct {
	lists    []List
	networks bart.Table[entry]
	n        int
}

type entry struct {
	name string
	list int
}

// widest is how many addresses an entry may have: nobody scans from a /8, and a
// mistake in a list would make a country look harmless.
const (
	widest4 = 14
	widest6 = 28
	maxRows = 1 << 20
)

var errTable = errors.New("table of scanners")

var embedded = sync.OnceValues(func() (*Table, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return Parse(z)
})

// Embedded returns the table that the program carries. It is read at its first use.
func Embedded() (*Table, error) { return embedded() }

// Parse reads a table: lines of "list NAME LICENCE DATE" and of "PREFIX NAME
// LIST", separated by tabs, where LIST is a number from 0.
func Parse(r io.Reader) (*Table, error) {
	t := &Table{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if n > maxRows {
			return nil, fmt.Errorf("%w: more than %d lines", errTable, maxRows)
		}
		if err := t.add(strings.Split(lines.Text(), "\t")); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", errTable, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	return t, nil
}

func (t *Table) add(fields []string) error {
	if len(fields) == 4 && fields[0] == "list" {
		t.lists = append(t.lists, List{fields[1], fields[2], fields[3]})
		return nil
	}
	if len(fields) != 3 {
		return fmt.Errorf("%d fields", len(fields))
	}
	p, err := netip.ParsePrefix(fields[0])
	if err != nil {
		return err
	}
	var list int
	if _, err := fmt.Sscan(fields[2], &list); err != nil || list < 0 || list >= len(t.lists) {
		return fmt.Errorf("list %q", fields[2])
	}
	if tooWide(p) {
		return fmt.Errorf("%s is too wide to be a scanner's", p)
	}
	if _, had := t.networks.Get(p); !had {
		t.networks.Insert(p, entry{fields[1], list})
		t.n++
	}
	return nil
}

func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < widest4
	}
	return p.Bits() < widest6
}

// Lookup returns the most specific entry that holds the address.
func (t *Table) Lookup(a netip.Addr) (Entry, bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return Entry{}, false
	}
	p, e, ok := t.networks.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	if !ok {
		return Entry{}, false
	}
	return Entry{Prefix: p, Name: e.name, List: t.lists[e.list]}, true
}

// Lists are where the entries are from.
func (t *Table) Lists() []List { return t.lists }

// Len is how many networks are listed.
func (t *Table) Len() int { return t.n }
