package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is a network namespace: one of our own, or that of a real container.
type NS struct {
	t     T
	label string
	path  string

	mu     sync.Mutex
	handle *netlink.Handle
}

// New makes a namespace with its loopback up. The label names it in messages
// and in the name of its file below /run/netns.
func New(t T, label string) *NS {
	t.Helper()
	path, err := create(label)
	must(t, err, "namespace %s", label)
	n := &NS{t: t, label: label, path: path}
	t.Cleanup(n.remove)
	// Duplicate address detection would keep addresses tentative for a second.
	n.trySysctl("net.ipv6.conf.all.accept_dad", "0")
	n.trySysctl("net.ipv6.conf.default.accept_dad", "0")
	n.Up("lo")
	return n
}

// FromPath wraps a namespace that belongs to somebody else.
func FromPath(t T, path string) *NS {
	n := &NS{t: t, label: filepath.Base(path), path: path}
	t.Cleanup(n.closeHandle)
	return n
}

// FromPID wraps the namespace of a process, such as a container's first one.
func FromPID(t T, pid int) *NS {
	n := FromPath(t, fmt.Sprintf("/proc/%d/ns/net", pid))
	n.label = fmt.Sprintf("pid-%d", pid)
	return n
}

// Path is the file that stands for the namespace.
func (n *NS) Path() string { return n.path }

// Label is the name that the namespace was given.
func (n *NS) Label() string { return n.label }

// Do runs fn in the namespace, on a thread of its own. Sockets that fn opens
// stay in the namespace; goroutines that it starts do not run there.
func (n *NS) Do(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		// A test's Fatalf ends the goroutine without a result.
		err := errors.New("ended early")
		defer func() { done <- err }()
		err = within(n.path, fn)
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("in namespace %s: %w", n.label, err)
	}
	return nil
}

// within runs fn on the calling thread, moved to the namespace at path.
func within(path string, fn func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return err
	}
	defer target.Close()
	return onOwnThread(func() error {
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter: %w", err)
		}
		return fn()
	})
}

// onOwnThread runs fn on a locked thread and moves it back to the namespace
// where it was. A thread that cannot go back is never used again.
func onOwnThread(fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// Without the unlock, the thread ends with its goroutine.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	return fn()
}

// Command prepares a program that runs in the namespace and ends with it.
// It uses nsenter because `ip netns exec` mounts a new /sys, which hides the
// cgroup mounts from engines. There is no death signal, because it would come
// with the end of the thread that started the program, not of the process.
func (n *NS) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + n.path, "--", name}, args...)...)
}

// Output runs a program in the namespace and returns what it printed.
func (n *NS) Output(name string, args ...string) (string, error) {
	out, err := n.Command(name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %s %s: %w: %s",
			n.label, name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Run is Output for programs that have to succeed.
func (n *NS) Run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Output(name, args...)
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	return out
}

// RunInput runs a program in the namespace with text on its standard input.
func (n *NS) RunInput(input, name string, args ...string) string {
	n.t.Helper()
	cmd := n.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %s %s: %v: %s", n.label, name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Handle speaks netlink in the namespace. It is opened once.
func (n *NS) Handle() *netlink.Handle {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handle != nil {
		return n.handle
	}
	f, err := os.Open(n.path)
	must(n.t, err, "namespace %s", n.label)
	defer f.Close()
	n.handle, err = netlink.NewHandleAt(netns.NsHandle(f.Fd()), unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
	must(n.t, err, "netlink in %s", n.label)
	return n.handle
}

// Sysctl sets a kernel setting of the namespace, named with dots.
func (n *NS) Sysctl(key, value string) {
	n.t.Helper()
	must(n.t, n.sysctl(key, value), "sysctl %s=%s", key, value)
}

// trySysctl is Sysctl for settings that a kernel may lack.
func (n *NS) trySysctl(key, value string) {
	if err := n.sysctl(key, value); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Logf("sysctl %s=%s: %v", key, value, err)
	}
}

func (n *NS) sysctl(key, value string) error {
	file := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return n.Do(func() error { return os.WriteFile(file, []byte(value), 0o644) })
}

// Idle lets go of what the process holds open of the namespace, until it is used again. Where there are thousands, each
// program that is started has to close all of it.
func (n *NS) Idle() { n.closeHandle() }

func (n *NS) closeHandle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handle != nil {
		n.handle.Close()
		n.handle = nil
	}
}

// With is the same namespace for a part of a test that clears up earlier.
func (n *NS) With(t T) *NS {
	view := FromPath(t, n.path)
	view.label = n.label
	return view
}
