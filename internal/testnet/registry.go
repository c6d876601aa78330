package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is where named namespaces live; `ip netns` shows them too.
const Dir = "/run/netns"

// prefix marks files of ours: mcpt-<pid>-<number>-<label>.
const prefix = "mcpt-"

var (
	serial  atomic.Int64
	prepare = sync.OnceValue(prepareDir)

	liveMu sync.Mutex
	live   = map[string]bool{}
)

// create makes a namespace and returns its file.
func create(label string) (string, error) {
	if err := prepare(); err != nil {
		return "", err
	}
	path := filepath.Join(Dir, fmt.Sprintf("%s%d-%d-%s", prefix, os.Getpid(), serial.Add(1), label))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return "", err
	}
	f.Close()
	liveMu.Lock()
	live[path] = true
	liveMu.Unlock()
	if err := bindNew(path); err != nil {
		return "", errors.Join(err, discard(path))
	}
	return path, nil
}

// createDir makes a directory in which a program under test pins namespaces of
// its own. It is swept like a namespace.
func createDir(label string) (string, error) {
	if err := prepare(); err != nil {
		return "", err
	}
	path := filepath.Join(Dir, fmt.Sprintf("%s%d-%d-%s", prefix, os.Getpid(), serial.Add(1), label))
	liveMu.Lock()
	live[path] = true
	liveMu.Unlock()
	return path, os.Mkdir(path, 0o755)
}

// bindNew makes a namespace and mounts it on the file at path.
func bindNew(path string) error {
	done := make(chan error, 1)
	go func() {
		done <- onOwnThread(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
			return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		})
	}()
	return <-done
}

// prepareDir makes Dir as iproute2 does, removes what dead processes left and
// sees to it that an interrupt leaves nothing.
func prepareDir() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	if err := shareDir(); err != nil {
		return err
	}
	sweep()
	go removeOnSignal()
	return nil
}

// shareDir makes Dir a shared mount, so that a namespace that is removed here
// also goes in the mount namespaces of engines.
func shareDir() error {
	lock, err := os.Open(Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "") == nil {
		return nil
	}
	if err := unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", Dir, err)
	}
	if err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share %s: %w", Dir, err)
	}
	return nil
}

// sweep removes the namespaces of processes that are gone.
func sweep() {
	files, _ := filepath.Glob(filepath.Join(Dir, prefix+"*"))
	for _, file := range files {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(file), prefix), "-")
		n, err := strconv.Atoi(pid)
		if err == nil && unix.Kill(n, 0) == unix.ESRCH {
			_ = discard(file)
		}
	}
}

// removeOnSignal clears up before an interrupt ends the process. A Program
// runs its own clean-up first: see Program.Run.
func removeOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	sig := <-signals
	for programs.Load() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	liveMu.Lock()
	for path := range live {
		_ = dismantle(path)
	}
	signal.Reset()
	if s, ok := sig.(unix.Signal); ok {
		_ = unix.Kill(os.Getpid(), s)
	}
}

// remove ends the namespace, with every process that still runs in it.
func (n *NS) remove() {
	if failed(n.t) {
		n.t.Logf("%s", n.Dump())
	}
	n.closeHandle()
	if err := discard(n.path); err != nil {
		n.t.Logf("remove namespace %s: %v", n.label, err)
	}
}

func discard(path string) error {
	liveMu.Lock()
	defer liveMu.Unlock()
	delete(live, path)
	return dismantle(path)
}

// dismantle removes a namespace, or a directory of them.
func dismantle(path string) error {
	if entries, err := os.ReadDir(path); err == nil {
		var failed []error
		for _, e := range entries {
			failed = append(failed, dismantle(filepath.Join(path, e.Name())))
		}
		if rm := os.Remove(path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
			failed = append(failed, rm)
		}
		return errors.Join(failed...)
	}
	killInside(path)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		err = nil
	}
	if rm := os.Remove(path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// killInside ends the processes that live in a namespace of ours. Nobody but
// the test that made the namespace can have started them.
func killInside(path string) {
	var home, target unix.Stat_t
	if unix.Stat("/proc/self/ns/net", &home) != nil || unix.Stat(path, &target) != nil {
		return
	}
	var nsfs unix.Statfs_t
	if unix.Statfs(path, &nsfs) != nil || nsfs.Type != unix.NSFS_MAGIC || target.Ino == home.Ino {
		return
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, proc := range procs {
		var st unix.Stat_t
		if unix.Stat(proc, &st) != nil || st.Ino != target.Ino || st.Dev != target.Dev {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(proc, "/")[2])
		if err == nil && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
