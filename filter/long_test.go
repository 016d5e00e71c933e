package filter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ippwatch/acl"
)

// BenchmarkLongList holds a list of 20,000 lines, such as an enterprise has at its
// edge, against a policy: one line in seven is about printing.
func BenchmarkLongList(b *testing.B) {
	d := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	text.WriteString("interface wan\n ip access-group A in\nip access-list extended A\n")
	for i := range 20_000 {
		action := []string{"permit", "permit", "deny"}[d.IntN(3)]
		ports := []int{22, 80, 443, 631, 25, 53, d.IntN(60000)}
		fmt.Fprintf(&text, " %d %s %s 10.%d.%d.0 0.0.0.255 198.51.%d.%d 0.0.0.%d eq %d\n", 10*(i+1), action, []string{"tcp", "udp"}[d.IntN(2)],
			d.IntN(256), d.IntN(256), d.IntN(256), d.IntN(4)*64, []int{0, 63, 15}[d.IntN(3)], ports[d.IntN(7)])
	}
	text.WriteString(" permit ip any any\n")
	form := policy().Form(now, false)
	b.ReportAllocs()
	for b.Loop() {
		seen, err := Read("ios-xe", []acl.Text{{Name: "running", Body: text.String()}}, form.At)
		if err != nil {
			b.Fatal(err)
		}
		if r := Check(form, seen); len(r.Leaks) == 0 || len(r.Unverified) > 0 {
			b.Fatal(r)
		}
	}
}
