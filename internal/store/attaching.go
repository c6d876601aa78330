package store

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Attaching takes an attachment for the caller, so that two calls for the same one do not take each other's objects for
// left-overs. It is not ok while another call has it. The caller shares the store, and the network has a document.
//
// All attachments of a network lock one file, each a byte of its own. With a file for each, somebody would have to
// remove it, while others may have opened it to lock it next.
func (s *Store) Attaching(network, id string) (done func(), ok bool, err error) {
	if err := errors.Join(checkID(network), checkID(id)); err != nil {
		return nil, false, err
	}
	f, err := os.OpenFile(filepath.Join(s.docs.of(network), "attaching"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("store: %w", err)
	}
	// The lock belongs to the open file, not to the process: a second call of this process does not get it either.
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{
		Type: unix.F_WRLCK, Whence: io.SeekStart, Start: byteOf(id), Len: 1,
	})
	if err == nil {
		return func() { f.Close() }, true, nil
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, false, f.Close()
	}
	return nil, false, errors.Join(fmt.Errorf("store: lock %s: %w", f.Name(), err), f.Close())
}

// byteOf is the byte of a file that stands for an id. The file needs not be that long.
func byteOf(id string) int64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return int64(h.Sum64() >> 2)
}
