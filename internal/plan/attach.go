package plan

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// AddEndpoint gives the steps that make an endpoint, from what is observed of its own wire alone: an attach looks at
// nothing else, so it costs the same beside any number of endpoints.
func AddEndpoint(n topology.Network, e Endpoint, o Observed) []Step {
	return diffEndpoints(Network{n, []Endpoint{e}}, o)
}

// Attachment is an endpoint whose container is there already, with the namespace that its interface goes into.
type Attachment struct {
	topology.Endpoint
	Sandbox string // path of the container's network namespace
	Port    string // the host end that another plugin made, in an adopted network
}

// Attach gives the steps of an attachment in one go: the guard stands before either end is up.
func Attach(n topology.Network, a Attachment) []Step {
	var steps []Step
	if n.Adopted {
		steps = append(steps, AdoptWire{n, a.Endpoint, a.Port})
	} else {
		steps = append(steps, AddWireInto{n, a.Endpoint, a.Sandbox})
	}
	steps = append(steps, AddGuard{Network: n, Guards: []firewall.Guard{firewall.CompileEndpoint(n, a.Endpoint)}})
	if a.Role == topology.RoleGateway {
		steps = append(steps, Enslave{a.Wire(), n.Bridge})
	}
	return append(steps, Peer(n, a), SetUp{a.Wire()})
}

// Peer is what the container end of an attachment should be. A server gets its one address and a route to each gateway:
// every other address is unreachable at once, and there is no neighbour to look for. A gateway gets the subnet, and a
// default route where it may open connections outside.
func Peer(n topology.Network, a Attachment) SetPeer {
	s := SetPeer{Endpoint: a.Endpoint, Sandbox: a.Sandbox}
	if a.Role == topology.RoleGateway {
		s.Addr = netip.PrefixFrom(a.IP, n.Subnet.Bits())
		if !n.Policy.Egress.Off() {
			s.Routes = []Route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), n.BridgeAddr}}
		}
		return s
	}
	s.Addr = netip.PrefixFrom(a.IP, a.IP.BitLen())
	for _, g := range n.Policy.GatewayAddrs() {
		s.Routes = append(s.Routes, Route{Dst: netip.PrefixFrom(g, g.BitLen())})
	}
	return s
}
