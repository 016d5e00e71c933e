//go:build ignore

// Gen makes table.gz and table.LICENSE.md of two collections of lists:
//
//	go run gen.go data/known-scanners/openfilters data/known-scanners/misp-warninglists
//
// They are github.com/OpenFilters/internet-scanners at 4780a18 (2026-06-22) and
// the lists of scanners in github.com/MISP/misp-warninglists at 84f0610
// (2026-08-20). Of a network that both list, the first is kept: it says who more
// exactly. What is too wide to be a scanner's, or not public, is left out.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go4.org/netipx"
)

const (
	openFilters = "list\tOpenFilters internet-scanners\tUnlicense\t2026-06-22\n"
	misp        = "list\tMISP warning-lists\tCC0-1.0\t2026-08-20\n"
)

type row struct {
	prefix netip.Prefix
	name   string
	list   int
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go run gen.go OPENFILTERS_DIRECTORY MISP_DIRECTORY")
	}
	rows, err := collect(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := write(rows); err != nil {
		log.Fatal(err)
	}
}

func collect(first, second string) ([]row, error) {
	sets := map[string]*netipx.IPSetBuilder{}
	add := func(list int, name, text string) error {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, wrong := netip.ParseAddr(text)
			if wrong != nil {
				return err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		wide := 14
		if p.Addr().Is6() {
			wide = 28
		}
		if p.Bits() < wide || p.Addr().IsPrivate() || p.Addr().IsLoopback() {
			log.Printf("left out: %s of %s", p, name)
			return nil
		}
		key := fmt.Sprintf("%d\t%s", list, name)
		if sets[key] == nil {
			sets[key] = &netipx.IPSetBuilder{}
		}
		sets[key].AddPrefix(p.Masked())
		return nil
	}
	files, err := filepath.Glob(filepath.Join(first, "cidr", "*.txt"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no lists in %s: %w", first, err)
	}
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), "_")
		name = strings.Replace(name, "strechoid", "stretchoid", 1)
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			line := strings.TrimSpace(lines.Text())
			if line == "" || line[0] == '#' {
				continue
			}
			if err := add(0, name, line); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if files, err = filepath.Glob(filepath.Join(second, "*.json")); err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no lists in %s: %w", second, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var list struct{ List []string }
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, end := range []string{"-scanner", "-scanning", "-nt"} {
			if name != "research"+end {
				name = strings.TrimSuffix(name, end)
			}
		}
		for _, text := range list.List {
			if err := add(1, name, text); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	var rows []row
	for key, b := range sets {
		set, err := b.IPSet()
		if err != nil {
			return nil, err
		}
		list, name, _ := strings.Cut(key, "\t")
		for _, p := range set.Prefixes() {
			rows = append(rows, row{p, name, int(list[0] - '0')})
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), a.prefix.Bits()-b.prefix.Bits(), a.list-b.list, strings.Compare(a.name, b.name))
	})
	return slices.CompactFunc(rows, func(a, b row) bool { return a.prefix == b.prefix }), nil
}

func write(rows []row) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	fmt.Fprint(z, openFilters, misp)
	for _, r := range rows {
		fmt.Fprintf(z, "%s\t%s\t%d\n", r.prefix, r.name, r.list)
	}
	if err := z.Close(); err != nil {
		return err
	}
	log.Printf("table.gz: %d bytes, %d networks", b.Len(), len(rows))
	return os.WriteFile("table.gz", b.Bytes(), 0o644)
}
