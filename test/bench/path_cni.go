package main

import (
	"context"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// cniPath is a network of one server whose wires the CNI plugin made: the rules are those of mcpnetPath, but the
// container ends have other addresses and routes. More servers would show what mcpnetPath shows.
func cniPath(ctx context.Context, t *testnet.Program) *path {
	p := &path{fabric: "cni", size: 1, host: newHost(t).Host, gateway: sandbox(t), server: sandbox(t)}
	network := testcni.New(t, p.host).MustNetwork(cniMcpnet.conflist)
	_, err := network.Add(ctx, testcni.Call{ID: gatewayID, NetNS: p.gateway.Path(), Args: asksFor(service.Addr().String())})
	must(t, err, "gateway")
	_, err = network.Add(ctx, testcni.Call{ID: endpointID(0), NetNS: p.server.Path(), Args: asksFor(address(measured(p.size)).String())})
	must(t, err, "server")
	p.open(t)
	return p
}
