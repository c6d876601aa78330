package firewall

import (
	"fmt"
	"slices"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CompileEndpoint gives an endpoint's elements of the network's sets and, where each wire needs one, its chain.
func CompileEndpoint(n topology.Network, e topology.Endpoint, f Features) Guard {
	c := compiler{n, n.Policy, f}
	g := Guard{Wire: e.Wire(), Elements: c.elements(e)}
	if !f.DevicePrefix {
		g.Chain = c.ingress(ChainName(e), e.Wire())
	}
	return g
}

// ChainName is the name of an endpoint's base chain.
func ChainName(e topology.Endpoint) string { return "in-" + e.Wire() }

func (c compiler) elements(e topology.Endpoint) []GuardElement {
	known := []GuardElement{{Set{Family: NetDev, Name: mapMAC, Key: []Type{IPv4Addr}, Data: EtherAddr}, Element{Key: []string{e.IP.String()}, Data: e.MAC.String()}},
		{Set{Family: NetDev, Name: mapDevice, Key: []Type{IPv4Addr}, Data: IfaceIndex}, Element{Key: []string{e.IP.String()}, Data: e.Wire()}}}
	switch {
	case e.Role == topology.RoleGateway:
		here := GuardElement{Set{Family: Inet, Name: setAttached, Key: []Type{IPv4Addr}}, Element{Key: []string{e.IP.String()}}}
		return append(append(known, c.own(setAntiSpoofGateway, e), Port(e).in(mapPort), here), c.gatewayTuples(e)...)
	case e.Role != topology.RoleServer, c.network.Held(e) && e.Admission.State == topology.Violates:
		return append(known, c.own(setAntiSpoofDenied, e))
	case c.network.Waits(e):
		return append(known, c.own(setAntiSpoofHeld, e), Port(e).member(setHeld))
	}
	return append(append(known, c.own(setAntiSpoof, e), ownFrames(setServers, e), Port(e).in(mapWire)), c.allowElements(e)...)
}

// gatewayTuples are the ports of a gateway that servers may reach, as next hops and as what it answers from.
func (c compiler) gatewayTuples(e topology.Endpoint) (out []GuardElement) {
	for _, p := range []struct {
		protocol policy.Protocol
		to, from string
	}{{policy.TCP, mapToTCP, setAnswerTCP}, {policy.UDP, mapToUDP, setAnswerUDP}} {
		for _, t := range c.tuples(p.protocol) {
			if t.Key[0] != e.IP.String() {
				continue
			}
			to := GuardElement{Set{Family: NetDev, Name: p.to, Key: tupleKey, Data: IfaceIndex},
				Element{Key: []string{fmt.Sprintf("0x%x", []byte(e.MAC)), e.IP.String(), t.Key[1]}, Data: e.Wire()}}
			from := ownFrames(p.from, e)
			from.Set.Key, from.Key = answerKey, append(from.Key, t.Key[1])
			out = append(out, to, from)
		}
	}
	return out
}

// Change is the guard of an endpoint that is another one now, and without what it had before.
func Change(before, after Guard) Guard {
	has := func(e GuardElement) func(GuardElement) bool {
		return func(o GuardElement) bool { return o.Set.Name == e.Set.Name && slices.Equal(o.Key, e.Key) }
	}
	for _, e := range before.Elements {
		if !slices.ContainsFunc(after.Elements, has(e)) {
			after.Gone = append(after.Gone, e)
		}
	}
	return after
}

func (c compiler) own(set string, e topology.Endpoint) GuardElement {
	return GuardElement{Set{Family: NetDev, Name: set, Key: identity}, Element{Key: []string{e.Wire(), e.MAC.String(), e.IP.String()}}}
}

// plainIPv4 is what follows the source address of a frame of IPv4 without options: the EtherType (IEEE 802 numbers,
// ETH_P_IP) and the header's first byte (RFC 791, 3.1).
const plainIPv4 = "080045"

// ownFrames is the element by which the endpoint's own plain IPv4 frames are known.
func ownFrames(set string, e topology.Endpoint) GuardElement {
	return GuardElement{Set{Family: NetDev, Name: set, Key: identityIPv4},
		Element{Key: []string{e.Wire(), fmt.Sprintf("0x%x%s", []byte(e.MAC), plainIPv4), e.IP.String()}}}
}
