package read

import (
	"fmt"
	"strings"
	"testing"

	"ippwatch/acl"
)

// BenchmarkReadLarge reads 50 MB of which three lines matter.
func BenchmarkReadLarge(b *testing.B) {
	for _, one := range []struct {
		name        string
		read        func([]acl.Text, acl.Attach) (acl.Filter, error)
		block, ours string
	}{
		{"ios-xe", readXE, "ip access-list extended C%d\n 10 permit tcp any host 10.0.0.7 eq 631\n 20 permit ip any any\ninterface Gi0/0/1.%[1]d\n ip access-group C%[1]d out\n!\n", "interface wan\n ip access-group A in\nip access-list extended A\n 10 permit ip any any\n"},
		{"ios-xr", readXR, "ipv4 access-list C%d\n 10 permit tcp any host 10.0.0.7 eq 631\n 20 permit ipv4 any any\ninterface BE1.%[1]d\n ipv4 access-group C%[1]d egress\n!\n", "interface wan\n ipv4 access-group A ingress\nipv4 access-list A\n 10 permit ipv4 any any\n"},
		{"eos", readEOS, "ip access-list C%d\n   10 permit tcp any host 10.0.0.7 eq ipp\n   20 permit ip any any\ninterface Vlan%[1]d\n   ip access-group C%[1]d out\n!\n", "interface wan\n   ip access-group A in\nip access-list A\n   10 permit ip any any\n"},
	} {
		b.Run(one.name, func(b *testing.B) {
			var t strings.Builder
			for i := 0; t.Len() < 50<<20; i++ {
				fmt.Fprintf(&t, one.block, i)
			}
			t.WriteString(one.ours)
			texts := []acl.Text{{Name: "running", Body: t.String()}}
			b.SetBytes(int64(t.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if f, err := one.read(texts, edge); err != nil || len(f.Stages) != 1 || len(f.Unverified) > 0 {
					b.Fatalf("%+v, %v", f, err)
				}
			}
		})
	}
}
