package testengine

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// initName is argv[0] of a sandbox's first process: this program once more.
const initName = "mcpnet-testengine-init"

// sandboxConfig is what the first process of a sandbox builds. It arrives as
// one line of JSON on its standard input.
type sandboxConfig struct {
	Tree     string
	Binds    []string
	Files    map[string]string
	Programs map[string]string
	// Tmpfs are the directories where the engine keeps images and containers:
	// it cannot put an overlay of its own on that of the sandbox.
	Tmpfs []string
}

// A program that uses this package is also the first process of its sandboxes:
// one binary, nothing to install. This runs before main and never returns there.
func init() {
	if os.Args[0] != initName {
		return
	}
	if err := sandboxInit(); err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sandboxInit builds the sandbox, answers "ready" and stays until its standard
// input ends: the other end of that pipe is held by the test and by nobody else.
// Its own end is the end of the PID namespace, hence of every process in it.
func sandboxInit() error {
	var config sandboxConfig
	input := json.NewDecoder(os.Stdin)
	if err := input.Decode(&config); err != nil {
		return fmt.Errorf("sandbox: read configuration: %w", err)
	}
	if err := buildRoot(config); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	fmt.Fprintln(os.Stdout, "ready")
	go reap()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// reap collects the orphans that a PID namespace hands to its first process,
// containerd's shims among them.
func reap() {
	for {
		_, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.ECHILD {
			unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		}
	}
}

// buildRoot assembles the sandbox's file tree and makes it the root.
func buildRoot(config sandboxConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	root, err := overlayRoot(config.Tree)
	if err != nil {
		return err
	}
	for _, m := range systemMounts(config) {
		if err := m.mount(root); err != nil {
			return err
		}
	}
	if err := addFiles(root, config); err != nil {
		return err
	}
	return enterRoot(root)
}

// overlayRoot puts a tmpfs over the tree, which itself stays untouched. The
// tmpfs lies on the tree's /mnt, which exists in every Debian.
func overlayRoot(tree string) (string, error) {
	scratch := filepath.Join(tree, "mnt")
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=755"); err != nil {
		return "", fmt.Errorf("tmpfs on %s: %w", scratch, err)
	}
	var dirs []any
	for _, name := range []string{"upper", "work", "root"} {
		dir := filepath.Join(scratch, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		dirs = append(dirs, dir)
	}
	options := fmt.Sprintf("lowerdir="+tree+",upperdir=%s,workdir=%s", dirs[:2]...)
	root := filepath.Join(scratch, "root")
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("overlay over %s: %w", tree, err)
	}
	return root, nil
}

// mountpoint is one mount of the sandbox; what has no type is bound, with all
// that is mounted below it.
type mountpoint struct {
	source, target, fstype string
	readonly               bool
}

// systemMounts lists what a Debian has beside its root, in mounting order.
func systemMounts(config sandboxConfig) []mountpoint {
	mounts := []mountpoint{
		{source: "proc", target: "/proc", fstype: "proc"},
		{source: "sysfs", target: "/sys", fstype: "sysfs"},
		{source: "/sys/fs/cgroup", target: "/sys/fs/cgroup"},
		{source: "/dev", target: "/dev"},
		{source: "tmpfs", target: "/run", fstype: "tmpfs"},
		{source: "tmpfs", target: "/tmp", fstype: "tmpfs"},
	}
	for _, dir := range config.Tmpfs {
		mounts = append(mounts, mountpoint{source: "tmpfs", target: dir, fstype: "tmpfs"})
	}
	for _, dir := range config.Binds {
		mounts = append(mounts, mountpoint{source: dir, target: dir, readonly: true})
	}
	return mounts
}

func (m mountpoint) mount(root string) error {
	target := filepath.Join(root, m.target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	flags := uintptr(0)
	if m.fstype == "" {
		flags = unix.MS_BIND | unix.MS_REC
	}
	if err := unix.Mount(m.source, target, m.fstype, flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", m.target, err)
	}
	if !m.readonly {
		return nil
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s read only: %w", m.target, err)
	}
	return nil
}

// enterRoot makes root the only file tree there is. Its mounts become shared,
// as systemd makes those of a host: a plugin sees later mounts through that.
func enterRoot(root string) error {
	old := filepath.Join(root, ".old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/.old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's file tree: %w", err)
	}
	if err := os.Remove("/.old"); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}
