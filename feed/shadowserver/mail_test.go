package shadowserver

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ippwatch/feed"
	"ippwatch/feed/shadowserver/fake"
)

func zipped(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wrapped is base64 as mail has it.
func wrapped(data []byte) string {
	text := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text + "\r\n"
}

func linkMail(link string) string {
	return "From: autoreports@shadowserver.org\r\nSubject: [Poland] Shadowserver Poland Open IPP Report\r\nContent-Type: text/plain\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nYour report: " + strings.ReplaceAll(link, "=", "=3D") + "\r\nMore: https://evil.example/cap0000 .\r\n"
}

func attachedMail(name string, data []byte) string {
	return "From: autoreports@shadowserver.org\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n" +
		"--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nhttps://dl.shadowserver.org/cap0000\r\n--b2--\r\n" +
		"--b1\r\nContent-Type: application/zip; name=\"" + name + "\"\r\nContent-Disposition: attachment; filename=\"../../" + name + "\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + wrapped(data) + "--b1--\r\n"
}

// openMail reads everything in a mailbox.
func openMail(t testing.TB, m *Mail, path string) (got []string) {
	t.Helper()
	m.Files = &feed.Files{Wants: WantsFile}
	for doc, err := range m.Open(t.Context(), path) {
		name := strings.TrimPrefix(doc.Name, path)
		if err == nil {
			var text []byte
			if text, err = io.ReadAll(doc.Reader); err == nil {
				got = append(got, name+": "+string(text))
				continue
			}
		}
		got = append(got, name+"! "+err.Error())
	}
	return got
}

func TestMailboxes(t *testing.T) {
	s, c := play(t)
	s.Reports[0].Body = []byte("from the link")
	messages := []string{
		attachedMail("2026-11-22-scan_ipp-a.csv.zip", zipped(t, "2026-11-22-scan_ipp-a.csv", "from the zip")),
		attachedMail("2026-11-22-special-b.csv", []byte("from the attachment")),
		linkMail(s.Link(0)),
		"Subject: lunch?\r\n\r\nFrom me to you\r\n\r\n>From here\r\n",
		"no message at all",
	}
	want := []string{
		"/2026-11-22-scan_ipp-a.csv.zip/2026-11-22-scan_ipp-a.csv: from the zip",
		"/2026-11-22-special-b.csv: from the attachment",
		"/2026-11-22-scan_ipp-example-asn.csv: from the link",
		"! no message: malformed header line: no message at all",
	}
	t.Chdir(t.TempDir())
	for _, dir := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join("maildir", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var mbox strings.Builder
	for i, m := range messages {
		dir := []string{"cur", "new"}[i/3]
		if err := os.WriteFile(filepath.Join("maildir", dir, fmt.Sprint(i)), []byte(m), 0o600); err != nil {
			t.Fatal(err)
		}
		mbox.WriteString("From autoreports@shadowserver.org Sun Nov 22 10:00:00 2026\n" + strings.ReplaceAll(m, "\nFrom ", "\n>From ") + "\n\n")
	}
	if err := os.WriteFile("maildir/tmp/9", []byte(messages[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("mbox", []byte(mbox.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, prefix := range map[string][]string{
		"maildir": {"/cur/0", "/cur/1", "/cur/2", "/new/4"},
		"mbox":    {"#1", "#2", "#3", "#5"},
	} {
		var all []string
		for i, line := range want {
			all = append(all, prefix[i]+line)
		}
		m := &Mail{Fetch: func(ctx context.Context, link string) (feed.Document, io.Closer, error) { return c.Fetch(ctx, link) }, Hosts: c.Hosts()}
		if diff := cmp.Diff(all, openMail(t, m, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if m.Messages != len(messages) {
			t.Errorf("%s: %d messages, want %d", path, m.Messages, len(messages))
		}
	}
	// A report that was taken in is not fetched again, and without the network none is.
	before := s.Asked("/cap0000")
	known := &Mail{
		Fetch: func(ctx context.Context, link string) (feed.Document, io.Closer, error) { return c.Fetch(ctx, link) }, Hosts: c.Hosts(),
		Skip: func(link string) (bool, error) { return link == s.Link(0), nil },
	}
	if got := openMail(t, known, "mbox"); len(got) != 3 || known.Skipped != 1 {
		t.Errorf("of known links: %q, %d skipped", got, known.Skipped)
	}
	offline := &Mail{Hosts: c.Hosts()}
	if got := openMail(t, offline, "mbox"); len(got) != 3 || offline.Links != 1 || s.Asked("/cap0000") != before {
		t.Errorf("without the network: %q, %d links", got, offline.Links)
	}
	if wrong := s.Wrong(); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestMailboxesThatAreNone(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("file", []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"dir": "is no maildir", "file": "is no mbox", "nothing": "no such file"} {
		if got := openMail(t, &Mail{}, path); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q, want %s", path, got, want)
		}
	}
}

func TestNestedMailIsBounded(t *testing.T) {
	t.Chdir(t.TempDir())
	var b strings.Builder
	b.WriteString("Subject: x\r\n")
	for i := range 50 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	parts := "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", maxParts+1)
	for name, text := range map[string]string{"deep": b.String(), "wide": parts} {
		if err := os.WriteFile(name, []byte("From x\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openMail(t, &Mail{}, name); len(got) != 1 || !strings.Contains(got[0], errParts.Error()) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzMail(f *testing.F) {
	f.Add([]byte("From x\n" + attachedMail("2026-11-22-scan_ipp-a.csv.zip", zipped(f, "a.csv", "ip\n1.2.3.4\n"))))
	f.Add([]byte("From x\n" + linkMail("https://dl.shadowserver.org/cap0000") + "\n\nFrom y\n" + attachedMail("a.csv", []byte("x"))))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m := &Mail{Files: &feed.Files{Wants: WantsFile}, Hosts: []string{downloadHost}, Fetch: func(context.Context, string) (feed.Document, io.Closer, error) {
			return feed.Document{Name: "x.csv", Reader: strings.NewReader(fake.Key)}, io.NopCloser(nil), nil
		}}
		n := 0
		for doc, err := range m.Open(t.Context(), path) {
			if n++; n > 100_000 {
				t.Fatal("it does not end")
			}
			if err == nil {
				if _, err := io.Copy(io.Discard, doc.Reader); err != nil {
					continue
				}
			}
			if strings.Contains(strings.TrimPrefix(doc.Name, path), "..") && strings.Contains(doc.Name, "../") {
				t.Errorf("a name leads elsewhere: %q", doc.Name)
			}
		}
	})
}
