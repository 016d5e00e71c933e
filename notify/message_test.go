package notify_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/gopenpgp/v3/crypto"
	gomessage "github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // as real readers know them
	"github.com/google/go-cmp/cmp"

	"ippwatch/notify"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func secret(t testing.TB) notify.Secret {
	t.Helper()
	s, err := notify.NewSecret([]byte("a secret of the tests, 32 bytes at least"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writer(t testing.TB) *notify.Writer {
	t.Helper()
	return &notify.Writer{
		From: mail.Address{Name: "CERT Example", Address: "cert@example.org"}, ReplyTo: mail.Address{Address: "help@example.org"},
		Domain: "notify.example.org", Secret: secret(t),
		UnsubscribeURL: "https://ippwatch.example.org/unsubscribe", UnsubscribeMailto: "unsubscribe@notify.example.org",
	}
}

func message() notify.Message {
	return notify.Message{
		Key: "first/university/2026-11-23", Reference: "IPPW-7F3A9C", To: "Jörg Müller <noc@uni.example>", Language: "de", Date: noon,
		Subject: "Offene Druckdienste in Ihrem Netz: 3 Hosts", Text: "Guten Tag,\n\ncupsctl --no-remote-any\n", HTML: "<p>Guten Tag – こんにちは</p>\n",
		Attachments: []notify.Attachment{{Name: "2026-11-23-scan_ipp-university.csv", ContentType: "text/csv; charset=utf-8", Body: []byte("\"ip\"\n\"198.51.100.7\"\n")}},
	}
}

func seal(t *testing.T, m notify.Message) notify.Mail {
	t.Helper()
	sealed, err := writer(t).Seal(m)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// shape is the tree of a mail: types, dispositions and names.
func shape(t *testing.T, e *gomessage.Entity, depth int, out *strings.Builder, bodies *[]string) {
	t.Helper()
	kind, params, err := e.Header.ContentType()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("  ", depth) + kind
	if disposition, p, err := e.Header.ContentDisposition(); err == nil && disposition != "" {
		line += " " + disposition + " " + p["filename"]
	}
	for _, p := range []string{"charset", "protocol"} {
		if params[p] != "" {
			line += " " + p + "=" + strings.ToLower(params[p])
		}
	}
	out.WriteString(line + "\n")
	r := e.MultipartReader()
	if r == nil {
		b, err := io.ReadAll(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		*bodies = append(*bodies, string(b))
		return
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		shape(t, part, depth+1, out, bodies)
	}
}

func read(t *testing.T, b []byte) (*gomessage.Entity, string, []string) {
	t.Helper()
	e, err := gomessage.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	var bodies []string
	shape(t, e, 0, &out, &bodies)
	return e, out.String(), bodies
}

func TestSeal(t *testing.T) {
	m := message()
	m.InReplyTo = []string{"first/university/2026-11-01", "reminder/university/2026-11-08"}
	sealed := seal(t, m)
	e, tree, bodies := read(t, sealed.Bytes)
	want := `multipart/mixed
  multipart/alternative
    text/plain charset=utf-8
    text/html charset=utf-8
  text/csv attachment 2026-11-23-scan_ipp-university.csv charset=utf-8
`
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Errorf("structure: -want +got\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Guten Tag,\r\n\r\ncupsctl --no-remote-any\r\n", "<p>Guten Tag – こんにちは</p>\r\n", "\"ip\"\n\"198.51.100.7\"\n"}, bodies); diff != "" {
		t.Errorf("bodies: -want +got\n%s", diff)
	}
	id, w := string(sealed.ID), writer(t)
	token := func(p notify.Purpose) string { return w.Secret.Token(p, sealed.ID) }
	first, second := "<"+w.MessageID(m.InReplyTo[0])+">", "<"+w.MessageID(m.InReplyTo[1])+">"
	headers := map[string]string{
		"From": `"CERT Example" <cert@example.org>`, "To": "=?utf-8?q?J=C3=B6rg_M=C3=BCller?= <noc@uni.example>", "Reply-To": "<help@example.org>",
		"Date": "Mon, 23 Nov 2026 12:00:00 +0000", "Subject": "[IPPW-7F3A9C] Offene Druckdienste in Ihrem Netz: 3 Hosts",
		"Message-Id": "<" + token(notify.ForMessageID) + "@notify.example.org>", "In-Reply-To": second, "References": first + " " + second,
		"List-Unsubscribe": "<https://ippwatch.example.org/unsubscribe/" + token(notify.ForUnsubscribe) + ">, " +
			"<mailto:unsubscribe+" + token(notify.ForUnsubscribe) + "@notify.example.org?subject=unsubscribe>",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "Auto-Submitted": "auto-generated", "Content-Language": "de", "Mime-Version": "1.0",
	}
	for name, want := range headers {
		if got := e.Header.Get(name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
	if want := "bounce+" + token(notify.ForReturnPath) + "@notify.example.org"; sealed.ReturnPath != want || len(id) != 16 {
		t.Errorf("return path = %s, want %s", sealed.ReturnPath, want)
	}
	if local, _, _ := strings.Cut(sealed.ReturnPath, "@"); len(local) > 64 {
		t.Errorf("the local part of %s is longer than RFC 5321 allows", sealed.ReturnPath)
	}
	for line := range bytes.Lines(sealed.Bytes) {
		if len(line) > 200 || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
	}
}

// TestTheSameKeyIsTheSameMessage: what an idempotent outbox builds on.
func TestTheSameKeyIsTheSameMessage(t *testing.T) {
	m := message()
	a, b := seal(t, m), seal(t, m)
	m.Key += "x"
	c := seal(t, m)
	if a.ID != b.ID || a.ReturnPath != b.ReturnPath || a.ID == c.ID {
		t.Errorf("IDs %s, %s and of another key %s", a.ID, b.ID, c.ID)
	}
}

func TestSealRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(m *notify.Message)
		want string
	}{
		{"no key", func(m *notify.Message) { m.Key = "" }, "no send key"},
		{"no date", func(m *notify.Message) { m.Date = time.Time{} }, "no date"},
		{"no text", func(m *notify.Message) { m.Text = "" }, "no subject or no text"},
		{"a subject of blanks", func(m *notify.Message) { m.Subject = " \r\n" }, "no subject or no text"},
		{"two recipients", func(m *notify.Message) { m.To = "a@example.net, b@example.net" }, "want one mail address"},
		{"a command in the address", func(m *notify.Message) { m.To = "a@example.net>\r\nRCPT TO:<b@example.net" }, "want one mail address"},
		{"a quoted line break", func(m *notify.Message) { m.To = "\"a\r\n b\"@example.net" }, "want one mail address"},
		{"a blank in the address", func(m *notify.Message) { m.To = `"a b"@example.net` }, "printable ASCII"},
		{"an address of another script", func(m *notify.Message) { m.To = "用户@example.net" }, "printable ASCII"},
		{"a header in the reference", func(m *notify.Message) { m.Reference = "1\r\nBcc: b@example.net" }, "want letters, digits and hyphens"},
		{"a file too large", func(m *notify.Message) { m.Attachments[0].Body = make([]byte, 16<<20) }, "too many or too large attachments"},
		{"a key that is none", func(m *notify.Message) {
			m.PGPKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----"
		}, "PGP key cannot be used"},
	}
	for _, tt := range tests {
		m := message()
		tt.edit(&m)
		sealed, err := writer(t).Seal(m)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(sealed.Bytes) > 0 {
			t.Errorf("%s: Seal = %d bytes, %v, want %q", tt.name, len(sealed.Bytes), err, tt.want)
		}
	}
}

var hostile = []string{
	"a\r\nBcc: victim@example.net", "a\nX-Evil: 1\n\nbody", "\x00\x1b[2J\u202egnp.exe", "=?utf-8?q?=0D=0ABcc:_x@example.net?=",
	strings.Repeat("ä", 5000), "\xff\xfe", "../../etc/passwd", `a"; filename="evil.exe`, "<script>alert(1)</script>", "\r", ".\r\n.\r\nMAIL FROM:<x@example.net>",
}

// TestHostileBytes puts what a stranger could write everywhere, and reads the
// headers back: none is new.
func TestHostileBytes(t *testing.T) {
	names := func(b []byte) string {
		m, err := mail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for name, values := range m.Header {
			all = append(all, fmt.Sprintf("%s×%d", name, len(values)))
		}
		return cmp.Diff(nil, all) // sorted below
	}
	count := func(b []byte) int { return strings.Count(names(b), "×") }
	clean := count(seal(t, message()).Bytes)
	for _, h := range hostile {
		m := message()
		m.Key, m.Subject, m.Text, m.HTML, m.Language = h, "x"+h, h, h, h
		m.InReplyTo = nil
		m.Attachments[0].Name, m.Attachments[0].ContentType = h, h
		sealed := seal(t, m)
		want := clean - 1 // a hostile language is left out
		if got := count(sealed.Bytes); got != want {
			t.Errorf("%.40q: %d headers, want %d", h, got, want)
		}
		e, tree, _ := read(t, sealed.Bytes)
		if !strings.HasPrefix(tree, "multipart/mixed\n  multipart/alternative\n") || strings.Count(tree, "\n") != 5 {
			t.Errorf("%.40q: structure\n%s", h, tree)
		}
		name := regexp.MustCompile(`attachment (\S*)`).FindStringSubmatch(tree)
		if name == nil || strings.ContainsAny(name[1], `/\":`) || strings.HasPrefix(name[1], ".") {
			t.Errorf("%.40q: file name %q", h, name)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(e.Header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\x00\x1b\u202e") || len([]rune(subject)) > 180 {
			t.Errorf("%.40q: subject %q, %v", h, subject, err)
		}
	}
}

func FuzzSeal(f *testing.F) {
	for _, h := range hostile {
		f.Add(h, h, h)
	}
	w := writer(f)
	f.Fuzz(func(t *testing.T, subject, text, to string) {
		m := message()
		m.Subject, m.Text, m.HTML, m.To = subject, text, text, to
		sealed, err := w.Seal(m)
		if err != nil {
			return
		}
		if strings.ContainsAny(sealed.To+sealed.ReturnPath, "\r\n<> ") {
			t.Errorf("envelope %q %q", sealed.ReturnPath, sealed.To)
		}
		read, err := mail.ReadMessage(bytes.NewReader(sealed.Bytes))
		if err != nil {
			t.Fatalf("unreadable: %v", err)
		}
		for name, values := range read.Header {
			switch name {
			case "From", "To", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Content-Language",
				"List-Unsubscribe", "List-Unsubscribe-Post", "Auto-Submitted", "X-Auto-Response-Suppress":
				if len(values) != 1 {
					t.Errorf("%s stands there %d times", name, len(values))
				}
			default:
				t.Errorf("a header %q: %q", name, values)
			}
		}
	})
}

func pgpKey(t *testing.T, at time.Time, lifetime int32) *crypto.Key {
	t.Helper()
	key, err := crypto.PGP().KeyGeneration().AddUserId("NOC", "noc@uni.example").GenerationTime(at.Unix()).Lifetime(lifetime).New().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSealForAKey(t *testing.T) {
	key := pgpKey(t, noon.AddDate(-1, 0, 0), 0)
	m := message()
	var err error
	if m.PGPKey, err = key.GetArmoredPublicKey(); err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, m)
	e, tree, bodies := read(t, sealed.Bytes)
	want := "multipart/encrypted protocol=application/pgp-encrypted\n  application/pgp-encrypted\n  application/octet-stream\n"
	if diff := cmp.Diff(want, stripCharset(tree)); diff != "" {
		t.Errorf("structure: -want +got\n%s", diff)
	}
	if strings.TrimSpace(bodies[0]) != "Version: 1" {
		t.Errorf("the first part is %q (RFC 3156, section 4)", bodies[0])
	}
	for _, word := range []string{"cupsctl", "Guten", "198.51.100.7", "scan_ipp"} {
		if bytes.Contains(sealed.Bytes, []byte(word)) {
			t.Errorf("%q stands there in plain", word)
		}
	}
	if e.Header.Get("List-Unsubscribe-Post") == "" || e.Header.Get("Auto-Submitted") == "" {
		t.Error("the outer header lacks the opt-out")
	}
	pgp, err := crypto.PGP().Decryption().DecryptionKey(key).New()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := pgp.Decrypt([]byte(bodies[1]), crypto.Armor)
	if err != nil {
		t.Fatal(err)
	}
	_, tree, bodies = read(t, plain.Bytes())
	want = "multipart/mixed\n  multipart/alternative\n    text/plain charset=utf-8\n    text/html charset=utf-8\n  text/csv attachment 2026-11-23-scan_ipp-university.csv charset=utf-8\n"
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Errorf("inside: -want +got\n%s", diff)
	}
	if !strings.Contains(bodies[0], "cupsctl") {
		t.Errorf("inside is %q", bodies[0])
	}
}

func stripCharset(tree string) string { return strings.ReplaceAll(tree, " charset=utf-8", "") }

// TestAKeyThatCannotBeUsed: clear words, and never a mail in plain.
func TestAKeyThatCannotBeUsed(t *testing.T) {
	good, expired := pgpKey(t, noon.AddDate(-1, 0, 0), 0), pgpKey(t, noon.AddDate(-1, 0, 0), 3600)
	armour := func(k *crypto.Key, private bool) string {
		text, err := k.GetArmoredPublicKey()
		if private {
			text, err = k.Armor()
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for want, key := range map[string]string{
		"has expired": armour(expired, false), "is a private key": armour(good, true), "openpgp": "no key at all",
	} {
		err := notify.CheckPGPKey(key, noon)
		if !errors.Is(err, notify.ErrPGPKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckPGPKey = %v, want %q", err, want)
		}
		m := message()
		m.PGPKey = key
		if sealed, err := writer(t).Seal(m); err == nil || len(sealed.Bytes) > 0 {
			t.Errorf("%s: a mail was written", want)
		}
	}
	if err := notify.CheckPGPKey(armour(good, false), noon); err != nil {
		t.Errorf("CheckPGPKey(good) = %v", err)
	}
}

func TestTokens(t *testing.T) {
	s := secret(t)
	id := s.ID("k")
	token := s.Token(notify.ForReturnPath, id)
	if got, ok := s.Open(notify.ForReturnPath, strings.ToUpper(token)); !ok || got != id {
		t.Errorf("Open in capitals = %q, %v", got, ok)
	}
	other, err := notify.NewSecret(bytes.Repeat([]byte("x"), 32))
	if err != nil {
		t.Fatal(err)
	}
	forged := []byte(token)
	forged[len(forged)-1] ^= 1
	for what, f := range map[string]func() (notify.ID, bool){
		"another purpose": func() (notify.ID, bool) { return s.Open(notify.ForUnsubscribe, token) },
		"another secret":  func() (notify.ID, bool) { return other.Open(notify.ForReturnPath, token) },
		"another letter":  func() (notify.ID, bool) { return s.Open(notify.ForReturnPath, string(forged)) },
		"the bare ID":     func() (notify.ID, bool) { return s.Open(notify.ForReturnPath, string(id)) },
		"nothing":         func() (notify.ID, bool) { return s.Open(notify.ForReturnPath, "") },
	} {
		if _, ok := f(); ok {
			t.Errorf("%s is believed", what)
		}
	}
	if _, err := notify.NewSecret([]byte("short")); err == nil {
		t.Error("NewSecret(short) = nil error")
	}
}
