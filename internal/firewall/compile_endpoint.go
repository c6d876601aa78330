package firewall

import (
	"slices"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// CompileEndpoint gives an endpoint's chain and its elements of the network's sets. The chain is one rule: when a rule
// comes, the kernel walks through those of every wire (nft_table_validate), so each more would be felt at a thousand.
func CompileEndpoint(n topology.Network, e topology.Endpoint) Guard {
	c := compiler{names: namesOf(n), network: n, policy: n.Policy}
	switch e.Role {
	case topology.RoleServer:
		return c.serverGuard(e)
	case topology.RoleGateway:
		return Guard{Chain: c.wireChain(e, "wire", c.gateway), Elements: []GuardElement{c.identityOf(e), c.way(c.port, e)}}
	default:
		return Guard{Chain: c.wireChain(e, "wire", c.candidate)}
	}
}

func (c compiler) serverGuard(e topology.Endpoint) Guard {
	known := []GuardElement{c.identityOf(e), c.arp(c.serverMAC, e)}
	switch {
	case !c.network.Held(e):
		return Guard{Chain: c.wireChain(e, "wire", c.server), Elements: append(known, c.way(c.wire, e))}
	case e.Admission.State == topology.Violates:
		return Guard{Chain: c.wireChain(e, "wire-quarantined", c.quarantine), Elements: known}
	}
	return Guard{Chain: c.wireChain(e, "wire-held", c.held), Elements: append(known, c.heldTo(e))}
}

// Stale gives the elements that an endpoint has in another state of its admission, and not in this one.
func Stale(n topology.Network, e topology.Endpoint) (stale []GuardElement) {
	same := func(a GuardElement) func(GuardElement) bool {
		return func(b GuardElement) bool { return a.Set.Name == b.Set.Name && slices.Equal(a.Key, b.Key) }
	}
	now := CompileEndpoint(n, e).Elements
	for _, state := range []topology.AdmissionState{topology.AdmissionWaiting, topology.Conforms, topology.Violates} {
		e.Admission.State = state
		for _, element := range CompileEndpoint(n, e).Elements {
			if !slices.ContainsFunc(now, same(element)) && !slices.ContainsFunc(stale, same(element)) {
				stale = append(stale, element)
			}
		}
	}
	return stale
}

// ChainName is the name of an endpoint's base chain.
func ChainName(e topology.Endpoint) string { return "in-" + e.Wire() }

// wireChain takes every frame of a wire to the network's rules for the endpoint's role.
func (c compiler) wireChain(e topology.Endpoint, what, next string) Chain {
	return Chain{Family: NetDev, Name: ChainName(e), Hook: HookIngress, Device: e.Wire(), Policy: Drop,
		Rules: []Rule{{ID: c.id(what), Verdict: Goto{next}}}}
}

func (c compiler) identityOf(e topology.Endpoint) GuardElement {
	return GuardElement{Set: c.ownSet(), Element: Element{Key: []string{e.Wire(), e.MAC.String(), e.IP.String()}}}
}

func (c compiler) way(set string, e topology.Endpoint) GuardElement {
	return GuardElement{
		Set:     Set{Family: NetDev, Name: set, Key: []Type{EtherAddr, IPv4Addr}, Data: IfaceIndex},
		Element: Element{Key: []string{e.MAC.String(), e.IP.String()}, Data: e.Wire()},
	}
}

func (c compiler) arp(set string, e topology.Endpoint) GuardElement {
	return GuardElement{
		Set:     Set{Family: NetDev, Name: set, Key: []Type{IPv4Addr}, Data: EtherAddr},
		Element: Element{Key: []string{e.IP.String()}, Data: e.MAC.String()},
	}
}

func (c compiler) heldTo(e topology.Endpoint) GuardElement {
	return GuardElement{Set: c.heldSet(), Element: Element{Key: []string{e.MAC.String(), e.IP.String()}}}
}
