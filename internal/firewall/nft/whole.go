package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dumpAttempts is how often a list is read that transactions change meanwhile, again and again.
const dumpAttempts = 50

// ErrChanging says that no list could be read between two changes of the rules.
var ErrChanging = errors.New("the rules change all the time: try again")

// listing reads one list of the kernel's.
type listing func(read func() error) error

// whole reads a list until no transaction came in between. The kernel lists in parts, and leaves out what a change
// moves from the next part into the one before. It marks such a list (NLM_F_DUMP_INTR), which the library does not
// show; the number of the rules' generation tells the same.
func (f *Firewall) whole(read func() error) error {
	for range dumpAttempts {
		undisturbed, err := f.undisturbed(read)
		if err != nil || undisturbed {
			return err
		}
	}
	return ErrChanging
}

// togetherAttempts is how often lists are read together before each of them is read by itself.
const togetherAttempts = 3

// together reads several lists with one look at the generation before them and one after, which cost as much as a short
// list each. Where transactions come in between, time and again, each list is read by itself: that takes less time.
func (f *Firewall) together(read func(listing) error) error {
	for range togetherAttempts {
		undisturbed, err := f.undisturbed(func() error { return read(unchecked) })
		if err != nil || undisturbed {
			return err
		}
	}
	return read(f.whole)
}

func unchecked(read func() error) error { return read() }

// undisturbed reads, and reports whether no transaction came in between.
func (f *Firewall) undisturbed(read func() error) (bool, error) {
	before, err := f.generation()
	if err != nil {
		return false, err
	}
	if err := read(); err != nil {
		return false, err
	}
	after, err := f.generation()
	return before == after, err
}

// generation is the number of the namespace's last transaction (NFT_MSG_GETGEN).
func (f *Firewall) generation() (uint32, error) {
	conn, err := f.openDump()
	if err != nil {
		return 0, err
	}
	answers, err := conn.Execute(request(unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC, nil))
	if err != nil {
		return 0, errors.Join(fmt.Errorf("generation of the rules: %w", err), f.closeDump())
	}
	for _, m := range answers {
		attributes, err := netlink.UnmarshalAttributes(m.Data[nfgenHeader:])
		if err != nil {
			return 0, fmt.Errorf("generation of the rules: %w", err)
		}
		for _, a := range attributes {
			if a.Type == unix.NFTA_GEN_ID && len(a.Data) == 4 {
				return binary.BigEndian.Uint32(a.Data), nil
			}
		}
	}
	return 0, errors.New("generation of the rules: the kernel does not tell")
}
