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

// Router describes the link by which a namespace's IP stack speaks to endpoints: a veth pair within the namespace.
// Rules carry frames to and from its port; without them both ends lead nowhere.
type Router struct {
	Addr netip.Prefix
	MAC  topology.HardwareAddr
	MTU  int
	Mark topology.Mark
}

// EnsureRouter makes the pair, or mends one that is there. The router resolves no neighbour: its port's rules put the
// right hardware address into what it sends.
func (l *Links) EnsureRouter(r Router) error {
	if err := l.addRouter(r); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := errors.Join(l.mend(topology.Router, "veth", shape{mac: r.MAC, mtu: r.MTU, addr: r.Addr}),
		l.mend(topology.RouterPort, "veth", shape{mtu: r.MTU})); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	found, err := l.handle.LinkByName(topology.Router)
	if err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := l.handle.LinkSetARPOff(found); err != nil {
		return fmt.Errorf("router: no ARP: %w", err)
	}
	if err := l.handle.AddrReplace(found, &netlink.Addr{IPNet: ipNet(r.Addr)}); err != nil {
		return fmt.Errorf("router: address %s: %w", r.Addr, err)
	}
	return errors.Join(
		l.checksumNow(topology.RouterPort),
		l.finish(topology.RouterPort, "veth", r.Mark, quietSettings),
		l.finish(topology.Router, "veth", r.Mark, routerSettings))
}

// addRouter makes the pair unless it is there.
func (l *Links) addRouter(r Router) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = topology.Router, net.HardwareAddr(r.MAC), r.MTU
	err := l.handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: topology.RouterPort, PeerMTU: uint32(r.MTU)})
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	for _, name := range []string{topology.Router, topology.RouterPort} {
		if found, err := l.Find(name); err == nil && found.Type != "veth" {
			return fmt.Errorf("%s (%s): %w", name, found.Type, ErrForeign)
		}
	}
	return nil
}
