package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 2 * time.Millisecond

// OpenShared opens a directory that many processes work on, and makes it where it is missing. Each of them holds a lock
// while it reads and changes documents: RLock beside others that change other endpoints, Lock alone.
func OpenShared(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "networks"), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{dir: dir}, nil
}

// ErrBusy says that another process held the store until the caller's time was up.
var ErrBusy = errors.New("another mcpnet process works on the store for too long")

// Lock takes a shared store for the caller alone, until unlock.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	return s.take(ctx, (*flock.Flock).TryLockContext)
}

// RLock takes a shared store beside others that took it so.
func (s *Store) RLock(ctx context.Context) (unlock func(), err error) {
	return s.take(ctx, (*flock.Flock).TryRLockContext)
}

// take passes through a gate before it takes the lock: who waits for the lock alone holds the gate meanwhile, so that a
// stream of others, each beside the next, cannot keep it waiting for ever.
func (s *Store) take(ctx context.Context, lock func(*flock.Flock, context.Context, time.Duration) (bool, error)) (func(), error) {
	gate, turn := flock.New(s.lockPath()+".gate"), flock.New(s.lockPath())
	defer gate.Close()
	for _, l := range []func() (bool, error){
		func() (bool, error) { return gate.TryLockContext(ctx, lockPoll) },
		func() (bool, error) { return lock(turn, ctx, lockPoll) },
	} {
		if ok, err := l(); err != nil || !ok {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w (%w)", ErrBusy, ctx.Err())
			}
			return nil, errors.Join(fmt.Errorf("store %s: lock: %w", s.dir, err), turn.Close())
		}
	}
	return func() { turn.Close() }, nil
}

// TryLock takes a shared store for the caller alone if nobody else has it now.
func (s *Store) TryLock() (unlock func(), ok bool, err error) {
	turn := flock.New(s.lockPath())
	ok, err = turn.TryLock()
	if err != nil {
		return nil, false, fmt.Errorf("store %s: lock: %w", s.dir, err)
	}
	if !ok {
		return nil, false, turn.Close()
	}
	return func() { turn.Close() }, true, nil
}

// Network reads one network's document. One that is missing is an fs.ErrNotExist.
func (s *Store) Network(id string) (Network, error) {
	if err := checkID(id); err != nil {
		return Network{}, err
	}
	n, err := s.readNetwork(id)
	if err != nil {
		return Network{}, fmt.Errorf("store: network %s: %w", id, err)
	}
	return n, nil
}

// Endpoint reads one endpoint's document. One that is missing is an fs.ErrNotExist.
func (s *Store) Endpoint(network, id string) (Endpoint, error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return Endpoint{}, err
	}
	e, err := s.readEndpoint(network, id)
	if err != nil {
		return Endpoint{}, fmt.Errorf("store: endpoint %s: %w", id, err)
	}
	return e, nil
}

// HasEndpoints reports whether a network has any.
func (s *Store) HasEndpoints(network string) (bool, error) {
	dir, err := os.Open(filepath.Join(s.dir, "networks", network, "endpoints"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	defer dir.Close()
	if _, err = dir.Readdirnames(1); errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

const factPrefix = "fact-"

// PutFact keeps a small value that is costly to find out, such as what the kernel offers.
func (s *Store) PutFact(name, value string) error {
	path := filepath.Join(s.dir, factPrefix+name)
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, []byte(value), 0o600); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return os.Rename(temporary, path)
}

// Fact is the value that was kept, or "".
func (s *Store) Fact(name string) string {
	value, err := os.ReadFile(filepath.Join(s.dir, factPrefix+name))
	if err != nil {
		return ""
	}
	return string(value)
}

func (s *Store) sweptPath(network string) string {
	return filepath.Join(s.dir, "networks", network, "swept")
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

// Attaching takes an attachment for the caller, so that two calls for the same one do not take each other's objects for
// left-overs. It is not ok while another process has it.
func (s *Store) Attaching(network, id string) (done func(), ok bool, err error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return nil, false, err
	}
	lock := flock.New(s.attachingPath(network, id))
	if ok, err = lock.TryLock(); err != nil || !ok {
		return nil, false, errors.Join(err, lock.Close())
	}
	return func() {
		os.Remove(lock.Path())
		lock.Close()
	}, true, nil
}

func (s *Store) attachingPath(network, id string) string {
	return filepath.Join(s.dir, "networks", network, "attaching-"+id)
}
