package ns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pins is the directory of named network namespaces: each is bind-mounted over an empty file, as `ip netns add` does
// (ip-netns(8)), and so outlives every process.
type Pins struct {
	dir string
	// guest directories are the host's, seen from another mount namespace: a pin shows on the host only if mounts
	// propagate.
	guest bool
	// mounts is the host's mount table, as a guest sees it, and host the directory's path in it; empty where it sees
	// none.
	mounts, host string
}

// HostPins is a directory of this process's own root, which is the host's.
func HostPins(dir string) Pins { return Pins{dir: dir} }

// GuestPins is the host's directory as a managed plugin sees it.
func GuestPins(dir string) Pins { return Pins{dir: dir, guest: true} }

// As gives a guest the host's mount table (proc_pid_mountinfo(5)), and the directory's path in it. The guest's own
// shows the directory as shared even if it is not the host's: an OCI runtime makes it so, in a peer group that nobody
// else is in.
func (p Pins) As(host, mounts string) Pins {
	p.host, p.mounts = host, mounts
	return p
}

var (
	// ErrNoPin says that no namespace has the name.
	ErrNoPin = errors.New("no such network namespace")
	// ErrPinTaken says that the name is another one's.
	ErrPinTaken = errors.New("the name is taken")
	// ErrPrivate says that a pin would vanish with the process's mount namespace.
	ErrPrivate = errors.New("mounts made here do not show on the host")
	// ErrNotPermitted says that the process may not make namespaces.
	ErrNotPermitted = errors.New("CAP_SYS_ADMIN is needed to make and to pin network namespaces")
)

// Path is where a namespace of that name is pinned.
func (p Pins) Path(name string) string { return filepath.Join(p.dir, name) }

// Open opens the namespace of that name, or gives ErrNoPin. A file that nothing is mounted on was left by a killed
// process.
func (p Pins) Open(name string) (Handle, error) {
	var s unix.Statfs_t
	err := unix.Statfs(p.Path(name), &s)
	if errors.Is(err, unix.ENOENT) || (err == nil && s.Type != unix.NSFS_MAGIC) {
		return Handle{}, fmt.Errorf("%s: %w", p.Path(name), ErrNoPin)
	}
	if err != nil {
		return Handle{}, fmt.Errorf("network namespace %s: %w", p.Path(name), err)
	}
	h, err := Open(p.Path(name))
	if err == nil && !isNetwork(h.FD()) {
		err = errors.Join(fmt.Errorf("%s: %w by a namespace of another kind", p.Path(name), ErrPinTaken), h.Close())
	}
	return h, err
}

// isNetwork tells a network namespace from other kinds of them (ioctl_nsfs(2)).
func isNetwork(fd int) bool {
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	return err == nil && kind == unix.CLONE_NEWNET
}

// Create makes a namespace, has equip furnish it, and pins it under the name. A process that is killed before the pin
// stands leaves nothing; on any error nothing is left either.
func (p Pins) Create(name string, equip func(Handle) error) error {
	if err := p.Prepare(); err != nil {
		return err
	}
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", explain(err))
		}
		path := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		h, err := Open(path)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := equip(h); err != nil {
			return err
		}
		return p.pin(path, name)
	})
}

// pin mounts a namespace over a file of the name. Who else pins waits for the directory's lock, so that no name is
// given twice.
func (p Pins) pin(namespace, name string) error {
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	path := p.Path(name)
	if found := look(path); found == pinned || found == foreign {
		return fmt.Errorf("pin a network namespace as %s: %w", path, ErrPinTaken)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("pin a network namespace: %w", err)
	}
	file.Close()
	if err := unix.Mount(namespace, path, "none", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("pin a network namespace as %s: %w", path, explain(err)), os.Remove(path))
	}
	return nil
}

// Remove unpins a namespace; it goes with its last user. One that is missing is no error, and what is neither a
// namespace nor left by a killed process stays. may, if set, is asked about a namespace before it goes, while nobody
// else pins or unpins: an error of it is Remove's, and the namespace stays.
func (p Pins) Remove(name string, may func(Handle) error) error {
	unlock, err := p.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	path := p.Path(name)
	found := look(path)
	if found == missing || found == foreign {
		return nil
	}
	if found == pinned && may != nil {
		if err := p.ask(name, may); err != nil {
			return err
		}
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) &&
		!errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin network namespace %s: %w", path, explain(err))
	}
	err = os.Remove(path)
	if errors.Is(err, unix.EBUSY) {
		err = p.removeBeneath(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpin network namespace: %w", explain(err))
	}
	return nil
}

func (p Pins) ask(name string, may func(Handle) error) error {
	h, err := p.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(may(h), h.Close())
}

// removeBeneath removes a pin that a mount of the directory hides: iproute2 mounts the directory on itself when it
// first makes a namespace, over pins that are there, and later versions make that mount one apart. In a mount namespace
// of this thread's alone all of it is taken away, and with the file goes what is mounted on it anywhere.
func (p Pins) removeBeneath(path string) error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "none", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			return err
		}
		for unix.Unmount(path, unix.MNT_DETACH) == nil || unix.Unmount(p.dir, unix.MNT_DETACH) == nil {
			continue // until neither is a mount point
		}
		return os.Remove(path)
	})
}

// occupant is what stands under a name.
type occupant int

const (
	missing occupant = iota
	empty            // a file that nothing is mounted on, left by a killed process
	pinned           // a namespace
	foreign          // something that nobody pins namespaces with
)

func look(path string) occupant {
	info, err := os.Lstat(path)
	if err != nil {
		return missing
	}
	var s unix.Statfs_t
	switch {
	case !info.Mode().IsRegular() || info.Size() != 0:
		return foreign
	case unix.Statfs(path, &s) != nil || s.Type != unix.NSFS_MAGIC:
		return empty
	case !isNetworkAt(path):
		return foreign
	}
	return pinned
}

func isNetworkAt(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return isNetwork(int(file.Fd()))
}

// Names are the names of everything in the directory. Most of it may be others'.
func (p Pins) Names() (names []string, err error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("network namespaces: %w", err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Prepare sees to it that a pin shows wherever the directory does. iproute2 mounts the directory on itself for that,
// under the same lock, and later versions make that mount one of the host's alone: a guest has to be there first, or it
// no longer sees what the host pins, nor the host what it pins.
func (p Pins) Prepare() error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return fmt.Errorf("network namespaces: %w", err)
	}
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	spread, point, err := p.propagation()
	if err != nil {
		return err
	}
	if spread == shared && p.mounts != "" && point != p.dir {
		return explain(unix.Mount(p.dir, p.dir, "none", unix.MS_BIND|unix.MS_REC, ""))
	}
	if spread == shared {
		return nil
	}
	if p.guest || spread == slave {
		return fmt.Errorf("%s: %w: run `mount --make-rshared /run` on the host, and start mcpnet again", p.dir,
			ErrPrivate)
	}
	if err := p.share(); err != nil {
		return fmt.Errorf("%s: %w", p.dir, explain(err))
	}
	return nil
}

// Who holds the directory's lock does so for milliseconds. One that hangs must not make everybody hang.
const (
	lockTime  = 3 * time.Second
	lockPause = time.Millisecond
)

// lock takes the directory's lock, which iproute2 takes too.
func (p Pins) lock() (unlock func(), err error) {
	dir, err := os.Open(p.dir)
	if err != nil {
		return nil, fmt.Errorf("network namespaces: %w", err)
	}
	for began := time.Now(); ; time.Sleep(lockPause) {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }, nil
		}
		if (!errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR)) || time.Since(began) > lockTime {
			return nil, errors.Join(fmt.Errorf("%s: lock, which another process holds (flock): %w", p.dir, err), dir.Close())
		}
	}
}

// share makes the directory a shared mount.
func (p Pins) share() error {
	if err := unix.Mount("", p.dir, "none", unix.MS_SHARED|unix.MS_REC, ""); !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := unix.Mount(p.dir, p.dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", p.dir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// propagation is how mounts below a directory spread (mount_namespaces(7)).
type propagation int

const (
	private propagation = iota
	shared
	slave // what is mounted here does not reach the host, although the host's mounts arrive
)

// propagation reads it from the mount that holds the directory, and where that is mounted.
func (p Pins) propagation() (spread propagation, point string, err error) {
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return private, "", fmt.Errorf("mounts: %w", err)
	}
	optional, point := holder(string(mounts), p.dir)
	spread, group := spreadOf(optional)
	if p.mounts == "" || spread != shared {
		return spread, point, nil
	}
	hosts, err := os.ReadFile(p.mounts)
	if err != nil {
		return private, "", fmt.Errorf("the host's mounts: %w", err)
	}
	if optional, _ := holder(string(hosts), p.host); !slices.Contains(optional, group) {
		return private, point, nil
	}
	return shared, point, nil
}

// holder finds the mount that holds a directory in a mount table (proc_pid_mountinfo(5)), the last one of the longest
// path, and gives its optional fields.
func holder(table, dir string) (optional []string, point string) {
	for line := range strings.Lines(table) {
		before, _, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) >= 6 && within(dir, fields[4]) && len(fields[4]) >= len(point) {
			optional, point = fields[6:], fields[4]
		}
	}
	return optional, point
}

// spreadOf reads the optional fields of a mount. A shared one has a peer group.
func spreadOf(optional []string) (spread propagation, group string) {
	for _, field := range optional {
		if strings.HasPrefix(field, "master:") {
			return slave, ""
		}
		if strings.HasPrefix(field, "shared:") {
			spread, group = shared, field
		}
	}
	return spread, group
}

// within reports whether a path is a directory or below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// explain names the capability that a refusal is about.
func explain(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w (%w)", ErrNotPermitted, err)
	}
	return err
}
