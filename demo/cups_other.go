//go:build !linux

package demo

import "syscall"

// leashed is for Linux only: elsewhere nothing ends a program whose parent was
// killed.
func leashed() *syscall.SysProcAttr { return nil }
