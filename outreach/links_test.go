package outreach

import (
	"errors"
	"io"
	"mime/quotedprintable"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

var pages = Pages{URL: "https://ippwatch.example.org", Life: 14 * 24 * time.Hour}

var linkInMail = regexp.MustCompile(`https://ippwatch\.example\.org/o/([A-Za-z0-9_-]+)`)

// tokenIn is the token of the link in a mail.
func tokenIn(t *testing.T, mail []byte) string {
	t.Helper()
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(string(mail))))
	if err != nil && len(text) == 0 {
		t.Fatal(err)
	}
	m := linkInMail.FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("no link in\n%s", mail)
	}
	return m[1]
}

// held are the cases that a token shows now.
func (w *town) held(t *testing.T, token string) []string {
	t.Helper()
	l, err := w.store.LookLink(t.Context(), token, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.office.customers = nil
	h, err := w.office.Holding(t.Context(), &l)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range h.Cases {
		all = append(all, c.Addr.String())
	}
	slices.Sort(all)
	return all
}

// TestALinkShowsItsOwn sends mails and looks at what their links show when
// something has changed since.
func TestALinkShowsItsOwn(t *testing.T) {
	north, south := "192.0.2.1", "192.0.2.200"
	contact := func(name, role string) func(*exposure.Constituent) {
		return func(c *exposure.Constituent) {
			if c.Name == name {
				c.Contacts[0].Role = role
			}
		}
	}
	edit := func(w *town, f func(*exposure.Constituent)) {
		var list []exposure.Constituent
		for _, c := range w.office.Directory.All() {
			c.Contacts, c.Networks = slices.Clone(c.Contacts), slices.Clone(c.Networks)
			f(&c)
			list = append(list, c)
		}
		w.office.Directory = people.NewDirectory(list)
	}
	lease := func(w *town, rows ...exposure.Assignment) {
		if _, err := w.store.ImportAssignments(t.Context(), store.AssignmentImport{Import: store.Import{Source: "dhcp", At: w.now}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		before func(w *town)
		change func(w *town)
		want   []string
	}{
		{"nothing has changed", nil, nil, []string{south}},
		{"the network is another's", nil, func(w *town) {
			edit(w, func(c *exposure.Constituent) {
				if c.Name == "south" {
					c.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
				}
			})
		}, nil},
		{"somebody is nearer", nil, func(w *town) {
			list := append(slices.Clone(w.office.Directory.All()), exposure.Constituent{Name: "branch", Networks: []netip.Prefix{netip.MustParsePrefix(south + "/32")}})
			w.office.Directory = people.NewDirectory(list)
		}, nil},
		{"the contact has another role", nil, func(w *town) { edit(w, contact("south", "management")) }, nil},
		{"the contact is gone", nil, func(w *town) {
			edit(w, func(c *exposure.Constituent) {
				if c.Name == "south" {
					c.Contacts = []exposure.Recipient{{Medium: exposure.ByMail, Address: "new@south.example", Source: exposure.OwnData}}
				}
			})
		}, nil},
		{"mail to the contact comes back", nil, func(w *town) {
			edit(w, func(c *exposure.Constituent) { c.Contacts[0].Invalid = c.Name == "south" })
		}, nil},
		{"the contact opted out", nil, func(w *town) {
			edit(w, func(c *exposure.Constituent) { c.Contacts[0].OptOut = c.Name == "south" })
		}, nil},
		{"the device has another address", nil, func(w *town) {
			e := hole(south, "open-ipp")
			e.MovedTo = netip.MustParseAddr("192.0.2.201")
			w.keep(t, e)
		}, nil},
		{"it is closed", nil, func(w *town) {
			e := hole(south, "open-ipp")
			e.Condition = exposure.Fixed
			w.keep(t, e)
		}, []string{south}},
		{"a lease to a customer that we know began", nil, func(w *town) {
			lease(w, exposure.Assignment{Prefix: netip.MustParsePrefix(south + "/32"), Customer: "north", From: w.now.Add(-time.Minute)})
		}, nil},
		{"the lease goes on", func(w *town) {
			lease(w, exposure.Assignment{Prefix: netip.MustParsePrefix(south + "/32"), Customer: "south", From: w.now.Add(-72 * time.Hour)})
		}, func(w *town) { w.now = w.now.Add(24 * time.Hour) }, []string{south}},
		{"the lease ended", func(w *town) {
			lease(w, exposure.Assignment{Prefix: netip.MustParsePrefix(south + "/32"), Customer: "south", From: w.now.Add(-72 * time.Hour), To: w.now.Add(time.Hour)})
		}, func(w *town) { w.now = w.now.Add(2 * time.Hour) }, nil},
		{"the lease ended, and began anew", func(w *town) {
			lease(w, exposure.Assignment{Prefix: netip.MustParsePrefix(south + "/32"), Customer: "south", From: w.now.Add(-72 * time.Hour), To: w.now.Add(time.Hour)},
				exposure.Assignment{Prefix: netip.MustParsePrefix(south + "/32"), Customer: "south", From: w.now.Add(24 * time.Hour)})
		}, func(w *town) { w.now = w.now.Add(25 * time.Hour) }, nil},
		{"one of us agreed that it is not theirs", nil, func(w *town) {
			p, err := w.store.PutPlea(t.Context(), store.Plea{Constituent: "south", Contact: "mail:it@south.example", Key: hole(south, "open-ipp").Key, Kind: store.PleaNotMine, Reason: "sold", Asked: w.now})
			if err != nil {
				t.Fatal(err)
			}
			if got := w.held(t, w.token); !slices.Equal(got, []string{south}) {
				t.Errorf("before it is decided: %q", got)
			}
			if err := w.store.DecidePlea(t.Context(), p.ID, store.PleaOpen, store.PleaGranted, "j.doe", "", w.now); err != nil {
				t.Fatal(err)
			}
			// Nobody of theirs is told of it any more.
			w.now = w.now.AddDate(0, 0, 30)
			plan, err := w.office.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			told := ""
			for _, m := range plan.Messages {
				told += m.Constituent + " " + m.Kind + ";"
			}
			if told != "cert first;north reminder;" {
				t.Errorf("told are %s", told)
			}
			w.now = w.now.AddDate(0, 0, -30)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openServer(t)
			w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
			w.office.Pages = pages
			if c.before != nil {
				c.before(w)
			}
			w.keep(t, hole(north, "open-ipp"), hole(south, "open-ipp"))
			if sum := w.send(t); sum.Sent != 2 {
				t.Fatalf("%+v", sum)
			}
			for _, body := range s.accepted().bodies {
				if strings.Contains(string(body), "it@south.example") {
					w.token = tokenIn(t, body)
				}
			}
			if c.change != nil {
				c.change(w)
			}
			if got := w.held(t, w.token); !slices.Equal(got, c.want) {
				t.Errorf("the link shows %q, want %q", got, c.want)
			}
		})
	}
}

// TestTheLinkIsNowhere looks for the token of a link where a mail is kept and
// shown.
func TestTheLinkIsNowhere(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.office.Pages = pages
	w.keep(t, hole("192.0.2.200", "open-ipp"))
	// A preview makes none.
	plan, err := w.office.Plan(t.Context())
	if err != nil || len(plan.Messages) != 1 {
		t.Fatalf("%v, %v", plan.Messages, err)
	}
	letter, err := w.office.Write(t.Context(), &plan.Messages[0])
	if err != nil || tokenIn(t, letter.Mail.Bytes) != unissued {
		t.Errorf("a preview has the link %q, %v", tokenIn(t, letter.Mail.Bytes), err)
	}
	links := func() []store.Link {
		t.Helper()
		all, err := w.store.Links(t.Context(), w.office.View, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if len(links()) != 0 {
		t.Errorf("a preview makes %v", links())
	}
	if page, err := w.office.page(t.Context(), &plan.Messages[0], make([]store.Place, pageCases+1), true); page != "" || err != nil {
		t.Errorf("a mail about very many cases has the page %q, %v", page, err)
	}
	w.send(t)
	token := tokenIn(t, s.accepted().bodies[0])
	l := links()
	if len(l) != 1 || l[0].Contact != "mail:it@south.example" || l[0].Constituent != "south" || !l[0].Expires.Equal(noon.Add(pages.Life)) || l[0].Places[0].Nearest != "south" {
		t.Fatalf("%+v", l)
	}
	m := w.message(t, "it@south.example")
	kept, err := w.store.Content(t.Context(), w.office.View, m.ID)
	if err != nil || len(kept) == 0 {
		t.Fatal(err)
	}
	if strings.Contains(strings.ReplaceAll(string(kept), "=\r\n", ""), token) {
		t.Error("what is kept of a mail that was sent has the token")
	}
	if got := tokenIn(t, kept); got != strings.Repeat("x", 43) {
		t.Errorf("in its place is %q", got)
	}
	// Of one that waits, the very bytes are kept, and who comes through a door
	// reads them without.
	s.behave(func(m *manner) { m.mute = true })
	w.keep(t, hole("192.0.2.1", "open-ipp"))
	w.send(t)
	m = w.message(t, "noc@north.example")
	for _, v := range []access.View{access.RoleAuditor.View("a", noon), access.RoleOperator.View("o", noon)} {
		shown, err := w.store.Content(t.Context(), v, m.ID)
		if err != nil || tokenIn(t, shown) != strings.Repeat("x", 43) {
			t.Errorf("%s reads %q, %v", v.Role, tokenIn(t, shown), err)
		}
	}
}

// TestSendLink sends another link, to nobody but its contact.
func TestSendLink(t *testing.T) {
	s := openServer(t)
	w := openTown(t, filepath.Join(t.TempDir(), "data"), s.addr, noon)
	w.office.Pages = pages
	w.keep(t, hole("192.0.2.200", "open-ipp"))
	w.send(t)
	l, err := w.store.LookLink(t.Context(), tokenIn(t, s.accepted().bodies[0]), noon)
	if err != nil {
		t.Fatal(err)
	}
	w.now = noon.AddDate(0, 0, 20)
	e := hole("192.0.2.200", "open-ipp")
	e.LastSeen = w.now.Add(-time.Hour)
	w.keep(t, e)
	w.office.customers = nil
	if err := w.store.Pause(t.Context(), "j.doe", "complaint", w.now); err != nil {
		t.Fatal(err)
	}
	if _, err := w.office.SendLink(t.Context(), &l, ""); !errors.Is(err, ErrStopped) {
		t.Errorf("while all sending is paused: %v", err)
	}
	if err := w.store.Resume(t.Context(), "j.doe", w.now); err != nil {
		t.Fatal(err)
	}
	next, err := w.office.SendLink(t.Context(), &l, "")
	if err != nil {
		t.Fatal(err)
	}
	has := s.accepted()
	if has.got["it@south.example"] != 2 || len(has.got) != 1 {
		t.Errorf("mails: %v", has.got)
	}
	mail := string(has.bodies[1])
	if strings.Contains(mail, "192.0.2.200") {
		t.Error("the mail names a host")
	}
	if got := w.held(t, tokenIn(t, has.bodies[1])); !slices.Equal(got, []string{"192.0.2.200"}) {
		t.Errorf("the new link shows %q", got)
	}
	if _, err := w.office.SendLink(t.Context(), &l, ""); !errors.Is(err, store.ErrTooSoon) {
		t.Errorf("at once again: %v", err)
	}
	if _, err := w.office.SendLink(t.Context(), &l, "j.doe"); err != nil {
		t.Errorf("a person of ours: %v", err)
	}
	if _, err := w.office.SendLinkOf(t.Context(), l.Message, "j.doe"); err != nil {
		t.Errorf("for the message: %v", err)
	}
	// Its opt-out leads to its contact.
	mailed := regexp.MustCompile(`stop\+([a-z2-7]+)@example\.org`).FindStringSubmatch(mail)
	if mailed == nil {
		t.Fatalf("no opt-out in\n%s", mail)
	}
	id, ok := w.office.Writer.Secret.Open("unsubscribe", mailed[1])
	contact, what, err := w.store.ContactOfMail(t.Context(), string(id))
	if !ok || err != nil || contact != "mail:it@south.example" || what != "link "+next.ID {
		t.Errorf("the opt-out is of %q, %q, %v", contact, what, err)
	}
	// When nothing is its own any more, nothing is sent.
	e.MovedTo = netip.MustParseAddr("192.0.2.201")
	w.keep(t, e)
	if _, err := w.office.SendLink(t.Context(), &l, "j.doe"); !errors.Is(err, ErrNotOwn) {
		t.Errorf("for what has moved: %v", err)
	}
}
