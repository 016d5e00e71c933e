package main

import (
	"testing"

	"ippwatch/answer"
)

// TestExitCodes: it ends as ippwatch does.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		args []string
		want int
	}{
		{"help", []string{"sensor", "--help"}, answer.Done},
		{"nothing", []string{}, answer.Done},
		{"no such command", []string{"scan"}, answer.Misused},
		{"no such persona", []string{"sensor", "--persona", "fax"}, answer.Misused},
		{"no such format", []string{"--format", "xml", "sensor"}, answer.Misused},
		{"no database to receive into", []string{"sensor", "receive"}, answer.Misused},
		{"nothing to report", []string{"sensor", "report", "--data", dir}, answer.Failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(tt.args); got != tt.want {
				t.Errorf("run(%q) = %d, want %d", tt.args, got, tt.want)
			}
		})
	}
}
