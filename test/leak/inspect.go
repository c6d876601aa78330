package leak

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// inspector looks for what the attacker's frames changed.
type inspector struct{ run *run }

// neighbour tells whether somebody believes that an address has a MAC.
func (in *inspector) neighbour(who Who, ip netip.Addr, mac net.HardwareAddr) string {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	for _, n := range in.neighbours(who, family) {
		if n.IP.Equal(ip.AsSlice()) && bytes.Equal(n.HardwareAddr, mac) {
			return fmt.Sprintf("%s believes that %s is at %s", who, ip, mac)
		}
	}
	return ""
}

// learned tells whether a bridge of the host expects a MAC at the attacker's wire.
func (in *inspector) learned(mac net.HardwareAddr) string {
	for _, n := range in.neighbours(Host, unix.AF_BRIDGE) {
		if n.LinkIndex == in.run.seat.wire() && bytes.Equal(n.HardwareAddr, mac) {
			return fmt.Sprintf("the bridge expects %s at the attacker's wire", mac)
		}
	}
	return ""
}

// neighbours dumps a neighbour table. A dump that was interrupted is partly
// right, and the caller asks again anyway.
func (in *inspector) neighbours(who Who, family int) (all []netlink.Neigh) {
	for _, ns := range in.namespaces(who) {
		list, err := ns.Handle().NeighList(0, family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			in.run.t.Fatalf("neighbours of %s: %v", who, err)
		}
		all = append(all, list...)
	}
	return all
}

// namespaces are those of somebody; what the network's own learns counts as
// the host's.
func (in *inspector) namespaces(who Who) []*testnet.NS {
	ns, _ := in.run.seat.namespace(who)
	if who == Host && in.run.seat.Space != nil {
		return []*testnet.NS{ns, in.run.seat.Space}
	}
	return []*testnet.NS{ns}
}

// joined tells whether a bridge of the host lists a group.
func (in *inspector) joined(group string) string {
	return in.grep(Host, []string{"bridge", "mdb", "show"}, " "+group+" ")
}

// routerPort tells whether the bridge sends multicast to the attacker's wire.
func (in *inspector) routerPort() string {
	wire, err := in.run.seat.network().Handle().LinkByIndex(in.run.seat.wire())
	if err != nil {
		in.run.t.Fatalf("the attacker's wire: %v", err)
	}
	return in.grep(Host, []string{"bridge", "-d", "mdb", "show"}, "router ports on", wire.Attrs().Name)
}

// routeVia tells whether somebody has an IPv6 route over a next hop.
func (in *inspector) routeVia(who Who, hop netip.Addr) string {
	return in.grep(who, []string{"ip", "-6", "route"}, "default via "+hop.String()+" ")
}

// tracked tells whether the host tracks a flow from an address.
func (in *inspector) tracked(from netip.Addr) string {
	for _, ns := range in.namespaces(Host) {
		flows, err := ns.Handle().ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			in.run.t.Fatalf("connection tracking: %v", err)
		}
		for _, f := range flows {
			if f.Forward.SrcIP.Equal(from.AsSlice()) {
				return "the host tracks " + f.String()
			}
		}
	}
	return ""
}

// grep finds the line of a command's output that has all words.
func (in *inspector) grep(who Who, command []string, words ...string) string {
	for _, ns := range in.namespaces(who) {
		for line := range strings.Lines(ns.Run(command[0], command[1:]...)) {
			line = strings.TrimSpace(line)
			missing := false
			for _, word := range words {
				missing = missing || !strings.Contains(line+" ", word)
			}
			if !missing {
				return line
			}
		}
	}
	return ""
}
