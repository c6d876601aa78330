package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// AddEndpoint gives the steps that make an endpoint whose container is not there yet, from what is observed of its
// own wire alone: an attach looks at nothing else, so that it costs the same beside any number of endpoints.
func AddEndpoint(n topology.Network, e Endpoint, f firewall.Features, o Observed) []Step {
	return diffEndpoints(Network{Network: n, Endpoints: []Endpoint{e}, Incomplete: true}, f, nil, o)
}

// diffEndpoints also takes elements out of the sets that belong to nobody, unless not all endpoints are known.
func diffEndpoints(n Network, f firewall.Features, sets []firewall.Set, o Observed) []Step {
	in := InNetwork(n.Namespace())
	var steps, last []Step
	var guards []firewall.Guard
	index := map[string]int{}
	wanted := map[string]map[string]bool{}
	for _, e := range n.Endpoints {
		guard := firewall.CompileEndpoint(n.Network, e.Endpoint, f)
		for _, element := range guard.Elements {
			note(wanted, element)
		}
		wire, exists := o.Links[e.Wire()]
		made, possible := makeWire(n.Network, e, o)
		if !exists && !possible {
			continue
		}
		steps = append(steps, made...)
		if len(made) > 0 || !o.Guards(guard) {
			guards = append(guards, guard)
			if len(made) == 0 {
				index[wire.Name] = wire.Index
			}
		}
		if len(made) == 0 {
			steps = append(steps, MendWire(n.Network, e.Endpoint, wire)...)
		}
		if e.Role == topology.RoleGateway && (wire.Master != n.Bridge || !wire.Isolated) {
			steps = append(steps, Step{in, Enslave{e.Wire(), n.Bridge}})
		}
		if e.Joined && !wire.Up {
			last = append(last, Step{in, SetUp{e.Wire()}})
		}
	}
	if n.Incomplete {
		sets = nil
	}
	if stale := o.stale(sets, wanted); len(stale) > 0 {
		steps = append(steps, Step{in, DropElements{stale, o.indices(stale)}})
	}
	if len(guards) > 0 {
		steps = append(steps, Step{in, AddGuard{guards, index}})
	}
	return append(steps, last...)
}

// makeWire gives the steps that make a wire which is missing or was left without its mark. One on the host, where it
// was before networks had namespaces, is moved; that of a container that runs cannot be made again.
func makeWire(n topology.Network, e Endpoint, o Observed) (steps []Step, possible bool) {
	in := InNetwork(n.Namespace())
	wire, exists := o.Links[e.Wire()]
	if exists && wire.Mark.ID != "" {
		return nil, true
	}
	if old, ok := o.Host.Links[e.LegacyWire()]; ok && old.Mark.ID == e.ID {
		return []Step{{in, MoveWire{n, e.Endpoint, e.LegacyWire()}}}, true
	}
	if e.Joined && !exists {
		return nil, false
	}
	return []Step{{in, AddWire{n, e.Endpoint, e.Peer(), Host}}}, true
}

// MendWire gives the steps that put right what somebody set on a wire since it was made. A server's that is a port of
// the bridge hears what gateways send to all: it leaves first.
func MendWire(n topology.Network, e topology.Endpoint, wire Link) (steps []Step) {
	in := InNetwork(n.Namespace())
	if e.Role != topology.RoleGateway && wire.Master != "" {
		steps = append(steps, Step{in, Release{e.Wire()}})
	}
	if !wire.isOf(n, e) {
		steps = append(steps, Step{in, SetWire{n, e}})
	}
	if wire.Group != e.Group() {
		steps = append(steps, Step{in, SetRole{e.Wire(), e.Role}})
	}
	return steps
}

// isOf reports whether a wire is as an endpoint's is made, wherever it leads.
func (l Link) isOf(n topology.Network, e topology.Endpoint) bool {
	return l.Mark.Owner == e.Owner && l.Mark.ID == e.ID && l.MTU == n.Policy.MTU && l.MAC == e.PortMAC().String() &&
		l.Settings == topology.SettingsQuiet && len(l.Addrs) == 0
}

func note(wanted map[string]map[string]bool, e firewall.GuardElement) {
	if wanted[e.Set.Name] == nil {
		wanted[e.Set.Name] = map[string]bool{}
	}
	wanted[e.Set.Name][e.KeyText()] = true
}

// Guards reports whether all elements of an endpoint are there, and its chain.
func (o Observed) Guards(g firewall.Guard) bool {
	if ids, ok := o.Chains[firewall.NetDev][g.Chain.Name]; g.Chain.Name != "" && (!ok || !sameRules(g.Chain, ids)) {
		return false
	}
	return !slices.ContainsFunc(g.Elements, func(e firewall.GuardElement) bool {
		data, ok := o.Elements[e.Set.Name][e.KeyText()]
		return !ok || data != e.Data
	})
}

// stale gives the elements that belong to no endpoint: of containers that ended without a word, or put there by
// somebody else.
func (o Observed) stale(sets []firewall.Set, wanted map[string]map[string]bool) (stale []firewall.GuardElement) {
	for _, s := range sets {
		if !s.Filled || s.Dynamic || s.Name == firewall.SetHost {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(o.Elements[s.Name])) {
			if !wanted[s.Name][key] {
				stale = append(stale, firewall.GuardElement{Set: s, Element: firewall.Element{Key: strings.Split(key, " . ")}})
			}
		}
	}
	return stale
}

// indices gives the indices of the wires that elements name, where they are there: an element of another wire with
// the same addresses may be a living endpoint's.
func (o Observed) indices(elements []firewall.GuardElement) map[string]int {
	index := map[string]int{}
	for _, e := range elements {
		if wire, exists := o.Links[e.Key[0]]; exists && e.Set.Key[0] == firewall.IfaceIndex {
			index[wire.Name] = wire.Index
		}
	}
	return index
}

// Lost gives the endpoints whose wire is nowhere: their container ended, the host was restarted, or a killed process
// never made it. Only the container engine could make use of them, and it makes its endpoints anew.
func Lost(n Network, o Observed) (lost []topology.Endpoint) {
	for _, e := range n.Endpoints {
		_, exists := o.Links[e.Wire()]
		if old, ok := o.Host.Links[e.LegacyWire()]; !exists && !(ok && old.Mark.ID == e.ID) {
			lost = append(lost, e.Endpoint)
		}
	}
	return lost
}

// RemoveEndpoint gives the steps of a detach. A wire that another plugin made goes back to it: down on the host it
// passes nothing.
func RemoveEndpoint(n topology.Network, e topology.Endpoint, f firewall.Features, index int) []Step {
	in := InNetwork(n.Namespace())
	var first Action = DeleteLink{e.Wire()}
	if n.Chained {
		first = ReturnWire{e.Wire()}
	}
	return []Step{{in, first}, {in, DropGuard{e.Wire(), firewall.CompileEndpoint(n, e, f), index}}}
}
