package lookup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"

	"ippwatch/exposure"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	there = netip.MustParseAddr("203.0.113.7")
)

const plainFile = `# our security contacts
Contact: mailto:security@example.com
contact: https://example.com/report
Contact: tel:+49-30-1234567
Contact: mailto:security@example.com
Contact: mailto:a%0d%0aBcc:x@example.com
Encryption: openpgp4fpr:0123456789abcdef0123456789abcdef01234567
Preferred-Languages: de, en
Canonical: https://example.com/.well-known/security.txt
Expires: 2027-01-01T00:00:00Z
Policy: https://example.com/policy
`

func TestParseSecurityTxt(t *testing.T) {
	key := "0123456789ABCDEF0123456789ABCDEF01234567"
	whole := SecurityTxt{
		Contacts: []exposure.Recipient{
			{Role: "security", Medium: exposure.ByMail, Address: "security@example.com", Language: "de", PGPKey: key},
			{Role: "security", Medium: exposure.ByPhone, Address: "+49-30-1234567", Language: "de", PGPKey: key},
		},
		Pages:     []string{"https://example.com/report"},
		Canonical: []string{"https://example.com/.well-known/security.txt"},
		Expires:   time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	signed := whole
	signed.Signed = true
	for _, test := range []struct {
		name, text string
		want       SecurityTxt
		err        string
	}{
		{"a plain one", plainFile, whole, ""},
		{"with carriage returns and a mark", "\ufeff" + strings.ReplaceAll(plainFile, "\n", "\r\n"), whole, ""},
		{
			"a signed one, with text outside that is not covered",
			"Contact: mailto:evil@example.org\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + strings.ReplaceAll(plainFile, "# our", "- -- our") +
				"-----BEGIN PGP SIGNATURE-----\n\nContact: mailto:evil@example.org\n-----END PGP SIGNATURE-----\n", signed, "",
		},
		{"no expiry", "Contact: mailto:a@example.com\n", SecurityTxt{}, "has no Expires field, which RFC 9116 wants"},
		{"expired", "Contact: mailto:a@example.com\nExpires: 2026-11-23T12:00:00Z\n", SecurityTxt{}, "has expired at 2026-11-23T12:00:00Z"},
		{"two expiries", "Expires: 2027-01-01T00:00:00Z\nExpires: 2028-01-01T00:00:00Z\n", SecurityTxt{}, "has two Expires fields"},
		{"an expiry that is none", "Expires: never\n", SecurityTxt{}, `has an Expires field that is no time: "never"`},
		{"nobody", "Expires: 2027-01-01T00:00:00Z\nContact: javascript:alert(1)\n", SecurityTxt{}, "has no contact"},
		{"a page of HTML", "<html><body>Not found: sorry</body></html>", SecurityTxt{}, "has no Expires field, which RFC 9116 wants"},
		{"no UTF-8", "Contact: \xff", SecurityTxt{}, "is not UTF-8 (section 2.1)"},
		{"endless", strings.Repeat("\n", 2000), SecurityTxt{}, "has more than 1000 lines"},
	} {
		got, err := ParseSecurityTxt([]byte(test.text), noon)
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%s: error %v, want %s", test.name, err, test.err)
			}
			continue
		}
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got\n%s", test.name, err, diff)
		}
	}
}

// FuzzParseSecurityTxt: whoever is found is somebody whom a mail could be
// written to.
func FuzzParseSecurityTxt(f *testing.F) {
	f.Add([]byte(plainFile))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\nContact: a@example.com\nExpires: 2027-01-01T00:00:00Z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := ParseSecurityTxt(text, noon)
		if err != nil {
			return
		}
		sane(t, got.Contacts)
		if !noon.Before(got.Expires) {
			t.Errorf("accepted a file that expired at %s", got.Expires)
		}
	})
}

func sane(t *testing.T, all []exposure.Recipient) {
	t.Helper()
	if len(all) > maxContacts {
		t.Errorf("%d contacts", len(all))
	}
	for _, r := range all {
		if strings.ContainsAny(r.Address, "\r\n \x00,;<>") || r.Address == "" || len(r.Address) > 254 {
			t.Errorf("accepted the address %q", r.Address)
		}
	}
}

// serve plays a host that has a certificate for example.com. All names lead to
// it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig
	return New(Options{
		Agent: "ippwatch-test", Roots: &tls.Config{RootCAs: roots.RootCAs, MinVersion: tls.VersionTLS12}, Timeout: time.Minute,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	})
}

func TestSecurityTxtFromAHost(t *testing.T) {
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprint(w, body)
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/.well-known/security.txt" {
				text(plainFile)(w, r)
				return
			}
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
	for _, test := range []struct {
		name     string
		host     string
		h        http.HandlerFunc
		contacts int
		note     string // the last
		err      string
	}{
		{"a good one", "Example.COM", text(plainFile), 2, "a page for a person: https://example.com/report", ""},
		{"none", "example.com", http.NotFound, 0, "the host has none", ""},
		{"one that has expired", "example.com", text("Contact: mailto:a@example.com\nExpires: 2020-01-01T00:00:00Z\n"), 0, "its file has expired at 2020-01-01T00:00:00Z", ""},
		{"a page instead", "example.com", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>"+plainFile) }, 0, "what it sent is no text/plain (section 3)", ""},
		{"another's file", "example.com", text(strings.Replace(plainFile, "Canonical: https://example.com", "Canonical: https://example.org", 1)), 0, "its file is not one of its own canonical URLs (section 2.5.2)", ""},
		{"moved on the same host", "example.com", redirect("/security.txt"), 2, "a page for a person: https://example.com/report", ""},
		{"moved to another host", "example.com", redirect("https://www.example.com/security.txt"), 0, "", "redirected to https://www.example.com: want https and the same host"},
		{"moved to plain http", "example.com", redirect("http://example.com/security.txt"), 0, "", "redirected to http://example.com: want https and the same host"},
		{"moved round and round", "example.com", redirect("/.well-known/security.txt"), 0, "", "more than 3 redirects"},
		{"too long", "example.com", text(plainFile + strings.Repeat("#", maxSecurityTxt)), 0, "", "more than 65536 bytes"},
		{"broken", "example.com", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 0, "", "HTTP 502"},
		{"with a certificate of another", "printer.example", text(plainFile), 0, "", "certificate is valid for"},
		{"an address as a name", "203.0.113.7", text(plainFile), 0, `"203.0.113.7" is no host name that could be asked`, ""},
		{"a name that is more than a name", "example.com/x?", text(plainFile), 0, `"example.com/x?" is no host name that could be asked`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, test.h).SecurityTxt(t.Context(), there, test.host, noon)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Contacts) != test.contacts || len(got.Notes) == 0 || got.Notes[len(got.Notes)-1] != test.note {
				t.Errorf("found %v, notes %q; want %d contacts and the note %q", got.Contacts, got.Notes, test.contacts, test.note)
			}
			for _, r := range got.Contacts {
				if r.Source != exposure.SecurityTxt || !r.Found.Equal(noon) {
					t.Errorf("the contact has source %q and time %s", r.Source, r.Found)
				}
			}
		})
	}
}

func TestAHostNameDoesNotLeadHome(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{Timeout: time.Minute}).get(t.Context(), u, "", 10, func(*url.URL) error { return nil })
	if !errors.Is(err, errSpecial) {
		t.Errorf("a loopback address was asked: %v", err)
	}
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fakeRDAP is a fake: a server that gives answers shaped as RFC 9083 and the
// registries shape them, with addresses for documentation.
func fakeRDAP(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rdap/ip/203.0.113.7", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/rdap+json")
		_, _ = w.Write(fixture(t, "ripe.json"))
	})
	mux.HandleFunc("GET /rdap/ip/203.0.113.8", func(w http.ResponseWriter, r *http.Request) { // as ARIN does to RIPE
		http.Redirect(w, r, "/rdap/ip/203.0.113.7", http.StatusFound)
	})
	mux.HandleFunc("GET /rdap/ip/198.51.100.1", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(fixture(t, "ripe.json")) })
	mux.HandleFunc("GET /rdap/ip/198.51.100.2", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errorCode":404,"title":"Not found"}`)
	})
	mux.HandleFunc("GET /rdap/ip/198.51.100.3", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	mux.HandleFunc("GET /rdap/ip/198.51.100.4", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"objectClassName":"autnum"}`) })
	mux.HandleFunc("GET /rdap/ip/198.51.100.5", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"objectClassName":"ip network","startAddress":"198.51.100.0","endAddress":"198.51.100.255"}`)
	})
	mux.HandleFunc("GET /rdap/ip/198.51.100.6", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxAnswer+1)) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestRDAP(t *testing.T) {
	base, err := url.Parse(fakeRDAP(t).URL + "/rdap")
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Local: true, Timeout: time.Minute})
	whole := netipx.MustParseIPRange("203.0.113.0-203.0.113.255")
	for _, addr := range []string{"203.0.113.7", "203.0.113.8"} {
		got, err := c.RDAP(t.Context(), base, netip.MustParseAddr(addr), noon)
		if err != nil {
			t.Fatal(err)
		}
		want := Found{
			Range: whole, Source: exposure.RDAP, Via: base.String() + "/ip/203.0.113.7",
			Contacts: []exposure.Recipient{
				{Name: "Abuse & Role", Role: "abuse", Medium: exposure.ByMail, Address: "abuse@example.net", Source: exposure.RDAP, Found: noon},
				{Name: "Abuse & Role", Role: "abuse", Medium: exposure.ByPhone, Address: "+49-30-1234567", Source: exposure.RDAP, Found: noon},
			},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netipx.IPRange) bool { return a == b })); diff != "" {
			t.Errorf("RDAP(%s): -want +got\n%s", addr, diff)
		}
	}
	for _, test := range []struct{ name, addr, note, err string }{
		{"an answer about another network", "198.51.100.1", "", "answers with 203.0.113.0-203.0.113.255"},
		{"not found", "198.51.100.2", "the registry does not know the network", ""},
		{"too many questions", "198.51.100.3", "", `asks for patience (HTTP 429, Retry-After "30")`},
		{"something else", "198.51.100.4", "", "the answer is no IP network"},
		{"no abuse contact", "198.51.100.5", "the registry names no abuse contact", ""},
		{"endless", "198.51.100.6", "", "more than 1048576 bytes"},
	} {
		got, err := c.RDAP(t.Context(), base, netip.MustParseAddr(test.addr), noon)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want %s", test.name, err, test.err)
			}
		case err != nil || len(got.Contacts) > 0 || len(got.Notes) != 1 || got.Notes[0] != test.note:
			t.Errorf("%s: %v, %v, want the note %s", test.name, got, err, test.note)
		}
	}
}

func FuzzParseRDAP(f *testing.F) {
	f.Add(fixture(f, "ripe.json"))
	f.Add([]byte(`{"objectClassName":"ip network","startAddress":"::","endAddress":"::1","entities":[{"roles":["abuse"],"vcardArray":["vcard",[["email",{},"text",["a@b.example",["c@d.example"]]]]]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := ParseRDAP(body)
		if err == nil {
			sane(t, n.Contacts)
		}
	})
}

func TestBootstrap(t *testing.T) {
	b, err := ReadBootstrap("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC); !b.Published.Equal(want) {
		t.Errorf("Published = %s, want the older, %s", b.Published, want)
	}
	for addr, want := range map[string]string{
		"203.0.113.7": "https://rdap.apex.example/rdap/", "192.0.2.1": "https://rdap.other.example/", "2001:db8::1": "https://rdap.apex.example/rdap/",
		"9.9.9.9": "", "2620::1": "",
	} {
		got, err := b.Server(netip.MustParseAddr(addr))
		if want == "" != (err != nil) || err == nil && got.String() != want {
			t.Errorf("Server(%s) = %v, %v, want %s", addr, got, err, want)
		}
	}
	if _, err := ReadBootstrap(t.TempDir()); err == nil || !strings.Contains(err.Error(), "ipv4.json") {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestDirectory(t *testing.T) {
	d, err := ParseDirectory("certs.csv", []byte("country,address,name,language\n# from their pages, read 2026-11-01\nDE,certbund@example.org,CERT,de\nno,cert@example.no,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := d.Find(there, "de", noon)
	want := []exposure.Recipient{{Name: "CERT", Role: "csirt", Language: "de", Medium: exposure.ByMail, Address: "certbund@example.org", Source: exposure.NationalCSIRT, Found: noon}}
	if diff := cmp.Diff(want, got.Contacts); diff != "" || got.Via != "certs.csv" {
		t.Errorf("Find(de): via %s, -want +got\n%s", got.Via, diff)
	}
	for _, country := range []string{"", "FR"} {
		if got := d.Find(there, country, noon); len(got.Contacts) > 0 || len(got.Notes) != 1 {
			t.Errorf("Find(%q) = %v", country, got)
		}
	}
	for text, want := range map[string]string{
		"":                                     "f:1:1: want a head with the columns country and address",
		"country,address\nDEU,a@example.org\n": `f:2:1: country "DEU": want two letters of ISO 3166-1`,
		"country,address\nDE,nobody\n":         `f:2:1: address "nobody": not a mail address`,
		"country,address\nDE,a@example.org\nde,b@example.org\n": "f:3:1: DE stands there twice",
	} {
		if _, err := ParseDirectory("f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("ParseDirectory(%q): %v, want %s", text, err, want)
		}
	}
}

func TestService(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch q := r.URL.Query(); q.Get("ip") + " " + q.Get("at") {
		case "203.0.113.7 2026-11-23T12:00:00Z":
			fmt.Fprint(w, `{"customer":"c-1","from":"2026-11-23T10:00:00+01:00","to":null,"more":1}`)
		case "2001:db8::1 2026-11-23T12:00:00Z":
			fmt.Fprint(w, `{"customer":""}`)
		case "203.0.113.9 2026-11-23T12:00:00Z":
			fmt.Fprint(w, `[]`)
		case "203.0.113.10 2026-11-23T12:00:00Z":
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	c := New(Options{Timeout: time.Minute})
	s, err := c.NewService(server.URL+"/lease?ip={ip}&at={time}", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		addr string
		want exposure.Assignment
		err  string
	}{
		{"203.0.113.7", exposure.Assignment{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Customer: "c-1", From: noon.Add(-3 * time.Hour), Source: "url " + server.Listener.Addr().String()}, ""},
		{"2001:db8::1", exposure.Assignment{Source: "url " + server.Listener.Addr().String()}, ""},
		{"203.0.113.8", exposure.Assignment{}, ""},
		{"203.0.113.9", exposure.Assignment{}, "the answer is not"},
		{"203.0.113.10", exposure.Assignment{}, "name the URL that answers"},
	} {
		got, err := s.Ask(t.Context(), netip.MustParseAddr(test.addr), noon)
		if test.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) || err == nil && got != test.want {
			t.Errorf("Ask(%s) = %v, %v, want %v, %s", test.addr, got, err, test.want, test.err)
		}
	}
	for template, want := range map[string]string{
		"lease?ip={ip}":                           "not a URL such as",
		"http://ipam.example/?ip={ip}&at={time}":  "want https",
		"https://ipam.example/?ip={ip}":           "want {ip} and {time} in it",
		"https://ipam.example:port/?i={ip}{time}": "not a URL such as",
	} {
		if _, err := c.NewService(template, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewService(%q): %v, want %s", template, err, want)
		}
	}
}

// TestMain plays the program that a Command runs.
func TestMain(m *testing.M) {
	if how := os.Getenv("LOOKUP_TEST_PROGRAM"); how != "" {
		program(how, os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

func program(how string, args []string) {
	switch how {
	case "answer":
		fmt.Printf(`{"customer":%q}`, strings.Join(args, " "))
	case "fail":
		fmt.Fprintln(os.Stderr, "radius: no route to host\nmore")
		os.Exit(3)
	case "flood":
		for range 1000 {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "mute":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Minute)
	}
}

func TestCommand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, how string
		args      []string
		want, err string
	}{
		{"address and time at the end", "answer", []string{"who"}, "who 203.0.113.7 2026-11-23T12:00:00Z", ""},
		{"where they are wanted, and no shell", "answer", []string{"--ip={ip}", "$(id)", "{time}"}, "--ip=203.0.113.7 $(id) 2026-11-23T12:00:00Z", ""},
		{"nothing is not known", "silent", nil, "", ""},
		{"one that fails", "fail", nil, "", "exit status 3: radius: no route to host"},
		{"one that never ends to write", "flood", nil, "", "it writes more than 65536 bytes"},
		{"one that never ends", "hang", nil, "", "no answer in 300ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("LOOKUP_TEST_PROGRAM", test.how)
			wait := time.Minute
			if test.how == "hang" {
				wait = 300 * time.Millisecond
			}
			c, err := NewCommand(append([]string{self}, test.args...), wait)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Ask(t.Context(), there, noon)
			if test.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), test.err) || got.Customer != test.want {
				t.Errorf("Ask = %v, %v, want %q, %s", got, err, test.want, test.err)
			}
		})
	}
	t.Setenv("LOOKUP_TEST_PROGRAM", "mute")
	if c, err := NewCommand([]string{self}, time.Minute); err != nil {
		t.Error(err)
	} else if _, err = c.Ask(t.Context(), there, noon); err == nil || !strings.HasSuffix(err.Error(), ": exit status 3") {
		t.Errorf("Ask of one that fails without a word = %v", err)
	}
	if _, err := NewCommand(nil, 0); err == nil {
		t.Error("a command without a program is accepted")
	}
}

type counting struct {
	asked int
	found exposure.Assignment
	err   error
}

func (c *counting) Ask(context.Context, netip.Addr, time.Time) (exposure.Assignment, error) {
	c.asked++
	return c.found, c.err
}

func TestCache(t *testing.T) {
	now := noon
	from := &counting{found: exposure.Assignment{Customer: "a", From: noon.Add(-time.Hour)}}
	c := &Cache{Now: func() time.Time { return now }, From: from}
	look := func(what string, a netip.Addr, at time.Time, asked int, when time.Time) {
		t.Helper()
		_, age, err := c.Look(t.Context(), a, at)
		if err != nil || from.asked != asked || !age.Equal(when) {
			t.Errorf("%s: asked %d times, the answer is of %s, %v; want %d and %s", what, from.asked, age, err, asked, when)
		}
	}
	look("the first time", there, noon, 1, noon)
	now = noon.Add(30 * time.Minute)
	look("again", there, noon, 1, noon)
	look("earlier in the lease", there, noon.Add(-time.Minute), 1, noon)
	look("before the lease", there, noon.Add(-2*time.Hour), 2, now)
	look("after the answer was given", there, now.Add(1), 3, now)
	now = noon.Add(3 * time.Hour)
	look("when the answer is old", there, noon, 4, now)

	from.found, from.asked = exposure.Assignment{}, 0
	other := there.Next()
	look("nobody", other, noon, 1, now)
	was := now
	now = now.Add(time.Minute)
	look("still nobody", other, noon, 1, was)
	look("nobody, at another time", other, noon.Add(1), 2, now)
	now = now.Add(10 * time.Minute)
	look("doubt does not last", other, noon, 3, now)

	from.err = errors.New("down")
	if _, err := c.Ask(t.Context(), other.Next(), noon); err == nil {
		t.Error("a failure passes for an answer")
	}
	from.err, from.asked = nil, 0
	look("a failure is not remembered", other.Next(), noon, 1, now)
}

func FuzzParseCustomer(f *testing.F) {
	f.Add([]byte(`{"customer":"c-1","from":"2026-11-23T10:00:00+01:00","to":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseCustomer(there, text)
		if err == nil && got.Customer != "" && (len(got.Customer) > maxName || strings.ContainsAny(got.Customer, "\n\x1b")) {
			t.Errorf("accepted the customer %q", got.Customer)
		}
	})
}
