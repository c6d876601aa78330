// Package store keeps what should be, as JSON documents that people can read: one for each network and one for each
// endpoint, so that an attach writes a few hundred bytes at any number of endpoints. A document appears whole or not at
// all (a rename), and one that cannot be read is set aside, never guessed at.
//
//	DIR/lock
//	DIR/networks/NETWORK/network.json
//	DIR/networks/NETWORK/endpoints/ENDPOINT.json
//	DIR/networks/NETWORK/addresses/ADDRESS          who holds an address (see claim.go)
//
// A store belongs to one process (Open), or to many that come and go (OpenShared, see shared.go).
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// schema is the version of the documents. A newer one is not read: an older mcpnet must not act on half of it.
const schema = 1

// Network is the document of a network.
type Network struct {
	Schema int `json:"schema"`
	topology.Network
	// Pending is true while the kernel may hold the rules of an older policy: whoever reads it loads them anew.
	Pending bool `json:"pending,omitempty"`
}

// Endpoint is the document of an endpoint.
type Endpoint struct {
	Schema int `json:"schema"`
	topology.Endpoint
	Joined bool `json:"joined"`
}

// Contents is everything in a store.
type Contents struct {
	Networks  []Network
	Endpoints []Endpoint
	// Problems are documents that could not be read; each was renamed to NAME.corrupt.
	Problems []error
}

// Store is a directory of documents.
type Store struct {
	dir  string
	lock *flock.Flock // of the one process; nil in a shared store
}

// Open takes the directory for this process alone, until Close, and makes it where it is missing.
func Open(dir string) (*Store, error) {
	s, err := OpenShared(dir)
	if err != nil {
		return nil, err
	}
	lock := flock.New(s.lockPath())
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store %s: lock: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("store %s: another mcpnet process holds it; stop that one first", dir)
	}
	s.lock = lock
	return s, nil
}

// Close releases the store.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func (s *Store) lockPath() string { return filepath.Join(s.dir, "lock") }

// Load reads every document.
func (s *Store) Load() (Contents, error) {
	var c Contents
	entries, err := os.ReadDir(filepath.Join(s.dir, "networks"))
	if err != nil {
		return c, fmt.Errorf("store: %w", err)
	}
	for _, entry := range entries {
		s.loadNetwork(entry.Name(), &c)
	}
	return c, nil
}

// readNetwork reads one network's document. The error says what is wrong with it.
func (s *Store) readNetwork(id string) (n Network, err error) {
	if err = read(s.networkPath(id), &n, &n.Schema); err == nil {
		err = n.check(id)
	}
	return n, err
}

func (s *Store) readEndpoint(network, id string) (e Endpoint, err error) {
	if err = read(s.endpointPath(network, id), &e, &e.Schema); err == nil {
		err = e.check(network, id)
	}
	return e, err
}

func (s *Store) loadNetwork(id string, c *Contents) {
	n, err := s.readNetwork(id)
	if err != nil {
		c.Problems = append(c.Problems, setAside(s.networkPath(id), err))
	} else {
		c.Networks = append(c.Networks, n)
	}
	documents, err := os.ReadDir(filepath.Join(s.dir, "networks", id, "endpoints"))
	if err = ignoreMissing(err); err != nil {
		c.Problems = append(c.Problems, err)
	}
	for _, document := range documents {
		if !isDocument(document.Name()) {
			continue
		}
		e, err := s.readEndpoint(id, strings.TrimSuffix(document.Name(), extension))
		if err != nil {
			c.Problems = append(c.Problems, setAside(filepath.Join(s.dir, "networks", id, "endpoints", document.Name()), err))
		} else {
			c.Endpoints = append(c.Endpoints, e)
		}
	}
}

// PutNetwork writes a network's document; it is on disk when the call returns.
func (s *Store) PutNetwork(n topology.Network) error {
	return s.putNetwork(Network{Schema: schema, Network: n})
}

// PutPending writes a network whose rules are not those of the kernel yet.
func (s *Store) PutPending(n topology.Network) error {
	return s.putNetwork(Network{Schema: schema, Network: n, Pending: true})
}

func (s *Store) putNetwork(n Network) error {
	path := s.networkPath(n.ID)
	if err := checkID(n.ID); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(filepath.Dir(path), "endpoints"), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return atomicfile.WriteDurable(path, data, 0o600)
}

// PutEndpoint writes an endpoint's document. It is not forced to disk: after a crash of the host its container, and so
// the endpoint, is gone too.
func (s *Store) PutEndpoint(e topology.Endpoint, joined bool) error {
	if err := errors.Join(checkID(e.NetworkID), checkID(e.ID)); err != nil {
		return err
	}
	data, err := json.Marshal(Endpoint{schema, e, joined})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return atomicfile.Write(s.endpointPath(e.NetworkID, e.ID), data, 0o600)
}

// DeleteEndpoint removes an endpoint's document. One that is missing is no error.
func (s *Store) DeleteEndpoint(network, id string) error {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return err
	}
	return ignoreMissing(os.Remove(s.endpointPath(network, id)))
}

// DeleteNetwork removes a network's document and those of its endpoints.
func (s *Store) DeleteNetwork(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.dir, "networks", id))
}

// extension ends the names of documents.
const extension = ".json"

// isDocument tells the documents in a directory from what a killed process has not finished.
func isDocument(name string) bool {
	return filepath.Ext(name) == extension && !atomicfile.IsTemporary(name)
}

func (s *Store) networkPath(id string) string {
	return filepath.Join(s.dir, "networks", id, "network.json")
}

func (s *Store) endpointPath(network, id string) string {
	return filepath.Join(s.dir, "networks", network, "endpoints", id+".json")
}

// maxID is the longest id that engines use.
const maxID = 128

// checkID checks what becomes the name of a file. A regular expression would have to be compiled in each process of CNI's.
func checkID(id string) error {
	valid := id != "" && len(id) <= maxID
	for i := range len(id) {
		b := id[i]
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		valid = valid && (letter || i > 0 && (b == '_' || b == '.' || b == '-'))
	}
	if !valid {
		return fmt.Errorf("store: %q is not an id: letters, digits, _ . - only, at most %d", id, maxID)
	}
	return nil
}

func read(path string, document any, version *int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, document); err != nil {
		return err
	}
	if *version != schema {
		return fmt.Errorf("schema %d, this mcpnet reads %d", *version, schema)
	}
	return nil
}

// check finds a document that is in order, but not of this network or with less than a network needs.
func (n Network) check(id string) error {
	if n.ID != id || n.Owner == "" || n.Bridge == "" || !n.Subnet.IsValid() || !n.BridgeAddr.Is4() {
		return fmt.Errorf("does not describe network %s", id)
	}
	return nil
}

func (e Endpoint) check(network, id string) error {
	if e.NetworkID != network || e.ID != id || e.Owner == "" || e.Role == "" || !e.IP.Is4() || len(e.MAC) == 0 {
		return fmt.Errorf("does not describe endpoint %s of network %s", id, network)
	}
	return nil
}

// setAside keeps a document that cannot be read for a person to look at, out of the way of the next start.
func setAside(path string, cause error) error {
	if errors.Is(cause, fs.ErrNotExist) {
		return fmt.Errorf("store: %w", cause)
	}
	aside := strings.TrimSuffix(path, ".json") + ".corrupt"
	return fmt.Errorf("store: %s set aside as %s: %w", path, filepath.Base(aside), errors.Join(cause, os.Rename(path, aside)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
