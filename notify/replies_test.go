package notify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"ippwatch/notify"
)

const forged = "abcdefghijklmnopqrstuvwxyz234567"

// returned reads a mail of testdata with the tokens of the message put in.
func returned(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "replies", name))
	if err != nil {
		t.Fatal(err)
	}
	s := secret(t)
	id := s.ID(message().Key)
	return []byte(strings.NewReplacer(
		"TOKEN-R", s.Token(notify.ForReturnPath, id), "token-r", s.Token(notify.ForReturnPath, id),
		"TOKEN-M", s.Token(notify.ForMessageID, id), "TOKEN-U", s.Token(notify.ForUnsubscribe, id), "FORGED", forged,
	).Replace(string(b)))
}

func TestParseReply(t *testing.T) {
	tests := []struct {
		file   string
		kind   notify.ReplyKind
		ours   bool // it is known which message it is about
		status string
		said   string
	}{
		{"postfix-unknown-user", notify.HardBounce, true, "5.1.1", "550 5.1.1 <noc@uni.example>: Recipient address rejected: User unknown"},
		{"dsn-to-the-author", notify.SoftBounce, true, "5.7.1", "550-5.7.1 This message does not pass our policy"},
		{"mailbox-full", notify.SoftBounce, true, "5.2.2", "552 5.2.2 Over quota"},
		{"sendmail-delayed", notify.Delayed, true, "4.4.1", ""},
		{"given-up", notify.SoftBounce, true, "4.4.7", "connect to mx.uni.example[198.51.100.25]:25: Connection timed out"},
		{"delivered", notify.Delivered, true, "2.0.0", ""},
		{"qmail", notify.HardBounce, true, "5.1.1", "Sorry, no mailbox here by that name. (#5.1.1)"},
		{"qmail-to-the-author", notify.HardBounce, true, "", "This is a permanent error; I've given up. Sorry it didn't work out."},
		{"exim", notify.HardBounce, true, "", "recipients. This is a permanent error. The following address(es) failed:"},
		{"old-exchange", notify.HardBounce, true, "5.5.0", "<mx.uni.example #5.5.0 smtp;554 delivery error>"},
		{"no-reason", notify.SoftBounce, true, "", "Something went wrong on 198.51.100.7, version 5.1.1.9."},
		{"vacation", notify.AutoReply, true, "", ""},
		{"out-of-office", notify.AutoReply, true, "", ""},
		{"opt-out-mail", notify.OptOut, true, "", ""},
		{"opt-out-reply", notify.OptOut, true, "", "Stop."},
		{"opt-out-japanese", notify.OptOut, true, "", "配信停止。"},
		{"answer", notify.Answer, true, "", "Thank you, we have closed the port. Please do not stop."},
		{"answer-to-the-return-path", notify.Answer, true, "", "Wir kümmern uns."},
		{"stranger", notify.Answer, false, "", "stop"},
		{"forged-opt-out", notify.Unknown, false, "", ""},
		{"token-for-another-purpose", notify.Answer, true, "", ""},
		{"forged-bounce", notify.Unknown, false, "5.1.1", ""},
		{"hostile", notify.Answer, false, "", "[31mred"},
	}
	var tested []string
	for _, tt := range tests {
		tested = append(tested, tt.file+".eml")
		t.Run(tt.file, func(t *testing.T) {
			r := notify.ParseReply(returned(t, tt.file+".eml"), secret(t))
			want := notify.ID("")
			if tt.ours {
				want = secret(t).ID(message().Key)
			}
			if r.Kind != tt.kind || r.Message != want || r.Status != tt.status || r.Said != tt.said {
				t.Errorf("ParseReply = %s of %q, status %q, said %q\nwant %s of %q, status %q, said %q",
					r.Kind, r.Message, r.Status, r.Said, tt.kind, want, tt.status, tt.said)
			}
			if forgery := strings.HasPrefix(tt.file, "forged") || tt.file == "opt-out-reply"; r.Forged != forgery {
				t.Errorf("Forged = %v, want %v", r.Forged, forgery)
			}
			printable(t, r)
		})
	}
	files, err := filepath.Glob("testdata/replies/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(tested, filepath.Base(f)) {
			t.Errorf("%s is not tested", f)
		}
	}
}

func printable(t *testing.T, r notify.Reply) {
	t.Helper()
	for _, s := range []string{r.Recipient, r.Status, r.Said, r.From, r.Subject} {
		if len([]rune(s)) > 301 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not bounded and printable", s)
		}
	}
}

// TestNobodySpeaksForOthers: with another secret no mail is about a message.
func TestNobodySpeaksForOthers(t *testing.T) {
	other, err := notify.NewSecret(bytes.Repeat([]byte("o"), 32))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/replies/*.eml")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		r := notify.ParseReply(returned(t, filepath.Base(f)), other)
		if r.Message != "" || !slices.Contains([]notify.ReplyKind{notify.Unknown, notify.Answer, notify.AutoReply}, r.Kind) {
			t.Errorf("%s: %s of %q", f, r.Kind, r.Message)
		}
	}
}

// readAll reads a mailbox and remembers what it read.
func readAll(t *testing.T, path string, known map[string]bool) []string {
	t.Helper()
	var got []string
	for r, err := range notify.ReadReplies(path, secret(t), func(source string) bool { return known[source] }) {
		if err != nil {
			t.Fatal(err)
		}
		if known[r.Source] {
			t.Errorf("%s was read twice", r.Source)
		}
		known[r.Source] = true
		got = append(got, fmt.Sprintf("%s %s", r.Kind, r.Subject))
	}
	return got
}

func TestReadMaildir(t *testing.T) {
	dir := t.TempDir()
	put := func(sub, name, mail string) {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sub, name), returned(t, mail), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("new", "1795435205.M1P1.mail", "qmail.eml")
	put("cur", "1795435206.M2P1.mail:2,S", "answer.eml")
	put("tmp", "1795435207.M3P1.mail", "exim.eml")
	put("new", ".hidden", "exim.eml")
	known := make(map[string]bool)
	want := []string{"hard-bounce failure notice", "reply Re: [IPPW-7F3A9C] Open print services"}
	if diff := cmp.Diff(want, readAll(t, dir, known)); diff != "" {
		t.Errorf("ReadReplies: -want +got\n%s", diff)
	}
	// The mail program moves and flags what it showed.
	if err := os.Rename(filepath.Join(dir, "new", "1795435205.M1P1.mail"), filepath.Join(dir, "cur", "1795435205.M1P1.mail:2,RS")); err != nil {
		t.Fatal(err)
	}
	put("new", "1795435208.M4P1.mail", "opt-out-mail.eml")
	if diff := cmp.Diff([]string{"opt-out unsubscribe"}, readAll(t, dir, known)); diff != "" {
		t.Errorf("ReadReplies again: -want +got\n%s", diff)
	}
}

func TestReadMbox(t *testing.T) {
	var b bytes.Buffer
	add := func(mail string) {
		fmt.Fprintf(&b, "From MAILER-DAEMON Mon Nov 23 12:00:00 2026\n%s\n", strings.ReplaceAll(string(returned(t, mail)), "\nFrom ", "\n>From "))
	}
	add("qmail.eml")
	add("answer.eml")
	add("qmail.eml") // delivered twice
	b.WriteString("From x Mon Nov 23 12:00:00 2026\nSubject: quoted\n\n>From the beginning\nFrom here it is no new mail\n\n")
	b.WriteString("From y Mon Nov 23 12:00:00 2026\nSubject: long " + strings.Repeat("x", 200<<10) + "\n\n" + strings.Repeat("y", 2<<20))
	file := filepath.Join(t.TempDir(), "replies.mbox")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	want := []string{"hard-bounce failure notice", "reply Re: [IPPW-7F3A9C] Open print services", "reply quoted", "unknown "}
	if diff := cmp.Diff(want, readAll(t, file, known)); diff != "" {
		t.Errorf("ReadReplies: -want +got\n%s", diff)
	}
	if again := readAll(t, file, known); len(again) != 0 {
		t.Errorf("ReadReplies again = %q", again)
	}
}

func TestReadRepliesFails(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no mailbox\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file", t.TempDir(): "want a Maildir", text: "want a Maildir",
	} {
		n := 0
		for _, err := range notify.ReadReplies(path, secret(t), func(string) bool { return false }) {
			if n++; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("ReadReplies(%s) = %v, want %q", path, err, want)
			}
		}
		if n != 1 {
			t.Errorf("ReadReplies(%s) yields %d times, want once", path, n)
		}
	}
}

// FuzzParseReply: whatever comes back, reading ends, what is kept is bounded
// and printable, and nothing without a token of ours bounces or opts out.
func FuzzParseReply(f *testing.F) {
	files, err := filepath.Glob("testdata/replies/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(returned(f, filepath.Base(file)))
	}
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\n\n" + strings.Repeat("--a\nContent-Type: multipart/mixed; boundary=a\n\n", 50)))
	s := secret(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := notify.ParseReply(b, s)
		printable(t, r)
		if r.Message == "" && slices.Contains([]notify.ReplyKind{notify.HardBounce, notify.SoftBounce, notify.Delayed, notify.OptOut}, r.Kind) {
			t.Errorf("%s of no message", r.Kind)
		}
		if r.Message != "" && r.Message != s.ID(message().Key) {
			t.Errorf("a message of another secret: %q", r.Message)
		}
	})
}

// FuzzReadMbox: whatever the file holds, reading it ends and reading it again
// finds nothing new.
func FuzzReadMbox(f *testing.F) {
	f.Add([]byte("From a\nSubject: x\n\n>From b\n\nFrom c\n\nFrom d"))
	f.Add([]byte("From \n\n\nFrom \n"))
	s := secret(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "mbox")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		known := make(map[string]bool)
		for range 2 {
			before := len(known)
			for r, err := range notify.ReadReplies(file, s, func(source string) bool { return known[source] }) {
				if err == nil {
					known[r.Source] = true
				}
			}
			if before > 0 && len(known) != before {
				t.Errorf("%d mails, and %d when read again", before, len(known))
			}
		}
	})
}

func TestOutcomeUnknown(t *testing.T) {
	for _, test := range []struct {
		stage string
		code  int
		said  string
		want  bool
	}{
		{"rcpt", 550, "5.1.1 <noc@example.net>: Recipient address rejected: User unknown", true},
		{"rcpt", 550, "no such user here", true},
		{"rcpt", 553, "5.1.3 bad address", true},
		{"rcpt", 554, "5.7.1 Service unavailable; client host [192.0.2.1] blocked", false},
		{"rcpt", 550, "5.7.26 unauthenticated mail is not taken", false},
		{"rcpt", 554, "not today", false},
		{"rcpt", 552, "5.2.2 mailbox full", false},
		{"data", 550, "5.1.1 too late", false},
	} {
		o := notify.Outcome{Result: notify.Refused, Stage: test.stage, Code: test.code, Said: test.said}
		if got := o.Unknown(); got != test.want {
			t.Errorf("%s %d %s: Unknown() = %v, want %v", test.stage, test.code, test.said, got, test.want)
		}
	}
}
