package owner

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/exposure"
	"ippwatch/gate"
	"ippwatch/outreach"
	"ippwatch/rule"
	"ippwatch/verify"
)

// TestSystemOf reads what hosts say of their kernels. The forms are those that
// the distributions give their packages.
func TestSystemOf(t *testing.T) {
	browsed := func(agent string) exposure.Observation {
		return exposure.Observation{Callback: &exposure.Callback{UserAgent: agent}}
	}
	served := func(server string) exposure.Observation {
		return exposure.Observation{HTTP: &exposure.HTTP{Server: server}, CUPS: &exposure.CUPS{Server: server}, IPP: &exposure.IPP{Version: "2.0"}}
	}
	for _, test := range []struct {
		name string
		o    exposure.Observation
		want System
	}{
		{"Debian's kernel", browsed("CUPS/2.4.2 (Linux 6.1.0-25-amd64; x86_64) IPP/2.0"), Debian},
		{"Ubuntu's kernel", browsed("CUPS/2.4.7 (Linux 6.8.0-45-generic; x86_64) IPP/2.0"), Debian},
		{"a Raspberry Pi", browsed("CUPS/2.4.2 (Linux 6.6.31+rpt-rpi-v8; aarch64) IPP/2.0"), Debian},
		{"RHEL's kernel", browsed("CUPS/2.3.3op2 (Linux 5.14.0-427.el9.x86_64; x86_64) IPP/2.0"), RedHat},
		{"Fedora's kernel", browsed("CUPS/2.4.10 (Linux 6.10.6-200.fc40.x86_64; x86_64) IPP/2.0"), RedHat},
		{"SUSE's kernel", browsed("CUPS/2.2.7 (Linux 6.4.0-150600.21-default; x86_64) IPP/2.0"), SUSE},
		{"Arch's kernel", browsed("CUPS/2.4.10 (Linux 6.10.10-arch1-1; x86_64) IPP/2.0"), Arch},
		{"a Mac", browsed("CUPS/2.3.4 (macOS 14.6; arm64) IPP/2.0"), MacOS},
		{"a kernel of their own", browsed("CUPS/2.4.2 (Linux 6.1.99; x86_64) IPP/2.0"), Linux},
		{"cupsd says no more than that", served("CUPS/2.4 IPP/2.1"), Linux},
		{"a device", exposure.Observation{Printers: []exposure.Printer{{}}, HTTP: &exposure.HTTP{Server: "HP HTTP Server"}}, Printer},
		{"a device with a name that lies", exposure.Observation{Printers: []exposure.Printer{{}}, HTTP: &exposure.HTTP{Server: "debianish"}}, Debian},
		{"silence", exposure.Observation{}, Unknown},
	} {
		if got := SystemOf(&test.o); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestCommands(t *testing.T) {
	both := []string{"open-cups", "cups-browsed-callback"}
	if got := Commands(Debian, both, 8631); !slices.Contains(got, "systemctl disable --now cups-browsed") ||
		!slices.Contains(got, "apt-get update && apt-get install --only-upgrade cups cups-browsed cups-filters") || !strings.Contains(got[len(got)-1], ":8631") {
		t.Errorf("Debian: %q", got)
	}
	if got := strings.Join(Commands(RedHat, []string{"open-ipp"}, 631), "\n"); strings.Contains(got, "browsed") || !strings.Contains(got, "dnf upgrade cups") {
		t.Errorf("Red Hat without cups-browsed: %s", got)
	}
	for _, s := range []System{Printer, Unknown} {
		if got := Commands(s, both, 631); got != nil {
			t.Errorf("%s has %q", s, got)
		}
	}
}

// TestEveryRuleIsInPlainWords holds that no rule is told in its id.
func TestEveryRuleIsInPlainWords(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		text, err := files.ReadFile("texts/" + lang + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rule.All {
			for _, key := range []string{"owner.what.", "owner.why."} {
				if !strings.Contains(string(text), "\n"+key+r.ID+": ") {
					t.Errorf("%s has no %s%s", lang, key, r.ID)
				}
			}
		}
	}
}

// TestSum says what a look came to, in the order in which it matters.
func TestSum(t *testing.T) {
	seen := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	key := exposure.Key{Addr: netip.MustParseAddr("192.0.2.1"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}
	before := []exposure.Exposure{{Key: key, LastSeen: seen}}
	now := func(c exposure.Condition, last time.Time) exposure.Exposure {
		return exposure.Exposure{Key: key, Condition: c, LastSeen: last}
	}
	const control = "203.0.113.1:631/tcp answered"
	for _, test := range []struct {
		name    string
		results []verify.Result
		err     error
		want    string
	}{
		{"seen again", []verify.Result{{Verdict: exposure.Answered, Control: control, Now: now(exposure.Confirmed, seen.Add(time.Hour))}}, nil, isOpen},
		{"refused, with a control", []verify.Result{{Verdict: exposure.Closed, Control: control, Now: now(exposure.OneClean, seen)}}, nil, isClean},
		{"refused, and nothing else answered", []verify.Result{{Verdict: exposure.Closed, Now: now(exposure.OneClean, seen)}}, nil, isUnproven},
		{"refused without a control, and it stays as it was", []verify.Result{{Verdict: exposure.Closed, Now: now(exposure.Confirmed, seen)}}, nil, isUnproven},
		{"twice", []verify.Result{{Verdict: exposure.Closed, Control: control, Now: now(exposure.Fixed, seen)}}, nil, isFixed},
		{"a filter", []verify.Result{{Verdict: exposure.NoAnswer, Control: control, Now: now(exposure.Filtered, seen)}}, nil, isFiltered},
		{"silence", []verify.Result{{Verdict: exposure.NoAnswer, Control: control, Now: now(exposure.Confirmed, seen)}}, nil, isSilent},
		{"a tarpit", []verify.Result{{Verdict: exposure.Tarpit, Control: control, Now: now(exposure.Confirmed, seen)}}, nil, isUnclear},
		{"nothing was sent", []verify.Result{{Now: now(exposure.Confirmed, seen)}}, nil, isNotAsked},
		{"nothing, for a fault of ours", nil, errors.New("no route"), isImpatient},
		{"one closed, one open", []verify.Result{
			{Verdict: exposure.Answered, Control: control, Now: now(exposure.OneClean, seen)},
			{Verdict: exposure.Answered, Control: control, Now: now(exposure.Confirmed, seen.Add(time.Hour))},
		}, nil, isOpen},
	} {
		if got := sum(before, test.results, test.err); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestState is the word for the worst of a door.
func TestState(t *testing.T) {
	own := func(c exposure.Condition, r exposure.Ruling, cleared bool) outreach.Own {
		o := outreach.Own{Exposure: exposure.Exposure{Condition: c, Ruling: r}}
		if cleared {
			o.ClearedAt = time.Unix(1, 0)
		}
		return o
	}
	for _, test := range []struct {
		want  string
		press bool
		cases []outreach.Own
	}{
		{"open", true, []outreach.Own{own(exposure.OneClean, exposure.NoRuling, true), own(exposure.Confirmed, exposure.NoRuling, false)}},
		{"reported", true, []outreach.Own{own(exposure.Reported, exposure.NoRuling, false)}},
		{"clean_once", false, []outreach.Own{own(exposure.OneClean, exposure.NoRuling, true), own(exposure.Fixed, exposure.NoRuling, false)}},
		{"unproven", true, []outreach.Own{own(exposure.OneClean, exposure.NoRuling, false)}},
		{"silent", true, []outreach.Own{own(exposure.NotSeen, exposure.NoRuling, false)}},
		{"filtered", false, []outreach.Own{own(exposure.Filtered, exposure.NoRuling, false)}},
		{"accepted", false, []outreach.Own{own(exposure.Confirmed, exposure.Accepted, false)}},
		{"dismissed", false, []outreach.Own{own(exposure.Confirmed, exposure.FalsePositive, false)}},
		{"fixed", false, []outreach.Own{own(exposure.Fixed, exposure.NoRuling, false)}},
		{"lapsed", false, []outreach.Own{own(exposure.Lapsed, exposure.NoRuling, false)}},
	} {
		press := slices.ContainsFunc(test.cases, func(o outreach.Own) bool { return pressing(&o) })
		if got := state(test.cases); got != test.want || press != test.press {
			t.Errorf("%s, something to do: %t; want %s, %t", got, press, test.want, test.press)
		}
	}
}

// TestSpeak: what was chosen goes before what the browser asks for, and that
// before the language of the mail.
func TestSpeak(t *testing.T) {
	for _, test := range []struct{ name, query, browser, cookie, mail, want, cookies string }{
		{"the browser", "", "de-AT,de;q=0.9", "", "en", "de-AT,de;q=0.9", ""},
		{"a browser that speaks neither", "", "ja", "", "de", "de", ""},
		{"a browser that says nothing", "", "", "", "de", "de", ""},
		{"the page", "de", "en", "", "en", "de", ""},
		{"the page against a cookie", "en", "de", "de", "de", "en", ""},
		{"a cookie", "", "ja", "en", "de", "ja", "lang=en"},
		{"a language that there is not", "xx", "de", "", "en", "de", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/o/x?lang="+test.query, nil)
		r.Header.Set("Accept-Language", test.browser)
		if test.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "lang", Value: test.cookie})
		}
		got := speak(r, &gate.Visit{}, test.mail)
		if got.Header.Get("Accept-Language") != test.want || got.Header.Get("Cookie") != test.cookies {
			t.Errorf("%s: %q with cookies %q", test.name, got.Header.Get("Accept-Language"), got.Header.Get("Cookie"))
		}
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"  a\n b\x00\tc ": "a b\x00 c", strings.Repeat("ä", 12): strings.Repeat("ä", 10) + "…", "\xff": "\ufffd", "": "",
	} {
		if got := clip(in, 10); got != want {
			t.Errorf("clip(%q) = %q, want %q", in, got, want)
		}
	}
}
