package lab

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Daemon is a program that runs on a host until the test ends.
type Daemon struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	log   log
	err   error
	ended chan struct{}
}

// Start runs a program on h until the test ends. What it writes goes to the
// test's output.
func (h *Host) Start(name string, args ...string) *Daemon {
	h.t.Helper()
	d := &Daemon{t: h.t, name: name, ended: make(chan struct{})}
	d.log.t = h.t
	d.cmd = exec.Command(name, args...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	d.cmd.WaitDelay = time.Second // its children may hold its output open
	ownGroup(d.cmd)
	var err error
	h.room.do(func() { err = d.cmd.Start() })
	if err != nil {
		h.t.Fatalf("on %s: start %s: %v", h.Name, name, err)
	}
	go func() {
		defer close(d.ended)
		d.err = d.cmd.Wait()
	}()
	h.t.Cleanup(d.Kill)
	return d
}

// Ended reports whether the program has ended by itself.
func (d *Daemon) Ended() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// Wrote reports whether the program has written the text, to stdout or stderr.
func (d *Daemon) Wrote(text string) bool { return strings.Contains(d.log.String(), text) }

// Stop asks the program to end, as an init would, and waits for that.
func (d *Daemon) Stop() {
	d.t.Helper()
	if d.Ended() {
		return
	}
	if err := terminate(d.cmd); err != nil && !d.Ended() {
		d.t.Fatalf("stop %s: %v", d.name, err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Errorf("stop %s: still there after %s", d.name, patience)
		d.Kill()
	}
}

// Kill ends the program at once, by its own process id, as a loss of power would.
func (d *Daemon) Kill() {
	d.t.Helper()
	if !d.Ended() {
		if err := kill(d.cmd); err != nil {
			d.t.Errorf("stop %s: %v", d.name, err)
			return
		}
	}
	<-d.ended
}

// A log passes on what it is told and keeps the first mebibyte.
type log struct {
	t    testing.TB
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < 1<<20 {
		l.text.Write(b)
	}
	if _, err := l.t.Output().Write(b); err != nil {
		return 0, fmt.Errorf("log: %w", err)
	}
	return len(b), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
