package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

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
	outer, inner := u.ends()
	if err := host.finishUplink(u, outer); err != nil {
		return fmt.Errorf("uplink %s, the host's end: %w", u.Name, err)
	}
	if err := l.finishUplink(u, inner); err != nil {
		return fmt.Errorf("uplink %s, the network's end: %w", u.Name, err)
	}
	return l.ensureUplinkRule()
}

// end is one end of an uplink.
type end struct {
	name       string
	mac, other topology.HardwareAddr // its own, and that of the other end
	dst        netip.Prefix          // where the route over it leads
	table      int                   // of the route
}

func (u Uplink) ends() (outer, inner end) {
	return end{u.Name, u.Outer, u.Inner, u.Subnet.Masked(), unix.RT_TABLE_MAIN},
		end{topology.UplinkPort, u.Inner, u.Outer, anywhere, uplinkTable}
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
		// A pair is made in one request: an end on the host without our mark is ours only if the other end is here.
		ends := missing == nil && inner.EndsAt(outer) && (outer.Alias == "" || outer.MAC.String() == u.Outer.String())
		if failed != nil || outer.Type != "veth" || (outer.Alias != u.Mark.String() && !ends) {
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

// finishUplink gives one end its settings, the other end's hardware address and the route that leads over it.
func (l *Links) finishUplink(u Uplink, e end) error {
	if err := l.mend(e.name, "veth", shape{mac: e.mac, mtu: u.MTU}); err != nil {
		return err
	}
	if err := l.finish(e.name, "veth", u.Mark, uplinkSettings); err != nil {
		return err
	}
	found, err := l.handle.LinkByName(e.name)
	if err != nil {
		return err
	}
	index := found.Attrs().Index
	if err := l.handle.NeighSet(&netlink.Neigh{LinkIndex: index, Family: netlink.FAMILY_V4,
		State: netlink.NUD_PERMANENT,
		IP:    NextHop.AsSlice(), HardwareAddr: net.HardwareAddr(e.other)}); err != nil {
		return fmt.Errorf("neighbour %s: %w", NextHop, err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: ipNet(e.dst), Gw: NextHop.AsSlice(), Table: e.table,
		Flags: int(netlink.FLAG_ONLINK)}
	err = l.handle.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		err = l.takeRoute(u, route, e.dst)
	}
	if err != nil {
		return fmt.Errorf("route %s: %w", e.dst, err)
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
	outer, inner := u.ends()
	for _, side := range []struct {
		links *Links
		end   end
	}{{host, outer}, {l, inner}} {
		if holds, err := side.links.endHolds(u, side.end); err != nil || !holds {
			return false, err
		}
	}
	rules, err := whole(func() ([]netlink.Rule, error) {
		return l.handle.RuleListFiltered(netlink.FAMILY_V4, &netlink.Rule{Priority: uplinkPriority, Table: uplinkTable},
			netlink.RT_FILTER_PRIORITY|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return false, fmt.Errorf("uplink: routing rules: %w", err)
	}
	return slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Mark == topology.MarkPermitted && !r.Invert }), nil
}

// endHolds looks at everything that finishUplink sets.
func (l *Links) endHolds(u Uplink, e end) (bool, error) {
	found, err := l.Find(e.name)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	addrs, err := l.AddrsOf(e.name)
	if err != nil {
		return false, err
	}
	mark, _ := found.Mark() // a store that was lost has left its own in it
	if !found.Up || found.Type != "veth" || found.Master != 0 || found.MTU != u.MTU || mark.Owner != u.Mark.Owner ||
		mark.ID != u.Mark.ID || found.MAC.String() != e.mac.String() || found.Settings != topology.SettingsUplink || len(addrs) > 0 {
		return false, nil
	}
	if knows, err := l.knows(found.Index, e.other); err != nil || !knows {
		return false, err
	}
	return l.hasRoute(found.Index, e.dst, e.table)
}

// knows reports whether the next hop's hardware address is written down on a link.
func (l *Links) knows(index int, mac topology.HardwareAddr) (bool, error) {
	neighbours, err := whole(func() ([]netlink.Neigh, error) { return l.handle.NeighList(index, netlink.FAMILY_V4) })
	if err != nil {
		return false, fmt.Errorf("uplink: neighbours: %w", err)
	}
	return slices.ContainsFunc(neighbours, func(n netlink.Neigh) bool {
		return n.IP.Equal(NextHop.AsSlice()) && n.State == netlink.NUD_PERMANENT && n.HardwareAddr.String() == mac.String()
	}), nil
}

// hasRoute reports whether a route to a prefix leads over a link.
func (l *Links) hasRoute(index int, dst netip.Prefix, table int) (bool, error) {
	routes, err := whole(func() ([]netlink.Route, error) {
		return l.handle.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: index, Table: table},
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	})
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
