package testnet

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Port is one end of a veth.
type Port struct {
	NS    *NS
	Name  string
	Addrs []string
}

// Connect joins two namespaces with a veth and brings both ends up.
func Connect(t T, a, b Port) {
	t.Helper()
	Veth(t, a, b)
	for _, p := range []Port{a, b} {
		for _, addr := range p.Addrs {
			p.NS.AddAddr(p.Name, addr)
		}
		p.NS.Up(p.Name)
	}
}

// Veth makes the two ends, down and without addresses. It makes them in the
// first namespace, so that nothing shows on the machine's own network.
func Veth(t T, a, b Port) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a.Name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "mcptpeer"}
	must(t, a.NS.Handle().LinkAdd(veth), "veth %s in %s", a.Name, a.NS.label)
	a.NS.Give("mcptpeer", b.NS, b.Name)
}

// Give moves a link to another namespace and renames it there.
func (n *NS) Give(link string, to *NS, name string) {
	n.t.Helper()
	must(n.t, n.give(link, to, name), "move %s from %s to %s", link, n.label, to.label)
}

func (n *NS) give(link string, to *NS, name string) error {
	l, err := n.Handle().LinkByName(link)
	if err != nil {
		return err
	}
	fd, err := unix.Open(to.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := n.Handle().LinkSetNsFd(l, fd); err != nil {
		return err
	}
	moved, err := to.Handle().LinkByName(link)
	if err != nil || link == name {
		return err
	}
	return rename(to.Handle(), moved, name)
}

// rename takes a link down for its new name where it has to: kernels before Linux 6.2 rename no link that is up, and an
// attacker in the namespace brings it up at once.
func rename(h *netlink.Handle, link netlink.Link, name string) (err error) {
	for range 100 {
		if err = h.LinkSetName(link, name); !errors.Is(err, unix.EBUSY) {
			return err
		}
		if err = h.LinkSetDown(link); err != nil {
			return err
		}
	}
	return err
}

// AddBridge makes a bridge with addresses and brings it up.
func (n *NS) AddBridge(name string, addrs ...string) {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(n.t, n.Handle().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}), "bridge %s", name)
	for _, addr := range addrs {
		n.AddAddr(name, addr)
	}
	n.Up(name)
}

// Enslave makes a link a port of a bridge.
func (n *NS) Enslave(link, bridge string) {
	n.t.Helper()
	must(n.t, n.Handle().LinkSetMaster(n.Link(link), n.Link(bridge)), "enslave %s to %s", link, bridge)
}

// Link finds a link by name.
func (n *NS) Link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.Handle().LinkByName(name)
	must(n.t, err, "link %s in %s", name, n.label)
	return l
}

// MAC is the hardware address of a link.
func (n *NS) MAC(link string) net.HardwareAddr {
	n.t.Helper()
	return n.Link(link).Attrs().HardwareAddr
}

// Up brings a link up.
func (n *NS) Up(link string) {
	n.t.Helper()
	must(n.t, n.Handle().LinkSetUp(n.Link(link)), "%s up in %s", link, n.label)
}

// AddAddr gives a link an address with its prefix length.
func (n *NS) AddAddr(link, addr string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(addr)
	must(n.t, err, "address %s", addr)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	must(n.t, n.Handle().AddrReplace(n.Link(link), a), "address %s on %s in %s", addr, link, n.label)
}

// AddRoute adds a route over a next hop. An invalid destination means the
// default route of the next hop's family.
func (n *NS) AddRoute(dst netip.Prefix, via netip.Addr) {
	n.t.Helper()
	r := &netlink.Route{Gw: via.AsSlice()}
	if dst.IsValid() {
		r.Dst = IPNet(dst)
	}
	must(n.t, n.Handle().RouteReplace(r), "route %s via %s in %s", dst, via, n.label)
}

// IPNet is the form that the netlink library takes.
func IPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
