package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// dirMode lets root alone read attestations and write them.
const dirMode = 0o700

// folder holds a document for each id. A reader sees one whole or not at all.
type folder string

const suffix = ".json"

func (f folder) path(id string) (string, error) {
	if id == "" || id != filepath.Base(id) || id[0] == '.' {
		return "", fmt.Errorf("%s: %q is not an id", f, id)
	}
	return filepath.Join(string(f), id+suffix), nil
}

func (f folder) write(id string, document any) error {
	path, err := f.path(id)
	if err != nil {
		return err
	}
	data, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(string(f), dirMode); err != nil {
		return err
	}
	if err := f.verify(); err != nil {
		return err
	}
	// The directory is in memory: there is nothing to force to disk.
	return atomicfile.Write(path, data, 0o600)
}

func (f folder) read(id string, document any) (ok bool, err error) {
	path, err := f.path(id)
	if err != nil {
		return false, err
	}
	data, err := f.readVerified(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := strictjson.Unmarshal(data, document); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// readVerified reads a file that only root could have written. It looks at the directories first: while only root may
// change those, the file that it opens is the one of that name.
func (f folder) readVerified(path string) ([]byte, error) {
	if err := f.verify(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file; remove it", path)
	}
	if err := verify(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}

// verify looks at the folder and at the directory that holds it.
func (f folder) verify() error {
	for _, path := range []string{filepath.Dir(string(f)), string(f)} {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s: not a directory; remove it", path)
		}
		if err := verify(path, info); err != nil {
			return err
		}
	}
	return nil
}

// ErrUntrusted says that somebody other than root may have written an attestation.
var ErrUntrusted = errors.New("others than root may write here")

// verify checks who may write. In place of root, a process without privileges trusts itself.
func verify(path string, info fs.FileInfo) error {
	const othersWrite = 0o022
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && int(owner) != os.Geteuid() || info.Mode().Perm()&othersWrite != 0 {
		return fmt.Errorf("%s: mode %v, user %d: %w; remove it and start the container anew",
			path, info.Mode(), owner, ErrUntrusted)
	}
	return nil
}

func (f folder) remove(id string) error {
	path, err := f.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
