// Package ns says in which network namespace an edge works. Nothing in mcpnet assumes the host's own.
package ns

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Handle is an open network namespace, or, as its zero value, the one the process runs in.
type Handle struct {
	handle netns.NsHandle
	open   bool
}

// Open opens the namespace at a path such as /run/netns/NAME. The empty path is the process's own namespace.
func Open(path string) (Handle, error) {
	if path == "" {
		return Handle{}, nil
	}
	h, err := netns.GetFromPath(path)
	if err != nil {
		return Handle{}, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return Handle{h, true}, nil
}

// Inode is the number of the namespace at a path. It is that of no other one while this one is in use.
func Inode(path string) (uint64, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return s.Ino, nil
}

// Close releases the namespace.
func (h Handle) Close() error {
	if !h.open {
		return nil
	}
	return h.handle.Close()
}

// FD is the namespace's file descriptor; ok is false for the process's own namespace.
func (h Handle) FD() (fd int, ok bool) { return int(h.handle), h.open }

// Do runs f in the namespace. f must not start goroutines that expect to be in it.
func (h Handle) Do(f func() error) error {
	if !h.open {
		return f()
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the runtime ends the thread with the goroutine, so no other one inherits the namespace.
		runtime.LockOSThread()
		if err := netns.Set(h.handle); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// Run executes a command in the namespace with text on its standard input and returns its standard output. An error
// carries what the command said.
func (h Handle) Run(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	err := h.Do(func() error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaint
		return cmd.Run()
	})
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", name, err, firstLines(complaint.String()))
	}
	return out.String(), nil
}

// firstLines keeps an error readable: nft repeats the whole line that it could not take, for every object in it.
func firstLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[:min(4, len(lines))], "; ")
}
