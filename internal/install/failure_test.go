package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFailureTakesBack: when an action fails, those before it are taken back.
func TestFailureTakesBack(t *testing.T) {
	h := host{t.TempDir()}
	write(t, h.at("/dir/old"), "old", 0o640)
	write(t, h.at("/dir/removed"), "removed", 0o700)
	check(t, os.Symlink("old", h.at("/dir/link")))
	check(t, os.Mkdir(h.at("/empty"), 0o711))
	before := tree(t, h.root)
	err := h.apply([]Action{
		{Verb: MakeDirectory, Path: "/new", Mode: 0o755},
		{Verb: Write, Path: "/new/file", Mode: 0o755, content: []byte("x")},
		{Verb: Replace, Path: "/dir/old", Mode: 0o755, content: []byte("x")},
		{Verb: Replace, Path: "/dir/link", Mode: 0o755, content: []byte("x")},
		{Verb: Remove, Path: "/dir/removed"},
		{Verb: RemoveDirectory, Path: "/empty"},
		{Verb: Write, Path: "/none/file", Mode: 0o755, content: []byte("x")},
	})
	if err == nil || !strings.Contains(err.Error(), h.at("/none/file")+": no such file or directory; nothing was changed") {
		t.Errorf("%v", err)
	}
	same(t, "taken back", tree(t, h.root), before)
}

// TestFullDisk is the same through Install: that a disk is full shows only while files are written.
func TestFullDisk(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Binary, pluginProgram), strings.Repeat("x", 1<<18), 0o755)
	small := filepath.Dir(filepath.Join(r.Root, servicePath))
	check(t, os.MkdirAll(small, 0o755))
	check(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { check(t, syscall.Unmount(small, 0)) })
	before := tree(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), servicePath+": ") {
		t.Errorf("%v", err)
	}
	same(t, "failed", tree(t, r.Root), before)
}

func TestFileForADirectory(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Root, "etc"), "a file where a directory should be", 0o644)
	before := tree(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), filepath.Join(r.Root, unitPath)) {
		t.Errorf("%v", err)
	}
	same(t, "failed", tree(t, r.Root), before)
}

// TestLinksOutOfTheTree: an image's absolute link means a place in the image, not on this host.
func TestLinksOutOfTheTree(t *testing.T) {
	r := request(t, CNI)
	outside := t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(r.Root, "opt")))
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "/opt/cni/bin") || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("%v", err)
	}
	same(t, "outside", tree(t, outside), map[string]string{})
}

func TestBadManifest(t *testing.T) {
	for name, text := range map[string]string{
		"empty":       "",
		"half":        `{"schema":1,"files":[`,
		"newer":       `{"schema":2,"files":[]}`,
		"part":        `{"schema":1,"files":[{"path":"/x","part":"hook"}]}`,
		"path":        `{"schema":1,"files":[{"path":"/x/../y","part":"cni"}]}`,
		"directory":   `{"schema":1,"files":[],"directories":["x"]}`,
		"mode":        `{"schema":1,"files":[{"path":"/x","part":"cni","mode":"rwx"}]}`,
		"not a table": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, CNI)
			write(t, filepath.Join(r.Root, manifestPath), text, 0o600)
			for _, do := range []func(Request) (Result, error){Install, Uninstall} {
				_, err := do(r)
				if err == nil || !strings.Contains(err.Error(), r.Root+manifestPath+": ") || !strings.Contains(err.Error(), "move it away") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestOneAtATime(t *testing.T) {
	r := request(t, CNI)
	unlock, err := host{r.Root}.lock()
	check(t, err)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "another mcpnet") {
		t.Errorf("%v", err)
	}
	unlock()
	mustInstall(t, r)
}

func TestNeedRoot(t *testing.T) {
	for _, c := range []struct {
		root string
		euid int
		want bool
	}{{"/", 0, false}, {"/", 1000, true}, {"/tmp/x", 1000, false}} {
		err := needRoot(c.root, c.euid)
		if (err != nil) != c.want || (err != nil && !strings.Contains(err.Error(), "sudo")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
