package lab_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ippwatch/lab"
)

// An admin types commands on a host whose packet filter is real.
type admin struct {
	t              *testing.T
	host           *lab.Host
	binary, policy string
	dir            string
}

func newAdmin(t *testing.T) *admin {
	t.Helper()
	lab.Need(t, "nft", "ip")
	binary, err := ippwatch()
	if err != nil {
		t.Fatal(err)
	}
	a := &admin{t: t, host: lab.NewHost(t, "host"), binary: binary, dir: t.TempDir()}
	a.policy = filepath.Join(a.dir, "policy.yaml")
	text := `profile: host
owner: noc@example.net
contact: https://www.example.net/filters
review: 2999-01-01
networks: [198.51.100.0/24, "2001:db8:100::/48"]
log: none
`
	if err := os.WriteFile(a.policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// A typed command runs on the host.
type typed struct {
	*exec.Cmd
	out, err *bytes.Buffer
}

func (a *admin) starts(stdin io.Reader, args ...string) *typed {
	a.t.Helper()
	c := &typed{Cmd: exec.CommandContext(a.t.Context(), a.binary, append([]string{"--data", filepath.Join(a.dir, "data"), "filter"}, args...)...)}
	c.out, c.err = new(bytes.Buffer), new(bytes.Buffer)
	c.Stdin, c.Stdout, c.Stderr = stdin, c.out, c.err
	var err error
	a.host.Do(func() { err = c.Start() })
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *admin) types(code int, stdin, out string, args ...string) {
	a.t.Helper()
	c := a.starts(strings.NewReader(stdin), args...)
	_ = c.Wait() // the code tells
	if got := c.ProcessState.ExitCode(); got != code || !strings.Contains(c.out.String()+c.err.String(), out) {
		a.t.Fatalf("ippwatch filter %s: exit %d, want %d and %q\n%s%s", args, got, code, out, c.out, c.err)
	}
}

// rules is what the kernel has.
func (a *admin) rules() string { return a.host.Run("nft", "list", "ruleset") }

const other = "table inet other {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 9 drop\n\t}\n}\n"

func TestApplyGoesBackByItself(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.host.NFT(other)
	before := a.rules()

	// Without --confirm-within nothing is loaded.
	a.types(0, "", "table inet epf631 is not there yet", "apply", "--platform", "nftables", "--enforce", a.policy)
	if now := a.rules(); now != before {
		t.Fatalf("a dry run has loaded\n%s", now)
	}

	// Whoever says nothing gets the old rules back.
	held, silent := io.Pipe()
	defer silent.Close()
	c := a.starts(held, "apply", "--platform", "nftables", "--enforce", "--confirm-within", "30s", a.policy)
	await(t, "the filter", func() bool { return strings.Contains(a.rules(), "epf631_in_tcp") })
	a.types(1, "", "another filter waits to be confirmed", "apply", "--platform", "nftables", a.policy)
	await(t, "the old rules", func() bool { return a.rules() == before })
	_ = silent.Close()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 1 || !strings.Contains(c.err.String(), "not confirmed: the old rules are back") {
		t.Errorf("exit %d: %s", code, c.err)
	}

	// So does whoever says no, at once.
	a.types(1, "no\n", "not confirmed: the old rules are back", "apply", "--platform", "nftables", "--enforce", "--confirm-within", "1h", a.policy)
	if now := a.rules(); now != before {
		t.Errorf("after no:\n%s", now)
	}
}

func TestApplyKilledGoesBack(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	a.types(0, "yes\n", "confirmed", "apply", "--platform", "nftables", "--confirm-within", "1m", a.policy)
	before := a.rules()
	if !strings.Contains(before, "epf631_in_tcp_hit") {
		t.Fatalf("confirmed, and not there:\n%s", before)
	}

	held, silent := io.Pipe()
	defer silent.Close()
	c := a.starts(held, "apply", "--platform", "nftables", "--enforce", "--confirm-within", "30s", a.policy)
	await(t, "the filter", func() bool { return strings.Contains(a.rules(), "drop") })
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = silent.Close()
	_ = c.Wait()
	if !strings.Contains(a.rules(), "drop") {
		t.Error("the filter was gone before the command was killed: the test shows nothing")
	}
	await(t, "the old rules", func() bool { return a.rules() == before })
}

func TestApplyIsConfirmedFromElsewhere(t *testing.T) {
	t.Parallel()
	a := newAdmin(t)
	held, silent := io.Pipe()
	defer silent.Close()
	c := a.starts(held, "apply", "--platform", "nftables", "--enforce", "--confirm-within", "2m", a.policy)
	await(t, "the filter", func() bool { return strings.Contains(a.rules(), "drop") })
	a.types(0, "", "confirmed", "confirm")
	_ = silent.Close()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d: %s", code, c.err)
	}
	a.types(1, "", "nothing waits to be confirmed", "confirm")
	a.types(0, "", "does the same already", "apply", "--platform", "nftables", "--enforce", a.policy)

	// What the filter drops is counted, and the counters are read.
	_, err := a.host.DialContext(t.Context(), "tcp", "198.51.100.1:9")
	if err == nil {
		t.Fatal("somebody listens at port 9")
	}
	conn := dialUDP(t, a.host.Port4(631).String())
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	await(t, "the counter", func() bool {
		c := a.starts(nil, "counters", "--platform", "nftables", "--format", "csv")
		_ = c.Wait()
		return strings.Contains(c.out.String(), "epf631_in_udp,1,")
	})

	// It stays when the time is over.
	time.Sleep(quiet)
	if !strings.Contains(a.rules(), "drop") {
		t.Error("confirmed, and gone")
	}
}

func dialUDP(t *testing.T, to string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
