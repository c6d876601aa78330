package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
)

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
	return s.take(ctx, unix.LOCK_EX)
}

// RLock takes a shared store beside others that took it so.
func (s *Store) RLock(ctx context.Context) (unlock func(), err error) {
	return s.take(ctx, unix.LOCK_SH)
}

// take passes through a gate before it takes the lock: who waits for the lock alone holds the gate meanwhile, so that a
// stream of others, each beside the next, cannot keep it waiting for ever.
func (s *Store) take(ctx context.Context, how int) (unlock func(), err error) {
	gate, err := wait(ctx, s.lockPath()+".gate", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	turn, err := wait(ctx, s.lockPath(), how)
	if err != nil {
		return nil, err
	}
	return func() { turn.Close() }, nil
}

// wait takes the lock of a file. It leaves the waiting to the kernel: fifty processes that try again and again would keep
// the one they wait for from its work.
func wait(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: lock: %w", err)
	}
	taken := make(chan error, 1)
	go func() { taken <- lockFile(f, how) }()
	select {
	case err = <-taken:
		if err != nil {
			return nil, errors.Join(fmt.Errorf("store: lock %s: %w", path, err), f.Close())
		}
		return f, nil
	case <-ctx.Done():
		go func() { // the kernel cannot be told to wait no longer
			<-taken
			f.Close()
		}()
		return nil, fmt.Errorf("store: lock %s: %w (%w)", path, ErrBusy, ctx.Err())
	}
}

func lockFile(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
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
	for {
		names, err := dir.Readdirnames(16)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("store: %w", err)
		}
		// A killed process may have left a document that it had not finished.
		if slices.ContainsFunc(names, isDocument) {
			return true, nil
		}
	}
}

const factPrefix = "fact-"

// PutFact keeps a small value that is costly to find out, such as what the kernel offers.
func (s *Store) PutFact(name, value string) error {
	return atomicfile.Write(filepath.Join(s.dir, factPrefix+name), []byte(value), 0o600)
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

func (s *Store) residentPath() string { return filepath.Join(s.dir, "resident") }

// Who only looks whether there is a resident holds the lock for a moment, too.
const (
	residentTime  = time.Second
	residentPause = 10 * time.Millisecond
)

// Reside marks the store as looked after by a resident process, until leave or the process's end. There can be one.
func (s *Store) Reside() (leave func(), err error) {
	lock := flock.New(s.residentPath())
	ctx, cancel := context.WithTimeout(context.Background(), residentTime)
	defer cancel()
	_, err = lock.TryLockContext(ctx, residentPause)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("another resident mcpnet process looks after it")
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", s.dir, errors.Join(err, lock.Close()))
	}
	return func() { lock.Close() }, nil
}

// HasResident reports whether a resident process looks after the store.
func (s *Store) HasResident() (bool, error) {
	if _, err := os.Stat(s.residentPath()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(s.residentPath())
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("store %s: %w", s.dir, errors.Join(err, lock.Close()))
	}
	return !free, lock.Close()
}
