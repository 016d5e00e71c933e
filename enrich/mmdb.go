package enrich

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"

	"ippwatch/exposure"
)

// An mmdb is one MaxMind DB file of any of the common layouts.
type mmdb struct{ reader *maxminddb.Reader }

var errNoPlace = errors.New("its records have neither country, city nor AS number")

const maxName = 200 // bytes of a name that are kept

// openMMDB opens the file and looks at its first record, so that a database of
// something else is refused now and not silently empty for ever.
func openMMDB(path string) (*mmdb, error) {
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, err
	}
	m := &mmdb{reader: r}
	looked := 0
	for network := range r.Networks() {
		var record any
		if err := network.Decode(&record); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if (read(record) != exposure.Where{}) {
			return m, nil
		}
		// Some begin with networks of which nothing is known.
		if looked++; looked == 1000 {
			break
		}
	}
	return nil, errors.Join(errNoPlace, r.Close())
}

func (m *mmdb) close() error { return m.reader.Close() }

// tell fills in what is still absent. A record that cannot be read is absent.
func (m *mmdb) tell(a netip.Addr, w *exposure.Where) {
	if a.Is6() && m.reader.Metadata.IPVersion == 4 {
		return
	}
	var record any
	found := m.reader.Lookup(a)
	if !found.Found() || found.Decode(&record) != nil {
		return
	}
	got := read(record)
	if w.Country == "" {
		w.Country = got.Country
	}
	if w.City == "" && w.Region == "" && (w.Country == got.Country || got.Country == "") {
		w.City, w.Region = got.City, got.Region // never the city of another country
	}
	if w.ASN == 0 {
		w.ASN, w.ASName = got.ASN, got.ASName
	}
}

// read finds the facts in a record. GeoLite2 and DB-IP nest them
// (country.iso_code, city.names.en, subdivisions[0]); ip-location-db has
// country_code, state1, city; IPinfo has country_code, asn "AS64500", as_name.
func read(record any) exposure.Where {
	var w exposure.Where
	m, ok := record.(map[string]any)
	if !ok {
		return w
	}
	for _, code := range []string{text(m, "country", "iso_code"), text(m, "country_code"), text(m, "country")} {
		if code = strings.ToUpper(code); isCountry(code) {
			w.Country = code
			break
		}
	}
	w.City = first(text(m, "city", "names", "en"), text(m, "city"))
	if list, ok := m["subdivisions"].([]any); ok && len(list) > 0 {
		if sub, ok := list[0].(map[string]any); ok {
			w.Region = first(text(sub, "names", "en"), text(sub, "iso_code"))
		}
	}
	w.Region = first(w.Region, text(m, "state1"), text(m, "region"))
	for _, name := range []string{"autonomous_system_number", "asn", "as_number"} {
		if w.ASN = number(m[name]); w.ASN != 0 {
			break
		}
	}
	if w.ASN != 0 {
		w.ASName = first(text(m, "autonomous_system_organization"), text(m, "as_name"), text(m, "as_organization"), text(m, "name"))
	}
	return w
}

// text returns the string at the end of a path of maps, or "".
func text(m map[string]any, path ...string) string {
	for _, step := range path[:len(path)-1] {
		inner, ok := m[step].(map[string]any)
		if !ok {
			return ""
		}
		m = inner
	}
	s, ok := m[path[len(path)-1]].(string)
	if !ok {
		return ""
	}
	return clip(s)
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// number reads an AS number, which some files write as "AS64500".
func number(v any) uint32 {
	switch n := v.(type) {
	case uint64:
		if n <= math.MaxUint32 {
			return uint32(n)
		}
	case int:
		if n > 0 && n <= math.MaxUint32 {
			return uint32(n)
		}
	case string:
		asn, _ := parseASN(n)
		return asn
	}
	return 0
}

var errASN = errors.New("is not an AS number")

// parseASN reads asplain (RFC 5396), with or without AS before it.
func parseASN(s string) (uint32, error) {
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		s = s[2:]
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errASN
	}
	return uint32(n), nil
}

// clip bounds a name and makes it valid UTF-8.
func clip(s string) string {
	if len(s) > maxName {
		n := maxName
		for n > maxName-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
