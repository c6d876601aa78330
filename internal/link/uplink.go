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

// Uplink describes the veth pair between a network's namespace and the host: the one way beyond the network. Neither
// end has an address. Each side reaches the other over NextHop, whose hardware address is written down on both, so that
// no ARP is needed.
type Uplink struct {
	Name   string // of the host's end; the other is topology.UplinkPort
	Subnet netip.Prefix
	Outer  topology.HardwareAddr // of the host's end
	Inner  topology.HardwareAddr
	MTU    int
	Mark   topology.Mark
	// InsteadOf is the bridge on the host whose route to the subnet the uplink's replaces, if any.
	InsteadOf string
}

// NextHop stands for the other end of an uplink (link-local, RFC 3927); no host has it.
var NextHop = netip.MustParseAddr("169.254.1.1")

const (
	// uplinkTable is the routing table of packets that the rules of the namespace have marked as permitted.
	uplinkTable = 100
	// uplinkPriority puts the rule for that table behind the main one's (32766), which knows the subnet.
	uplinkPriority = 40000
)

// EnsureUplink makes an uplink from inside a network's namespace, or mends one that is there.
func (l *Links) EnsureUplink(u Uplink, host *Links, hostNS ns.Handle) error {
	if err := l.addUplink(u, host, hostNS); err != nil {
		return err
	}
	if err := host.finishUplink(u, u.Subnet.Masked(), u.Name, u.Inner, unix.RT_TABLE_MAIN); err != nil {
		return fmt.Errorf("uplink %s, the host's end: %w", u.Name, err)
	}
	if err := l.finishUplink(u, anywhere, topology.UplinkPort, u.Outer, uplinkTable); err != nil {
		return fmt.Errorf("uplink %s, the network's end: %w", u.Name, err)
	}
	return l.ensureUplinkRule()
}

// addUplink makes the pair unless it is there. The host's end of a namespace that is gone may be left for a while: the
// kernel takes links away after their namespace.
func (l *Links) addUplink(u Uplink, host *Links, hostNS ns.Handle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = topology.UplinkPort, net.HardwareAddr(u.Inner), u.MTU
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: u.Name, PeerHardwareAddr: net.HardwareAddr(u.Outer),
		PeerMTU: uint32(u.MTU), PeerNamespace: netlink.NsFd(hostNS.FD())}
	err := l.handle.LinkAdd(pair)
	if errors.Is(err, unix.EEXIST) {
		outer, failed := host.Find(u.Name)
		inner, missing := l.Find(topology.UplinkPort)
		// A pair is made in one request: an end on the host without a mark is ours only if the other end is here.
		ends := missing == nil && inner.EndsAt(outer)
		if failed != nil || !outer.is(u.Mark) || (outer.Alias == "" && !ends) {
			return fmt.Errorf("uplink: interface %s of the host %w", u.Name, ErrForeign)
		}
		if !errors.Is(missing, ErrNotFound) {
			return missing
		}
		if err = host.Delete(u.Name); err == nil {
			err = l.handle.LinkAdd(pair)
		}
	}
	if err != nil {
		return fmt.Errorf("uplink %s: %w", u.Name, err)
	}
	return nil
}

var anywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// is reports whether a link has a mark. One that is not marked yet was made by a process that was killed.
func (l Link) is(m topology.Mark) bool {
	return l.Type == "veth" && (l.Alias == "" || l.Alias == m.String())
}

// finishUplink gives one end its settings, the other end's hardware address and the route that leads over it.
func (l *Links) finishUplink(u Uplink, dst netip.Prefix, name string, other topology.HardwareAddr, table int) error {
	if err := l.finish(name, "veth", u.Mark, uplinkSettings); err != nil {
		return err
	}
	found, err := l.handle.LinkByName(name)
	if err != nil {
		return err
	}
	index := found.Attrs().Index
	if err := l.handle.NeighSet(&netlink.Neigh{LinkIndex: index, Family: netlink.FAMILY_V4,
		State: netlink.NUD_PERMANENT,
		IP:    NextHop.AsSlice(), HardwareAddr: net.HardwareAddr(other)}); err != nil {
		return fmt.Errorf("neighbour %s: %w", NextHop, err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: ipNet(dst), Gw: NextHop.AsSlice(), Table: table,
		Flags: int(netlink.FLAG_ONLINK)}
	err = l.handle.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		err = l.takeRoute(u, route, dst)
	}
	if err != nil {
		return fmt.Errorf("route %s: %w", dst, err)
	}
	return nil
}

// takeRoute puts a route in the place of one that is there: only that of the bridge whose containers the network took.
func (l *Links) takeRoute(u Uplink, route *netlink.Route, dst netip.Prefix) error {
	ours, err := l.hasRoute(route.LinkIndex, dst, route.Table)
	if err != nil || ours {
		return err
	}
	bridge, err := l.Find(u.InsteadOf)
	taken := false
	if err == nil {
		taken, err = l.hasRoute(bridge.Index, dst, route.Table)
	}
	if errors.Is(err, ErrNotFound) || (err == nil && !taken) {
		return fmt.Errorf("the one that another interface has %w", ErrForeign)
	}
	if err != nil {
		return err
	}
	return l.handle.RouteReplace(route)
}

// ensureUplinkRule has permitted packets, and no others, look for the way out.
func (l *Links) ensureUplinkRule() error {
	rule := netlink.NewRule()
	rule.Family, rule.Priority = netlink.FAMILY_V4, uplinkPriority
	rule.Mark, rule.Table = topology.MarkPermitted, uplinkTable
	if err := l.handle.RuleAdd(rule); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("uplink: routing rule: %w", err)
	}
	return nil
}

// UplinkHolds reports whether both ends are as EnsureUplink leaves them.
func (l *Links) UplinkHolds(u Uplink, host *Links) (bool, error) {
	outer, err := host.endHolds(u.Name, u.Subnet, unix.RT_TABLE_MAIN)
	if err != nil || !outer {
		return false, err
	}
	inner, err := l.endHolds(topology.UplinkPort, anywhere, uplinkTable)
	if err != nil || !inner {
		return false, err
	}
	rules, err := l.handle.RuleListFiltered(netlink.FAMILY_V4,
		&netlink.Rule{Priority: uplinkPriority, Table: uplinkTable},
		netlink.RT_FILTER_PRIORITY|netlink.RT_FILTER_TABLE)
	if err != nil {
		return false, fmt.Errorf("uplink: routing rules: %w", err)
	}
	return len(rules) > 0, nil
}

func (l *Links) endHolds(name string, dst netip.Prefix, table int) (bool, error) {
	found, err := l.Find(name)
	if errors.Is(err, ErrNotFound) || (err == nil && !found.Up) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return l.hasRoute(found.Index, dst, table)
}

// hasRoute reports whether a route to a prefix leads over a link.
func (l *Links) hasRoute(index int, dst netip.Prefix, table int) (bool, error) {
	routes, err := l.handle.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: index, Table: table},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return false, fmt.Errorf("uplink: routes: %w", err)
	}
	for _, r := range routes {
		to := anywhere
		if r.Dst != nil {
			to = prefixOf(r.Dst)
		}
		if to == dst.Masked() {
			return true, nil
		}
	}
	return false, nil
}
