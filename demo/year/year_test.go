package year_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ippwatch/access"
	"ippwatch/archive"
	"ippwatch/demo/year"
	"ippwatch/exposure"
	"ippwatch/store"
)

func write(t testing.TB, o year.Options) (*store.Store, *archive.Archive, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	ar, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ar.Close() })
	began := time.Now()
	was := ""
	o.Step = func(_ int, what string) {
		if what != was {
			t.Logf("%6.2fs %s", time.Since(began).Seconds(), what)
		}
		was = what
	}
	if err := year.Write(t.Context(), st, ar, o); err != nil {
		t.Fatal(err)
	}
	return st, ar, dir
}

func TestStory(t *testing.T) {
	hosts := 60
	if n, err := strconv.Atoi(os.Getenv("IPPWATCH_YEAR")); err == nil {
		hosts = n
	}
	st, ar, _ := write(t, year.Options{Seed: 1, Hosts: hosts, Whole: os.Getenv("IPPWATCH_YEAR") != ""})
	_ = st
	n := 0
	for _, err := range ar.Observations(context.Background(), access.CLI(year.Now), archive.Query{From: year.Special, To: year.Special.AddDate(0, 0, 1), Source: exposure.Shadowserver}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	t.Log(n)
}
