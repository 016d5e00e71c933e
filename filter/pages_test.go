package filter

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ippwatch/acl"
	"ippwatch/acl/render"
)

var (
	pageBlock = regexp.MustCompile("(?ms)^```([a-z-]+)\n(.*?)^```")
	pagePlace = regexp.MustCompile(`s/\\\[wan\\\]/\[(.*?)\]/`)
)

// TestPages holds the examples of docs/filters against what is rendered: a
// block that is marked with the name of a platform is a part of the example's
// filter, at the interface that the page names.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("../docs/filters/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// A page is about the platform of its name; that on FlowSpec is about two.
		platforms := []string{strings.TrimSuffix(filepath.Base(page), ".md")}
		if platforms[0] == "flowspec" {
			platforms = []string{"flowspec-bird", "flowspec-gobgp"}
		}
		for _, platform := range platforms {
			if Has(platform) {
				showsWhatIsRendered(t, page, platform, text)
			}
		}
	}
}

func showsWhatIsRendered(t *testing.T, page, platform string, text []byte) {
	t.Helper()
	t.Run(platform, func(t *testing.T) {
		p, err := acl.ParsePolicy("policy.yaml", []byte(acl.Example(now)))
		if err != nil {
			t.Fatal(err)
		}
		if m := pagePlace.FindSubmatch(text); m != nil {
			p.Interfaces = []string{strings.ReplaceAll(string(m[1]), `\/`, "/")}
		}
		var all strings.Builder
		for _, countOnly := range []bool{false, true} {
			r, err := Render(platform, p.Form(now, countOnly))
			if errors.Is(err, acl.ErrCannot) {
				continue // what it can is shown
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range append(r.Texts, r.Rollback...) {
				all.WriteString(one.Body)
			}
		}
		for _, m := range pageBlock.FindAllSubmatch(text, -1) {
			if string(m[1]) == platform && !strings.Contains(all.String(), string(m[2])) {
				t.Errorf("%s: what is rendered has not:\n%s", page, m[2])
			}
		}
		if one, _ := render.ByName(platform); one.Proven == "" && !strings.Contains(string(text), Unverified) {
			t.Errorf("%s does not say that it is %s", page, Unverified)
		}
	})
}
