package firewall

import "github.com/mcpnet/mcpnet/internal/topology"

// CompileEndpoint gives an endpoint's chain, which proves who speaks, and its elements of the network's maps.
// A candidate's chain passes nothing.
func CompileEndpoint(n topology.Network, e topology.Endpoint) Guard {
	c := compiler{names: namesOf(n), network: n, policy: n.Policy}
	chain := Chain{Family: NetDev, Name: ChainName(e), Hook: HookIngress, Device: e.Wire(), Policy: Drop}
	switch e.Role {
	case topology.RoleServer:
		chain.Rules = c.identity(e, c.fromServer)
		return Guard{chain, []GuardElement{c.way(c.wire, e), c.arp(c.serverMAC, e)}}
	case topology.RoleGateway:
		chain.Rules = c.identity(e, c.fromGateway)
		return Guard{chain, []GuardElement{c.way(c.port, e)}}
	default:
		chain.Rules = []Rule{{ID: c.id("candidate"), Verdict: Goto{c.other}}}
		return Guard{Chain: chain}
	}
}

// ChainName is the name of an endpoint's base chain.
func ChainName(e topology.Endpoint) string { return "in-" + e.Wire() }

func (c compiler) identity(e topology.Endpoint, next string) []Rule {
	mac, ip := e.MAC.String(), e.IP.String()
	own := is(EtherSrc, mac)
	return []Rule{
		{ID: c.id("own-ipv4"), Match: []Match{is(EtherType, "ip"), own, is(IPSrc, ip)}, Verdict: Goto{next}},
		{ID: c.id("own-arp"), Match: []Match{is(EtherType, "arp"), own, is(ARPSrcMAC, mac), is(ARPSrcIP, ip)}, Verdict: Goto{next}},
		{ID: c.id("not-own"), Verdict: Goto{c.other}},
	}
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
