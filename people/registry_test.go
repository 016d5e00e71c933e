package people_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
	"ippwatch/people"
	"ippwatch/store"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func hand(after time.Duration) people.Hand {
	return people.Hand{View: access.CLI(noon.Add(after)), Who: "j.doe", At: noon.Add(after)}
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), t.TempDir()+"/data")
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

func parse(t testing.TB, text string) []exposure.Constituent {
	t.Helper()
	all, err := people.ParseConstituents("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAnImportNeverOverwritesAHand(t *testing.T) {
	s := openStore(t)
	r := people.NewRegistry(s)
	first := parse(t, `constituents:
  - {name: a, title: A, language: en, networks: [198.51.100.0/25, 198.51.100.128/25], contacts: [{address: abuse@a.example, role: abuse}, noc@a.example]}
  - {name: b, asns: [64500]}
  - {name: c, countries: [DE]}
`)
	plan := must[people.Plan](t)(r.Import(t.Context(), hand(0), "crm", "f", first, false))
	if plan.Counts[people.Added] != 3 {
		t.Errorf("the first import: %v", plan)
	}
	set := must[[]string](t)
	set(r.Set(t.Context(), hand(1), "a", false, []people.Setting{{Field: "language", Value: "de"}, {Field: "networks", Value: "198.51.100.128/25", Remove: true}, {Field: "networks", Value: "203.0.113.0/24"}}))
	set(r.SetContact(t.Context(), hand(2), "a", "abuse@a.example", false, []people.Field{{Key: "interval", Value: "24h"}}))
	set(r.SetContact(t.Context(), hand(3), "a", "boss@a.example", true, []people.Field{{Key: "role", Value: "management"}}))
	if err := r.RemoveContact(t.Context(), hand(4), "a", "NOC@a.example"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), hand(5), "b"); err != nil {
		t.Fatal(err)
	}
	if err := r.Mark(t.Context(), hand(6), "abuse@a.example", store.OptOut, "asked by mail", "by hand"); err != nil {
		t.Fatal(err)
	}
	second := parse(t, `constituents:
  - {name: a, title: A new, language: fr, networks: [198.51.100.0/25, 198.51.100.128/25, 192.0.2.0/24], contacts: [{address: Abuse@A.example, role: technical}, noc@a.example]}
  - {name: b, asns: [64500, 64501]}
`)
	want := people.Plan{
		Source: "crm", Counts: map[string]int{people.Added: 0, people.Changed: 2, people.Removed: 1, people.Same: 0, people.Kept: 2},
		Steps: []people.Step{
			{Name: "a", What: people.Changed, Lines: []string{`title "A" -> "A new"`, `language "en" -> "fr"`, `network +192.0.2.0/24`, `contact Abuse@A.example: address "abuse@a.example" -> "Abuse@A.example"`, `contact Abuse@A.example: role "abuse" -> "technical"`}},
			{Name: "a", What: people.Kept, Lines: []string{`language "fr" -> "de"`, `network -198.51.100.128/25`, `network +203.0.113.0/24`, `contact -noc@a.example`, `contact +boss@a.example (role management)`, `contact Abuse@A.example: interval "" -> "1d"`}},
			{Name: "b", What: people.Changed, Lines: []string{`+AS64501`}},
			{Name: "b", What: people.Kept, Lines: []string{"removed by hand"}},
			{Name: "c", What: people.Removed, Lines: []string{"country -DE"}},
		},
	}
	dry := must[people.Plan](t)(r.Import(t.Context(), hand(time.Hour), "crm", "f", second, true))
	if diff := cmp.Diff(want, dry); diff != "" {
		t.Errorf("what it would do: -want +got\n%s", diff)
	}
	if got := must[people.Known](t)(r.Find(t.Context(), access.CLI(noon), "a")); got.Title != "A" {
		t.Error("a dry run changed something")
	}
	done := must[people.Plan](t)(r.Import(t.Context(), hand(time.Hour), "crm", "f", second, false))
	if diff := cmp.Diff(dry, done); diff != "" {
		t.Errorf("what it did is not what it would do: -would +did\n%s", diff)
	}
	got := must[people.Known](t)(r.Find(t.Context(), access.CLI(noon), "a"))
	p := netip.MustParsePrefix
	wantA := exposure.Constituent{
		Name: "a", Title: "A new", Language: "de", Networks: []netip.Prefix{p("192.0.2.0/24"), p("198.51.100.0/25"), p("203.0.113.0/24")},
		Contacts: []exposure.Recipient{
			{Address: "boss@a.example", Medium: exposure.ByMail, Role: "management", Source: exposure.OwnData, Found: noon.Add(3)},
			{Address: "Abuse@A.example", Medium: exposure.ByMail, Role: "technical", Interval: 24 * time.Hour, OptOut: true, Source: "import crm", Found: noon.Add(time.Hour)},
		},
	}
	if diff := cmp.Diff(wantA, got.Constituent, equateNetworks); diff != "" {
		t.Errorf("a: -want +got\n%s", diff)
	}
	if _, err := r.Find(t.Context(), access.CLI(noon), "b"); !errors.Is(err, people.ErrUnknown) {
		t.Errorf("an import brought back what a hand removed: %v", err)
	}

	// Without the import there is what a hand gave; undone, there is the import.
	must[[]string](t)(r.Forget(t.Context(), hand(2*time.Hour), "crm"))
	got = must[people.Known](t)(r.Find(t.Context(), access.CLI(noon), "a"))
	if len(got.Networks) != 1 || len(got.Contacts) != 1 || got.Language != "de" {
		t.Errorf("after its import is forgotten, a = %v", got.Constituent)
	}
	must[people.Plan](t)(r.Import(t.Context(), hand(3*time.Hour), "crm", "f", second, false))
	must[[]string](t)(r.Undo(t.Context(), hand(4*time.Hour), "a"))
	got = must[people.Known](t)(r.Find(t.Context(), access.CLI(noon), "a"))
	if len(got.Networks) != 3 || got.Language != "fr" || len(got.Edited) != 0 || !got.Contacts[0].OptOut {
		t.Errorf("undone, a = %v", got)
	}
	log, err := s.AuditAbout(t.Context(), access.CLI(noon), people.Words, "a:", 100)
	if err != nil || len(log) != 9 {
		t.Errorf("the audit log has %d entries about a, want 9: %v %v", len(log), log, err)
	}
	if !strings.Contains(log[len(log)-2].Detail, `language "en" -> "de"; network -198.51.100.128/25`) || log[0].Who != "j.doe" {
		t.Errorf("the audit log says %v", log)
	}
}

// TestHandsAndImportsProperty does random things and holds what is there to the
// obvious model: the last hand on an element wins, else the imports.
func TestHandsAndImportsProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "c"}
	sources := []string{"crm", "ripe"}
	for round := range 8 {
		s := openStore(t)
		reg := people.NewRegistry(s)
		imports := make(map[string]map[string]exposure.Constituent) // by source and name
		hands := make(map[string]map[string]string)                 // by name and element, or field
		for step := range 60 {
			at := hand(time.Duration(step) * time.Second)
			name := names[r.IntN(len(names))]
			if hands[name] == nil {
				hands[name] = make(map[string]string)
			}
			switch r.IntN(5) {
			case 0, 1:
				source := sources[r.IntN(len(sources))]
				imports[source] = make(map[string]exposure.Constituent)
				var file []exposure.Constituent
				for _, name := range names {
					if r.IntN(3) > 0 {
						c := randomConstituent(r, name)
						imports[source][name] = c
						file = append(file, c)
					}
				}
				if _, err := reg.Import(t.Context(), at, source, "f", file, false); err != nil {
					t.Fatal(err)
				}
			case 2:
				n := fmt.Sprint(1 + r.IntN(5))
				gone := r.IntN(2) == 0
				_, err := reg.Set(t.Context(), at, name, false, []people.Setting{{Field: "asns", Value: n, Remove: gone}})
				if err == nil {
					hands[name]["AS"+n] = map[bool]string{true: "remove", false: "add"}[gone]
				}
			case 3:
				lang := []string{"de", "en", "ja"}[r.IntN(3)]
				if _, err := reg.Set(t.Context(), at, name, false, []people.Setting{{Field: "language", Value: lang}}); err == nil {
					hands[name]["language"] = lang
				}
			case 4:
				c := fmt.Sprintf("x%d@%s.example", r.IntN(3), name)
				if _, err := reg.SetContact(t.Context(), at, name, c, r.IntN(2) == 0, []people.Field{{Key: "role", Value: "hand"}}); err == nil {
					hands[name][c] = "hand"
				} else if r.IntN(2) == 0 && reg.RemoveContact(t.Context(), at, name, c) == nil {
					hands[name][c] = "remove"
				}
			}
			for _, name := range names {
				compare(t, fmt.Sprintf("round %d, step %d, %s", round, step, name), reg, name, sources, imports, hands[name])
			}
		}
	}
}

func randomConstituent(r *rand.Rand, name string) exposure.Constituent {
	c := exposure.Constituent{Name: name, Language: []string{"", "de", "fr"}[r.IntN(3)], Countries: []string{"NO"}}
	for n := range uint32(5) {
		if r.IntN(2) == 0 {
			c.ASNs = append(c.ASNs, n+1)
		}
	}
	for n := range 3 {
		if r.IntN(2) == 0 {
			c.Contacts = append(c.Contacts, exposure.Recipient{Medium: exposure.ByMail, Address: fmt.Sprintf("x%d@%s.example", n, name), Role: "import"})
		}
	}
	return c
}

func compare(t *testing.T, when string, reg *people.Registry, name string, sources []string, imports map[string]map[string]exposure.Constituent, hands map[string]string) {
	t.Helper()
	asns, contacts := make(map[string]bool), make(map[string]string)
	language, there := "", false
	for _, source := range sources {
		c, ok := imports[source][name]
		there = there || ok
		if language == "" {
			language = c.Language
		}
		for _, n := range c.ASNs {
			asns[fmt.Sprintf("AS%d", n)] = true
		}
		for _, r := range c.Contacts {
			contacts[r.Address] = r.Role
		}
	}
	for what, value := range hands {
		switch {
		case what == "language":
			language = value
		case strings.HasPrefix(what, "AS"):
			asns[what] = value == "add"
			there = there || value == "add"
		case value == "remove":
			delete(contacts, what)
		}
	}
	got, err := reg.Find(context.Background(), access.CLI(noon), name)
	if err != nil {
		// A contact added by hand keeps a constituent too; the model does not
		// tell it from one that was changed.
		if there {
			t.Fatalf("%s: %v, want it to be there", when, err)
		}
		return
	}
	if got.Language != language {
		t.Fatalf("%s: language %q, want %q", when, got.Language, language)
	}
	for what, in := range asns {
		if slices.ContainsFunc(got.ASNs, func(n uint32) bool { return fmt.Sprintf("AS%d", n) == what }) != in {
			t.Fatalf("%s: ASNs %v, want %s to be there: %t", when, got.ASNs, what, in)
		}
	}
	for _, c := range got.Contacts {
		if value, ok := hands[c.Address]; ok && (value == "remove" || c.Role != value) {
			t.Fatalf("%s: contact %s has the role %s, and a hand said %s", when, c.Address, c.Role, value)
		}
	}
	for address := range contacts {
		if !slices.ContainsFunc(got.Contacts, func(c exposure.Recipient) bool { return c.Address == address }) {
			t.Fatalf("%s: contact %s is missing", when, address)
		}
	}
}
