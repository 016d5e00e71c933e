package render_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ippwatch/acl"
	"ippwatch/acl/render"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestGolden shows what every platform makes of the example that filter init
// writes: the filter that drops, the one that counts, and what takes them off.
func TestGolden(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	policy, err := acl.ParsePolicy("policy.yaml", []byte(acl.Example(now)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range render.All {
		t.Run(p.Name, func(t *testing.T) {
			var b strings.Builder
			for _, countOnly := range []bool{false, true} {
				form, notes := p.Fit(policy.Form(now, countOnly))
				out, err := p.Render(form)
				if err != nil {
					fmt.Fprintf(&b, "==== refused: %v\n", err)
					continue
				}
				texts := out.Texts
				if !countOnly {
					texts = append(texts, out.Rollback...)
				}
				for _, one := range texts {
					fmt.Fprintf(&b, "==== %s\n%s", one.Name, one.Body)
				}
				if countOnly {
					continue
				}
				for _, how := range []struct {
					title string
					lines []string
				}{{"load", out.Load}, {"confirm", out.Confirm}, {"counters", out.Counters}, {"undo", out.Undo}, {"notes", append(notes, out.Notes...)}} {
					fmt.Fprintf(&b, "==== %s\n%s\n", how.title, strings.Join(how.lines, "\n"))
				}
			}
			file := filepath.Join("testdata", p.Name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("%s is not what is written now (go test -update shows it in the diff):\n%s", file, got)
			}
		})
	}
}
