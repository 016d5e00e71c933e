package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ippwatch/screen"
)

// loopback is where the demo's real cupsd stands: to a client of this machine
// it answers only by the names of the loopback interface, and refuses others,
// 127.0.63.62 too, with 400 (cupsd 2.4, valid_host).
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

const (
	startPatience = 15 * time.Second // a busy machine needs more than one
	endPatience   = 2 * time.Second
	cupsSaid      = 4 << 10 // of its complaints are kept
)

// A realCUPS is a cupsd of this machine's package that the demo has started for
// itself. It has nothing to do with one that serves this machine.
type realCUPS struct {
	at    netip.AddrPort
	dir   string // everything that it writes
	cmd   *exec.Cmd
	said  complaints
	ended chan struct{}
}

// FindCUPS returns the cupsd that is installed here, or "".
func FindCUPS() string {
	// The second and third are not in an ordinary user's PATH.
	for _, name := range []string{"cupsd", "/usr/sbin/cupsd", "/usr/local/sbin/cupsd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startCUPS starts the cupsd with one queue at the port, if that is free, or at
// another, and returns when it answers. What it writes stands in dir/cups.
func startCUPS(ctx context.Context, cupsd, dir string, port uint16) (*realCUPS, error) {
	at, err := freePort(ctx, port)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(filepath.Join(dir, "cups"))
	if err != nil {
		return nil, err
	}
	c := &realCUPS{at: at, dir: dir, ended: make(chan struct{})}
	if err := c.furnish(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c.cmd = exec.Command(cupsd, "-f", "-c", c.file("cupsd.conf"), "-s", c.file("cups-files.conf")) //nolint:noctx // stop ends it, in order
	// Nothing of the user's environment leads it to other files, to a bus or to
	// sockets that somebody handed down.
	c.cmd.Env = []string{
		"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + dir, "TMPDIR=" + c.file("tmp"),
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + c.file("no-bus"),
	}
	c.cmd.Dir = dir
	c.cmd.Stderr = &c.said
	c.cmd.WaitDelay = endPatience
	c.cmd.SysProcAttr = leashed()
	if err := c.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := c.answers(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// freePort is the port at the loopback address, or another if it is taken.
func freePort(ctx context.Context, port uint16) (netip.AddrPort, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", netip.AddrPortFrom(loopback, port).String())
	if err != nil {
		l, err = config.Listen(ctx, "tcp4", netip.AddrPortFrom(loopback, 0).String())
	}
	if err != nil {
		return netip.AddrPort{}, err
	}
	return l.Addr().(*net.TCPAddr).AddrPort(), l.Close()
}

func (c *realCUPS) file(name string) string { return filepath.Join(c.dir, name) }

// furnish writes the configuration: one address, one queue that takes no jobs,
// nothing announced, and nothing but reading for anybody. An address would not
// keep a user of this machine from more: cupsd lets localhost pass every Allow
// and Deny (cupsdCheckAccess), so that only a login does.
func (c *realCUPS) furnish() error {
	for _, name := range []string{"cache", "run", "spool", "ssl", "tmp"} {
		if err := os.MkdirAll(c.file(name), 0o700); err != nil {
			return err
		}
	}
	files := map[string]string{
		"cups-files.conf": strings.ReplaceAll(`ServerRoot DIR
ServerKeychain DIR/ssl
StateDir DIR/run
RequestRoot DIR/spool
CacheDir DIR/cache
TempDir DIR/tmp
AccessLog DIR/access_log
PageLog DIR/page_log
ErrorLog stderr
Printcap
`, "DIR", c.dir),
		"cupsd.conf": fmt.Sprintf(`Listen %s
ServerName localhost
Browsing No
BrowseLocalProtocols none
WebInterface No
LogLevel error
MaxLogSize 0
<Location />
  Order allow,deny
  Allow localhost
</Location>
<Location /admin>
  AuthType Basic
  Require user @SYSTEM
</Location>
<Policy default>
  <Limit CUPS-Get-Default CUPS-Get-Printers CUPS-Get-Classes Get-Printer-Attributes Get-Jobs>
    Order deny,allow
  </Limit>
  <Limit All>
    AuthType Basic
    Require user @SYSTEM
  </Limit>
</Policy>
`, c.at),
		// The device is an address for documentation: nobody's.
		"printers.conf": `<Printer demo>
Info Made by ippwatch demo, and gone with it
DeviceURI socket://192.0.2.9:9100
State Stopped
StateMessage it takes no jobs
Accepting No
Shared Yes
</Printer>
`,
	}
	for name, text := range files {
		if err := os.WriteFile(c.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// start starts the program. On Linux it ends with the thread that started it,
// even if we are killed; so that thread waits for it.
func (c *realCUPS) start() error {
	started := make(chan error)
	go func() {
		defer close(c.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // stop has asked for its end, or answers tells of it
		}
	}()
	return <-started
}

// answers waits until it accepts connections.
func (c *realCUPS) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", c.at.String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return fmt.Errorf("%s ended at once: %s", c.cmd.Path, c.said.last())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s in %s", c.cmd.Path, c.at, startPatience)
		}
	}
}

// stop ends the program, by its own process id, and removes what it wrote.
func (c *realCUPS) stop() error {
	// It may have ended by itself: what counts is that it is gone.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(endPatience):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
	return os.RemoveAll(c.dir)
}

// complaints are the first of what a program writes to stderr. They are read
// when it has ended.
type complaints struct{ text bytes.Buffer }

func (c *complaints) Write(b []byte) (int, error) {
	c.text.Write(b[:min(len(b), cupsSaid-c.text.Len())])
	return len(b), nil
}

// last is the last line.
func (c *complaints) last() string {
	lines := strings.Split(strings.TrimSpace(c.text.String()), "\n")
	return screen.Printable(lines[len(lines)-1])
}
