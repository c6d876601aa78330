package link

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Wire describes an endpoint's veth pair: Name stays on the host, Peer goes into the container.
type Wire struct {
	Name, Peer string
	PeerMAC    topology.HardwareAddr
	MAC        topology.HardwareAddr // of the host end
	MTU        int
	Alias      string
}

// AddWire makes the pair, both ends down, the host end a port of nothing. It finishes a pair that a killed process left
// without its settings.
func (l *Links) AddWire(w Wire) (Link, error) {
	err := l.handle.LinkAdd(w.veth())
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return Link{}, fmt.Errorf("wire %s: %w", w.Name, err)
	}
	return l.finishWire(w)
}

// ErrPeerExists says that the container has an interface of that name already.
var ErrPeerExists = errors.New("the container has an interface of this name already")

// AddWireInto makes the pair with the container end in its namespace at once: moving it there later would cost the kernel
// milliseconds, and would show it on the host meanwhile.
func (l *Links) AddWireInto(sandbox ns.Handle, w Wire) (Link, error) {
	veth := w.veth()
	fd, _ := sandbox.FD()
	veth.PeerNamespace = netlink.NsFd(fd)
	err := l.handle.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		err = ErrPeerExists
	}
	if err != nil {
		return Link{}, fmt.Errorf("wire %s: interface %s: %w", w.Name, w.Peer, err)
	}
	return l.finishWire(w)
}

func (w Wire) veth() *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = w.Name, net.HardwareAddr(w.MAC), w.MTU
	return &netlink.Veth{LinkAttrs: attrs, PeerName: w.Peer, PeerHardwareAddr: net.HardwareAddr(w.PeerMAC), PeerMTU: uint32(w.MTU)}
}

// finishWire gives a wire its settings, or removes it.
func (l *Links) finishWire(w Wire) (Link, error) {
	found, err := l.Find(w.Name)
	if err == nil {
		_ = l.disableIPv6(w.Name) // see DisablesIPv6
		err = l.configure(found.Index, w.Alias, wireSettings)
	}
	if err != nil {
		return Link{}, errors.Join(fmt.Errorf("wire %s: %w", w.Name, err), l.Delete(w.Name))
	}
	return found, nil
}

// AdoptWire makes a wire of the host end of a veth that is a port of somebody's bridge. It is down first, and a port of
// nothing before it has the name that rules go by.
func (l *Links) AdoptWire(port string, w Wire) (Link, error) {
	found, err := l.handle.LinkByName(port)
	if err != nil {
		return Link{}, fmt.Errorf("port %s: %w", port, err)
	}
	for _, do := range []func(netlink.Link) error{l.handle.LinkSetDown, l.handle.LinkSetNoMaster,
		func(p netlink.Link) error { return l.handle.LinkSetName(p, w.Name) }} {
		if err := do(found); err != nil {
			return Link{}, fmt.Errorf("port %s: make it wire %s: %w", port, w.Name, err)
		}
	}
	return l.finishWire(w)
}

// Release takes a wire off its bridge and down: nothing passes until whoever made it removes it.
func (l *Links) Release(name string) error {
	if err := l.Down(name); err != nil {
		return err
	}
	return l.set(name, "release", l.handle.LinkSetNoMaster)
}
