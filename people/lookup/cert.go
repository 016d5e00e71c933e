package lookup

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ippwatch/exposure"
)

// A Directory names the national CSIRT of a country, out of a file that the
// operator has read and answers for: we ship none.
type Directory struct {
	file string
	by   map[string]exposure.Recipient
}

// ParseDirectory reads CSV with the columns country and address, and name and
// language if there are any. An error names file and line.
func ParseDirectory(name string, text []byte) (Directory, error) {
	d := Directory{file: name, by: make(map[string]exposure.Recipient)}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), "\ufeff")))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return d, fmt.Errorf("%s:%d:%d: %w", name, wrong.Line, wrong.Column, wrong.Err)
	}
	if len(rows) == 0 || !slices.Contains(rows[0], "country") || !slices.Contains(rows[0], "address") {
		return d, fmt.Errorf("%s:1:1: want a head with the columns country and address", name)
	}
	for n, row := range rows[1:] {
		c := exposure.Recipient{Medium: exposure.ByMail, Role: "csirt", Source: exposure.NationalCSIRT}
		country := ""
		for i, column := range rows[0] {
			value := strings.TrimSpace(row[i])
			switch column {
			case "country":
				country = strings.ToUpper(value)
			case "address":
				c.Address = value
			case "name":
				c.Name = printable(value)
			case "language":
				c.Language = value
			}
		}
		_, ok := mailAddress(c.Address)
		switch {
		case len(country) != 2 || strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
			return d, fmt.Errorf("%s:%d:1: country %q: want two letters of ISO 3166-1", name, n+2, bounded(country))
		case !ok:
			return d, fmt.Errorf("%s:%d:1: address %q: not a mail address", name, n+2, bounded(c.Address))
		case d.by[country].Address != "":
			return d, fmt.Errorf("%s:%d:1: %s stands there twice", name, n+2, country)
		case c.Language != "" && !isLanguage(c.Language):
			return d, fmt.Errorf("%s:%d:1: language %q: want a tag such as de", name, n+2, bounded(c.Language))
		}
		d.by[country] = c
	}
	return d, nil
}

// Find returns the CSIRT of the country where the address is.
func (d Directory) Find(a netip.Addr, country string, now time.Time) Found {
	found := Found{Range: one(a), Source: exposure.NationalCSIRT, Via: d.file}
	c, ok := d.by[strings.ToUpper(country)]
	switch {
	case country == "":
		found.Notes = []string{"it is not known in which country the address is"}
	case !ok:
		found.Notes = []string{"the file has none for " + country}
	default:
		c.Found = now
		found.Contacts = []exposure.Recipient{c}
	}
	return found
}
