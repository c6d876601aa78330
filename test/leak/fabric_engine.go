package leak

import (
	"context"
	"log/slog"
	"net/netip"
	"os"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// networkID is what a container engine would have made up.
const networkID = "4f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a"

// Mcpnet is the fabric under test: mcpnet's engine, used as the Docker driver
// uses it.
type Mcpnet struct {
	t      testnet.T
	w      *testnet.World
	Engine *resident.Front
	bridge string
	store  string
}

// NewMcpnet makes an mcpnet network with a policy. The gateway and its port
// are those of the package unless the options say otherwise.
func NewMcpnet(t testnet.T, options map[string]string) func(*testnet.World) Fabric {
	return func(w *testnet.World) Fabric {
		t.Helper()
		m := &Mcpnet{t: t, w: w, bridge: "mcp-secure"}
		m.open()
		all := map[string]string{
			"mcpnet.gateway":                 netip.AddrPortFrom(GatewayIP, GatewayPort).String(),
			"com.docker.network.bridge.name": m.bridge,
		}
		for key, value := range options {
			all[key] = value
		}
		p, err := policy.Parse(all)
		m.must(err, "policy")
		n := topology.Network{ID: networkID, Bridge: m.bridge, Subnet: Subnet, BridgeAddr: BridgeAddr, Policy: p}
		m.must(m.Engine.CreateNetwork(context.Background(), n), "network")
		return m
	}
}

// open starts the engine in the world's host.
func (m *Mcpnet) open() {
	m.t.Helper()
	dir, err := os.MkdirTemp("", "mcpnet-leak-")
	m.must(err, "store")
	m.store = dir
	m.t.Cleanup(func() { os.RemoveAll(dir) })
	m.t.Cleanup(func() { m.Engine.Close() })
	m.start()
}

func (m *Mcpnet) start() {
	m.t.Helper()
	ctx := context.Background()
	e, err := resident.Open(ctx, resident.Config{
		StoreDir: m.store, NetNS: m.w.Host.Path(), Pins: ns.HostPins(m.w.Pins), Owner: topology.OwnerDocker, Log: slog.New(slog.DiscardHandler),
	})
	m.must(err, "engine")
	m.Engine = e
	m.must(e.Start(ctx), "start")
}

// Restart ends the engine and starts it over its store, as an upgrade does.
func (m *Mcpnet) Restart() {
	m.t.Helper()
	m.must(m.Engine.Close(), "close")
	m.start()
}

// Bridge is the name of the network's bridge.
func (m *Mcpnet) Bridge() string { return m.bridge }

// Space is the network's namespace.
func (m *Mcpnet) Space() *testnet.NS { return m.w.Pinned(m.bridge) }

// Attach makes an endpoint and hands its interface to the container.
func (m *Mcpnet) Attach(container *testnet.NS, ip netip.Addr, role Role) Member {
	m.t.Helper()
	ctx, id := context.Background(), endpointID(ip)
	_, err := m.Engine.CreateEndpoint(ctx, topology.Endpoint{ID: id, NetworkID: networkID, IP: ip, Role: topology.Role(role)})
	m.must(err, "endpoint "+id)
	a, err := m.Engine.Join(ctx, networkID, id)
	m.must(err, "join "+id)
	m.w.Host.Give(a.Name, container, containerLink)
	container.AddAddr(containerLink, prefixOf(ip))
	container.Up(containerLink)
	if a.Gateway.IsValid() {
		container.AddRoute(netip.Prefix{}, a.Gateway)
	}
	return Member{NS: container, Link: containerLink, IP: ip}
}

// Detach removes the endpoint.
func (m *Mcpnet) Detach(member Member) {
	m.t.Helper()
	m.must(m.Engine.DeleteEndpoint(context.Background(), networkID, endpointID(member.IP)), "detach")
}

func (m *Mcpnet) must(err error, what string) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("mcpnet: %s: %v", what, err)
	}
}

// endpointID is an id of an engine's form, and of the address's own.
func endpointID(ip netip.Addr) string {
	return "endpoint-" + ip.String()
}
