// Package plan turns what a network should be and what the kernel holds into steps. Steps are values that print
// themselves: `mcpnet plan`, debug logs and golden tests show exactly what would be done, and in which network
// namespace. The package is pure.
//
// Order: on the way in rules stand before a link comes up; on the way out a link is gone before its rules.
package plan

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Network is a network and its endpoints, as they should be.
type Network struct {
	topology.Network
	Endpoints []Endpoint
	// Incomplete says that the network may have endpoints which nobody knows: what seems to belong to none stays.
	Incomplete bool
}

// Endpoint is an endpoint and how far it is attached.
type Endpoint struct {
	topology.Endpoint
	// Joined endpoints have their container end in a container; their wire is up.
	Joined bool
	// Alone says that the container has no other network, as far as its engine tells.
	Alone bool
}

// Observed is what the kernel holds of one network.
type Observed struct {
	// Exists reports whether the network's namespace is there. All but Host is of that namespace.
	Exists bool
	// Prepared reports whether the namespace has its settings.
	Prepared bool
	Links    map[string]Link
	// Chains gives the rule ids of each chain of ours in order.
	Chains map[firewall.Family]map[string][]string
	// Elements gives what each set holds: the data of each key.
	Elements map[string]map[string]string
	// Uplink reports whether both ends of the uplink and their routes are there.
	Uplink bool
	Host   HostState
}

// HostState is what the host's own namespace holds.
type HostState struct {
	Links map[string]Link
	// Chains gives the rule ids of each chain of ours. Chains of family netdev are an earlier mcpnet's.
	Chains map[firewall.Family]map[string][]string
	// Addrs are the host's own IPv4 addresses.
	Addrs    []netip.Addr
	Forwards bool // net.ipv4.ip_forward
	// IPTables tells, by uplink, whether the rules are complete; nil where iptables is not used or was not looked at.
	IPTables map[string]bool
	// Firewalld is what firewalld has in force; nil where it does not run or was not looked at.
	Firewalld *Firewalld
}

// Firewalld is what the host's firewalld has in force.
type Firewalld struct {
	// Prepared reports whether it has the zone of uplinks, and forwards what comes from there.
	Prepared bool
	// Zones gives the zone of each interface that somebody has put into one.
	Zones map[string]string
}

// Link is an existing link.
type Link struct {
	Name   string
	Type   string
	Master string // the bridge it is a port of
	Up     bool
	MTU    int
	Group  uint32
	MAC    string
	Mark   topology.Mark  // zero: not mcpnet's
	Addrs  []netip.Prefix // IPv4
	Index  int
	// Settings are the kernel's for IPv4. NoARP tells that it resolves no neighbour, Isolated that it is a port which does
	// not speak with other ports.
	Settings        topology.Settings
	NoARP, Isolated bool
	// In and Out count what the link received and sent.
	In, Out topology.Traffic
}

// sameRules compares the rules a chain should have, in the text's order, with the ids it has.
func sameRules(c firewall.Chain, ids []string) bool {
	var want []string
	for _, r := range c.Rules {
		if r.Log {
			want = append(want, r.ID+"/log")
		}
		want = append(want, r.ID)
	}
	return slices.Equal(want, ids)
}

// HostAddrs are the addresses by which a host is reached from its networks, in order: those of its interfaces, and
// the broadcast addresses of their networks.
func HostAddrs(links map[string]Link) (addrs []netip.Addr) {
	for _, l := range links {
		for _, a := range l.Addrs {
			if !a.IsValid() || a.Addr().IsLoopback() {
				continue
			}
			addrs = append(addrs, a.Addr())
			if !a.IsSingleIP() {
				addrs = append(addrs, netipx.PrefixLastIP(a))
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
