// Package tree is the tree of files that mcpnet is installed into: the machine's own, or one below another directory.
// It looks at the tree, and applies actions to it, all of them or none.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
)

// Tree is a tree of files. Paths in it begin with a slash.
type Tree struct{ root string }

// Open checks that a directory can be the root of a tree.
func Open(root string) (Tree, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Tree{}, err
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return Tree{}, fmt.Errorf("--root %s: %w; name the directory that holds the tree", root, unwrapped(err))
	}
	return Tree{root}, nil
}

// Root is the directory of the tree on this machine.
func (t Tree) Root() string { return t.root }

// At is where a path of the tree is on this machine.
func (t Tree) At(path string) string { return filepath.Join(t.root, path) }

// Exists tells whether something is at a path.
func (t Tree) Exists(path string) bool {
	_, err := os.Lstat(t.At(path))
	return err == nil
}

// Lock keeps a second installation out. It locks the root itself, so that no lock file is left behind. A file system
// that has no such locks (NFS) is used without one.
func (t Tree) Lock() (unlock func(), err error) {
	dir, err := os.Open(t.root)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		dir.Close()
		return nil, fmt.Errorf("another mcpnet installs into %s now: try again when it has ended", t.root)
	}
	return func() { dir.Close() }, nil
}

// Manifest reads what was installed.
func (t Tree) Manifest() (manifest.Manifest, error) {
	text, err := os.ReadFile(t.At(manifest.Path))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = nil, nil
	}
	if err != nil {
		return manifest.Manifest{}, withRemedy(err)
	}
	m, err := manifest.Parse(text)
	if err != nil {
		return m, fmt.Errorf("%s: %w; move it away and install once more, which recognises what is there",
			t.At(manifest.Path), err)
	}
	return m, nil
}

// contain refuses a path that a symbolic link leads out of another tree, onto this machine.
func (t Tree) contain(path string) error {
	if t.root == "/" {
		return nil
	}
	root, err := os.OpenRoot(t.root)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = root.Stat(filepath.Join(".", filepath.Dir(path)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("--root %s: %s: %w; "+
			"an absolute symbolic link on the way to it leads out of the tree: make it relative",
			t.root, filepath.Dir(path), unwrapped(err))
	}
	return nil
}

// unwrapped is an error of a system call without its path, which the message around it names.
func unwrapped(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// withRemedy says what to do about errors that have a remedy.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return fmt.Errorf("%w: run this as root or with sudo", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: choose a directory that can be written with --dir", err)
	}
	return err
}
