//go:build !linux

package lab

import (
	"errors"
	"os/exec"
)

var errLinux = errors.New("the lab needs Linux: its hosts are network namespaces")

func enter() (int, error) { return 0, errLinux }

func furnish() error { return errLinux }

// A room exists on Linux only. Need has skipped the test before it is missed.
type room struct{ net string }

func newRoom(string) (*room, error) { return nil, errLinux }

func (*room) do(func()) {}

func (*room) close() {}

func bind(string, string) error { return errLinux }

func ip(...string) error { return errLinux }

func ownGroup(*exec.Cmd) {}

func terminate(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func kill(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func set(string, string) error { return errLinux }
