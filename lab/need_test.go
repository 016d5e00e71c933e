package lab

import (
	"fmt"
	"testing"
)

// A verdict is what Need did to a test.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (*verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) { v.skipped = fmt.Sprintf(format, args...) }

func (v *verdict) Fatalf(format string, args ...any) { v.failed = fmt.Sprintf(format, args...) }

func TestNeed(t *testing.T) {
	const here = "go" // a program that is certainly installed
	tests := []struct {
		name            string
		wanted, inside  string
		refused         string
		programs        []string
		skipped, failed string
	}{
		{name: "everything is there", inside: asRoot, programs: []string{here}},
		{
			name: "Main was not called", programs: []string{here},
			skipped: "lab: TestMain does not call lab.Main",
		},
		{
			name: "no namespaces", refused: "no namespaces: as root, go test ./lab", programs: []string{here},
			skipped: "lab: no namespaces: as root, go test ./lab",
		},
		{
			name: "a required lab cannot be had", wanted: "require", refused: "the lab needs Linux",
			failed: "lab: the lab needs Linux (and IPPWATCH_LAB=require)",
		},
		{
			name: "an ordinary user asks for cupsd", inside: asUser, programs: []string{"ip", "cupsd"},
			skipped: "lab: cupsd needs other users than root: as root, go test ./lab",
		},
		{
			name: "packages are missing", inside: asRoot, programs: []string{"cupsd", "lpadmin", "lpstat"},
			skipped: "lab: not installed: cupsd, lpadmin, lpstat: apt-get install --no-install-recommends cups cups-client; go test ./lab",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(wanted, tt.wanted)
			t.Setenv(inside, tt.inside)
			t.Setenv(refused, tt.refused)
			if tt.name == "packages are missing" {
				t.Setenv("PATH", t.TempDir())
			}
			var got verdict
			Need(&got, tt.programs...)
			if got.skipped != tt.skipped || got.failed != tt.failed {
				t.Errorf("Need(%q) skipped %q, failed %q, want %q, %q", tt.programs, got.skipped, got.failed, tt.skipped, tt.failed)
			}
		})
	}
}
