package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuUsed returns the CPU time that this process has used.
func cpuUsed() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// peakMemory returns the most bytes that this process has had resident: VmHWM of
// proc_pid_status(5). The ru_maxrss of getrusage(2) is inherited from whoever
// started the process, if that was larger.
func peakMemory() (float64, error) { return status("VmHWM:") }

// residentMemory returns the bytes that this process has resident now.
func residentMemory() (float64, error) { return status("VmRSS:") }

func status(field string) (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, field)
		if !ok {
			continue
		}
		var kib float64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			return 0, fmt.Errorf("read %s %q: %w", field, rest, err)
		}
		return kib * 1024, nil
	}
	return 0, fmt.Errorf("no %s in /proc/self/status", field)
}

// childPeak returns the same of a child that has ended. Its starter must be the
// smaller of the two: see peakMemory.
func childPeak(state *os.ProcessState) (float64, error) {
	r, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, fmt.Errorf("usage of the child: %T", state.SysUsage())
	}
	return float64(r.Maxrss) * 1024, nil
}

// openFiles counts the open descriptors of a process; none when it has ended.
func openFiles(pid int) int {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0
	}
	if pid == os.Getpid() {
		return len(names) - 1 // but for this look
	}
	return len(names)
}

// machine says where this was measured.
func machine() string {
	kernel := "an unknown kernel"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	model := "an unknown CPU"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s: %s, %s, %s.", time.Now().UTC().Format(time.DateOnly), cores(), model, goAnd(kernel))
}
