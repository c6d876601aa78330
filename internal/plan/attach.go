package plan

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Attachment is an endpoint whose container is there already, with the namespace that its interface goes into.
type Attachment struct {
	topology.Endpoint
	Sandbox string // path of the container's network namespace
	Port    string // the host end that another plugin made, in an adopted network
}

// Attach gives the steps of an attachment in one go: the rules stand before either end is up.
func Attach(n topology.Network, a Attachment, f firewall.Features) (steps []Step) {
	in, inside := InNetwork(n.Namespace()), InContainer(a.Sandbox)
	add := func(s Space, action Action) { steps = append(steps, Step{s, action}) }
	if n.Chained {
		add(in, MoveWire{n, a.Endpoint, a.Port})
	} else {
		add(in, AddWire{n, a.Endpoint, a.Interface, inside})
	}
	add(in, AddGuard{Guards: []firewall.Guard{firewall.CompileEndpoint(n, a.Endpoint, f)}})
	if a.Role == topology.RoleGateway {
		add(in, Enslave{a.Wire(), n.Bridge})
	}
	add(inside, Peer(n, a))
	add(in, SetUp{a.Wire()})
	return steps
}

// Peer is what the container end of an attachment should be. A server gets its one address and a route to each gateway:
// every other address is unreachable at once, and there is no neighbour to look for. Where servers may reach more, the
// network's router decides what. A gateway gets the subnet, and a
// default route where it may open connections outside.
func Peer(n topology.Network, a Attachment) SetPeer {
	s := SetPeer{Endpoint: a.Endpoint}
	if a.Role == topology.RoleGateway {
		s.Addr = netip.PrefixFrom(a.IP, n.Subnet.Bits())
		if n.HasUplink() {
			s.Routes = []topology.Route{{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: n.BridgeAddr}}
		}
		return s
	}
	s.Addr = netip.PrefixFrom(a.IP, a.IP.BitLen())
	for _, g := range n.Policy.GatewayAddrs() {
		s.Routes = append(s.Routes, topology.Route{Dst: netip.PrefixFrom(g, g.BitLen())})
	}
	if n.RoutesServers() {
		s.Routes = append(s.Routes, topology.Route{Dst: netip.PrefixFrom(n.BridgeAddr, n.BridgeAddr.BitLen())},
			topology.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: n.BridgeAddr})
	}
	return s
}
