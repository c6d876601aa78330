package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// A claim says which endpoint holds an address, so that a process which attaches one endpoint need not read the
// documents of all others. It is a file named by the address, with the endpoint's id in it.

func (s *Store) claimPath(network string, a netip.Addr) string {
	return filepath.Join(s.dir, "networks", network, "addresses", a.String())
}

// Claim takes an address for an endpoint. It gives the endpoint that holds it already, or "".
func (s *Store) Claim(network string, a netip.Addr, id string) (holder string, err error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return "", err
	}
	path := s.claimPath(network, a)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	// A link to a file that is written already: a claim is whole or not there.
	temporary := filepath.Join(filepath.Dir(path), id+".new")
	if err := os.WriteFile(temporary, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	defer os.Remove(temporary)
	err = os.Link(temporary, path)
	if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) == id {
		return "", err
	}
	return string(data), nil
}

// Unclaim gives an address back, if the endpoint holds it.
func (s *Store) Unclaim(network string, a netip.Addr, id string) error {
	path := s.claimPath(network, a)
	if data, err := os.ReadFile(path); err != nil || string(data) != id {
		return ignoreMissing(err)
	}
	return ignoreMissing(os.Remove(path))
}
