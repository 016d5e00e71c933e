//go:build !linux

package jail

import "errors"

var errLinuxOnly = errors.New("on Linux only")

// Enter takes what can be taken: here, nothing.
func Enter(Options) (Report, error) {
	var r Report
	r.lacks("user, capabilities, seccomp, Landlock", errLinuxOnly)
	return r, nil
}

// Shrink takes nothing here.
func Shrink() error { return nil }
