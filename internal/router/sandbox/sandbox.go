// Package sandbox takes from a process what it does not need to parse what strangers send: the file system, its user,
// every capability, and all system calls but those for sockets that it has already.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// Nobody is the user and the group that the process becomes (the overflow id,
// Documentation/admin-guide/sysctl/kernel.rst).
const Nobody = 65534

// calls are the system calls that are left: those of Go's runtime, and what sockets need that are open. There is none
// to open a file, to make a socket, to connect one, or to start a process.
var calls = []string{
	"read", "write", "readv", "writev", "close", "fstat", "fcntl", "dup", "dup3", "lseek", "pipe2", "splice",
	"accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown", "recvfrom", "recvmsg",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "poll", "ppoll", "futex", "mmap",
	"munmap", "madvise", "mprotect", "mincore", "clone", "clone3", "set_robust_list", "rseq", "sched_getaffinity",
	"sched_yield", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "getpid", "gettid",
	"exit", "exit_group", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday", "getrandom",
	"restart_syscall", "timer_create", "timer_settime", "timer_delete", "setitimer", "uname",
}

// Enter confines the process, for good. It is to be called once the process holds everything that it will use.
func Enter() error {
	for _, step := range []struct {
		what string
		do   func() error
	}{{"leave the file system", leaveFiles}, {"drop the user", dropUser}, {"forbid core dumps", noDump}, {"filter system calls", filter}} {
		if err := step.do(); err != nil {
			return fmt.Errorf("confine: %s: %w", step.what, err)
		}
	}
	return nil
}

// leaveFiles changes the root to a directory that is empty and gone.
func leaveFiles() error {
	dir, err := os.MkdirTemp("", "mcpnet-router-")
	if err != nil {
		return err
	}
	open, err := os.Open(dir)
	if err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	defer open.Close()
	if err := os.Remove(dir); err != nil {
		return err
	}
	if err := open.Chdir(); err != nil {
		return err
	}
	return syscall.Chroot(".")
}

// dropUser leaves root, and with it every capability (capabilities(7), effect of user ID changes).
func dropUser() error {
	err := errors.Join(
		syscall.Setgroups(nil),
		syscall.Setresgid(Nobody, Nobody, Nobody),
		syscall.Setresuid(Nobody, Nobody, Nobody),
	)
	if err != nil {
		return err
	}
	// A change of the user has taken the signal away that it gets when who started it ends.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

func noDump() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// filter holds for all threads of the process.
func filter() error {
	info, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	var known []string
	for _, name := range calls {
		if _, ok := info.SyscallNames[name]; ok {
			known = append(known, name)
		}
	}
	// A socket of TCP that is disconnected could connect anew as it sends (tcp(7), MSG_FASTOPEN).
	sends := func(call string, flags uint32) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: call, Conditions: seccomp.ArgumentConditions{
			{Argument: flags, Operation: seccomp.BitsNotSet, Value: unix.MSG_FASTOPEN}}}
	}
	return seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{{Names: known, Action: seccomp.ActionAllow,
			NamesWithCondtions: []seccomp.NameWithConditions{sends("sendto", 3), sends("sendmsg", 2)}}}}})
}
