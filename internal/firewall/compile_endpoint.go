package firewall

import "github.com/mcpnet/mcpnet/internal/topology"

// CompileEndpoint gives an endpoint's chain and its elements of the network's sets. The chain is one rule: when a rule
// comes, the kernel walks through those of every wire (nft_table_validate), so each more would be felt at a thousand.
func CompileEndpoint(n topology.Network, e topology.Endpoint) Guard {
	c := compiler{names: namesOf(n), network: n, policy: n.Policy}
	switch e.Role {
	case topology.RoleServer:
		return Guard{c.wireChain(e, c.server), []GuardElement{c.identityOf(e), c.way(c.wire, e), c.arp(c.serverMAC, e)}}
	case topology.RoleGateway:
		return Guard{c.wireChain(e, c.gateway), []GuardElement{c.identityOf(e), c.way(c.port, e)}}
	default:
		return Guard{Chain: c.wireChain(e, c.candidate)}
	}
}

// ChainName is the name of an endpoint's base chain.
func ChainName(e topology.Endpoint) string { return "in-" + e.Wire() }

// wireChain takes every frame of a wire to the network's rules for the endpoint's role.
func (c compiler) wireChain(e topology.Endpoint, next string) Chain {
	return Chain{Family: NetDev, Name: ChainName(e), Hook: HookIngress, Device: e.Wire(), Policy: Drop,
		Rules: []Rule{{ID: c.id("wire"), Verdict: Goto{next}}}}
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
