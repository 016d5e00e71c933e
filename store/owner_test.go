package store_test

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/store"
)

func openOwner(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var (
	ownerDay  = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ownerView = access.CLI(ownerDay)
	ownerKey  = exposure.Key{Addr: netip.MustParseAddr("192.0.2.1"), Transport: exposure.TCP, Port: 631, Rule: "open-ipp"}
)

// TestCheckLimits holds how often a door is looked at because somebody asked: of
// one door, of one link, and of all.
func TestCheckLimits(t *testing.T) {
	s := openOwner(t)
	limits := store.Checks{Apart: 2 * time.Minute, Link: 3, All: 4}
	ask := func(link, addr string, at time.Time) (store.Check, error) {
		return s.BeginCheck(t.Context(), store.Check{Link: link, Addr: netip.MustParseAddr(addr), Transport: exposure.TCP, Port: 631, Asked: at}, limits)
	}
	soon := func(err error, until time.Time) {
		t.Helper()
		e, ok := errors.AsType[store.TooSoonError](err)
		if !ok || !errors.Is(err, store.ErrTooSoon) || !e.Until.Equal(until) {
			t.Errorf("%v, want too soon until %s", err, until)
		}
	}
	first, err := ask("a", "192.0.2.1", ownerDay)
	if err != nil || !first.Runs(ownerDay) || first.Runs(ownerDay.Add(store.CheckPatience)) {
		t.Fatalf("%+v, %v", first, err)
	}
	_, err = ask("b", "192.0.2.1", ownerDay.Add(time.Minute)) // another link: the door counts
	soon(err, ownerDay.Add(2*time.Minute))
	if err := s.EndCheck(t.Context(), first.ID, "clean", ownerDay.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.EndCheck(t.Context(), first.ID, "open", ownerDay.Add(2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	all, err := s.ChecksOf(t.Context(), ownerView, "a", 10)
	if err != nil || len(all) != 1 || all[0].Outcome != "clean" || all[0].Runs(ownerDay) {
		t.Errorf("a check that ended twice: %+v, %v", all, err)
	}
	for i, addr := range []string{"192.0.2.2", "192.0.2.3"} {
		if _, err := ask("a", addr, ownerDay.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = ask("a", "192.0.2.4", ownerDay.Add(time.Minute))
	soon(err, ownerDay.Add(time.Hour))
	if _, err = ask("b", "192.0.2.4", ownerDay.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err = ask("c", "192.0.2.5", ownerDay.Add(2*time.Minute))
	soon(err, ownerDay.Add(time.Hour))
	if _, err = ask("c", "192.0.2.5", ownerDay.Add(time.Hour+time.Second)); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	// A view that does not see the host sees no check.
	other := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	if all, err := s.ChecksOf(t.Context(), other, "a", 10); err != nil || len(all) != 0 {
		t.Errorf("a stranger sees %v, %v", all, err)
	}
}

// TestLookLink holds that looking writes nothing, and what it says of links that
// are over.
func TestLookLink(t *testing.T) {
	s := openOwner(t)
	l := store.Link{Contact: "mail:it@south.example", Constituent: "south", Expires: ownerDay.Add(time.Hour), Message: "M-1", Places: []store.Place{{Key: ownerKey, Nearest: "south"}}}
	first, token, err := s.AddLink(t.Context(), l, "outreach", ownerDay)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.LookLink(t.Context(), token, ownerDay)
	if err != nil || got.ID != first.ID || got.Uses != 0 || len(got.Places) != 1 || got.Places[0].Key != ownerKey || got.Cases[0] != ownerKey.Case() {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := s.LookLink(t.Context(), token, ownerDay.Add(time.Hour)); !errors.Is(err, store.ErrLinkOver) {
		t.Errorf("at its end: %v", err)
	}
	for _, wrong := range []string{"", "x", token[1:], token + "A"} {
		if _, err := s.LookLink(t.Context(), wrong, ownerDay); !errors.Is(err, store.ErrNoLink) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	audit, err := s.Audit(t.Context(), ownerView, time.Time{}, 10)
	if err != nil || len(audit) != 1 || audit[0].What != "link add" {
		t.Errorf("written down is %v, %v", audit, err)
	}
	// The mail of a message has one: what a killed attempt made opens nothing.
	_, second, err := s.AddLink(t.Context(), l, "outreach", ownerDay)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LookLink(t.Context(), token, ownerDay); !errors.Is(err, store.ErrLinkOver) {
		t.Errorf("the first of two: %v", err)
	}
	// One in its place leaves it, and there is one a day.
	third, _, err := s.ReplaceLink(t.Context(), first.ID, l, 24*time.Hour, "link "+first.ID, ownerDay)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.LookLink(t.Context(), second, ownerDay); err != nil {
		t.Errorf("the second: %v", err)
	}
	if _, _, err := s.ReplaceLink(t.Context(), third.ID, l, 24*time.Hour, "link "+third.ID, ownerDay.Add(time.Minute)); !errors.Is(err, store.ErrTooSoon) {
		t.Errorf("two in a day: %v", err)
	}
	if _, err := s.Link(t.Context(), access.View{Tier: access.Constituent}, first.ID); !errors.Is(err, store.ErrNoLink) {
		t.Errorf("a constituent reads a link: %v", err)
	}
}

// TestPleas holds the life of what an owner asks for.
func TestPleas(t *testing.T) {
	s := openOwner(t)
	ask := func(kind store.PleaKind, party string) store.Plea {
		t.Helper()
		p, err := s.PutPlea(t.Context(), store.Plea{Link: "l", Contact: "mail:a@b.example", Constituent: party, Key: ownerKey, Cycle: 1, Kind: kind, Reason: "because", Asked: ownerDay})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := ask(store.PleaAccept, "south")
	second := ask(store.PleaAccept, "south") // in its place
	other := ask(store.PleaAccept, "north")
	state := func(id string, want store.PleaState) {
		t.Helper()
		p, err := s.Plea(t.Context(), ownerView, id)
		if err != nil || p.State != want {
			t.Errorf("plea %s is %s, %v, want %s", id, p.State, err, want)
		}
	}
	state(first.ID, store.PleaWithdrawn)
	state(second.ID, store.PleaOpen)
	state(other.ID, store.PleaOpen)
	if err := s.DecidePlea(t.Context(), second.ID, store.PleaOpen, store.PleaGranted, "ann", "until spring", ownerDay); err != nil {
		t.Fatal(err)
	}
	if err := s.DecidePlea(t.Context(), second.ID, store.PleaOpen, store.PleaRefused, "bob", "", ownerDay); !errors.Is(err, store.ErrNoPlea) {
		t.Errorf("decided twice: %v", err)
	}
	state(second.ID, store.PleaGranted)
	open, err := s.Pleas(t.Context(), ownerView, store.PleaOpen, 10)
	if err != nil || len(open) != 1 || open[0].ID != other.ID {
		t.Errorf("open are %v, %v", open, err)
	}
	stranger := access.View{Tier: access.Constituent, Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	if all, err := s.PleasAt(t.Context(), stranger, []netip.Addr{ownerKey.Addr}); err != nil || len(all) != 0 {
		t.Errorf("a stranger sees %v, %v", all, err)
	}
	if _, err := s.Plea(t.Context(), stranger, other.ID); !errors.Is(err, store.ErrNoPlea) {
		t.Errorf("a stranger reads one: %v", err)
	}
}
