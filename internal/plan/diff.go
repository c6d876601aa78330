package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Diff gives the steps that make what is desired true. An endpoint that has joined and whose wire is gone cannot be
// made again, its container end is gone too: see Lost.
func Diff(d Desired, o Observed) []Step {
	var steps []Step
	if wires := firewall.CompileWires(); len(d.Networks) > 0 && !o.holds(wires) {
		steps = append(steps, LoadWires{wires})
	}
	for _, n := range d.Networks {
		steps = append(steps, diffNetwork(n.Network, d.Features, o)...)
		steps = append(steps, diffEndpoints(n, o)...)
	}
	return steps
}

func diffNetwork(n topology.Network, f firewall.Features, o Observed) []Step {
	var steps []Step
	rules := firewall.CompileNetwork(n, f)
	if !o.holds(rules) {
		steps = append(steps, LoadNetwork{n, rules})
	}
	if o.IPTables != nil && n.Policy.Firewall != policy.FirewallNFTables && !o.IPTables[n.Bridge] {
		steps = append(steps, EnsureIPTables{n, rules})
	}
	if !o.holdsBridge(n) {
		steps = append(steps, EnsureBridge{n})
	}
	return steps
}

// holdsBridge reports whether the bridge is as it should be. An adopted one has the addresses that its maker gave it.
func (o Observed) holdsBridge(n topology.Network) bool {
	bridge, ok := o.Links[n.Bridge]
	if !ok || !bridge.Up {
		return false
	}
	if n.Adopted {
		return bridge.MAC == n.BridgeMAC().String()
	}
	return slices.Contains(bridge.Addrs, n.BridgePrefix())
}

func diffEndpoints(n Network, o Observed) []Step {
	var steps, last []Step
	var guards []firewall.Guard
	index := map[string]int{}
	refill := o.elementsMissing(n)
	for _, e := range n.Endpoints {
		wire, exists := o.Links[e.Wire()]
		if !exists && e.Joined {
			continue
		}
		unmade := !exists || wire.ID == "" // without its mark it also lacks its settings: a killed process made it
		if unmade {
			steps = append(steps, AddWire{n.Network, e.Endpoint})
		}
		guard := firewall.CompileEndpoint(n.Network, e.Endpoint)
		ids, guarded := o.Chains[firewall.NetDev][guard.Chain.Name]
		// A chain can outlive its wire; its elements lead to a wire by number.
		if refill || unmade || !guarded || !sameRules(guard.Chain, ids) {
			if guarded && !sameRules(guard.Chain, ids) {
				guard.Gone = firewall.Stale(n.Network, e.Endpoint)
			}
			guards = append(guards, guard)
			if wire.Index != 0 {
				index[wire.Name] = wire.Index
			}
		}
		if e.Role == topology.RoleGateway && wire.Master != n.Bridge {
			steps = append(steps, Enslave{e.Wire(), n.Bridge})
		}
		if e.Joined && !wire.Up {
			last = append(last, SetUp{e.Wire()})
		}
	}
	if len(guards) > 0 {
		steps = append(steps, AddGuard{n.Network, guards, index})
	}
	return append(steps, last...)
}

// elementsMissing compares the number of elements in the network's maps with the endpoints that have some.
func (o Observed) elementsMissing(n Network) bool {
	want := map[string]int{}
	for _, e := range n.Endpoints {
		if _, exists := o.Links[e.Wire()]; !exists && e.Joined {
			continue
		}
		for _, element := range firewall.CompileEndpoint(n.Network, e.Endpoint).Elements {
			want[element.Set.Name]++
		}
	}
	for set, count := range want {
		if o.Elements[set] < count {
			return true
		}
	}
	return false
}

// holds reports whether every chain is there with its rules, and every set of the policy with as many elements as it has.
func (o Observed) holds(r firewall.Ruleset) bool {
	if slices.ContainsFunc(r.Sets, func(s firewall.Set) bool { return !s.Held && o.Elements[s.Name] != len(s.Elements) }) {
		return false
	}
	return !slices.ContainsFunc(r.Chains, func(c firewall.Chain) bool {
		ids, ok := o.Chains[c.Family][c.Name]
		return !ok || !sameRules(c, ids)
	})
}

// Lost gives the endpoints whose wire is gone: their container ended, the host was restarted, or a killed process never
// made it. Only the container engine could make use of them, and it makes its endpoints anew.
func Lost(d Desired, o Observed) []topology.Endpoint {
	var lost []topology.Endpoint
	for _, n := range d.Networks {
		for _, e := range n.Endpoints {
			if _, exists := o.Links[e.Wire()]; !exists {
				lost = append(lost, e.Endpoint)
			}
		}
	}
	return lost
}

// RemoveEndpoint gives the steps of a detach. A wire that another plugin made stays for that one to remove: off its bridge
// and down it passes nothing, with or without rules.
func RemoveEndpoint(n topology.Network, e topology.Endpoint) []Step {
	var first Step = DeleteLink{e.Wire()}
	if n.Adopted {
		first = ReleaseLink{e.Wire()}
	}
	return []Step{first, DropGuard{firewall.CompileEndpoint(n, e)}}
}

// RemoveNetwork gives the steps that take a network away.
func RemoveNetwork(n topology.Network, f firewall.Features) []Step {
	var steps []Step
	if !n.Adopted {
		steps = append(steps, DeleteLink{n.Bridge})
	}
	if n.Policy.Firewall != policy.FirewallNFTables {
		steps = append(steps, RemoveIPTables{n.Bridge})
	}
	return append(steps, UnloadNetwork{n.Bridge, firewall.CompileNetwork(n, f)})
}

// Orphans gives the steps that remove what the owner left behind: links that carry its mark and chains of its wires
// that belong to nothing desired. What is another owner's, or nobody's, is left alone.
func Orphans(d Desired, o Observed) []Step {
	wanted := map[string]bool{}
	for _, n := range d.Networks {
		wanted[n.Bridge] = true
		for _, e := range n.Endpoints {
			wanted[e.Wire()] = true
		}
	}
	steps := orphanLinks(d, o, wanted)
	for name := range o.Chains[firewall.NetDev] {
		wire := strings.TrimPrefix(name, "in-")
		if strings.HasPrefix(wire, topology.OwnedWirePrefix(d.Owner)) && !wanted[wire] {
			steps = append(steps, DropGuard{firewall.Guard{Chain: firewall.Chain{Family: firewall.NetDev, Name: name, Hook: firewall.HookIngress, Device: wire}}})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.String(), b.String())) })
	return steps
}

// rank puts links first: rules stay until the link is gone.
func rank(s Step) int {
	if _, isLink := s.(DeleteLink); isLink {
		return 0
	}
	return 1
}

func orphanLinks(d Desired, o Observed, wanted map[string]bool) []Step {
	var steps []Step
	for _, l := range o.Links {
		if l.Owner != d.Owner || wanted[l.Name] {
			continue
		}
		if strings.HasPrefix(l.Name, topology.WirePrefix) {
			steps = append(steps, DeleteLink{l.Name})
			continue
		}
		// The names of what is removed follow from the bridge alone; the rules that stand with them are not looked at.
		n := topology.Network{ID: l.ID, Bridge: l.Name, BridgeAddr: netip.IPv4Unspecified(), Policy: policy.Defaults()}
		steps = append(steps, RemoveNetwork(n, d.Features)...)
	}
	return steps
}
