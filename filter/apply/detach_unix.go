//go:build unix

package apply

import (
	"os/exec"
	"syscall"
)

// detach gives the guard a session of its own: what ends the terminal, or the
// group of the command, does not end it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
