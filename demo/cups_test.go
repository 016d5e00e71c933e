package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	goipp "github.com/OpenPrinting/goipp"
)

// needCUPS returns the cupsd that is installed here, or skips the test.
func needCUPS(t *testing.T) string {
	t.Helper()
	cupsd := FindCUPS()
	if cupsd == "" {
		withoutCUPS(t, "no cupsd: apt-get install --no-install-recommends cups; go test ./demo")
	}
	return cupsd
}

// withoutCUPS skips the test; where IPPWATCH_LAB is "require" it fails instead.
func withoutCUPS(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("IPPWATCH_LAB") == "require" {
		t.Fatalf("%s (and IPPWATCH_LAB=require)", why)
	}
	t.Skip(why)
}

// nothingIn checks that no file is in the directory, and that no process has a
// name of it on its command line.
func nothingIn(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
	if runtime.GOOS != "linux" {
		return
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lines {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(dir)) {
			t.Errorf("%s was left behind: %q", filepath.Dir(name), text)
		}
	}
}

// TestRealCUPSIsForReadingOnly tries what a user of this machine might, while
// the demo's cupsd runs, perhaps as root.
func TestRealCUPSIsForReadingOnly(t *testing.T) {
	c, err := startCUPS(t.Context(), needCUPS(t), t.TempDir(), 0)
	if err != nil {
		withoutCUPS(t, err.Error())
	}
	defer func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		nothingIn(t, filepath.Dir(c.dir))
	}()
	tests := []struct {
		name   string
		op     goipp.Op
		path   string
		status int
	}{
		{"list the queues", goipp.OpCupsGetPrinters, "/", http.StatusOK},
		{"describe the queue", goipp.OpGetPrinterAttributes, "/printers/demo", http.StatusOK},
		{"add a queue", goipp.OpCupsAddModifyPrinter, "/printers/mine", http.StatusUnauthorized},
		{"add a queue, as lpadmin does", goipp.OpCupsAddModifyPrinter, "/admin/", http.StatusUnauthorized},
		{"let the queue take jobs", goipp.OpCupsAcceptJobs, "/printers/demo", http.StatusUnauthorized},
		{"start the queue", goipp.OpResumePrinter, "/printers/demo", http.StatusUnauthorized},
		{"delete the queue", goipp.OpCupsDeletePrinter, "/printers/demo", http.StatusUnauthorized},
		{"ask which devices there are", goipp.OpCupsGetDevices, "/", http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := post(t, c.at, tt.op, tt.path); got != tt.status {
				t.Errorf("HTTP status %d, want %d", got, tt.status)
			}
		})
	}
}

// post returns the HTTP status of an IPP request.
func post(t *testing.T, at netip.AddrPort, op goipp.Op, path string) int {
	t.Helper()
	m := goipp.NewRequest(goipp.MakeVersion(2, 0), op, 1)
	queue := path
	if queue == "/admin/" {
		queue = "/printers/mine"
	}
	m.Operation.Add(goipp.MakeAttribute("attributes-charset", goipp.TagCharset, goipp.String("utf-8")))
	m.Operation.Add(goipp.MakeAttribute("attributes-natural-language", goipp.TagLanguage, goipp.String("en")))
	m.Operation.Add(goipp.MakeAttribute("printer-uri", goipp.TagURI, goipp.String(fmt.Sprintf("ipp://%s%s", at, queue))))
	m.Printer.Add(goipp.MakeAttribute("device-uri", goipp.TagURI, goipp.String("file:///dev/null")))
	body, err := m.EncodeBytes()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(fmt.Sprintf("http://%s%s", at, path), goipp.ContentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestCUPSThatDoesNotStart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs /bin/sh, which plays cupsd: go test ./demo on Linux")
	}
	tests := []struct {
		name   string
		script string
		want   string
	}{
		{"it ends, and says why", "printf 'no \\033[31mway\\n' >&2; exit 1", `ended at once: no \x1b[31mway`},
		{"it ends without a word", "exit 1", "ended at once: "},
		{"it does not answer", "exec sleep 60", "does not answer at 127.0.0.1:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cupsd := filepath.Join(t.TempDir(), "cupsd")
			if err := os.WriteFile(cupsd, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := startCUPS(t.Context(), cupsd, dir, 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("startCUPS: %v, want %q in it", err, tt.want)
			}
			nothingIn(t, dir)
		})
	}
	t.Run("the user stops the demo meanwhile", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dir := t.TempDir()
		if _, err := startCUPS(ctx, "/bin/sh", dir, 0); err == nil {
			t.Error("startCUPS with a context that has ended succeeds")
		}
		nothingIn(t, dir)
	})
}
