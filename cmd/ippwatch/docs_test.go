package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ippwatch/persona"
)

// exits marks a command of the documentation that ends with another code than 0.
var exits = regexp.MustCompile(`# exits (\d+)$`)

// TestDocs types every command that the documentation shows, page by page, each
// page in a directory of its own that has the files the pages speak of.
func TestDocs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the pages scan 127.0.63.0/29, which only Linux answers for; run it there: make docs")
	}
	binary := filepath.Join(t.TempDir(), "ippwatch")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	played := openNeighbourhood(t)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages: %v %v", pages, err)
	}
	filters, err := filepath.Glob("../../docs/filters/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range slices.Concat(pages, filters, []string{"../../README.md"}) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/docs")); err != nil {
				t.Fatal(err)
			}
			for _, line := range commands(t, page) {
				typeLine(t, dir, filepath.Dir(binary), played.Replace(line))
			}
		})
	}
}

// commands are the lines behind "$ " in the console blocks of a page.
func commands(t *testing.T, page string) []string {
	t.Helper()
	f, err := os.Open(page)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var found []string
	inside := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && strings.HasPrefix(line, "$ "):
			found = append(found, line[2:])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func typeLine(t *testing.T, dir, path, line string) {
	t.Helper()
	want := 0
	if m := exits.FindStringSubmatch(line); m != nil {
		want, _ = strconv.Atoi(m[1])
	}
	line = strings.ReplaceAll(line, "go run ./cmd/ippwatch", "ippwatch")
	cmd := exec.CommandContext(context.Background(), "sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+filepath.Join(dir, "share"), "XDG_CONFIG_HOME="+filepath.Join(dir, "etc"))
	out, err := cmd.CombinedOutput()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if got != want {
		t.Errorf("$ %s\nexits %d, want %d\n%s", line, got, want, out)
	}
}

// openNeighbourhood plays the street that the pages scan. They name the port at
// which it is played when nobody else has it; the replacer names the one it is.
func openNeighbourhood(t *testing.T) *strings.Replacer {
	t.Helper()
	hood, err := persona.Open(t.Context(), persona.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hood.Close)
	return strings.NewReplacer(
		fmt.Sprintf("--port %d", persona.DefaultPort), fmt.Sprintf("--port %d", hood.Ports()[0]),
		fmt.Sprintf("--udp-port %d", persona.DefaultPort), fmt.Sprintf("--udp-port %d", hood.UDPPort()),
	)
}
