package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Bridge describes the bridge that holds a network's gateway ports. It has no address: what it floods leads nowhere.
type Bridge struct {
	Name string
	MTU  int
	Mark topology.Mark
}

// ErrForeign says that a link of a name is not what mcpnet made, and so is neither used nor removed.
var ErrForeign = errors.New("is not a link that mcpnet made for this network")

// EnsureBridge makes the bridge, or mends one that is there.
func (l *Links) EnsureBridge(b Bridge) error {
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	err := l.handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if err := l.mend(b.Name, "bridge", shape{mtu: b.MTU}); err != nil {
		return err
	}
	return l.finish(b.Name, "bridge", b.Mark, quietSettings)
}

// shape is what a link is made with, and netlink sets one by one.
type shape struct {
	mac  topology.HardwareAddr // nil: whatever the kernel chose
	mtu  int
	addr netip.Prefix // the only IPv4 address; invalid for none
}

// mend puts right what somebody set on a link since it was made. It is the port of nothing. A bridge whose MTU was
// never set follows those of its ports.
func (l *Links) mend(name, kind string, s shape) error {
	found, err := l.handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if found.Type() != kind {
		return fmt.Errorf("%s (%s): %w", name, found.Type(), ErrForeign)
	}
	a := found.Attrs()
	if s.mac != nil && a.HardwareAddr.String() != s.mac.String() {
		if err := l.handle.LinkSetHardwareAddr(found, net.HardwareAddr(s.mac)); err != nil {
			return fmt.Errorf("%s: hardware address %s: %w", name, s.mac, err)
		}
	}
	if a.MTU != s.mtu || kind == "bridge" {
		if err := l.handle.LinkSetMTU(found, s.mtu); err != nil {
			return fmt.Errorf("%s: mtu %d: %w", name, s.mtu, err)
		}
	}
	if a.MasterIndex != 0 {
		if err := l.handle.LinkSetNoMaster(found); err != nil {
			return fmt.Errorf("%s: port of nothing: %w", name, err)
		}
	}
	return l.dropAddrs(found, s.addr)
}

// dropAddrs removes the IPv4 addresses of a link but one.
func (l *Links) dropAddrs(found netlink.Link, but netip.Prefix) error {
	addrs, err := l.addrsOf(found)
	if err != nil {
		return fmt.Errorf("%s: addresses: %w", found.Attrs().Name, err)
	}
	for _, a := range addrs {
		if prefixOf(a.IPNet) == but {
			continue
		}
		if err := l.handle.AddrDel(found, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("%s: address %s: %w", found.Attrs().Name, a.IPNet, err)
		}
	}
	return nil
}

// finish gives a link its mark and its settings, and brings it up.
func (l *Links) finish(name, kind string, mark topology.Mark, settings []setting) error {
	found, err := l.handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if found.Type() != kind {
		return fmt.Errorf("%s (%s): %w", name, found.Type(), ErrForeign)
	}
	if err := l.configure(found.Attrs().Index, mark.String(), settings); err != nil {
		return fmt.Errorf("%s: settings: %w", name, err)
	}
	if err := l.handle.LinkSetUp(found); err != nil {
		return fmt.Errorf("%s: up: %w", name, err)
	}
	return nil
}

// Release makes a wire the port of nothing.
func (l *Links) Release(wire string) error { return l.set(wire, "release", l.handle.LinkSetNoMaster) }

// Enslave makes a wire a port of a bridge.
func (l *Links) Enslave(wire, bridge string) error {
	port, err := l.handle.LinkByName(wire)
	if err != nil {
		return fmt.Errorf("port %s: %w", wire, err)
	}
	master, err := l.handle.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("port %s: bridge %s: %w", wire, bridge, err)
	}
	if err := l.handle.LinkSetMaster(port, master); err != nil {
		return fmt.Errorf("port %s: bridge %s: %w", wire, bridge, err)
	}
	// Without rules the bridge would join gateways. Isolated ports do not speak with each other.
	if err := l.handle.LinkSetIsolated(port, true); err != nil {
		return fmt.Errorf("port %s: isolate: %w", wire, err)
	}
	return nil
}
