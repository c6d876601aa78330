// Package store keeps what should be, as JSON documents that people can read: one for each network and one for each
// endpoint, so that an attach writes a few hundred bytes at any number of endpoints. A reader sees a document whole or
// not at all. A document that cannot be read stays where it is and is reported: what it describes may be alive.
//
//	DIR/lock
//	DIR/networks/NETWORK/network.json
//	DIR/networks/NETWORK/endpoints/ENDPOINT.json
//	DIR/networks/NETWORK/addresses/ADDRESS          who holds an address (see claim.go)
//
// A store belongs to one process (Open), or to many that come and go (OpenShared). A View only reads it.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
	// Problems are documents that cannot be read.
	Problems []*Problem
	// Unreadable names the networks and endpoints that those documents may be about. They may be alive: whoever collects
	// left-overs spares them, and, where Endpoint is empty, everything of the network.
	Unreadable []Ref
}

// Store is a directory of documents that this process may change.
type Store struct {
	View
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

// OpenShared opens a directory that many processes work on, and makes it where it is missing. Each of them holds a lock
// while it reads and changes documents: RLock beside others that change other endpoints, Lock alone.
func OpenShared(dir string) (*Store, error) {
	s := &Store{View: View{dir: dir}}
	if err := os.MkdirAll(string(s.documents()), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// Close releases the store.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// Load reads every document. Where the documents are missing, it fails: without them all that lives looks left over.
func (s *Store) Load() (Contents, error) { return s.documents().load() }

// PutNetwork writes a network's document; it is on disk when the call returns.
func (s *Store) PutNetwork(n topology.Network) error {
	return s.putNetwork(Network{Schema: schema, Network: n})
}

// PutPending writes a network whose rules are not those of the kernel yet.
func (s *Store) PutPending(n topology.Network) error {
	return s.putNetwork(Network{Schema: schema, Network: n, Pending: true})
}

func (s *Store) putNetwork(n Network) error {
	if err := checkID(n.ID); err != nil {
		return err
	}
	path := s.documents().network(n.ID)
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
	return atomicfile.Write(s.documents().endpoint(e.NetworkID, e.ID), data, 0o600)
}

// DeleteEndpoint removes an endpoint's document. One that is missing is no error.
func (s *Store) DeleteEndpoint(network, id string) error {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return err
	}
	return ignoreMissing(os.Remove(s.documents().endpoint(network, id)))
}

// DeleteNetwork removes a network's document and those of its endpoints. The network's goes first: a process that is
// killed here leaves no network.
func (s *Store) DeleteNetwork(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(s.documents().network(id))); err != nil {
		return err
	}
	return os.RemoveAll(s.documents().of(id))
}

// PutFact keeps a small value that is costly to find out, such as what the kernel offers.
func (s *Store) PutFact(name, value string) error {
	return atomicfile.Write(filepath.Join(s.dir, factPrefix+name), []byte(value), 0o600)
}

func (s *Store) sweptPath(network string) string {
	return filepath.Join(s.documents().of(network), "swept")
}

// MarkSwept records that a network was looked through for left-overs now. A network that is gone has none.
func (s *Store) MarkSwept(network string) error {
	return ignoreMissing(os.WriteFile(s.sweptPath(network), nil, 0o600))
}

// Swept is when that was last, or when the network was made. One that is gone has just been.
func (s *Store) Swept(network string) (time.Time, error) {
	info, err := os.Stat(s.sweptPath(network))
	if errors.Is(err, os.ErrNotExist) {
		return time.Now(), s.MarkSwept(network)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("store: %w", err)
	}
	return info.ModTime(), nil
}
