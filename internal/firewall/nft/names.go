package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Swap takes elements out of sets and puts others in, in one transaction. None of them belongs to a wire. What is missing
// already is no error.
func (f *Firewall) Swap(gone, put []firewall.GuardElement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queueElementsGone(0, gone...)
	err := f.putElements(put)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	f.dropElements(append(gone[:len(gone):len(gone)], put...), 0)
	return f.putElements(put)
}

func (f *Firewall) putElements(elements []firewall.GuardElement) error {
	for _, e := range elements {
		element, err := setElement(e, 0)
		if err != nil {
			return err
		}
		if err := f.conn.SetAddElements(kernelSet(e.Set), []nftables.SetElement{element}); err != nil {
			return fmt.Errorf("set %s: %w", e.Set.Name, err)
		}
	}
	return f.conn.Flush()
}

// Names gives the ways of names that the kernel holds.
func (f *Firewall) Names() (names []firewall.Name, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := firewall.NameSets()[0]
	elements, err := f.elementsOf(kernelSet(set), f.whole)
	for _, e := range elements {
		if name, ok := firewall.ParseName(keyParts(set.Key, e.Key, nil), valueText(set.Data, e.Val, nil)); ok {
			names = append(names, name)
		}
	}
	return names, err
}
