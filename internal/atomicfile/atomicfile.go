// Package atomicfile writes files that readers see whole or not at all. The data goes to a temporary file in the same
// directory, which then takes the file's name. The name of a temporary file is random, so writers of one file do not
// disturb each other, and it begins with a dot: IsTemporary tells whoever lists the directory to skip it.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// prefix begins the names of temporary files. A process that is killed leaves its temporary file behind.
const prefix = "."

// IsTemporary reports whether a name in a directory can be that of a temporary file.
func IsTemporary(name string) bool { return strings.HasPrefix(name, prefix) }

// Write replaces a file or makes it, with exactly these permissions whatever the umask is. It does not wait for the
// disk: after a crash of the host the file can be the old one, the new one or empty.
func Write(path string, data []byte, perm fs.FileMode) error {
	return replace(path, data, perm, func(*os.File) error { return nil })
}

// WriteDurable is Write for a file that is on disk when the call returns.
func WriteDurable(path string, data []byte, perm fs.FileMode) error {
	if err := replace(path, data, perm, (*os.File).Sync); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir waits until the names in a directory are on disk.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func replace(path string, data []byte, perm fs.FileMode, sync func(*os.File) error) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), prefix+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = temporary.Write(data)
	if err == nil {
		err = errors.Join(temporary.Chmod(perm), sync(temporary))
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
