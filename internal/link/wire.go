package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Wire describes an endpoint's veth pair: Name stays in the network's namespace, Peer goes into the container.
type Wire struct {
	Name, Peer string
	PeerMAC    topology.HardwareAddr
	MAC        topology.HardwareAddr // of the network's end
	MTU        int
	Group      uint32
	Mark       topology.Mark
}

// ErrPeerExists says that the namespace of the other end has an interface of that name.
var ErrPeerExists = errors.New("the container has an interface of this name already")

// AddWire makes the pair, both ends down, the container end in the namespace that it belongs to: to move it there
// later would cost the kernel milliseconds. It finishes a pair that a killed process left without its settings.
func (l *Links) AddWire(w Wire, peers ns.Handle) (Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU, attrs.Group = w.Name, net.HardwareAddr(w.MAC), w.MTU, w.Group
	err := l.handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: w.Peer, PeerHardwareAddr: net.HardwareAddr(w.PeerMAC),
		PeerMTU: uint32(w.MTU), PeerNamespace: netlink.NsFd(peers.FD())})
	if errors.Is(err, unix.EEXIST) {
		if _, missing := l.Find(w.Name); errors.Is(missing, ErrNotFound) {
			return Link{}, fmt.Errorf("wire %s: interface %s: %w", w.Name, w.Peer, ErrPeerExists)
		}
		err = nil
	}
	if err != nil {
		return Link{}, fmt.Errorf("wire %s: interface %s: %w", w.Name, w.Peer, err)
	}
	return l.finishWire(w)
}

// finishWire gives a wire what it is made with, or removes it. What has its name and is no veth is not touched.
func (l *Links) finishWire(w Wire) (Link, error) {
	found, err := l.Find(w.Name)
	if err == nil && found.Type != "veth" {
		return Link{}, fmt.Errorf("wire %s (%s): %w", w.Name, found.Type, ErrForeign)
	}
	if err == nil {
		err = l.dressWire(w, found)
	}
	if err != nil {
		return Link{}, errors.Join(fmt.Errorf("wire %s: %w", w.Name, err), l.Delete(w.Name))
	}
	return found, nil
}

// dressWire sets what of a wire is not as it should be, its mark, and its settings.
func (l *Links) dressWire(w Wire, found Link) (err error) {
	if found.MAC.String() != w.MAC.String() {
		err = l.set(w.Name, "hardware address", func(n netlink.Link) error {
			return l.handle.LinkSetHardwareAddr(n, net.HardwareAddr(w.MAC))
		})
	}
	if err == nil && found.MTU != w.MTU {
		err = l.set(w.Name, "mtu", func(n netlink.Link) error { return l.handle.LinkSetMTU(n, w.MTU) })
	}
	if err == nil && found.Group != w.Group {
		err = l.SetGroup(w.Name, w.Group)
	}
	if err == nil {
		err = l.configure(found.Index, w.Mark.String(), quietSettings)
	}
	return err
}

// MendWire puts right what somebody set on a wire since it was made. A failure leaves it where it is: its container
// runs.
func (l *Links) MendWire(w Wire) error {
	found, err := l.Find(w.Name)
	if err != nil {
		return err
	}
	if found.Type != "veth" {
		return fmt.Errorf("wire %s (%s): %w", w.Name, found.Type, ErrForeign)
	}
	if err := l.dressWire(w, found); err != nil {
		return fmt.Errorf("wire %s: %w", w.Name, err)
	}
	return l.set(w.Name, "no address", func(n netlink.Link) error { return l.dropAddrs(n, netip.Prefix{}) })
}

// SetGroup puts a link into an interface group, by which rules know its role.
func (l *Links) SetGroup(name string, group uint32) error {
	return l.set(name, "group", func(found netlink.Link) error { return l.handle.LinkSetGroup(found, int(group)) })
}

// Give moves a veth end to another namespace, down and a port of nothing, under another name. Its other end stays
// where it is.
func (l *Links) Give(name string, to ns.Handle, as string) error {
	found, err := l.handle.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return fmt.Errorf("move %s: %w", name, ErrNotFound)
	}
	steps := []func(netlink.Link) error{l.handle.LinkSetDown, l.handle.LinkSetNoMaster,
		func(p netlink.Link) error { return l.handle.LinkSetName(p, as) },
		func(p netlink.Link) error { return l.handle.LinkSetNsFd(p, to.FD()) }}
	for _, do := range steps {
		if err == nil {
			err = do(found)
		}
	}
	if errors.Is(err, unix.ENODEV) { // its container has ended meanwhile
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("move %s to another namespace as %s: %w", name, as, err)
	}
	return nil
}

// TakeWire makes a wire of a veth end that Give brought here.
func (l *Links) TakeWire(w Wire) (Link, error) { return l.finishWire(w) }
