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

// Peer describes the container end of a wire, as it stands in the container's namespace.
type Peer struct {
	Name   string
	MAC    topology.HardwareAddr
	Addr   netip.Prefix
	Routes []topology.Route
}

// SetPeer gives the container end its addresses and routes, and nothing else: what an earlier plugin gave it goes. It
// is called on the links of the container's namespace. A default route that leads elsewhere stays.
func (l *Links) SetPeer(p Peer) error {
	found, err := l.handle.LinkByName(p.Name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", p.Name, err)
	}
	// Nothing of IPv6 passes the wire. Where it cannot be switched off, what asks for it waits longer.
	_ = l.ns.Do(func() error { return writeSetting("net/ipv6/conf/"+p.Name+"/disable_ipv6", "1") })
	if err := l.clear(found); err != nil {
		return fmt.Errorf("interface %s: %w", p.Name, err)
	}
	if found.Attrs().HardwareAddr.String() != p.MAC.String() {
		if err := l.handle.LinkSetHardwareAddr(found, net.HardwareAddr(p.MAC)); err != nil {
			return fmt.Errorf("interface %s: hardware address %s: %w", p.Name, p.MAC, err)
		}
	}
	if err := l.handle.AddrReplace(found, &netlink.Addr{IPNet: ipNet(p.Addr)}); err != nil {
		return fmt.Errorf("interface %s: address %s: %w", p.Name, p.Addr, err)
	}
	if err := l.handle.LinkSetUp(found); err != nil {
		return fmt.Errorf("interface %s: up: %w", p.Name, err)
	}
	for _, r := range p.Routes {
		if err := l.addRoute(routeOn(found, r)); err != nil {
			return fmt.Errorf("interface %s: route %s: %w", p.Name, r, err)
		}
	}
	return nil
}

// addRoute adds a route beside the one that another interface of the container may have to the same place: two
// attachments to one network reach the same gateway, and each has to when the other is gone. A default route is the
// container's only one.
func (l *Links) addRoute(r *netlink.Route) error {
	if r.Scope == netlink.SCOPE_LINK {
		return l.handle.RouteAppend(r)
	}
	if err := l.handle.RouteAdd(r); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func routeOn(l netlink.Link, r topology.Route) *netlink.Route {
	route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.Dst), Scope: netlink.SCOPE_LINK}
	if r.Via.IsValid() {
		route.Gw, route.Scope = r.Via.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	return route
}

// clear takes all addresses and routes of both families off a link.
func (l *Links) clear(link netlink.Link) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		addrs, err := whole(func() ([]netlink.Addr, error) { return l.handle.AddrList(link, family) })
		if err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
		for _, a := range addrs {
			if err := l.handle.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return fmt.Errorf("remove address %s: %w", a.IPNet, err)
			}
		}
		routes, err := l.routes(link, family)
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if err := l.handle.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("remove route %s: %w", r.Dst, err)
			}
		}
	}
	return nil
}

// PeerProblems tells what of the container end is not as it should be. It is called on the links of the container's
// namespace.
func (l *Links) PeerProblems(p Peer) (problems []string, err error) {
	found, err := l.Find(p.Name)
	if errors.Is(err, ErrNotFound) {
		return []string{fmt.Sprintf("interface %s is missing in the container", p.Name)}, nil
	}
	if err != nil {
		return nil, err
	}
	if !found.Up {
		problems = append(problems, fmt.Sprintf("interface %s is down", p.Name))
	}
	if found.MAC.String() != p.MAC.String() {
		problems = append(problems, fmt.Sprintf("interface %s has hardware address %s instead of %s", p.Name, found.MAC, p.MAC))
	}
	addrs, err := l.AddrsOf(p.Name)
	if err != nil {
		return nil, err
	}
	if !contains(addrs, p.Addr) {
		problems = append(problems, fmt.Sprintf("interface %s lacks address %s", p.Name, p.Addr))
	}
	missing, err := l.missingRoutes(p)
	return append(problems, missing...), err
}

func contains(addrs []netip.Prefix, a netip.Prefix) bool {
	for _, have := range addrs {
		if have == a {
			return true
		}
	}
	return false
}

func (l *Links) missingRoutes(p Peer) (problems []string, err error) {
	listed, err := l.routes(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	have := map[netip.Prefix]bool{}
	for _, r := range listed {
		if r.Dst == nil {
			have[netip.PrefixFrom(netip.IPv4Unspecified(), 0)] = true
		} else {
			have[prefixOf(r.Dst)] = true
		}
	}
	for _, r := range p.Routes {
		if !have[r.Dst] {
			problems = append(problems, fmt.Sprintf("interface %s lacks route %s", p.Name, r))
		}
	}
	return problems, nil
}
