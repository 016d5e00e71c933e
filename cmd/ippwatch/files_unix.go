//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// raiseFiles sees to it that n files can be open at once.
func raiseFiles(n int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	want := uint64(n)
	if uint64(lim.Cur) >= want { //nolint:unconvert // signed on FreeBSD
		return nil
	}
	if uint64(lim.Max) < want { //nolint:unconvert // as above
		return hint(fmt.Errorf("%d open files are allowed, %d are needed", lim.Max, want), "lower --concurrency, or raise the limit with ulimit -Hn %d", want)
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// freeDisk returns how many bytes a directory's disk has left for its user.
func freeDisk(dir string) (free uint64, known bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true //nolint:unconvert // the types differ between systems
}
