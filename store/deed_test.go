package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ippwatch/access"
	"ippwatch/exposure"
)

// TestDeed holds that a deed outlives the process, is its doer's alone, is undone
// once, and that the oldest go.
func TestDeed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	ann := access.View{Who: "ann", Tier: access.Operator, At: at}
	want := Deed{
		ID: "D1", Who: "ann", Action: "accept", At: at, Took: 2, Others: 1,
		Was: []Was{{Ruling: exposure.Accepted, Why: "as agreed", By: "bob", Until: at.AddDate(0, 1, 0), Keys: []exposure.Key{sample("10.0.0.1", "open-ipp").Key, sample("10.0.0.2", "open-ipp").Key}}},
	}
	if err := s.KeepDeed(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Deed(t.Context(), ann, "D1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b exposure.Key) bool { return a == b })); diff != "" {
		t.Errorf("after a restart:\n%s", diff)
	}
	for name, v := range map[string]access.View{"another": {Who: "bob", Tier: access.Operator}, "a constituent": {Who: "ann", Tier: access.Constituent}} {
		if _, err := s.Deed(t.Context(), v, "D1"); !errors.Is(err, ErrNoDeed) {
			t.Errorf("%s reads it: %v", name, err)
		}
	}
	if err := s.BeginUndo(t.Context(), access.View{Who: "bob", Tier: access.Operator}, "D1", at); !errors.Is(err, ErrNoDeed) {
		t.Errorf("another undoes it: %v", err)
	}
	if err := s.BeginUndo(t.Context(), ann, "D1", at); err != nil {
		t.Fatal(err)
	}
	if err := s.BeginUndo(t.Context(), ann, "D1", at); !errors.Is(err, ErrNoDeed) {
		t.Errorf("it is undone twice: %v", err)
	}
	if err := s.EndUndo(t.Context(), "D1", 2); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Deed(t.Context(), ann, "D1"); err != nil || got.Undone != at || got.Back != 2 {
		t.Errorf("Deed = %+v, %v, want undone", got, err)
	}
	for i := range keptDeeds {
		if err := s.KeepDeed(t.Context(), Deed{ID: fmt.Sprint("E", i), Who: "ann", Action: "accept", At: at}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Deed(t.Context(), ann, "D1"); !errors.Is(err, ErrNoDeed) {
		t.Errorf("the oldest is still there: %v", err)
	}
	if _, err := s.Deed(t.Context(), ann, "E0"); err != nil {
		t.Error(err)
	}
}
