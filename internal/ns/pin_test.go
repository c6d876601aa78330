package ns_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// addBridge makes a bridge in a namespace, by which a test knows it again.
func addBridge(h ns.Handle) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(h.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "known"
	return handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
}

func nothing(ns.Handle) error { return nil }

// inode is the number of the namespace that this thread is in.
func inode(t *testing.T) uint64 {
	t.Helper()
	n, err := ns.Inode("/proc/thread-self/ns/net")
	check(t, err)
	return n
}

func names(t *testing.T, p ns.Pins) []string {
	t.Helper()
	out, err := p.Names()
	check(t, err)
	return out
}

func TestPins(t *testing.T) {
	p, before := ns.HostPins(testnet.NewPins(t)), inode(t)
	var made uint64
	check(t, p.Create("a", func(h ns.Handle) (err error) {
		if _, early := p.Open("a"); !errors.Is(early, ns.ErrNoPin) {
			t.Errorf("the name is there before the namespace is whole: %v", early)
		}
		made, err = h.Inode()
		return errors.Join(err, addBridge(h))
	}))
	h, err := p.Open("a")
	check(t, err)
	defer h.Close()
	pinned, err := h.Inode()
	check(t, err)
	byPath, err := ns.Inode(p.Path("a"))
	check(t, err)
	if pinned != made || byPath != made || made == before {
		t.Errorf("made %d, opened %d, at its path %d, the process's own %d", made, pinned, byPath, before)
	}
	if inode(t) != before {
		t.Error("the caller is in another namespace now")
	}
	if out, err := h.Run(t.Context(), "", "ip", "-br", "link", "show", "known"); err != nil ||
		!strings.HasPrefix(out, "known ") {
		t.Errorf("not what was furnished: %q, %v", out, err)
	}
	if diff := cmp.Diff([]string{"a"}, names(t, p)); diff != "" {
		t.Error(diff)
	}
	check(t, p.Remove("a", nil))
	check(t, p.Remove("a", nil))
	if _, err := p.Open("a"); !errors.Is(err, ns.ErrNoPin) || !strings.Contains(err.Error(), p.Path("a")) {
		t.Errorf("open what is removed: %v", err)
	}
	if _, err := h.Run(t.Context(), "", "ip", "link", "show", "known"); err != nil {
		t.Errorf("a namespace that is open is gone: %v", err)
	}
}

// TestPinsNoDirectory: the directory is made with the first namespace.
func TestPinsNoDirectory(t *testing.T) {
	p := ns.HostPins(filepath.Join(testnet.NewPins(t), "below", "netns"))
	if got := names(t, p); len(got) > 0 {
		t.Errorf("names %v", got)
	}
	if _, err := p.Open("a"); !errors.Is(err, ns.ErrNoPin) {
		t.Errorf("open: %v", err)
	}
	check(t, p.Remove("a", nil))
	check(t, p.Create("a", nothing))
	check(t, p.Remove("a", nil))
}

// TestIPNetNS: ip-netns(8) shows a pin, works in it and removes it, and a namespace of its own opens here.
func TestIPNetNS(t *testing.T) {
	host := testnet.New(t, "netns") // makes the directory, and removes what a killed test left of the prefix
	p := ns.HostPins(testnet.Dir)
	name := fmt.Sprintf("mcpt-%d-pinned", os.Getpid())
	t.Cleanup(func() { check(t, p.Remove(name, nil)) })
	check(t, p.Create(name, addBridge))
	if got := host.Run("ip", "netns"); !strings.Contains(got, name) {
		t.Errorf("ip netns does not show it:\n%s", got)
	}
	if got := host.Run("ip", "netns", "exec", name, "ip", "-br", "link"); !strings.Contains(got, "known") {
		t.Errorf("ip netns exec is not in it:\n%s", got)
	}
	host.Run("ip", "netns", "del", name)
	if _, err := p.Open(name); !errors.Is(err, ns.ErrNoPin) {
		t.Errorf("after ip netns del: %v", err)
	}
	host.Run("ip", "netns", "add", name)
	h, err := p.Open(name)
	check(t, err)
	check(t, h.Close())
	if err := p.Create(name, nothing); !errors.Is(err, ns.ErrPinTaken) {
		t.Errorf("create over a namespace of ip netns: %v", err)
	}
}

// TestCreateFails: what could not be furnished leaves nothing.
func TestCreateFails(t *testing.T) {
	p := ns.HostPins(testnet.NewPins(t))
	broken := errors.New("broken on purpose")
	if err := p.Create("a", func(ns.Handle) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if got := names(t, p); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

// TestKilled: a process that ends before its namespace is whole leaves nothing; one that ends before the mount leaves
// an empty file, which is no namespace and stands in nobody's way.
func TestKilled(t *testing.T) {
	dir := testnet.NewPins(t)
	p := ns.HostPins(dir)
	inMountNamespace(t, "killed as-it-is "+dir+" a")
	if got := names(t, p); len(got) > 0 {
		t.Errorf("a killed process left %v", got)
	}
	leave := func() { check(t, os.WriteFile(p.Path("a"), nil, 0)) }
	leave()
	if _, err := p.Open("a"); !errors.Is(err, ns.ErrNoPin) {
		t.Errorf("open an empty file: %v", err)
	}
	check(t, p.Create("a", nothing))
	h, err := p.Open("a")
	check(t, err)
	check(t, h.Close())
	check(t, p.Remove("a", nil))
	leave()
	check(t, p.Remove("a", nil))
	if got := names(t, p); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

// TestTaken: what somebody else has under the name stays as it is, whatever it is.
func TestTaken(t *testing.T) {
	for what, take := range map[string]func(path string) error{
		"a file":      func(path string) error { return os.WriteFile(path, []byte("theirs"), 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":      func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a dead link": func(path string) error { return os.Symlink("nowhere", path) },
	} {
		t.Run(what, func(t *testing.T) {
			p := ns.HostPins(testnet.NewPins(t))
			check(t, take(p.Path("a")))
			before, err := os.Lstat(p.Path("a"))
			check(t, err)
			refused(t, p, "a")
			check(t, p.Remove("a", nil))
			after, err := os.Lstat(p.Path("a"))
			if err != nil || before.Mode() != after.Mode() || before.Size() != after.Size() ||
				!before.ModTime().Equal(after.ModTime()) {
				t.Errorf("it was %v, and is %v (%v)", before, after, err)
			}
			if _, err := p.Open("a"); !errors.Is(err, ns.ErrNoPin) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

// TestTakenNamespace: a namespace of the name stays, with what is in it.
func TestTakenNamespace(t *testing.T) {
	p := ns.HostPins(testnet.NewPins(t))
	check(t, p.Create("a", addBridge))
	before, err := ns.Inode(p.Path("a"))
	check(t, err)
	refused(t, p, "a")
	if after, err := ns.Inode(p.Path("a")); err != nil || before != after {
		t.Errorf("another namespace is in its place (%d, not %d; %v)", after, before, err)
	}
	check(t, p.Remove("a", nil))
	if _, err := os.Lstat(p.Path("a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there after one removal: %v", err)
	}
}

func refused(t *testing.T, p ns.Pins, name string) {
	t.Helper()
	if err := p.Create(name, nothing); !errors.Is(err, ns.ErrPinTaken) || !strings.Contains(err.Error(), p.Path(name)) {
		t.Errorf("create: %v", err)
	}
}

// TestCreateBeside: of all who want one name at once, one gets it.
func TestCreateBeside(t *testing.T) {
	const many = 8
	p := ns.HostPins(testnet.NewPins(t))
	errs := make([]error, many)
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() { errs[i] = p.Create("a", nothing) })
	}
	group.Wait()
	got := 0
	for _, err := range errs {
		if err == nil {
			got++
		} else if !errors.Is(err, ns.ErrPinTaken) {
			t.Error(err)
		}
	}
	if got != 1 {
		t.Errorf("%d of %d got the name", got, many)
	}
	check(t, p.Remove("a", nil))
	if got := names(t, p); len(got) > 0 {
		t.Errorf("left after one removal: %v", got)
	}
}

// TestPropagation: a pin shows on the host, or is not made. A managed plugin cannot share the host's directory itself.
func TestPropagation(t *testing.T) {
	for _, c := range []struct{ kind, propagation, want string }{
		{"host", "as-it-is", done}, {"guest", "as-it-is", done},
		{"host", "private", done}, // a host that never made its directory shared
		{"guest", "private", private},
		{"host", "slave", private}, {"guest", "slave", private},
	} {
		t.Run(c.kind+" "+c.propagation, func(t *testing.T) {
			dir := testnet.NewPins(t)
			got := inMountNamespace(t, fmt.Sprintf("%s %s %s a", c.kind, c.propagation, dir))
			if !strings.HasPrefix(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if c.want == private && (!strings.Contains(got, "mount --make-rshared /run") ||
				!strings.Contains(got, dir)) {
				t.Errorf("names no remedy, or no directory: %s", got)
			}
			p := ns.HostPins(dir)
			h, err := p.Open("a")
			if shows := err == nil; shows != (c.propagation == "as-it-is") {
				t.Errorf("shows outside: %v (%v)", shows, err)
			}
			check(t, h.Close())
			if c.want == private && len(names(t, p)) > 0 {
				t.Errorf("left %v", names(t, p))
			}
		})
	}
}

// TestHostMounts: what a guest is told of propagation counts only if the host is in the same peer group.
func TestHostMounts(t *testing.T) {
	own, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	const hostDir = "/run/netns" // as the host calls it
	line := regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ ` + testnet.Dir +
		` \S+ (shared:\d+).*$`).FindStringSubmatch(string(own))
	if line == nil {
		t.Fatalf("%s is no shared mount:\n%s", testnet.Dir, own)
	}
	table := func(group string) string {
		return "1 0 8:1 / / rw - ext4 /dev/vda rw\n2 1 8:1 / " + hostDir + " rw " + group + " - ext4 /dev/vda rw\n"
	}
	for name, c := range map[string]struct{ table, want string }{
		"the host's group": {table(line[1]), done},
		"another group":    {table("shared:999999"), private},
		"no group":         {table(""), private},
		"no such mount":    {"1 0 8:1 / / rw - ext4 /dev/vda rw\n", private},
	} {
		t.Run(name, func(t *testing.T) {
			dir, mounts := testnet.NewPins(t), filepath.Join(t.TempDir(), "mountinfo")
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // the guest's own mount of it
			check(t, os.WriteFile(mounts, []byte(c.table), 0o600))
			got := inMountNamespace(t, fmt.Sprintf("guest as-it-is %s a %s %s", dir, hostDir, mounts))
			if !strings.HasPrefix(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			h, err := ns.HostPins(dir).Open("a")
			if shows := err == nil; shows != (c.want == done) {
				t.Errorf("shows outside: %v (%v)", shows, err)
			}
			check(t, h.Close())
		})
	}
	got := inMountNamespace(t, fmt.Sprintf("guest as-it-is %s a %s %s", testnet.NewPins(t), hostDir, "/no/such/table"))
	if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "/no/such/table") {
		t.Errorf("without a table: %s", got)
	}
}

// TestNotPermitted: without CAP_SYS_ADMIN nothing is made or removed, and the error says what is needed.
func TestNotPermitted(t *testing.T) {
	dir := testnet.NewPins(t)
	p := ns.HostPins(dir)
	check(t, p.Create("there", nothing))
	for order, name := range map[string]string{"host as-it-is": "a", "guest as-it-is": "a",
		"remove as-it-is": "there", "apart as-it-is": "a"} {
		got := inMountNamespace(t, fmt.Sprintf("%s %s %s", order, dir, name), "setpriv", "--bounding-set=-sys_admin")
		if !strings.HasPrefix(got, notPermitted) || !strings.Contains(got, "CAP_SYS_ADMIN") {
			t.Errorf("%s: %s", order, got)
		}
	}
	if diff := cmp.Diff([]string{"there"}, names(t, p)); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	h, err := p.Open("there")
	check(t, err)
	check(t, h.Close())
}

func TestWatch(t *testing.T) {
	p := ns.HostPins(testnet.NewPins(t))
	check(t, p.Create("before", nothing))
	seen := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Watch(ctx, func() { seen <- struct{}{} }) }()
	waitForWatch(t, p, seen)
	expect(t, seen, "a namespace", func() error { return p.Create("a", nothing) })
	expect(t, seen, "its removal", func() error { return p.Remove("a", nil) })
	expect(t, seen, "the removal of an older one", func() error { return p.Remove("before", nil) })
	check(t, os.Chmod(p.Path("known"), 0o644))
	select {
	case <-seen:
		t.Error("a change of a file's mode is reported")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	select {
	case err := <-ended:
		check(t, err)
	case <-time.After(2 * time.Second):
		t.Error("goes on after its context ended")
	}
	if err := ns.HostPins(filepath.Join(p.Path("known"), "below")).Watch(t.Context(), func() {}); err == nil {
		t.Error("watches a directory that cannot be")
	}
}

// TestWatchNoDirectory: on a host that was just started there is no directory yet.
func TestWatchNoDirectory(t *testing.T) {
	p := ns.HostPins(filepath.Join(testnet.NewPins(t), "netns"))
	seen := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = p.Watch(ctx, func() { seen <- struct{}{} }) }()
	for range 100 {
		if _, err := os.Stat(p.Path("")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	waitForWatch(t, p, seen)
	expect(t, seen, "a namespace", func() error { return p.Create("a", nothing) })
}

// waitForWatch changes something until it is seen: the watch starts in its own time.
func waitForWatch(t *testing.T, p ns.Pins, seen chan struct{}) {
	t.Helper()
	for range 100 {
		check(t, os.WriteFile(p.Path("known"), nil, 0o600))
		select {
		case <-seen:
			return
		case <-time.After(50 * time.Millisecond):
			check(t, os.Remove(p.Path("known")))
		}
	}
	t.Fatal("the watch sees nothing")
}

func expect(t *testing.T, seen chan struct{}, what string, do func() error) {
	t.Helper()
	for len(seen) > 0 {
		<-seen
	}
	check(t, do())
	select {
	case <-seen:
	case <-time.After(2 * time.Second):
		t.Errorf("%s is not seen", what)
	}
}

// TestRemoveSparesWhoPinsMeanwhile: one store takes a namespace away while another makes one of the same name.
func TestRemoveSparesWhoPinsMeanwhile(t *testing.T) {
	pins := ns.HostPins(testnet.NewPins(t))
	nothing := func(ns.Handle) error { return nil }
	for range 200 {
		check(t, pins.Create("mcp-x", nothing))
		var both sync.WaitGroup
		var made atomic.Bool
		both.Go(func() {
			if err := pins.Remove("mcp-x", nil); err != nil {
				t.Errorf("remove: %v", err)
			}
		})
		both.Go(func() {
			for i := 0; i < 40 && !made.Load(); i++ {
				made.Store(pins.Create("mcp-x", nothing) == nil)
			}
		})
		both.Wait()
		h, err := pins.Open("mcp-x")
		if made.Load() && err != nil {
			t.Fatalf("the other's namespace is gone: %v", err)
		}
		if err == nil {
			check(t, h.Close())
		}
		check(t, pins.Remove("mcp-x", nil))
	}
}

// TestRemoveAsks: whose a namespace is is asked while nobody can give its name to another; one that is not to go stays.
func TestRemoveAsks(t *testing.T) {
	p, theirs := ns.HostPins(testnet.NewPins(t)), errors.New("theirs")
	check(t, p.Create("a", addBridge))
	before, err := ns.Inode(p.Path("a"))
	check(t, err)
	if err := p.Remove("a", func(ns.Handle) error { return theirs }); !errors.Is(err, theirs) {
		t.Errorf("got %v", err)
	}
	if after, err := ns.Inode(p.Path("a")); err != nil || before != after {
		t.Errorf("another namespace is in its place (%d, not %d; %v)", after, before, err)
	}
	made := make(chan error, 1)
	check(t, p.Remove("a", func(h ns.Handle) error {
		if asked, err := h.Inode(); err != nil || asked != before {
			t.Errorf("asked about %d, not %d (%v)", asked, before, err)
		}
		go func() { made <- p.Create("b", nothing) }()
		select {
		case <-made:
			t.Error("a name was given meanwhile")
		case <-time.After(100 * time.Millisecond):
		}
		return nil
	}))
	check(t, <-made)
	if got := names(t, p); len(got) != 1 || got[0] != "b" {
		t.Errorf("left: %v", got)
	}
	check(t, p.Remove("b", nil))
}

// TestTakenOtherKind: a namespace that is no network's is taken for none, and stays.
func TestTakenOtherKind(t *testing.T) {
	p := ns.HostPins(testnet.NewPins(t))
	check(t, p.Prepare())
	check(t, os.WriteFile(p.Path("a"), nil, 0o600))
	check(t, unix.Mount("/proc/self/ns/uts", p.Path("a"), "none", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(p.Path("a"), unix.MNT_DETACH) })
	if _, err := p.Open("a"); !errors.Is(err, ns.ErrPinTaken) || !strings.Contains(err.Error(), p.Path("a")) {
		t.Errorf("open: %v", err)
	}
	refused(t, p, "a")
	check(t, p.Remove("a", nil))
	var s unix.Statfs_t
	if err := unix.Statfs(p.Path("a"), &s); err != nil || s.Type != unix.NSFS_MAGIC {
		t.Errorf("it is gone: %v", err)
	}
}

// TestLockHeld: who holds the directory's lock and hangs makes nobody hang.
func TestLockHeld(t *testing.T) {
	p := ns.HostPins(testnet.NewPins(t))
	check(t, p.Prepare())
	dir, err := os.Open(filepath.Dir(p.Path("a")))
	check(t, err)
	defer dir.Close()
	check(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	done := make(chan error, 2)
	go func() { done <- p.Create("a", nothing) }()
	go func() { done <- p.Remove("a", nil) }()
	for range cap(done) {
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), dir.Name()) {
				t.Errorf("got %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("waits for the lock for ever")
		}
	}
}
