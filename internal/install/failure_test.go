package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// TestFullDisk is the same through Install: that a disk is full shows only while files are written.
func TestFullDisk(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Binary, part.PluginProgram), strings.Repeat("x", 1<<18), 0o755)
	small := filepath.Dir(filepath.Join(r.Root, part.ServicePath))
	check(t, os.MkdirAll(small, 0o755))
	check(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { check(t, syscall.Unmount(small, 0)) })
	before := contents(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), part.ServicePath+": ") {
		t.Errorf("%v", err)
	}
	same(t, "failed", contents(t, r.Root), before)
}

func TestFileForADirectory(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Root, "etc"), "a file where a directory should be", 0o644)
	before := contents(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), filepath.Join(r.Root, part.UnitPath)) {
		t.Errorf("%v", err)
	}
	same(t, "failed", contents(t, r.Root), before)
}

// TestLinksOutOfTheTree: an image's absolute link means a place in the image, not on this host.
func TestLinksOutOfTheTree(t *testing.T) {
	r := request(t, CNI)
	outside := t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(r.Root, "opt")))
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "/opt/cni/bin") || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("%v", err)
	}
	same(t, "outside", contents(t, outside), map[string]string{})
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
			write(t, filepath.Join(r.Root, manifest.Path), text, 0o600)
			for _, do := range []func(Request) (Result, error){Install, Uninstall} {
				_, err := do(r)
				if err == nil || !strings.Contains(err.Error(), r.Root+manifest.Path+": ") || !strings.Contains(err.Error(), "move it away") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestOneAtATime(t *testing.T) {
	r := request(t, CNI)
	locked, err := tree.Open(r.Root)
	check(t, err)
	unlock, err := locked.Lock()
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
