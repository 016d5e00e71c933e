package demo

import "syscall"

// leashed keeps Ctrl-C on the terminal from a program, which we end ourselves,
// and lets it not outlive us.
func leashed() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
