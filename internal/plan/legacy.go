package plan

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Before networks had namespaces, their wires, bridges and ingress chains stood on the host. What is left there of a
// network moves into its namespace (makeWire), and then goes.

// retireLegacy gives the steps that remove what is left on the host once the wires are gone from there. The bridge
// makes room for the uplink, which has its name.
func retireLegacy(n topology.Network, o Observed) (steps []Step) {
	if o.Host.legacyBridge(n) {
		steps = append(steps, Step{Host, DeleteLink{n.Bridge}})
	}
	if o.Host.legacyRules(n) {
		steps = append(steps, Step{Host, RemoveLegacy{n.Bridge}})
	}
	return steps
}

// legacyWires gives the wires of a network that are still on the host and belong to no endpoint that is known. A
// plugin that was installed anew learns of networks before it learns of their endpoints: what guards their wires
// stays until these are moved, and the uplink waits.
func legacyWires(n Network, o Observed) (wires []string) {
	known := map[string]bool{}
	for _, e := range n.Endpoints {
		known[e.LegacyWire()] = true
	}
	for name, ids := range o.Host.Chains[firewall.NetDev] {
		wire, own := strings.CutPrefix(name, "in-")
		_, exists := o.Host.Links[wire]
		ofNetwork := func(id string) bool { return strings.HasPrefix(id, n.Bridge+"/") }
		if own && exists && !n.Chained && !known[wire] && slices.ContainsFunc(ids, ofNetwork) {
			wires = append(wires, wire)
		}
	}
	slices.Sort(wires)
	return wires
}

func (h HostState) legacyBridge(n topology.Network) bool {
	bridge, ok := h.Links[n.Bridge]
	return ok && !n.Chained && bridge.Type == "bridge" && bridge.Mark.ID == n.ID
}

// addrsBeside are the host's addresses without those of the network's bridge, which goes from there.
func (h HostState) addrsBeside(n topology.Network) []netip.Addr {
	if !h.legacyBridge(n) {
		return h.Addrs
	}
	beside := maps.Clone(h.Links)
	delete(beside, n.Bridge)
	return HostAddrs(beside)
}

// legacyRules reports whether ingress chains on the host have rules of the network's.
func (h HostState) legacyRules(n topology.Network) bool {
	for _, ids := range h.Chains[firewall.NetDev] {
		for _, id := range ids {
			if strings.HasPrefix(id, n.Bridge+"/") {
				return true
			}
		}
	}
	return false
}
