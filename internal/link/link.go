// Package link makes bridges and wires over netlink. Whatever a link needs is said when it is made, before it comes up:
// its addresses, its settings, that it takes no IPv6 address. CAP_NET_ADMIN is enough; /proc/sys is not touched.
package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// aliasPrefix begins the alias (IFLA_IFALIAS) of every link of ours; the owner and an id follow.
const aliasPrefix = "mcpnet"

// Links is the links of one network namespace.
type Links struct {
	ns      ns.Handle
	handle  netlinksafe.Handle       // repeats dumps that a change interrupted
	sockets map[int]*nl.SocketHandle // for requests that the library has no call for
}

// Open connects to the links of a namespace.
func Open(h ns.Handle) (*Links, error) {
	handle, err := open(h)
	if err != nil {
		return nil, err
	}
	socket, err := nl.GetNetlinkSocketAt(handleOf(h), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &Links{h, handle, map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}}, nil
}

func open(h ns.Handle) (netlinksafe.Handle, error) {
	handle, err := netlinksafe.NewHandleAt(handleOf(h), unix.NETLINK_ROUTE)
	if err != nil {
		return handle, fmt.Errorf("netlink: %w", err)
	}
	return handle, nil
}

func handleOf(h ns.Handle) netns.NsHandle {
	if fd, ok := h.FD(); ok {
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
	Type   string         // "veth", "bridge", …
	Peer   int            // of a veth: the index of the other end, in its namespace
	Addrs  []netip.Prefix // IPv4; only List fills it
	In     Traffic        // what the host received
	Out    Traffic        // what the host sent
}

// Traffic counts packets and bytes.
type Traffic struct{ Packets, Bytes uint64 }

// EndsAt reports whether the other end of a veth is this link of the host's.
func (l Link) EndsAt(host Link) bool {
	return l.Type == "veth" && host.Type == "veth" && host.Peer == l.Index
}

// Owned reports whether the link is mcpnet's, and whose.
func (l Link) Owned() (owner topology.Owner, id string, ok bool) {
	parts := strings.Fields(l.Alias)
	if len(parts) != 3 || parts[0] != aliasPrefix {
		return "", "", false
	}
	return topology.Owner(parts[1]), parts[2], true
}

// Alias is the alias of a link that belongs to the owner's network or endpoint.
func Alias(owner topology.Owner, id string) string {
	return fmt.Sprintf("%s %s %s", aliasPrefix, owner, id)
}

// ErrNotFound says that there is no link of that name.
var ErrNotFound = errors.New("no such link")

// Find looks for a link by name.
func (l *Links) Find(name string) (Link, error) {
	found, err := l.handle.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return Link{}, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	if err != nil {
		return Link{}, fmt.Errorf("%s: %w", name, err)
	}
	return describe(found), nil
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
	listed, err := l.handle.AddrList(found, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("%s: addresses: %w", name, err)
	}
	var out []netip.Prefix
	for _, a := range listed {
		out = append(out, prefixOf(a.IPNet))
	}
	return out, nil
}

// List gives all links of the namespace.
func (l *Links) List() ([]Link, error) {
	listed, err := l.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := l.addrs()
	if err != nil {
		return nil, err
	}
	out := make([]Link, len(listed))
	for i, found := range listed {
		out[i] = describe(found)
		out[i].Addrs = addrs[out[i].Index]
	}
	return out, nil
}

// addrs gives the IPv4 addresses of all links, by index. Wires have none, so that they are few.
func (l *Links) addrs() (map[int][]netip.Prefix, error) {
	listed, err := l.handle.AddrList(nil, netlink.FAMILY_V4)
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
		MAC: topology.HardwareAddr(a.HardwareAddr), Alias: a.Alias, Type: l.Type(), Peer: a.ParentIndex}
	if s := a.Statistics; s != nil {
		d.In, d.Out = Traffic{s.RxPackets, s.RxBytes}, Traffic{s.TxPackets, s.TxBytes}
	}
	return d
}

// Bridge describes a network's bridge.
type Bridge struct {
	Name  string
	Addr  netip.Prefix
	MAC   topology.HardwareAddr
	MTU   int
	Alias string
}

// TuneBridge gives a bridge that somebody else made the settings and the hardware address that rules know it by.
func (l *Links) TuneBridge(b Bridge) error {
	found, err := l.handle.LinkByName(b.Name)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if found.Type() != "bridge" {
		return fmt.Errorf("bridge %s: is an interface of type %s", b.Name, found.Type())
	}
	if found.Attrs().HardwareAddr.String() != b.MAC.String() {
		if err := l.handle.LinkSetHardwareAddr(found, net.HardwareAddr(b.MAC)); err != nil {
			return fmt.Errorf("bridge %s: hardware address %s: %w", b.Name, b.MAC, err)
		}
	}
	return l.finishBridge(found, b.Name, found.Attrs().Alias)
}

// EnsureBridge makes the bridge, or mends one that is there.
func (l *Links) EnsureBridge(b Bridge) error {
	found, err := l.handle.LinkByName(b.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		found, err = l.addBridge(b)
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if err := l.handle.AddrReplace(found, &netlink.Addr{IPNet: ipNet(b.Addr)}); err != nil {
		return fmt.Errorf("bridge %s: address %s: %w", b.Name, b.Addr, err)
	}
	return l.finishBridge(found, b.Name, b.Alias)
}

func (l *Links) finishBridge(found netlink.Link, name, alias string) error {
	if err := l.configure(found.Attrs().Index, alias, bridgeSettings); err != nil {
		return fmt.Errorf("bridge %s: settings: %w", name, err)
	}
	_ = l.disableIPv6(name) // see DisablesIPv6
	if err := l.handle.LinkSetUp(found); err != nil {
		return fmt.Errorf("bridge %s: up: %w", name, err)
	}
	return nil
}

func (l *Links) addBridge(b Bridge) (netlink.Link, error) {
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = b.Name, net.HardwareAddr(b.MAC), b.MTU
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	return bridge, l.handle.LinkAdd(bridge)
}

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
	return nil
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

// AddrInUse finds an interface, other than the named one, whose network overlaps the prefix.
func (l *Links) AddrInUse(p netip.Prefix, except string) (string, error) {
	addrs, err := l.handle.AddrList(nil, netlink.FAMILY_V4)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		used := prefixOf(a.IPNet)
		if !used.IsValid() || !p.Overlaps(used.Masked()) {
			continue
		}
		owner, err := l.handle.LinkByIndex(a.LinkIndex)
		if err == nil && owner.Attrs().Name != except {
			return owner.Attrs().Name, nil
		}
	}
	return "", nil
}

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
