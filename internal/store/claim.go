package store

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
)

// A claim says which endpoint holds an address, so that a process which attaches one endpoint need not read the
// documents of all others. It is a file named by the address, with the endpoint's id in it.

func (s *Store) claimPath(network string, a netip.Addr) string {
	return filepath.Join(s.docs.of(network), "addresses", a.String())
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
	err = claiming(path, func(has string) error {
		switch has {
		case "":
			return atomicfile.Write(path, []byte(id), 0o600)
		case id:
			return nil
		}
		holder = has
		return nil
	})
	return holder, err
}

// Unclaim gives an address back, if the endpoint holds it.
func (s *Store) Unclaim(network string, a netip.Addr, id string) error {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return err
	}
	path := s.claimPath(network, a)
	return ignoreMissing(claiming(path, func(has string) error {
		if has != id {
			return nil
		}
		return os.Remove(path)
	}))
}

// Release gives back every address that an endpoint holds. Its document may be missing, where a process was killed
// between the two.
func (s *Store) Release(network, id string) error {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return err
	}
	dir := filepath.Join(s.docs.of(network), "addresses")
	claims, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var failed []error
	for _, c := range claims {
		a, err := netip.ParseAddr(c.Name())
		if err != nil {
			continue // not finished
		}
		if holder, err := os.ReadFile(filepath.Join(dir, c.Name())); err == nil && string(holder) == id {
			failed = append(failed, s.Unclaim(network, a, id))
		}
	}
	return errors.Join(failed...)
}

// claiming tells f who holds the address of a claim's file, or "". It locks the directory of claims meanwhile: between
// reading a claim and changing it nobody else changes it. An empty file is what a crash of the host leaves.
func claiming(path string, f func(holder string) error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer dir.Close()
	if err := lockSoon(dir); err != nil {
		return fmt.Errorf("store: lock %s: %w", dir.Name(), err)
	}
	holder, err := os.ReadFile(path)
	if err = ignoreMissing(err); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return f(string(holder))
}
