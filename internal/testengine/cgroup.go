package testengine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of the cgroup below which an engine puts its
// containers; the pid of the program that runs the engine follows, and that of
// the sandbox's first process.
const cgroupPrefix = "mcpnet-test-"

func cgroupName(program int, sandbox string) string {
	return cgroupPrefix + strconv.Itoa(program) + "-" + sandbox
}

// cgroupDirs lists the directories of that name, one for each hierarchy of
// version 1 and one for version 2.
func cgroupDirs(name string) []string {
	one, _ := filepath.Glob("/sys/fs/cgroup/" + name)
	many, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	return append(one, many...)
}

// removeCgroups removes the cgroup and those below it. The kernel lets go of a
// cgroup a moment after its last process.
func removeCgroups(name string) error {
	deadline := time.Now().Add(3 * time.Second)
	for {
		var err error
		for _, dir := range cgroupDirs(name) {
			err = errors.Join(err, removeCgroup(dir))
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// removeCgroup removes one directory after those it holds; the files in it are
// the kernel's and go by themselves.
func removeCgroup(dir string) error {
	children, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, child := range children {
		if child.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(dir, child.Name())))
		}
	}
	if err == nil {
		err = unix.Rmdir(dir)
	}
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", dir, err)
	}
	return nil
}

// sweepCgroups removes what programs left behind that were killed.
func sweepCgroups() {
	for _, root := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		sweep(root+cgroupPrefix+"*", cgroupPrefix, removeCgroup)
	}
}
