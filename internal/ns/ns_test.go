package ns_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestClose: a namespace lives as long as anybody holds it open.
func TestClose(t *testing.T) {
	h, err := ns.Open(testnet.New(t, "closed").Path())
	check(t, err)
	open, err := h.Inode()
	check(t, err)
	check(t, h.Close())
	if now, err := h.Inode(); err == nil && now == open {
		t.Error("the namespace is still open")
	}
}

func TestDo(t *testing.T) {
	other := testnet.New(t, "other")
	h, err := ns.Open(other.Path())
	check(t, err)
	defer h.Close()
	want, err := h.Inode()
	check(t, err)
	own := inode(t)
	check(t, h.Do(func() error {
		if got := inode(t); got != want {
			t.Errorf("in namespace %d, not %d", got, want)
		}
		return nil
	}))
	if inode(t) != own || own == want {
		t.Error("the caller went along")
	}
	failed := errors.New("on purpose")
	if err := h.Do(func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if fd, ok := h.Socket(); !ok || fd != h.FD() {
		t.Errorf("sockets of %d, %v", fd, ok)
	}
}

// TestOwn: the empty path is the namespace that the process runs in, which nobody enters.
func TestOwn(t *testing.T) {
	h, err := ns.Open("")
	check(t, err)
	defer h.Close()
	got, err := h.Inode()
	check(t, err)
	if _, foreign := h.Socket(); foreign || got != inode(t) {
		t.Errorf("namespace %d, not %d; foreign: %v", got, inode(t), foreign)
	}
	check(t, h.Do(func() error { return nil }))
}

// TestCloseAgain: whoever closes a handle that is closed, or a copy of it, closes nothing of others: the kernel has given
// the number away by then.
func TestCloseAgain(t *testing.T) {
	for _, path := range []string{"", testnet.New(t, "other").Path()} {
		h, err := ns.Open(path)
		check(t, err)
		again := h
		check(t, h.Close())
		other, err := os.Open(os.DevNull)
		check(t, err)
		defer other.Close()
		if other.Fd() != uintptr(h.FD()) {
			t.Fatalf("descriptor %d is not given away, but %d: the test would show nothing", h.FD(), other.Fd())
		}
		check(t, again.Close())
		if _, err := other.Stat(); err != nil {
			t.Errorf("somebody else's file: %v", err)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	const path = "/run/netns/mcpt-no-such"
	_, err := ns.Open(path)
	_, stat := ns.Inode(path)
	for _, err := range []error{err, stat} {
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
	check(t, ns.Handle{}.Close())
}

// TestRun: a command runs in the namespace, and its complaint is in the error, the first lines of it.
// TestRunApart: the command sees a namespace without anything in it, and what it makes there goes with it.
func TestRunApart(t *testing.T) {
	out, err := ns.RunApart(t.Context(), "link add name made type veth peer name other\n", "sh", "-c", "ip -batch -; ip -br link")
	if links := strings.Count(out, "\n"); err != nil || links < 3 || !strings.Contains(out, "made") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := ns.RunApart(t.Context(), "", "sh", "-c", "echo no >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "sh: exit status 3: no") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRun(t *testing.T) {
	other := testnet.New(t, "other")
	h, err := ns.Open(other.Path())
	check(t, err)
	defer h.Close()
	other.AddBridge("known")
	out, err := h.Run(t.Context(), "show known\n", "sh", "-c", "read command name; ip -br link $command $name")
	if err != nil || !strings.HasPrefix(out, "known ") {
		t.Errorf("got %q, %v", out, err)
	}
	_, err = h.Run(t.Context(), "", "sh", "-c", "seq 9 >&2; exit 1")
	if err == nil || !strings.Contains(err.Error(), "sh: ") || !strings.HasSuffix(err.Error(), "1; 2; 3; 4") {
		t.Errorf("got %v", err)
	}
}
