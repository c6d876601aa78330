package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// OpenView opens a directory to read only, without its lock: every document is whole at any time. One that does not exist
// holds nothing.
func OpenView(dir string) *Store { return &Store{dir: dir} }

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// Networks reads the document of every network. Those that cannot be read are an error that names them, beside the others.
func (s *Store) Networks() (networks []Network, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "networks"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	var failed []error
	for _, entry := range entries {
		n, err := s.readNetwork(entry.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is being made or removed
		case err != nil:
			failed = append(failed, fmt.Errorf("store: %s: %w", s.networkPath(entry.Name()), err))
		default:
			networks = append(networks, n)
		}
	}
	return networks, errors.Join(failed...)
}
