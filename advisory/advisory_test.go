package advisory_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"ippwatch/advisory"
	"ippwatch/exposure"
	"ippwatch/rule"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

var parsed = sync.OnceValues(func() (*advisory.Texts, error) { return advisory.Parse(nil) })

func texts(t testing.TB) *advisory.Texts {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mail(t testing.TB, all *advisory.Texts, n advisory.Notice) advisory.Mail {
	t.Helper()
	m, err := all.Mail(n)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMailGolden(t *testing.T) {
	all := texts(t)
	for _, l := range advisory.Languages {
		for _, k := range advisory.Kinds {
			m := mail(t, all, advisory.Sample(k, l, advisory.Owner))
			golden(t, fmt.Sprintf("%s.%s.txt", k, l), "Subject: "+m.Subject+"\n\n"+m.Text)
			if k == advisory.First || l == advisory.English {
				golden(t, fmt.Sprintf("%s.%s.html", k, l), m.HTML)
			}
		}
	}
	for _, r := range []advisory.Reader{advisory.Provider, advisory.CSIRT} {
		m := mail(t, all, advisory.Sample(advisory.First, advisory.English, r))
		golden(t, fmt.Sprintf("first.en.%s.txt", r), "Subject: "+m.Subject+"\n\n"+m.Text)
	}
}

func TestDocumentGolden(t *testing.T) {
	all := texts(t)
	for _, l := range advisory.Languages {
		d, err := all.Document(advisory.SampleReport(l, advisory.CSIRT))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("advisory.%s.csirt.md", l), d)
	}
	for _, r := range []advisory.Reader{advisory.Owner, advisory.Provider} {
		d, err := all.Document(advisory.SampleReport(advisory.English, r))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("advisory.en.%s.md", r), d)
		m := advisory.DocumentMail(d)
		golden(t, fmt.Sprintf("advisory.en.%s.txt", r), "Subject: "+m.Subject+"\n\n"+m.Text)
	}
	nothing := advisory.SampleReport(advisory.English, advisory.Owner)
	nothing.Exposures = nil
	d, err := all.Document(nothing)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "advisory.en.nothing.md", d)
}

// TestTranslationsAreWhole: every rule speaks every language, and no sentence
// of it is left in English.
func TestTranslationsAreWhole(t *testing.T) {
	all := texts(t)
	for _, l := range []advisory.Language{advisory.German, advisory.Japanese} {
		for _, r := range rule.All {
			n := advisory.Sample(advisory.First, l, advisory.CSIRT)
			n.Exposures = n.Exposures[:1]
			n.Exposures[0].Rule = r.ID
			m := mail(t, all, n)
			for _, english := range []string{r.Title, r.About, r.Remedy.Owner, r.Remedy.Provider, r.Remedy.CSIRT} {
				if strings.Contains(unwrapped(m.Text), english) {
					t.Errorf("%s, %s: %q", l, r.ID, english)
				}
			}
			for _, command := range r.Remedy.Commands {
				if !strings.Contains(m.Text, "\n    "+command+"\n") {
					t.Errorf("%s, %s: the command %q is not there as it is", l, r.ID, command)
				}
			}
		}
	}
}

func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestNothingMoreThanIsKnown: what a feed says is never said as seen by us.
func TestNothingMoreThanIsKnown(t *testing.T) {
	all := texts(t)
	n := advisory.Sample(advisory.First, advisory.English, advisory.Owner)
	n.Exposures = slices.DeleteFunc(n.Exposures, func(e exposure.Exposure) bool { return e.Condition != exposure.Reported })
	m := mail(t, all, n)
	for _, text := range []string{m.Text, m.HTML} {
		if strings.Contains(text, "We saw it ourselves") || strings.Contains(text, "seen by us") || !strings.Contains(unwrapped(text), "we have not checked it ourselves") {
			t.Errorf("of what a feed says, the mail says:\n%s", text)
		}
	}
	r := advisory.SampleReport(advisory.English, advisory.CSIRT)
	for i := range r.Exposures {
		r.Exposures[i].Condition = exposure.NotSeen
	}
	d, err := all.Document(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(d, "0 seen by our own probes, 0 reported by a feed and not checked by us, 3 seen earlier, whose state of today is not known") {
		t.Errorf("of silence, the advisory says:\n%s", d)
	}
	for _, e := range r.Exposures {
		if strings.Contains(d, e.Addr.String()) {
			t.Errorf("an advisory for a CSIRT names %s", e.Addr)
		}
	}
	r.Exposures[0].Ruling = exposure.FalsePositive
	if fewer, err := all.Document(r); err != nil || fewer == d {
		t.Errorf("a false positive counts: %v", err)
	}
}

var hostile = []string{
	"</p><script>alert(1)</script>", "a\nSubject: b\r\n.\r\n", "\x1b[2J\u202e\x00\xff", "| a | b |\n# x", "[x](javascript:alert(1)) ![y](http://evil.example/)",
	"http://evil.example/ www.evil.example cert@evil.example", "{{.Sender}}", strings.Repeat("ä", 100000),
}

// strangers returns the sample with every text of a stranger replaced.
func strangers(list []exposure.Exposure, h string) []exposure.Exposure {
	list = slices.Clone(list)
	for i := range list {
		list[i].Evidence, list[i].Where.Hostname, list[i].Where.ASName, list[i].Where.City = h, h, h, h
	}
	return list
}

// markup is what a stranger would like to have in Markdown, not escaped.
var markup = regexp.MustCompile(`(^|[^\\])(<script|\]\(javascript|\n# x|http://evil| www\.evil|cert@evil)`)

func TestHostileBytes(t *testing.T) {
	all := texts(t)
	for _, h := range hostile {
		n := advisory.Sample(advisory.First, advisory.English, advisory.Owner)
		clean := mail(t, all, n)
		n.Exposures = strangers(n.Exposures, h)
		m := mail(t, all, n)
		if m.Subject != clean.Subject {
			t.Errorf("%.30q is in the subject: %q", h, m.Subject)
		}
		for name, text := range map[string]string{"text": m.Text, "HTML": m.HTML} {
			if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%.30q: %s has %q", h, name, text[i:min(len(text), i+10)])
			}
			if len(text) > 200<<10 {
				t.Errorf("%.30q: %s of %d bytes", h, name, len(text))
			}
		}
		whole(t, m.HTML)
		for _, r := range advisory.Readers {
			doc := advisory.SampleReport(advisory.English, r)
			doc.Exposures = strangers(doc.Exposures, h)
			d, err := all.Document(doc)
			if err != nil {
				t.Fatal(err)
			}
			if m := markup.FindString(d); m != "" {
				t.Errorf("%.30q for %s: the advisory has %q", h, r, m)
			}
		}
	}
}

// whole parses a page strictly; it loads nothing and leads to our own pages only.
func whole(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if slices.Contains([]string{"script", "img", "link", "iframe", "object", "form", "base"}, e.Name.Local) {
			t.Errorf("the mail has a <%s>", e.Name.Local)
		}
		for _, a := range e.Attr {
			if a.Name.Local == "href" && !strings.HasPrefix(a.Value, "https://ippwatch.example.org/") && a.Value != "https://cert.example.org/ippwatch" {
				t.Errorf("the mail leads to %q", a.Value)
			}
		}
	}
}

func TestMailsAreWhole(t *testing.T) {
	all := texts(t)
	for _, l := range advisory.Languages {
		for _, k := range advisory.Kinds {
			for _, r := range advisory.Readers {
				m := mail(t, all, advisory.Sample(k, l, r))
				whole(t, m.HTML)
				if strings.Contains(m.Subject, "\n") || m.Subject == "" || strings.Contains(m.Text+m.HTML, "<no value>") {
					t.Errorf("%s %s %s: subject %q", l, k, r, m.Subject)
				}
				for _, want := range []string{"IPPW-7F3A9C", "https://ippwatch.example.org/unsubscribe/7f3a9c", "198.51.100.7", "2001:db8:100::31"} {
					if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
						t.Errorf("%s %s %s lacks %q", l, k, r, want)
					}
				}
				for _, e := range advisory.Sample(k, l, r).Earlier {
					if !strings.Contains(m.Text, e.To) || !strings.Contains(m.Text, e.Reference) {
						t.Errorf("%s %s does not say that %s was told", l, k, e.To)
					}
				}
			}
		}
	}
}

func TestALargeNetwork(t *testing.T) {
	n := advisory.Sample(advisory.First, advisory.German, advisory.Provider)
	one := n.Exposures[0]
	n.Exposures = nil
	for i := range 5000 {
		e := one
		e.Addr = netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		n.Exposures = append(n.Exposures, e)
	}
	m := mail(t, texts(t), n)
	if !strings.Contains(m.Text, "4900 weitere; die angehängte Datei enthält alle.") || len(m.HTML) > 200<<10 {
		t.Errorf("a mail of %d bytes", len(m.HTML))
	}
}

func TestMailRefuses(t *testing.T) {
	all := texts(t)
	n := advisory.Sample(advisory.First, advisory.English, advisory.Owner)
	n.Exposures = nil
	if _, err := all.Mail(n); err == nil {
		t.Error("a mail about nothing")
	}
	n = advisory.Sample("second", advisory.English, advisory.Owner)
	if _, err := all.Mail(n); err == nil {
		t.Error("a mail of an unknown kind")
	}
	n = advisory.Sample(advisory.First, advisory.English, advisory.Owner)
	n.Exposures[0].Rule = "open-lpd" // of a later version
	if m := mail(t, all, n); !strings.Contains(m.Text, "open-lpd") {
		t.Error("a rule of a later version is left out")
	}
}

// TestTemplatesOfTheOperator: what they wrote is used, and a mistake names file
// and line.
func TestTemplatesOfTheOperator(t *testing.T) {
	words, err := fs.ReadFile(advisory.Files(), "en/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	own := fstest.MapFS{"en/fixed.txt": {Data: []byte(`{{define "subject"}}All done{{end}}{{define "opening"}}Cheers & thanks.{{end}}{{define "closing"}}{{end}}`)}}
	all, err := advisory.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	if m := mail(t, all, advisory.Sample(advisory.Fixed, advisory.English, advisory.Owner)); m.Subject != "All done" || !strings.Contains(m.HTML, "Cheers &amp; thanks.") {
		t.Errorf("the operator's words are not used: %q", m.Subject)
	}
	tests := []struct {
		name, file, text string
		want             string
	}{
		{"an action that is not closed", "en/first.txt", "x\n{{if .Hosts}}\n", "template: en/first.txt:3: unexpected EOF"},
		{"a field that is none", "de/first.txt", "{{define \"subject\"}}x{{end}}\n{{define \"opening\"}}\n{{.Hots}}{{end}}{{define \"closing\"}}{{end}}", "template: de/first.txt:3:2: executing \"opening\" at <.Hots>: can't evaluate field Hots"},
		{"a word that is missing", "ja/words.txt", strings.Replace(string(words), `{{define "why"}}`, `{{define "wy"}}`, 1), `no template "why" associated with template "ja/first.txt"`},
		{"a page that is not closed", "mail.html", "<a href=\"", "html/template:mail.html: ends in a non-text context"},
		{"rules with a wrong key", "de/rules.yaml", "open-ipp:\n  titel: x\n", "template de/rules.yaml: [2:3] unknown field \"titel\""},
		{"a rule that is none", "de/rules.yaml", "open-lpd: {title: a, about: b, owner: c, provider: d, csirt: e}\n", `template de/rules.yaml: no rule "open-lpd"`},
		{"half a rule", "ja/rules.yaml", "open-ipp: {title: a}\n", "template ja/rules.yaml: open-ipp: want title, about, owner, provider and csirt"},
		{"a file without end", "en/first.txt", strings.Repeat("x", 2<<20), "template en/first.txt: more than 1048576 bytes"},
	}
	for _, tt := range tests {
		_, err := advisory.Parse(fstest.MapFS{tt.file: {Data: []byte(tt.text)}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRule(t *testing.T) {
	all := texts(t)
	r, _ := rule.ByID("open-ipp")
	if title, remedy := all.Rule(advisory.English, advisory.Provider, r.ID); title != r.Title || remedy != r.Remedy.Provider {
		t.Errorf("Rule = %q, %q", title, remedy)
	}
	if title, remedy := all.Rule(advisory.Japanese, advisory.Owner, "open-lpd"); title != "open-lpd" || remedy != "" {
		t.Errorf("Rule of a later version = %q, %q", title, remedy)
	}
}

func TestSpeak(t *testing.T) {
	for tag, want := range map[string]advisory.Language{"de": "de", "de-AT": "de", "ja": "ja", "": "en", "fr": "en", "deu": "en", "d": "en"} {
		if got := advisory.Speak(tag); got != want {
			t.Errorf("Speak(%q) = %s, want %s", tag, got, want)
		}
	}
}

// TestFilterIsReal reads the filter of the advisory with nftables itself.
func TestFilterIsReal(t *testing.T) {
	skip := t.Skip
	if os.Getenv("IPPWATCH_LAB") == "require" {
		skip = t.Fatal
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		skip("nft reads rules only as root on Linux")
	}
	nft, err := exec.LookPath("nft")
	if err != nil {
		skip("no nft here: apt-get install nftables")
	}
	for _, r := range advisory.Readers {
		d, err := texts(t).Document(advisory.SampleReport(advisory.English, r))
		if err != nil {
			t.Fatal(err)
		}
		rules := regexp.MustCompile("(?s)```nft\n(.*?)```").FindStringSubmatch(d)
		if rules == nil {
			t.Fatalf("no filter in\n%s", d)
		}
		cmd := exec.CommandContext(t.Context(), "unshare", "--net", nft, "--check", "--file", "-")
		cmd.Stdin = strings.NewReader(rules[1])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("nft --check: %v\n%s", err, out)
		}
	}
}

// FuzzMail: whatever a stranger says, the page is whole and the text has no
// line that is not ours to begin.
func FuzzMail(f *testing.F) {
	all := texts(f)
	for _, h := range hostile[:len(hostile)-1] {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) {
		n := advisory.Sample(advisory.First, advisory.English, advisory.Owner)
		n.Exposures = strangers(n.Exposures, h)
		m := mail(t, all, n)
		whole(t, m.HTML)
		if bytes.ContainsFunc([]byte(m.Text), func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Error("the text has what does not print")
		}
		r := advisory.SampleReport(advisory.English, advisory.Owner)
		r.Exposures = strangers(r.Exposures, h)
		d, err := all.Document(r)
		if err != nil {
			t.Fatal(err)
		}
		clean, err := all.Document(advisory.SampleReport(advisory.English, advisory.Owner))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(d, "\n"), strings.Count(clean, "\n"); got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
		advisory.DocumentMail(d)
	})
}
