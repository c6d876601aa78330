// Package plan turns what should be and what is into steps. Steps are values that print themselves: `mcpnet plan`, debug
// logs and golden tests show exactly what would be done. The package is pure.
//
// Order: on the way in rules stand before a link comes up; on the way out a link is gone before its rules.
package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Desired is everything that one owner's networks should be.
type Desired struct {
	Owner    topology.Owner
	Features firewall.Features
	Networks []Network
}

// Network is a network and its endpoints.
type Network struct {
	topology.Network
	Endpoints []Endpoint
}

// Endpoint is an endpoint and how far it is attached.
type Endpoint struct {
	topology.Endpoint
	// Joined endpoints have their container end in a container; their wire is up.
	Joined bool
}

// Observed is what the kernel holds.
type Observed struct {
	Links map[string]Link
	// Chains gives the rule ids of each chain of ours in order.
	Chains map[firewall.Family]map[string][]string
	// Elements counts the elements of each set and map of table netdev mcpnet.
	Elements map[string]int
	// IPTables lists the bridges whose iptables rules are complete; nil where iptables is not used.
	IPTables map[string]bool
}

// Link is an existing link.
type Link struct {
	Name   string
	Master string // the bridge it is a port of
	Up     bool
	MTU    int
	MAC    string
	Owner  topology.Owner // empty: not mcpnet's
	ID     string         // of the network or endpoint it belongs to
	Addrs  []netip.Prefix // IPv4
	Index  int            // 0: not known
	// In and Out count what the link received and sent.
	In, Out Traffic
}

// Traffic counts packets and bytes.
type Traffic struct{ Packets, Bytes uint64 }

// Step is one change of the kernel.
type Step interface {
	fmt.Stringer
	step()
}

// The steps.
type (
	// LoadWires loads the rules that hold for every wire.
	LoadWires struct{ Rules firewall.Ruleset }
	// LoadNetwork loads a network's rules.
	LoadNetwork struct {
		Network topology.Network
		Rules   firewall.Ruleset
	}
	// EnsureIPTables puts a network's rules into iptables.
	EnsureIPTables struct {
		Network topology.Network
		Rules   firewall.Ruleset
	}
	// EnsureBridge makes or mends a network's bridge.
	EnsureBridge struct{ Network topology.Network }
	// AddWire makes an endpoint's veth pair, both ends down.
	AddWire struct {
		Network  topology.Network
		Endpoint topology.Endpoint
	}
	// AddWireInto makes an endpoint's veth pair, both ends down, one of them in the container's namespace.
	AddWireInto struct {
		Network  topology.Network
		Endpoint topology.Endpoint
		Sandbox  string // path of the container's network namespace
	}
	// AdoptWire makes the port that another plugin made an endpoint's wire, down.
	AdoptWire struct {
		Network  topology.Network
		Endpoint topology.Endpoint
		Port     string // its interface name until now
	}
	// SetPeer gives the container end its addresses and routes and brings it up.
	SetPeer struct {
		Endpoint topology.Endpoint
		Sandbox  string
		Addr     netip.Prefix
		Routes   []Route
	}
	// AddGuard installs or replaces the chain and the elements of endpoints.
	AddGuard struct {
		Network topology.Network
		Guards  []firewall.Guard
		// Index gives the interface indices of wires that were observed.
		Index map[string]int
	}
	// Enslave makes a gateway's wire a port of the bridge.
	Enslave struct{ Wire, Bridge string }
	// SetUp lets a wire pass frames.
	SetUp struct{ Wire string }
	// ReleaseLink takes a link off its bridge and down, for another plugin to remove.
	ReleaseLink struct{ Name string }
	// DeleteLink removes a link.
	DeleteLink struct{ Name string }
	// DropGuard removes the chain and the elements of an endpoint.
	DropGuard struct{ Guard firewall.Guard }
	// RemoveIPTables removes a network's rules from iptables.
	RemoveIPTables struct{ Bridge string }
	// UnloadNetwork removes a network's rules.
	UnloadNetwork struct {
		Bridge string
		Rules  firewall.Ruleset
	}
	// RemoveTables removes mcpnet's tables, with the last network of all owners.
	RemoveTables struct{}
)

// Route leads to a prefix, over a next hop or, without one, on the link.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

func (AddWireInto) step()    {}
func (AdoptWire) step()      {}
func (SetPeer) step()        {}
func (ReleaseLink) step()    {}
func (LoadWires) step()      {}
func (LoadNetwork) step()    {}
func (EnsureIPTables) step() {}
func (EnsureBridge) step()   {}
func (AddWire) step()        {}
func (AddGuard) step()       {}
func (Enslave) step()        {}
func (SetUp) step()          {}
func (DeleteLink) step()     {}
func (DropGuard) step()      {}
func (RemoveIPTables) step() {}
func (UnloadNetwork) step()  {}
func (RemoveTables) step()   {}

func (LoadWires) String() string { return "load nftables rules for all wires" }
func (s LoadNetwork) String() string {
	return fmt.Sprintf("load nftables rules of network %s (bridge %s)", s.Network.DisplayName(), s.Network.Bridge)
}
func (s EnsureIPTables) String() string {
	return fmt.Sprintf("load iptables rules of network %s (bridge %s)", s.Network.DisplayName(), s.Network.Bridge)
}
func (s EnsureBridge) String() string {
	if s.Network.Adopted {
		return fmt.Sprintf("bridge %s: hardware address %s, up", s.Network.Bridge, s.Network.BridgeMAC())
	}
	return fmt.Sprintf("bridge %s: address %s, mtu %d, up", s.Network.Bridge, s.Network.BridgePrefix(), s.Network.Policy.MTU)
}
func (s AddWire) String() string {
	return fmt.Sprintf("wire %s: add for %s %s (%s), down", s.Endpoint.Wire(), s.Endpoint.Role, s.Endpoint.IP, s.Endpoint.MAC)
}
func (s AddWireInto) String() string {
	return fmt.Sprintf("wire %s: add for %s %s (%s), down, %s in %s", s.Endpoint.Wire(), s.Endpoint.Role, s.Endpoint.IP, s.Endpoint.MAC, s.Endpoint.Interface, s.Sandbox)
}
func (s AdoptWire) String() string {
	return fmt.Sprintf("wire %s: take port %s for %s %s (%s), off its bridge, down", s.Endpoint.Wire(), s.Port, s.Endpoint.Role, s.Endpoint.IP, s.Endpoint.MAC)
}
func (s SetPeer) String() string {
	var routes strings.Builder
	for _, r := range s.Routes {
		fmt.Fprintf(&routes, ", route %s", r)
	}
	return fmt.Sprintf("interface %s in %s: address %s%s, up", s.Endpoint.Interface, s.Sandbox, s.Addr, routes.String())
}
func (s ReleaseLink) String() string { return fmt.Sprintf("link %s: off its bridge, down", s.Name) }

// String is the route as `ip route` shows it.
func (r Route) String() string {
	if r.Via.IsValid() {
		return fmt.Sprintf("%s via %s", r.Dst, r.Via)
	}
	return r.Dst.String()
}
func (s AddGuard) String() string {
	var names []string
	for _, g := range s.Guards {
		names = append(names, g.Chain.Name)
	}
	return fmt.Sprintf("guard %s: own addresses only", summary(names))
}
func (s Enslave) String() string    { return fmt.Sprintf("wire %s: port of bridge %s", s.Wire, s.Bridge) }
func (s SetUp) String() string      { return fmt.Sprintf("wire %s: up", s.Wire) }
func (s DeleteLink) String() string { return fmt.Sprintf("link %s: delete", s.Name) }
func (s DropGuard) String() string  { return fmt.Sprintf("guard %s: remove", s.Guard.Chain.Name) }
func (s RemoveIPTables) String() string {
	return fmt.Sprintf("remove iptables rules of bridge %s", s.Bridge)
}
func (s UnloadNetwork) String() string {
	return fmt.Sprintf("remove nftables rules of bridge %s", s.Bridge)
}

func (RemoveTables) String() string { return "remove the nftables tables of mcpnet" }

// summary names a few and counts the others: a plan for a thousand endpoints stays readable.
func summary(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
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
