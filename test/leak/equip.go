package leak

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// equip makes the world as bad as it can be around the network under test:
// IPv6 everywhere, routes to the servers, a published port, route_localnet.
func (r *run) equip() {
	host, internet := r.seat.World.Host, r.seat.World.Internet
	host.Sysctl("net.ipv4.conf.all.route_localnet", "1")
	// Not for "all": a host that takes IPv6 off some of its links has the right to.
	r.give6(host, r.seat.Bridge, r.seat.BridgeIP, r.seat.Bridge)
	for _, m := range []Member{r.seat.Attacker, r.seat.Gateway, r.seat.Neighbour} {
		r.give6(m.NS, m.Link, m.IP, "all", "default", m.Link)
	}
	internet.AddRoute(r.seat.Subnet, testnet.HostAddr)
	internet.AddRoute(prefix6, testnet.HostAddr6)
	rule := []string{"PREROUTING", "-p", "tcp", "--dport", fmt.Sprint(publishedPort), "-m", "addrtype",
		"--dst-type", "LOCAL", "-j", "DNAT", "--to-destination", testnet.VictimAddr.String() + ":80"}
	if _, err := host.Output("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...); err != nil {
		host.Run("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...)
	}
}

// give6 turns IPv6 on in the named settings and gives a link an address.
func (r *run) give6(ns *testnet.NS, link string, ip netip.Addr, settings ...string) {
	for _, name := range settings {
		ns.Sysctl("net.ipv6.conf."+name+".disable_ipv6", "0")
	}
	ns.AddAddr(link, netip.PrefixFrom(addr6(ip), prefix6.Bits()).String())
}

// arm gives the attacker what root can give itself: routes to everywhere and
// the MACs of everybody, so that nothing depends on ARP or a default route.
// The others get the same towards the attacker.
func (r *run) arm() {
	ns, link := r.seat.namespace(Attacker)
	for _, p := range []Party{r.scene.Host, r.scene.Gateway, r.scene.Neighbour} {
		r.know(ns, link, p)
	}
	r.defaultRoute(ns, link, r.scene.Host.IP)
	r.defaultRoute(ns, link, r.scene.Host.IP6)
	for _, who := range []Who{Host, Neighbour} {
		ns, link := r.seat.namespace(who)
		r.know(ns, link, r.scene.Me)
	}
}

// know enters somebody's addresses as permanent neighbours.
func (r *run) know(ns *testnet.NS, link string, p Party) {
	index := ns.Link(link).Attrs().Index
	for _, ip := range []netip.Addr{p.IP, p.IP6} {
		entry := neighbour4(index, ip, p.MAC, netlink.NUD_PERMANENT)
		if err := ns.Handle().NeighSet(entry); err != nil {
			r.t.Fatalf("neighbour %s in %s: %v", ip, ns.Label(), err)
		}
		r.t.Cleanup(func() { _ = ns.Handle().NeighDel(entry) })
	}
}

func neighbour4(link int, ip netip.Addr, mac net.HardwareAddr, state int) *netlink.Neigh {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	return &netlink.Neigh{LinkIndex: link, Family: family, State: state, IP: ip.AsSlice(), HardwareAddr: mac}
}

// defaultRoute sends everything to the host, unless that is so already.
func (r *run) defaultRoute(ns *testnet.NS, link string, via netip.Addr) {
	route := &netlink.Route{
		LinkIndex: ns.Link(link).Attrs().Index, Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: testnet.IPNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Priority: 9,
	}
	if via.Is6() {
		route.Dst = testnet.IPNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	if err := ns.Handle().RouteReplace(route); err != nil {
		r.t.Fatalf("default route in %s: %v", ns.Label(), err)
	}
	r.t.Cleanup(func() { _ = ns.Handle().RouteDel(route) })
}

// plant has the targets of poison know the phantoms, as if they had talked
// before. The kernel lets nobody change such an entry for a second.
func (r *run) plant() {
	for i, v := range Vectors() {
		change, ok := v.Attack.(Change)
		if !ok || change.Plant == "" {
			continue
		}
		ns, link := r.seat.namespace(change.Plant)
		scene := r.nth(i)
		for _, ip := range []netip.Addr{scene.phantom(), scene.phantom6()} {
			entry := neighbour4(ns.Link(link).Attrs().Index, ip, oldMAC, netlink.NUD_STALE)
			if err := ns.Handle().NeighSet(entry); err != nil {
				r.t.Fatalf("plant %s in %s: %v", ip, ns.Label(), err)
			}
			r.t.Cleanup(func() { _ = ns.Handle().NeighDel(entry) })
		}
	}
}
