package main

import (
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// result describes an attachment in the latest version; types.PrintResult converts it to the network's. The bridge and
// the wire lie in the network's namespace and are left out: Podman and Multus take every interface with a sandbox for
// one of the container's, and without one they would be on the host. The uplink is, under the bridge's name, and comes
// first, because plugins that follow expect a bridge there.
func (a attachment) result(n topology.Network, p topology.Endpoint, dns types.DNS) *current.Result {
	var interfaces []*current.Interface
	if n.HasUplink() {
		outer, _ := n.UplinkMACs()
		interfaces = append(interfaces, &current.Interface{Name: n.Uplink(), Mac: outer.String(), Mtu: n.Policy.MTU})
	}
	inside := &current.Interface{Name: p.Interface, Mac: p.MAC.String(), Mtu: n.Policy.MTU, Sandbox: a.netns}
	return a.describe(n, p, dns, append(interfaces, inside))
}

// describe adds the addresses and routes of the container end.
func (a attachment) describe(n topology.Network, p topology.Endpoint, dns types.DNS,
	interfaces []*current.Interface) *current.Result {
	inside := plan.Peer(n, plan.Attachment{Endpoint: p, Sandbox: a.netns})
	index := slices.IndexFunc(interfaces, func(i *current.Interface) bool {
		return i.Sandbox != "" && i.Name == p.Interface
	})
	ip := &current.IPConfig{Interface: current.Int(index), Address: *netipx.PrefixIPNet(inside.Addr)}
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion, Interfaces: interfaces,
		IPs: []*current.IPConfig{ip}, DNS: a.dns(n, p, dns)}
	for _, route := range inside.Routes {
		r.Routes = append(r.Routes, &types.Route{Dst: *netipx.PrefixIPNet(route.Dst), GW: route.Via.AsSlice()})
		if route.Dst.Bits() == 0 {
			ip.Gateway = route.Via.AsSlice()
		}
	}
	return r
}

// dns names the resolvers that the policy lets an endpoint ask, out of those of the runtime, the configuration or IPAM.
func (a attachment) dns(n topology.Network, p topology.Endpoint, leased types.DNS) types.DNS {
	d := a.DNS
	if d.IsEmpty() {
		d = leased
	}
	if r := a.Runtime.DNS; r != nil && len(r.Servers) > 0 {
		d = types.DNS{Nameservers: r.Servers, Search: r.Searches, Options: r.Options}
	}
	d.Nameservers = request.Resolvers(n, p, d.Nameservers)
	return d
}
