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

// Networks reads the document of every network; one that cannot be read is an error that names it.
func (s *Store) Networks() (networks []Network, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "networks"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	for _, entry := range entries {
		n, err := s.readNetwork(entry.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is being made or removed
		}
		if err != nil {
			return nil, fmt.Errorf("store: %s: %w", s.networkPath(entry.Name()), err)
		}
		networks = append(networks, n)
	}
	return networks, nil
}
