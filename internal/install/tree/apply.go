package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
)

// undo takes an action back.
type undo func() error

func nothing() error { return nil }

// Apply does all of the actions or none: when one fails, it undoes those before it.
func (t Tree) Apply(actions []action.Action) error {
	var done []undo
	for _, a := range actions {
		back, err := t.do(a)
		if err == nil {
			done = append(done, back)
			continue
		}
		err = fmt.Errorf("%s: %w", t.At(a.Path), withRemedy(unwrapped(err)))
		for _, back := range slices.Backward(done) {
			if failed := back(); failed != nil {
				return fmt.Errorf("%w; and what was done before could not be taken back: %w", err, failed)
			}
		}
		return fmt.Errorf("%w; nothing was changed", err)
	}
	return nil
}

func (t Tree) do(a action.Action) (undo, error) {
	path := t.At(a.Path)
	switch a.Verb {
	case action.MakeDirectory:
		return makeDirectory(path, a.Mode)
	case action.Write, action.Replace, action.Edit, action.Record:
		return replace(path, a.Content, a.Mode)
	case action.Remove:
		return remove(path)
	case action.RemoveDirectory:
		return removeDirectory(path)
	}
	return nothing, nil
}

func makeDirectory(path string, mode manifest.Mode) (undo, error) {
	if err := os.Mkdir(path, fs.FileMode(mode)); err != nil {
		return nil, err
	}
	back := func() error { return os.Remove(path) }
	if err := os.Chmod(path, fs.FileMode(mode)); err != nil { // whatever the umask is
		return nil, errors.Join(err, back())
	}
	return back, nil
}

func replace(path string, content []byte, mode manifest.Mode) (undo, error) {
	back, err := keep(path)
	if err != nil {
		return nil, err
	}
	return back, writeFile(path, content, fs.FileMode(mode))
}

func remove(path string) (undo, error) {
	back, err := keep(path)
	if err != nil {
		return nil, err
	}
	return back, os.Remove(path)
}

// removeDirectory leaves a directory that got an entry meanwhile.
func removeDirectory(path string) (undo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	err = os.Remove(path)
	if errors.Is(err, syscall.ENOTEMPTY) {
		return nothing, nil
	}
	return func() error {
		_, err := makeDirectory(path, manifest.Mode(info.Mode().Perm()))
		return err
	}, err
}

// keep remembers what is at a path, to put it back.
func keep(path string) (undo, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return os.Remove(path) }, nil
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return func() error { return renameio.Symlink(target, path) }, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a file: move it away")
	}
	content, err := os.ReadFile(path)
	return func() error { return writeFile(path, content, info.Mode().Perm()) }, err
}

// writeFile makes a file whole or not at all. The temporary file is in the same directory: one from elsewhere would
// keep that place's SELinux label, and engines could not execute it.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	pending, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer pending.Cleanup() //nolint:errcheck // nothing is left to clean up once it is in place
	if _, err := pending.Write(content); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}
