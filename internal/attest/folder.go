package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
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
	// The directory is in memory: there is nothing to force to disk.
	return atomicfile.Write(path, data, 0o600)
}

func (f folder) read(id string, document any) (ok bool, err error) {
	path, err := f.path(id)
	if err != nil {
		return false, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, document)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
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
