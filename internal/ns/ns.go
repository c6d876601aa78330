// Package ns opens network namespaces, works in them, and pins those of networks. Nothing in mcpnet assumes the
// namespace that a process happens to run in.
package ns

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Handle is an open network namespace.
type Handle struct {
	fd netns.NsHandle
	// own is the namespace that the process runs in, which nobody has to enter.
	own bool
	// closed is shared by copies: the number of a descriptor that was closed is soon somebody else's.
	closed *atomic.Bool
}

// Open opens the namespace at a path such as /run/netns/NAME. The empty path is the process's own namespace.
func Open(path string) (Handle, error) {
	if path == "" {
		return openOwn()
	}
	fd, err := netns.GetFromPath(path)
	if err != nil {
		return Handle{}, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return Handle{fd: fd, closed: new(atomic.Bool)}, nil
}

// openOwn goes by the thread: threads that enter another namespace end there, so that the caller's is the process's.
func openOwn() (Handle, error) {
	fd, err := netns.GetFromPath("/proc/thread-self/ns/net")
	if err != nil {
		return Handle{}, fmt.Errorf("this process's network namespace: %w", err)
	}
	return Handle{fd: fd, own: true, closed: new(atomic.Bool)}, nil
}

// Inode is the number of the namespace at a path. It is that of no other one while this one is in use.
func Inode(path string) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return s.Ino, nil
}

// Inode is the number of the namespace.
func (h Handle) Inode() (uint64, error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(h.fd), &s); err != nil {
		return 0, fmt.Errorf("network namespace: %w", err)
	}
	return s.Ino, nil
}

// Close releases the namespace. Once more, through whichever copy of the handle, it does nothing.
func (h Handle) Close() error {
	if h.fd <= 0 || h.closed.Swap(true) {
		return nil
	}
	return h.fd.Close()
}

// FD is the namespace's file descriptor, which names it to the kernel.
func (h Handle) FD() int { return int(h.fd) }

// Socket is the descriptor to open sockets with that belong to the namespace; ok is false where any socket of the
// process does.
func (h Handle) Socket() (fd int, ok bool) { return int(h.fd), h.fd > 0 && !h.own }

// Do runs f in the namespace. f must not start goroutines that expect to be in it.
func (h Handle) Do(f func() error) error {
	if _, foreign := h.Socket(); !foreign {
		return f()
	}
	return onOwnThread(func() error {
		if err := netns.Set(h.fd); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it: no other goroutine inherits the namespace that f leaves it in.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the runtime ends the thread
		done <- f()
	}()
	return <-done
}

// Run executes a command in the namespace with text on its standard input and returns its standard output. An error
// carries what the command said.
func (h Handle) Run(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	return run(exec.CommandContext(ctx, name, args...), stdin, h.Do)
}

// RunApart is Run in a network namespace that is made for the command and ends with it.
func RunApart(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	out, err := run(cmd, stdin, func(f func() error) error { return f() })
	return out, explain(err)
}

// run executes a command within do.
func run(cmd *exec.Cmd, stdin string, do func(func() error) error) (string, error) {
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaint
	if err := do(cmd.Run); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", cmd.Args[0], err, firstLines(complaint.String()))
	}
	return out.String(), nil
}

// firstLines keeps an error readable: nft repeats the whole line that it could not take, for every object in it.
func firstLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[:min(4, len(lines))], "; ")
}
