// Package link makes the links of one network namespace over netlink. Whatever a link needs is said when it is made,
// before it comes up. What netlink cannot say (sysctl.go) is set for a whole namespace of a network's, never on the
// host.
package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Links is the links of one network namespace.
type Links struct {
	ns      ns.Handle
	handle  *netlink.Handle
	sockets map[int]*nl.SocketHandle // for requests that the library has no call for
}

// Open connects to the links of a namespace.
func Open(h ns.Handle) (*Links, error) {
	handle, err := open(h)
	if err != nil {
		return nil, err
	}
	socket, err := nl.GetNetlinkSocketAt(socketsOf(h), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &Links{h, handle, map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}}, nil
}

func open(h ns.Handle) (*netlink.Handle, error) {
	handle, err := netlink.NewHandleAt(socketsOf(h), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return handle, nil
}

// socketsOf is the namespace as the library wants it: none for that of the process, which it need not enter.
func socketsOf(h ns.Handle) netns.NsHandle {
	if fd, ok := h.Socket(); ok {
		return netns.NsHandle(fd)
	}
	return netns.None()
}

// Close ends the connection; the links stay.
func (l *Links) Close() {
	l.handle.Close()
	l.sockets[unix.NETLINK_ROUTE].Close()
}

// Link is what is known of an existing link.
type Link struct {
	Name   string
	Index  int
	Master int // index of the bridge it is a port of, 0 for none
	Up     bool
	MTU    int
	MAC    topology.HardwareAddr
	Alias  string
	Type   string // "veth", "bridge", …
	Group  uint32
	Peer   int // of a veth: the index of the other end, in its namespace
	PeerNS int // of a veth: the id of that namespace in this one, -1 for this one itself
	NoARP  bool
	// Settings are the kernel's for IPv4, IPv6 tells whether IPv6 is on, and Isolated whether it is a port of a bridge
	// that does not speak with other ports. Find and List fill them.
	Settings topology.Settings
	IPv6     bool
	Isolated bool
	Addrs    []netip.Prefix   // IPv4; only List fills it
	In       topology.Traffic // what the namespace received
	Out      topology.Traffic // what the namespace sent
}

// Mark is whose the link is; ok is false for a link that is not mcpnet's.
func (l Link) Mark() (m topology.Mark, ok bool) { return topology.ParseMark(l.Alias) }

// ErrNotFound says that there is no link of that name.
var ErrNotFound = errors.New("no such link")

// Find looks for a link by name.
func (l *Links) Find(name string) (Link, error) {
	found, err := l.links(name)
	if errors.Is(err, unix.ENODEV) {
		return Link{}, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("the kernel tells of %d links", len(found))
	}
	if err != nil {
		return Link{}, fmt.Errorf("%s: %w", name, err)
	}
	return found[0], nil
}

// At looks for a link by index.
func (l *Links) At(index int) (Link, error) {
	found, err := l.handle.LinkByIndex(index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return Link{}, fmt.Errorf("interface %d: %w", index, ErrNotFound)
	}
	if err != nil {
		return Link{}, fmt.Errorf("interface %d: %w", index, err)
	}
	return describe(found), nil
}

// AddrsOf gives the IPv4 addresses of one link.
func (l *Links) AddrsOf(name string) ([]netip.Prefix, error) {
	found, err := l.handle.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	listed, err := l.addrsOf(found)
	if err != nil {
		return nil, fmt.Errorf("%s: addresses: %w", name, err)
	}
	var out []netip.Prefix
	for _, a := range listed {
		out = append(out, prefixOf(a.IPNet))
	}
	return out, nil
}

// addrsOf lists the IPv4 addresses of a link, or with nil of all.
func (l *Links) addrsOf(found netlink.Link) ([]netlink.Addr, error) {
	return whole(func() ([]netlink.Addr, error) { return l.handle.AddrList(found, netlink.FAMILY_V4) })
}

// routes lists the routes of the main table over a link, or with nil over all.
func (l *Links) routes(over netlink.Link, family int) ([]netlink.Route, error) {
	return whole(func() ([]netlink.Route, error) { return l.handle.RouteList(over, family) })
}

// List gives all links of the namespace.
func (l *Links) List() ([]Link, error) {
	out, err := l.links("")
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := l.Addrs()
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Addrs = addrs[out[i].Index]
	}
	return out, nil
}

// Addrs gives the IPv4 addresses of all links, by index. Wires have none, so that they are few.
func (l *Links) Addrs() (map[int][]netip.Prefix, error) {
	listed, err := l.addrsOf(nil)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	out := map[int][]netip.Prefix{}
	for _, a := range listed {
		out[a.LinkIndex] = append(out[a.LinkIndex], prefixOf(a.IPNet))
	}
	return out, nil
}

func describe(l netlink.Link) Link {
	a := l.Attrs()
	d := Link{Name: a.Name, Index: a.Index, Master: a.MasterIndex, Up: a.Flags&net.FlagUp != 0, MTU: a.MTU,
		MAC: topology.HardwareAddr(a.HardwareAddr), Alias: a.Alias, Type: l.Type(), Group: a.Group,
		Peer: a.ParentIndex, PeerNS: a.NetNsID, NoARP: a.RawFlags&unix.IFF_NOARP != 0}
	if s := a.Statistics; s != nil {
		d.In, d.Out = topology.Traffic{Packets: s.RxPackets, Bytes: s.RxBytes}, topology.Traffic{Packets: s.TxPackets, Bytes: s.TxBytes}
	}
	return d
}

// Up lets a link pass frames.
func (l *Links) Up(name string) error { return l.set(name, "up", l.handle.LinkSetUp) }

// Down stops a link.
func (l *Links) Down(name string) error { return l.set(name, "down", l.handle.LinkSetDown) }

// Delete removes a link. One that is missing is no error.
func (l *Links) Delete(name string) error {
	err := l.set(name, "delete", l.handle.LinkDel)
	if errors.Is(err, ErrNotFound) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

func (l *Links) set(name, what string, do func(netlink.Link) error) error {
	found, err := l.handle.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return fmt.Errorf("%s %s: %w", what, name, ErrNotFound)
	}
	if err == nil {
		err = do(found)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

// InUse finds an interface, other than the named ones, whose network overlaps the prefix, or to which a part of it is
// routed. A wider route does not stand in the way, unless it is that of a network.
func (l *Links) InUse(p netip.Prefix, except ...string) (string, error) {
	addrs, err := l.addrsOf(nil)
	if err != nil {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	used := map[int][]netip.Prefix{}
	for _, a := range addrs {
		used[a.LinkIndex] = append(used[a.LinkIndex], prefixOf(a.IPNet))
	}
	routes, err := l.routes(nil, netlink.FAMILY_V4)
	if err != nil {
		return "", fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		if dst := prefixOf(r.Dst); dst.Bits() >= p.Bits() || isUplinkRoute(r) {
			used[r.LinkIndex] = append(used[r.LinkIndex], dst)
		}
	}
	for index, prefixes := range used {
		overlaps := func(have netip.Prefix) bool { return have.IsValid() && p.Overlaps(have.Masked()) }
		if !slices.ContainsFunc(prefixes, overlaps) {
			continue
		}
		owner, err := l.handle.LinkByIndex(index)
		if err == nil && !slices.Contains(except, owner.Attrs().Name) {
			return owner.Attrs().Name, nil
		}
	}
	return "", nil
}

// isUplinkRoute reports whether a route is that of a network's whole subnet: where others have an address, an uplink
// has a route.
func isUplinkRoute(r netlink.Route) bool { return r.Gw.Equal(NextHop.AsSlice()) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefixOf is the IPv4 prefix of an address, or the zero Prefix.
func prefixOf(n *net.IPNet) netip.Prefix {
	ip, ok := netip.AddrFromSlice(n.IP.To4())
	if !ok {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ip, ones)
}
