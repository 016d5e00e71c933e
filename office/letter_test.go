package office

import (
	"strings"
	"testing"

	"ippwatch/exposure"
)

// TestReadLetter takes a mail apart: what is attached, what is said, and nothing
// by which a reader could answer in the recipient's name.
func TestReadLetter(t *testing.T) {
	mail := strings.ReplaceAll(`From: =?utf-8?q?CERT_B=C3=BCro?= <cert@example.org>
To: abuse@example.net
Subject: =?utf-8?b?T2ZmZW5lIERydWNrZGllbnN0ZQ==?=
Message-Id: <secret-message-id@example.org>
List-Unsubscribe: <https://example.org/unsubscribe/secret0123456789abcdef>
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Sehen Sie https://example.org/o/secret0123456789abcdef =C3=BC
--b
Content-Type: text/html

<b>x</b>
--b--
--a
Content-Type: text/csv; name="rows.csv"
Content-Disposition: attachment; filename="rows.csv"
Content-Transfer-Encoding: base64

YSxiCg==
--a--
`, "\n", "\r\n")
	l := readLetter([]byte(mail), exposure.ByMail)
	if !strings.HasPrefix(l.Text, "Sehen Sie https://example.org/o/… ü") || !l.HTML || len(l.Files) != 1 || l.Files[0] != (attached{"rows.csv", "text/csv", 4}) {
		t.Errorf("read %+v", l)
	}
	for _, h := range l.Head {
		if strings.Contains(h.Value, "secret") {
			t.Errorf("it shows %s: %s", h.Name, h.Value)
		}
	}
	if l.Head[0].Value != "CERT Büro <cert@example.org>" || l.Head[2].Value != "Offene Druckdienste" {
		t.Errorf("its head is %v", l.Head)
	}
	for _, broken := range []string{"", "no mail", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\x1b[31m", "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%"} {
		if l := readLetter([]byte(broken), exposure.ByMail); strings.Contains(l.Text, "\x1b") {
			t.Errorf("%q reads as %q", broken, l.Text)
		}
	}
	if l := readLetter([]byte(`{"to":"x"}`), exposure.ByWebhook); l.Text != `{"to":"x"}` {
		t.Errorf("an event reads as %q", l.Text)
	}
}
