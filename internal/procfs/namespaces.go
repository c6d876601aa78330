package procfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stranger is a process that shares a namespace with a container, and not its network.
type Stranger struct {
	PID  int
	Name string
}

// StrangerIn finds a process that is in the namespace at a path, whose kind is the name of a file in /proc/PID/ns, and
// in another network namespace than that of the container. Of a pod's namespaces there is none.
func StrangerIn(path, kind string, network uint64) (found Stranger, ok bool, err error) {
	inode, err := NamespaceOf(path)
	if err != nil {
		return found, false, err
	}
	wanted := fmt.Sprintf("%s:[%d]", kind, inode)
	entries, err := os.ReadDir(root)
	if err != nil {
		return found, false, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := living(pid)
		if link, err := os.Readlink(filepath.Join(dir, "ns", kind)); err != nil || link != wanted {
			continue
		}
		if own, err := inodeOf(dir, "net"); err == nil && own != network {
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			return Stranger{pid, strings.TrimSpace(string(comm))}, true, nil
		}
	}
	return found, false, nil
}

// living is the directory of a process, or that of one of its threads where the first one has ended: it is in no
// namespace any more.
func living(pid int) string {
	dir := filepath.Join(root, strconv.Itoa(pid))
	if _, err := inodeOf(dir, "net"); !ended(err) {
		return dir
	}
	tasks, _ := numbers(filepath.Join(dir, "task"))
	for _, task := range tasks {
		if thread := filepath.Join(root, strconv.Itoa(task)); task != pid {
			if _, err := inodeOf(thread, "net"); err == nil {
				return thread
			}
		}
	}
	return dir
}

// NamespaceOf is the inode of a namespace.
func NamespaceOf(path string) (uint64, error) {
	var info unix.Stat_t
	if err := unix.Stat(path, &info); err != nil {
		return 0, fmt.Errorf("namespace %s: %w", path, err)
	}
	return info.Ino, nil
}
