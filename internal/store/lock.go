package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/store/internal/format"
)

// ErrBusy says that another process held the store until the caller's time was up.
var ErrBusy = errors.New("another mcpnet process works on the store for too long")

func (v *View) lockPath() string { return filepath.Join(v.dir, "lock") }

// RLock keeps those away that hold the store alone, until unlock. It makes no file: where the gate is missing, no
// processes have ever shared the store.
func (v *View) RLock(ctx context.Context) (unlock func(), err error) {
	unlock, err = v.take(ctx, unix.LOCK_SH, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	return unlock, err
}

// Lock takes a shared store for the caller alone, until unlock.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	return s.take(ctx, unix.LOCK_EX, os.O_CREATE)
}

// RLock takes a shared store beside others that took it so.
func (s *Store) RLock(ctx context.Context) (unlock func(), err error) {
	return s.take(ctx, unix.LOCK_SH, os.O_CREATE)
}

// take passes through a gate before it takes the lock. Who waits for the lock alone holds the gate meanwhile, so that a
// stream of others, each beside the next, cannot keep it waiting for ever.
func (v *View) take(ctx context.Context, how, create int) (unlock func(), err error) {
	gate, err := wait(ctx, v.lockPath()+".gate", unix.LOCK_EX, create)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	turn, err := wait(ctx, v.lockPath(), how, create)
	if err != nil {
		return nil, err
	}
	if err := format.Dir(v.dir).Check(); err != nil { // a newer mcpnet upgraded it meanwhile
		return nil, errors.Join(err, turn.Close())
	}
	return func() { turn.Close() }, nil
}

// wait takes the lock of a file. It leaves the waiting to the kernel: fifty processes that try again and again would
// keep the one they wait for from its work.
func wait(ctx context.Context, path string, how, create int) (*os.File, error) {
	f, err := os.OpenFile(path, create|os.O_RDONLY, 0o600)
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

// Who holds a directory of claims does so for the time of one file. One that hangs must not make everybody hang.
const (
	claimTime  = 3 * time.Second
	claimPause = time.Millisecond
)

// lockSoon takes the lock of a file that nobody holds for long.
func lockSoon(f *os.File) error {
	for began := time.Now(); ; time.Sleep(claimPause) {
		err := lockFile(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Since(began) > claimTime {
			return ErrBusy
		}
	}
}

func lockFile(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (v *View) residentPath() string { return filepath.Join(v.dir, "resident") }

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
func (v *View) HasResident() (bool, error) {
	if _, err := os.Stat(v.residentPath()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(v.residentPath())
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("store %s: %w", v.dir, errors.Join(err, lock.Close()))
	}
	return !free, lock.Close()
}
