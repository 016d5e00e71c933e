package jail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Enter takes what can be taken, from all threads and for ever. An error is that
// something should have been taken and was not; what the kernel does not know is
// in the report.
func Enter(o Options) (Report, error) {
	// What concerns a thread concerns this one until all is done.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var r Report
	if err := become(o, &r); err != nil {
		return r, fmt.Errorf("become user %s: %w", o.User, err)
	}
	if err := dropCapabilities(&r); err != nil {
		return r, fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return r, fmt.Errorf("prctl no_new_privs: %w", err)
	}
	if err := landlock(o.Writable, &r); err != nil {
		return r, fmt.Errorf("landlock: %w", err)
	}
	if err := seccomp(&r); err != nil {
		return r, fmt.Errorf("seccomp: %w", err)
	}
	return r, nil
}

// become gives the directory to the user and becomes it, where root may.
func become(o Options, r *Report) error {
	if os.Geteuid() != 0 || o.User == "" || o.User == "root" {
		return nil
	}
	uid, gid, err := numbers(o.User)
	if err != nil {
		return err
	}
	err = give(o.Writable, uid, gid)
	if err == nil {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setresgid(gid, gid, gid), syscall.Setresuid(uid, uid, uid))
	}
	if errors.Is(err, syscall.EINVAL) {
		// A root that has no other users, as in a container of an ordinary user.
		r.lacks("user "+o.User, err)
		return nil
	} else if err != nil {
		return err
	}
	r.took("user " + o.User)
	return nil
}

// give gives a directory and what is in it to the user. He may have been there
// before, and may have been taken over: a file that has a second name elsewhere is
// not given away.
func give(dir string, uid, gid int) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case ok && int(st.Uid) == uid && int(st.Gid) == gid:
			return nil
		case ok && info.Mode().IsRegular() && st.Nlink > 1:
			return fmt.Errorf("%s has another name elsewhere", path)
		}
		return os.Lchown(path, uid, gid)
	})
}

// nobody is who "nobody" is where no file says so, as in an empty container.
const nobody = 65534

func numbers(name string) (uid, gid int, err error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil && n > 0 {
		return int(n), int(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil && name == "nobody" {
		return nobody, nobody, nil
	} else if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(err1, err2)
}

// onAll makes a system call on every thread. A program with cgo has threads of
// which Go knows nothing.
func onAll(call, a1, a2 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(call, a1, a2, 0); errno != 0 {
		if errno == syscall.ENOTSUP {
			return errCgo
		}
		return errno
	}
	return nil
}

var (
	errCgo   = errors.New("not in a program built with cgo")
	errFirst = errors.New("its first version is too narrow")
)

// Shrink takes from a process that does not hear strangers what it does not need
// either: of what root may, only reading and writing the files of those whom it
// has started remains, and no program that it started would have more.
func Shrink() error {
	keep := uint32(0)
	if os.Geteuid() == 0 {
		keep = 1 << unix.CAP_DAC_OVERRIDE
	}
	err := setCapabilities(keep)
	if err == nil {
		err = onAll(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	}
	if errors.Is(err, errCgo) {
		return nil
	}
	return err
}

func setCapabilities(keep uint32) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	return onAll(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])))
}

// dropCapabilities leaves none, as systemd gives one for the port.
func dropCapabilities(r *Report) error {
	err := setCapabilities(0)
	if errors.Is(err, errCgo) {
		r.lacks("capabilities", err)
		return nil
	} else if err != nil {
		return err
	}
	r.took("all capabilities")
	return nil
}

// Rights that Landlock knows by version; Go's package names all of them.
const (
	handled = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	allowed = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG
)

// landlock leaves one directory, and no TCP port to bind or to connect to
// (landlock(7)).
func landlock(dir string, r *Report) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno != 0:
		r.lacks("Landlock", errno)
		return nil
	case version == 1:
		// It lets no file move to another directory, as a spool's must.
		r.lacks("Landlock", errFirst)
		return nil
	}
	rights := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	rights.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	inside := uint64(allowed)
	size := unsafe.Sizeof(rights.Handled_access_fs)
	if version >= 3 {
		rights.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
		inside |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	what := "files outside the data directory"
	if version >= 4 {
		rights.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size = unsafe.Offsetof(rights.Handled_access_net) + unsafe.Sizeof(rights.Handled_access_net)
		what += ", TCP ports to bind and to connect to"
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rights)), size, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer unix.Close(int(fd))
	at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(at)
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: inside, Parent_fd: int32(at)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	if err := onAll(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err == nil {
		err = onAll(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0)
		if err != nil {
			return err
		}
		r.took(fmt.Sprintf("Landlock %d: %s", version, what))
	} else if errors.Is(err, errCgo) {
		r.lacks("Landlock", err)
	} else {
		return err
	}
	return nil
}
