//go:build linux

package jail

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	x32       = 0x40000000 // __X32_SYSCALL_BIT
)

var deniedHere = []uint32{unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_MKNOD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_USELIB}
