package filter

import (
	"regexp"
	"strings"
	"testing"

	"ippwatch/acl"
)

// A line that logs each packet is found on whichever line of a list it is, also
// on the last one, which has no name and takes all traffic of an edge.
func TestLogWithoutBoundIsFound(t *testing.T) {
	line := regexp.MustCompile(`(?m)^ *(sequence )?\d+ (permit|deny) .*$`)
	for _, platform := range []string{"ios-xe", "ios-xr", "eos"} {
		t.Run(platform, func(t *testing.T) {
			form := forms()["enforce"]
			r := proven(t, platform, form)
			body := r.Texts[0].Body
			lines := line.FindAllStringIndex(body, -1)
			if len(lines) < 20 {
				t.Fatalf("%d lines", len(lines))
			}
			for _, at := range lines {
				logs := body[:at[1]] + " log" + body[at[1]:]
				seen, err := Read(platform, []acl.Text{{Name: "x", Body: logs}}, r.Form.At)
				if err != nil {
					t.Fatal(err)
				}
				p := acl.Prove(r.Form, seen[0].Filter)
				if p.Proven() || !strings.Contains(strings.Join(p.Lost, "\n"), "for each packet") {
					t.Errorf("not found: %s log: %+v", body[at[0]:at[1]], p)
				}
			}
		})
	}
}
