package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// enter runs this test binary again in namespaces of its own and returns its
// exit code.
func enter() (int, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		if err := widenPath(); err != nil {
			return 0, err
		}
	}
	// The child is killed when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)

	var refusals []string
	for _, w := range ways() {
		// Tests in the lab wait for programs; they do not compute.
		cmd := exec.Command("/proc/self/exe", append([]string{"-test.parallel=8"}, os.Args[1:]...)...)
		cmd.Args[0] = os.Args[0]
		cmd.Env = append(os.Environ(), inside+"="+w.mode)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = w.attr
		if err := cmd.Start(); err != nil {
			refusals = append(refusals, w.name+": "+err.Error())
			continue
		}
		return attend(cmd, signals)
	}
	return 0, fmt.Errorf("no namespaces: %s: as root, with CAP_SYS_ADMIN, go test ./lab", strings.Join(refusals, "; "))
}

// attend passes signals on to the lab until it ends. What goes wrong from here
// on is a failure: the tests may have begun.
func attend(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return 2, nil
			}
		case err := <-ended:
			if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
				return exit.ExitCode(), nil
			} else if err != nil {
				fmt.Fprintln(os.Stderr, "lab:", err)
				return 2, nil
			}
			return 0, nil
		}
	}
}

type way struct {
	name string
	mode string
	attr *syscall.SysProcAttr
}

// ways are the ways into a lab, best first. Root needs no user namespace, which
// many machines forbid; a container's root may have nothing else.
func ways() []way {
	// With a PID namespace of its own, all that the lab started ends with it.
	const rooms = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	if os.Getuid() != 0 {
		return []way{{"as an ordinary user", asUser, users(rooms, 1)}}
	}
	return []way{
		{"as root", asRoot, &syscall.SysProcAttr{Cloneflags: rooms, Pdeathsig: syscall.SIGKILL}},
		{"as root of a user namespace", asRoot, users(rooms, 1<<16)},
	}
}

// users adds a user namespace in which n users, from the present one on, are 0 to n-1.
func users(rooms uintptr, n int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  rooms | syscall.CLONE_NEWUSER,
		Pdeathsig:   syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: n}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: n}},

		GidMappingsEnableSetgroups: n > 1,
	}
}

// furnish makes the namespaces of this process a lab.
func furnish() error {
	// Nobody else may end up on the main thread: a thread that has namespaces
	// of its own must be able to end, and the main thread cannot.
	runtime.LockOSThread()
	if err := widenPath(); err != nil {
		return err
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("not installed: ip: apt-get install --no-install-recommends iproute2; go test ./lab")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc of the lab: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run of the lab: %w", err)
	}
	// What tests write stands in memory and is gone even after kill -9.
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(scratch, 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", scratch); err != nil {
		return err
	}
	if err := calm(); err != nil {
		return err
	}
	return ip(
		"link set lo up",
		"addr add "+Here4.String()+"/32 dev lo",
		"addr add "+Here6.String()+"/128 dev lo nodad",
	)
}

const scratch = "/run/lab"

// widenPath adds the directories of daemons, which an ordinary user's PATH lacks.
func widenPath() error {
	return os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin:/usr/bin:/bin")
}

// calm switches off what IPv6 does on a new interface by itself: an address
// must work at once, and nobody here is a router that advertises.
func calm() error {
	for _, name := range []string{"accept_dad", "router_solicitations", "accept_ra"} {
		if err := set("ipv6/conf/default/"+name, "0"); err != nil {
			return fmt.Errorf("no IPv6: %w", err)
		}
	}
	return nil
}

// A room is a thread with network, mount and UTS namespaces of its own. What it
// is told to do, and every program that it starts, happens there.
type room struct {
	calls chan func()
	net   string // the file by which others name its network
}

// newRoom returns a room that is closed by close.
func newRoom(hostname string) (*room, error) {
	r := &room{calls: make(chan func())}
	opened := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine, and the
		// namespaces end with the thread and its programs.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS)
		if err == nil {
			err = unix.Sethostname([]byte(hostname))
		}
		if err == nil {
			err = calm()
		}
		if err == nil {
			err = protect()
		}
		r.net = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		opened <- err
		if err != nil {
			return
		}
		for call := range r.calls {
			call()
		}
	}()
	return r, <-opened
}

// protect makes the machine's files read-only for the calling thread. What a
// daemon writes that nobody thought of fails, and does not stay.
func protect() error {
	for _, mount := range []string{"/", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(mount, &fs); err != nil {
			continue
		}
		// The flags that are there must stay: a user namespace may not drop them.
		const keep = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME
		flags := uintptr(fs.Flags)&keep | unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY
		if err := unix.Mount("", mount, "", flags, ""); err != nil && (mount == "/" || !errors.Is(err, unix.EINVAL)) {
			return fmt.Errorf("make %s read-only: %w", mount, err) // EINVAL: no mount of its own
		}
	}
	return nil
}

// do runs f in the room and waits for it.
func (r *room) do(f func()) {
	done := make(chan struct{})
	r.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

func (r *room) close() { close(r.calls) }

// bind shows the file or directory from at the place to. Call it in a room.
func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// ip runs a batch of ip commands in the namespace of the calling thread.
func ip(lines ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch %q: %w: %s", lines, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ownGroup makes the program the leader of a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks the program to end.
func terminate(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }

// kill ends the program and its process group.
func kill(cmd *exec.Cmd) error {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", cmd.Process.Pid, err)
	}
	return nil
}

// set writes a kernel setting of the calling thread's network, such as "ipv4/ip_forward".
func set(name, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set net/%s to %s: %w", name, value, err)
	}
	return nil
}
