// Package store keeps what should be, as JSON documents that people can read: one for each network and one for each
// endpoint, so that an attach writes a few hundred bytes at any number of endpoints. A reader sees a document whole or
// not at all. A document that cannot be read stays where it is and is reported: what it describes may be alive.
//
//	DIR/lock
//	DIR/format                                 the schema of the documents (see internal/format)
//	DIR/identity                               tells this store from every other
//	DIR/v2/NETWORK/network.json
//	DIR/v2/NETWORK/endpoints/ENDPOINT.json
//	DIR/v2/NETWORK/addresses/ADDRESS           who holds an address (see claim.go)
//	DIR/networks                               a file that stops older versions, whose documents were there
//
// A store belongs to one process (Open), or to many that come and go (OpenShared). A View only reads it.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
	"github.com/mcpnet/mcpnet/internal/store/internal/format"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Network is the document of a network.
type Network struct {
	Schema int `json:"schema"`
	topology.Network
	// Pending is true while the kernel may hold the rules of an older policy: whoever reads it loads them anew.
	Pending bool `json:"pending,omitempty"`
	// Legacy is true while the network's wires may be in the host's network namespace, where an older mcpnet put them.
	Legacy bool `json:"legacy,omitempty"`
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
	docs documents
	lock *flock.Flock // of the one process; nil in a shared store
}

// Open takes the directory for this process alone, until Close, and makes it where it is missing.
func Open(dir string) (*Store, error) {
	s := newStore(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.lock = flock.New(s.lockPath())
	locked, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store %s: lock: %w", dir, err)
	}
	if !locked {
		return nil, errors.Join(fmt.Errorf("store %s: another mcpnet process holds it; stop that one first", dir), s.Close())
	}
	if err := format.Dir(dir).Upgrade(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// upgradeTime is how long OpenShared waits for others, once in the life of a directory.
const upgradeTime = 30 * time.Second

// OpenShared opens a directory that many processes work on, and makes it where it is missing. Each of them holds a lock
// while it reads and changes documents: RLock beside others that change other endpoints, Lock alone.
func OpenShared(dir string) (*Store, error) {
	s := newStore(dir)
	if done, err := format.Dir(dir).Ready(); done || err != nil {
		return s, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), upgradeTime)
	defer cancel()
	unlock, err := s.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s, format.Dir(dir).Upgrade()
}

func newStore(dir string) *Store {
	return &Store{View: View{dir: dir}, docs: documents(format.Dir(dir).Documents())}
}

// Close releases the store.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// Load reads every document. Where the documents are missing, it fails: without them all that lives looks left over.
func (s *Store) Load() (Contents, error) { return s.docs.load() }

// PutNetwork writes a network's document, neither pending nor legacy; it is on disk when the call returns.
func (s *Store) PutNetwork(n topology.Network) error {
	return s.putNetwork(Network{Schema: format.Schema, Network: n})
}

// PutPending writes a network whose rules are not those of the kernel yet. A legacy one stays legacy.
func (s *Store) PutPending(n topology.Network) error {
	known, _ := s.Network(n.ID) // one that cannot be read is replaced
	return s.putNetwork(Network{Schema: format.Schema, Network: n, Pending: true, Legacy: known.Legacy})
}

func (s *Store) putNetwork(n Network) error {
	if err := checkID(n.ID); err != nil {
		return err
	}
	path := s.docs.network(n.ID)
	if err := os.MkdirAll(filepath.Join(filepath.Dir(path), "endpoints"), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := atomicfile.WriteDurable(path, data, 0o600); err != nil {
		return err
	}
	return atomicfile.SyncDir(string(s.docs)) // the name of a new network's directory
}

// PutEndpoint writes an endpoint's document. It is not forced to disk: after a crash of the host its container, and so
// the endpoint, is gone too.
func (s *Store) PutEndpoint(e topology.Endpoint, joined bool) error {
	if err := errors.Join(checkID(e.NetworkID), checkID(e.ID)); err != nil {
		return err
	}
	data, err := json.Marshal(Endpoint{format.Schema, e, joined})
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return atomicfile.Write(s.docs.endpoint(e.NetworkID, e.ID), data, 0o600)
}

// DeleteEndpoint removes an endpoint's document. One that is missing is no error.
func (s *Store) DeleteEndpoint(network, id string) error {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return err
	}
	return ignoreMissing(os.Remove(s.docs.endpoint(network, id)))
}

// DeleteNetwork removes a network's document and those of its endpoints. The network's goes first: a process that is
// killed here leaves no network.
func (s *Store) DeleteNetwork(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := ignoreMissing(os.Remove(s.docs.network(id))); err != nil {
		return err
	}
	return os.RemoveAll(s.docs.of(id))
}

// PutFact keeps a small value that is costly to find out, such as what the kernel offers.
func (s *Store) PutFact(name, value string) error {
	return atomicfile.Write(filepath.Join(s.dir, factPrefix+name), []byte(value), 0o600)
}

func (s *Store) sweptPath(network string) string {
	return filepath.Join(s.docs.of(network), "swept")
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
