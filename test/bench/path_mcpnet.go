package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// networkID is the same on every host: each has one network.
const networkID = "9b3c61d0a7f24e58b1c09d6e3f57a2840c1be96d73f84a25e0d9c4b6a8f31725"

// endpointID is an id as engines make them.
func endpointID(i int) string { return fmt.Sprintf("%064x", i+1) }

// gatewayID is the id of the gateway's endpoint.
const gatewayID = "9a7e0000000000000000000000000000000000000000000000000000000000ff"

// engineHost is a host with mcpnet's engine in this process.
type engineHost struct {
	t      *testnet.Program
	world  *testnet.World
	engine *resident.Front
}

func newEngineHost(ctx context.Context, t *testnet.Program, onStep func(plan.Step)) *engineHost {
	h := &engineHost{t: t, world: newHost(t)}
	dir, err := os.MkdirTemp("", "mcpnet-bench-")
	must(t, err, "store")
	t.Cleanup(func() { os.RemoveAll(dir) })
	h.engine, err = resident.Open(ctx, resident.Config{StoreDir: dir, NetNS: h.world.Host.Path(), Pins: ns.HostPins(h.world.Pins), Owner: topology.OwnerDocker,
		Log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})), OnStep: onStep})
	must(t, err, "engine")
	t.Cleanup(func() { h.engine.Close() })
	must(t, h.engine.Start(ctx), "engine")
	p, err := policy.Parse(map[string]string{"mcpnet.gateway": service.String()})
	must(t, err, "policy")
	must(t, h.engine.CreateNetwork(ctx, topology.Network{ID: networkID, Subnet: subnet, BridgeAddr: bridgeAddr, Policy: p}), "network")
	return h
}

// attach is what a driver does for CreateEndpoint and Join.
func (h *engineHost) attach(ctx context.Context, p topology.Endpoint) (link string, err error) {
	p.NetworkID = networkID
	if _, err := h.engine.CreateEndpoint(ctx, p); err != nil {
		return "", err
	}
	a, err := h.engine.Join(ctx, networkID, p.ID)
	return a.Name, err
}

func (h *engineHost) attachServer(ctx context.Context, i int) (link string, err error) {
	return h.attach(ctx, topology.Endpoint{ID: endpointID(i), IP: address(i), Role: topology.RoleServer})
}

// detach is what a driver does for Leave and DeleteEndpoint.
func (h *engineHost) detach(ctx context.Context, i int) error {
	if err := h.engine.Leave(ctx, networkID, endpointID(i)); err != nil {
		return err
	}
	return h.engine.DeleteEndpoint(ctx, networkID, endpointID(i))
}

// mcpnetPath is a network of mcpnet's. The container ends of the servers that are not measured stay in the host.
func mcpnetPath(ctx context.Context, t *testnet.Program, size int) *path {
	h := newEngineHost(ctx, t, nil)
	p := &path{fabric: "mcpnet", size: size, host: h.world.Host}
	link, err := h.attach(ctx, topology.Endpoint{ID: gatewayID, IP: service.Addr(), Role: topology.RoleGateway})
	must(t, err, "gateway")
	p.gateway = seat(t, p.host, link, "gateway", service.Addr())
	for i := range size {
		link, err := h.attachServer(ctx, i)
		must(t, err, "server %d", i)
		if i == measured(size) {
			p.server = seat(t, p.host, link, "server", address(i))
		} else {
			p.host.Up(link)
		}
	}
	p.open(t)
	return p
}
