package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Diff gives the steps that make a network what it should be: its namespace first, then its endpoints, then its way
// beyond. An endpoint that has joined and whose wire is gone cannot be made again, its container end is gone too: see
// Lost. The rules are those of firewall.CompileNetwork.
func Diff(n Network, rules firewall.Ruleset, o Observed) []Step {
	steps := Skeleton(n.Network, rules, o)
	steps = append(steps, diffEndpoints(n, rules.Features, rules.Sets, o)...)
	if len(legacyWires(n, o)) > 0 {
		return steps
	}
	steps = append(steps, retireLegacy(n.Network, o)...)
	return append(steps, Uplink(n.Network, o)...)
}

// Skeleton gives the steps for what the endpoints of a network have in common in its namespace. Rules name the
// router's port, so that they follow it.
func Skeleton(n topology.Network, rules firewall.Ruleset, o Observed) (steps []Step) {
	in := InNetwork(n.Namespace())
	add := func(a Action) { steps = append(steps, Step{in, a}) }
	routerGone := !o.holdsRouter(n)
	switch {
	case !o.Exists:
		add(CreateNamespace{n})
	default:
		if !o.Prepared {
			add(Prepare{})
		}
		if !o.holdsBridge(n) {
			add(EnsureBridge{n})
		}
		if routerGone {
			add(EnsureRouter{n})
		}
	}
	if routerGone || !o.holds(rules) {
		add(LoadRules{rules})
	}
	return steps
}

func (o Observed) holdsBridge(n topology.Network) bool {
	bridge := o.Links[n.Bridge]
	return bridge.Type == "bridge" && bridge.Up && bridge.isFor(n, topology.SettingsQuiet) && len(bridge.Addrs) == 0
}

func (o Observed) holdsRouter(n topology.Network) bool {
	router, port := o.Links[topology.Router], o.Links[topology.RouterPort]
	return router.Up && router.isFor(n, topology.SettingsRouter) && router.NoARP && router.MAC == n.RouterMAC().String() &&
		slices.Equal(router.Addrs, []netip.Prefix{n.RouterPrefix()}) &&
		port.Up && port.isFor(n, topology.SettingsQuiet) && len(port.Addrs) == 0
}

// isFor reports whether a link is as those that a network's endpoints have in common are made, but for what each has
// alone.
func (l Link) isFor(n topology.Network, settings topology.Settings) bool {
	return l.Mark.Owner == n.Owner && l.Mark.ID == n.ID && l.Master == "" && l.MTU == n.Policy.MTU && l.Settings == settings
}

// holds reports whether every chain is there with its rules, and every set of the policy with its elements.
func (o Observed) holds(r firewall.Ruleset) bool {
	differs := func(s firewall.Set) bool {
		if s.Filled {
			return false
		}
		have := o.Elements[s.Name]
		missing := func(e firewall.Element) bool {
			data, ok := have[e.KeyText()]
			return !ok || data != e.Data
		}
		return len(have) != len(s.Elements) || slices.ContainsFunc(s.Elements, missing)
	}
	lost := func(c firewall.Chain) bool {
		ids, ok := o.Chains[c.Family][c.Name]
		return !ok || !sameRules(c, ids)
	}
	return !slices.ContainsFunc(r.Sets, differs) && !slices.ContainsFunc(r.Chains, lost)
}

// Uplink gives the steps for what goes beyond the network, or takes it away where nothing does.
func Uplink(n topology.Network, o Observed) (steps []Step) {
	rules := firewall.CompileHost(n)
	if !n.HasUplink() {
		if link, exists := o.Host.Links[n.Uplink()]; exists && link.Mark.ID == n.ID && link.Type == "veth" {
			steps = append(steps, removeUplink(n)...)
		}
		return steps
	}
	if addrs := o.Host.addrsBeside(n); !o.holdsHostAddrs(addrs) {
		steps = append(steps, Step{InNetwork(n.Namespace()), SetHostAddrs{addrs}})
	}
	if !o.Host.holds(rules) {
		steps = append(steps, Step{Host, LoadHostRules{rules}})
	}
	if !o.Uplink {
		steps = append(steps, Step{InNetwork(n.Namespace()), EnsureUplink{n}})
	}
	if !o.Host.Forwards {
		steps = append(steps, Step{Host, EnableForwarding{}})
	}
	steps = append(steps, DiffIPTables(n, o)...)
	return append(steps, DiffFirewalld(n, o)...)
}

// holdsHostAddrs reports whether the namespace knows the host's addresses.
func (o Observed) holdsHostAddrs(addrs []netip.Addr) bool {
	known := o.Elements[firewall.SetHost]
	return len(known) == len(addrs) && !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		_, ok := known[a.String()]
		return !ok
	})
}

// DiffIPTables gives the step for iptables alone, which takes several processes to look at.
func DiffIPTables(n topology.Network, o Observed) []Step {
	if o.Host.IPTables == nil || !n.HasUplink() || n.Policy.Firewall == policy.FirewallNFTables || o.Host.IPTables[n.Uplink()] {
		return nil
	}
	return []Step{{Host, EnsureIPTables{n.Uplink(), firewall.CompileHost(n)}}}
}

func (h HostState) holds(r firewall.Ruleset) bool {
	return !slices.ContainsFunc(r.Chains, func(c firewall.Chain) bool {
		ids, ok := h.Chains[c.Family][c.Name]
		return !ok || !sameRules(c, ids)
	})
}

// WithoutRules is the host's state as if the rules were not there.
func (h HostState) WithoutRules(r firewall.Ruleset) HostState {
	chains := map[firewall.Family]map[string][]string{}
	for family, named := range h.Chains {
		chains[family] = maps.Clone(named)
	}
	for _, c := range r.Chains {
		delete(chains[c.Family], c.Name)
	}
	h.Chains = chains
	return h
}

// Remove gives the steps that take a network away. Its namespace goes first: what stands on the host alone opens
// nothing.
func Remove(n topology.Network) []Step {
	steps := []Step{{InNetwork(n.Namespace()), RemoveNamespace{n}}}
	if n.HasUplink() {
		steps = append(steps, removeUplink(n)...)
	}
	return steps
}

func removeUplink(n topology.Network) []Step {
	steps := []Step{{Host, DeleteLink{n.Uplink()}}}
	if n.Policy.Firewall != policy.FirewallNFTables {
		steps = append(steps, Step{Host, RemoveIPTables{n.Uplink()}})
	}
	n.Policy = policy.Defaults() // the names of what is removed follow from the uplink alone
	return append(steps, Step{Host, UnloadHostRules{n.Uplink(), firewall.CompileHost(n)}})
}

// Orphans gives the steps that remove what belongs to no endpoint of a network: wires, and chains of wires. keep
// tells of an endpoint, by its id, that nobody can say whether it lives.
func Orphans(n Network, o Observed, keep func(id string) bool) (steps []Step) {
	if n.Incomplete {
		return nil
	}
	wanted := map[string]bool{}
	for _, e := range n.Endpoints {
		wanted[e.Wire()] = true
	}
	for _, l := range o.Links {
		if strings.HasPrefix(l.Name, topology.WirePrefix) && l.Mark.ID != "" && keep(l.Mark.ID) {
			wanted[l.Name] = true
		}
		if strings.HasPrefix(l.Name, topology.WirePrefix) && !wanted[l.Name] {
			steps = append(steps, Step{InNetwork(n.Namespace()), DeleteLink{l.Name}})
		}
	}
	for name := range o.Chains[firewall.NetDev] {
		if wire, own := strings.CutPrefix(name, "in-"); own && !wanted[wire] {
			chain := firewall.Chain{Family: firewall.NetDev, Name: name, Hook: firewall.HookIngress, Device: wire}
			steps = append(steps, Step{InNetwork(n.Namespace()), DropGuard{Wire: wire, Guard: firewall.Guard{Wire: wire, Chain: chain}}})
		}
	}
	for _, wire := range legacyWires(n, o) {
		if !keep(o.Host.Links[wire].Mark.ID) {
			steps = append(steps, Step{Host, DeleteLink{wire}})
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.String(), b.String())) })
	return steps
}

// rank puts links first: rules stay until the link is gone.
func rank(s Step) int {
	if _, isLink := s.Action.(DeleteLink); isLink {
		return 0
	}
	return 1
}
