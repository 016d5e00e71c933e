//go:build linux

package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const prisoner = "IPPWATCH_TEST_PRISONER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(prisoner); dir != "" {
		if err := serveTime(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A tale is what a process in jail could still do, by name: "" is that it could.
type tale struct {
	Report Report
	UID    int
	Did    map[string]string
}

// serveTime enters the jail and tries everything.
func serveTime(dir string) error {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	// Threads that are there before must be taken along.
	hold := make(chan struct{})
	for range 8 {
		go func() { _ = syscall.Nanosleep(&syscall.Timespec{Nsec: 2e8}, nil); <-hold }()
	}
	r, err := Enter(Options{User: "nobody", Writable: "."})
	if err != nil {
		return err
	}
	out := tale{Report: r, UID: os.Getuid(), Did: map[string]string{}}
	try := func(what string, f func() error) {
		out.Did[what] = ""
		if err := f(); err != nil {
			out.Did[what] = err.Error()
		}
	}
	to := udp.LocalAddr().(*net.UDPAddr)
	try("send UDP", func() error { _, err := udp.WriteTo([]byte("x"), to); return err })
	try("dial TCP", func() error {
		c, err := net.DialTimeout("tcp", tcp.Addr().String(), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	try("dial UDP", func() error { _, err := net.Dial("udp", to.String()); return err })
	try("resolve", func() error { _, err := net.LookupHost("ippwatch.example"); return err })
	try("run", func() error { return exec.Command("/bin/true").Run() })
	try("write outside", func() error { return os.WriteFile("/tmp/ippwatch-jail-was-here", nil, 0o600) })
	try("read outside", func() error { _, err := os.ReadFile("/etc/hostname"); return err })
	try("write inside", func() error {
		if err := os.WriteFile("a", []byte("x"), 0o600); err != nil {
			return err
		}
		if err := os.Mkdir("d", 0o700); err != nil {
			return err
		}
		return errors.Join(os.Rename("a", "d/b"), os.Remove("d/b"), os.Remove("d"))
	})
	fmt.Println(tcp.Addr()) // somebody calls
	try("answer a caller", func() error {
		c, err := tcp.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	return json.NewEncoder(os.Stdout).Encode(out)
}

// TestJail runs a process into the jail and asks what it could still do. Built
// as the product is, without cgo, all of it must hold.
func TestJail(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "jail.test")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	// As it may be: not to be reached by anybody else from above.
	closed := filepath.Join(t.TempDir(), "closed")
	dir := filepath.Join(closed, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), prisoner+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("%q %s: %v", addr, rest, err)
	}
	hello, err := io.ReadAll(c)
	if err != nil || string(hello) != "hello" {
		t.Errorf("the prisoner said %q, %v", hello, err)
	}
	var told tale
	if err := json.NewDecoder(out).Decode(&told); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("taken: %q, missing: %q", told.Report.Taken, told.Report.Missing)
	missing := strings.Join(told.Report.Missing, "; ")
	can := []string{"write inside", "answer a caller"}
	cannot := []string{"write outside", "read outside"}
	if strings.Contains(missing, "Landlock") {
		t.Logf("this kernel has no Landlock: %s", missing)
		cannot = nil
	}
	if !strings.Contains(missing, "seccomp") {
		cannot = append(cannot, "send UDP", "dial TCP", "dial UDP", "resolve", "run")
	}
	for _, what := range can {
		if told.Did[what] != "" {
			t.Errorf("the prisoner cannot %s: %s", what, told.Did[what])
		}
	}
	for _, what := range cannot {
		if told.Did[what] == "" {
			t.Errorf("the prisoner could %s", what)
		}
	}
	if os.Getuid() == 0 && told.UID == 0 {
		t.Error("the prisoner is root")
	}
}

func TestFileWithASecondNameIsNotGivenAway(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(dir, "ours")
	if err := os.WriteFile(ours, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(ours, filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	if err := give(inside, os.Getuid()+1, os.Getgid()); err == nil || !strings.Contains(err.Error(), "link has another name elsewhere") && os.Getuid() == 0 {
		t.Errorf("give = %v", err)
	}
	if os.Getuid() == 0 {
		info, err := os.Stat(ours)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("it was given away: %v, %v", info, err)
		}
	}
}
