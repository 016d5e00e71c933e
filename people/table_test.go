package people_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ippwatch/exposure"
	"ippwatch/people"
)

var equateNetworks = cmp.Options{cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()}

const exampleTable = `name,networks,asns,countries,title,language,contact,role,format,interval,business_days
university,198.51.100.0/24 2001:db8:1::/48,,,"Universität, Beispiel",de,abuse@uni.example,,,,
university,,,,,,+49 30 123,technical,text;csv,36h,yes
provider,198.51.0.0/16;203.0.113.7,"64500,AS64501",,,,,,,,
csirt,,,de NO,,,,,,,
`

func TestParseTable(t *testing.T) {
	all, err := people.ParseTable("people.csv", []byte(exampleTable))
	if err != nil {
		t.Fatal(err)
	}
	want := constituents(t)
	want[0].Title = "Universität, Beispiel"
	want[0].Contacts[1] = exposure.Recipient{
		Medium: exposure.ByPhone, Address: "+49 30 123", Role: "technical", Interval: 36 * time.Hour, BusinessDays: true,
		Format: []exposure.Form{exposure.FormText, exposure.FormCSV},
	}
	if diff := cmp.Diff(want, all, equateNetworks); diff != "" {
		t.Errorf("ParseTable: -want +got\n%s", diff)
	}
}

func TestParseTableRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"f:1:1: the file is empty: want a head such as name,title,language,networks,asns,countries"}},
		{"a head alone", "name,networks\n", []string{"f:1:1: the file has no row below the head"}},
		{"a head that is none", "Name,networks,networks,cidr\n", []string{
			`f:1:1: unknown column "Name": the columns are name, title, language, networks, asns, countries, contact, contact_name, role, contact_language, medium, format, pgp_key, interval, business_days, opt_out`,
			`f:1:1: the column name is missing`,
			`f:1:15: the column networks stands there twice`,
			`f:1:24: unknown column "cidr": the columns are name, title, language, networks, asns, countries, contact, contact_name, role, contact_language, medium, format, pgp_key, interval, business_days, opt_out`,
		}},
		{"several mistakes at once", "name,title,networks,asns,contact,interval\n" +
			"Big Net,,,1,,\n" +
			"a,one,198.51.100.1/24 x,64500,nobody,\n" +
			"a,two,,0,,1h\n" +
			"b,,,\n" +
			",,,,,\n", []string{
			`f:2:1: name: "Big Net": want small letters, digits and single hyphens, as it becomes part of file names`,
			`f:3:7: networks: "198.51.100.1/24": bits are set after the prefix length: write 198.51.100.0/24 for the network or 198.51.100.1 for the address`,
			`f:3:7: networks: "x": not a prefix or an address`,
			`f:3:31: contact: "nobody": not a mail address such as abuse@example.net`,
			`f:4:3: title: "two", and a row above says "one"`,
			`f:4:8: asns: "0": want a number from 1 to 4294967295`,
			`f:4:11: contact: a contact without an address`,
			`f:5:1: 4 fields, and the head has 6`,
			`f:6:1: a constituent without a name`,
		}},
		{"nobody's", "name,title\na,A\nb,B\n", []string{
			"f:2:1: a has no networks, asns or countries: it would match no host",
			"f:3:1: b has no networks, asns or countries: it would match no host",
		}},
		{"a broken quote", "name,asns\na,\"1\nb,2\n", []string{`f:3:5: extraneous or missing " in quoted-field`}},
		{"a NUL", "name,asns\na,\x00\n", []string{"f:2:1: the text has a NUL"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := people.ParseTable("f", []byte(tt.text))
			if err == nil {
				t.Fatalf("ParseTable = %v, want an error", all)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("ParseTable: -want +got\n%s", diff)
			}
		})
	}
}

// FuzzParseTable: what is accepted is written and read again as it was, as a
// table and as YAML.
func FuzzParseTable(f *testing.F) {
	f.Add([]byte(exampleTable))
	f.Add([]byte("name,asns,contact,contact_name,pgp_key,opt_out\na,1,b@c.example,\"true\",0123456789abcdef0123456789abcdef01234567,true\n"))
	f.Add([]byte("name,asns,title,contact,medium\na,1,\"\"\"x: #\",https://example.net/a?b=c,webhook\n"))
	f.Add([]byte("name,asns,contact,pgp_key\na,1,b@c.example,\"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmDMEZ\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := people.ParseTable("f", text)
		if err != nil {
			return
		}
		var table, yaml bytes.Buffer
		if err := people.FormatTable(&table, all); err != nil {
			t.Fatal(err)
		}
		if err := people.Format(&yaml, all); err != nil {
			t.Fatal(err)
		}
		again, err := people.ParseTable("f", table.Bytes())
		if err != nil {
			t.Fatalf("FormatTable wrote what ParseTable refuses: %v\n%s", err, table.Bytes())
		}
		if diff := cmp.Diff(all, again, equateNetworks); diff != "" {
			t.Errorf("a table came back different: -want +got\n%s", diff)
		}
		if len(all) > 1000 {
			return // YAML is read slowly
		}
		again, err = people.ParseConstituents("f", yaml.Bytes())
		if err != nil {
			t.Fatalf("Format wrote what ParseConstituents refuses: %v\n%s", err, yaml.Bytes())
		}
		if diff := cmp.Diff(all, again, equateNetworks); diff != "" {
			t.Errorf("YAML came back different: -want +got\n%s", diff)
		}
	})
}
