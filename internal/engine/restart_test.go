package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRestart: a plugin that ends and starts again leaves rules and links standing and knows its endpoints.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	n := f.network(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp", policy.KeyConnect: "tcp/3000", policy.KeyEgress: "off"})
	a, g := f.container("a", "172.20.240.1", topology.RoleServer), f.container("g", "172.20.0.100", topology.RoleGateway)
	hello(g, 8080)
	hello(a, 3000)
	before := f.state()
	f.close()
	f.same(before)
	f.reaches(a, "172.20.0.100/8080", true)
	f.open()
	f.same(before)
	f.settled()
	f.reaches(a, "172.20.0.100/8080", true)
	f.reaches(g, "172.20.240.1/3000", true)
	f.check(f.engine.CreateNetwork(t.Context(), n)) // the engine's retry
	f.check(f.engine.Describe(t.Context(), topology.Network{ID: n.ID, Name: "mcp", IPRange: netip.MustParsePrefix("172.20.240.0/20")}))
	f.check(f.engine.CreateNetwork(t.Context(), n))
	f.check(f.engine.DeleteEndpoint(t.Context(), networkID, "a"))
	f.close()
	f.open()
	f.settled()
	endpoints, err := f.engine.Endpoints(t.Context())
	f.check(err)
	if len(endpoints) != 1 || endpoints[0].ID != "g" {
		t.Errorf("knows %v", endpoints)
	}
}

// TestHostRestart: after the host's restart the kernel holds nothing. Networks are made again, endpoints are gone with
// their containers.
func TestHostRestart(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.container("g", "172.20.0.100", topology.RoleGateway)
	f.close()
	f.world = testnet.NewWorld(t)
	f.open()
	f.settled()
	endpoints, err := f.engine.Endpoints(t.Context())
	f.check(err)
	if len(endpoints) > 0 {
		t.Errorf("still knows %v", endpoints)
	}
	if _, err := f.engine.Join(t.Context(), networkID, "a"); !errors.Is(err, engine.ErrNoEndpoint) {
		t.Errorf("got %v", err)
	}
	a, g := f.container("a", "172.20.240.1", topology.RoleServer), f.container("g", "172.20.0.100", topology.RoleGateway)
	hello(g, 8080)
	f.reaches(a, "172.20.0.100/8080", true)
}

// TestContainerEndsUnseen: an endpoint whose wire went away while no plugin ran does not block its address.
func TestContainerEndsUnseen(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.world.Host.Run("ip", "link", "del", topology.Endpoint{ID: "a", Owner: topology.OwnerDocker}.Wire())
	f.container("b", "172.20.240.1", topology.RoleServer) // while the plugin runs
	f.close()
	f.world.Host.Run("ip", "link", "del", topology.Endpoint{ID: "b", Owner: topology.OwnerDocker}.Wire())
	f.open()
	f.container("c", "172.20.240.1", topology.RoleServer)
	f.settled()
	if got := f.state(); strings.Count(got, "chain in-mcpwd") != 1 {
		t.Errorf("left of the others:\n%s", got)
	}
}

// TestAdopt: the store went with an old plugin, the containers did not.
func TestAdopt(t *testing.T) {
	f := newFixture(t)
	n := f.network(oneGateway)
	a, g := f.container("a", "172.20.240.1", topology.RoleServer), f.container("g", "172.20.0.100", topology.RoleGateway)
	hello(g, 8080)
	before := f.state()
	f.close()
	f.check(os.RemoveAll(f.dir + "/v2"))
	f.open()
	f.check(f.engine.CreateNetwork(t.Context(), n))
	f.reaches(a, "172.20.0.100/8080", true)
	f.check(f.engine.Adopt(t.Context(), []topology.Endpoint{
		listed("a", "172.20.240.1", topology.RoleServer), listed("g", "172.20.0.100", topology.RoleGateway),
		listed("without a wire", "172.20.240.9", topology.RoleServer),
		{ID: "x", NetworkID: "unknown", IP: netip.MustParseAddr("172.20.240.8")},
	}))
	f.check(f.engine.Collect(t.Context()))
	f.same(before)
	f.settled()
	f.reaches(a, "172.20.0.100/8080", true)
	f.check(f.engine.DeleteEndpoint(t.Context(), networkID, "a"))
}

// listed is an endpoint as the engine's list has it.
func listed(id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: networkID, IP: a, MAC: topology.MACFor(networkID, a), Role: role}
}

// TestCollect: what carries our mark and nobody wants goes, with its rules; what is others' stays.
func TestCollect(t *testing.T) {
	f := newFixture(t)
	clean := f.state()
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.container("g", "172.20.0.100", topology.RoleGateway)
	f.close()
	f.check(os.RemoveAll(f.dir + "/v2"))
	f.world.Host.Run("ip", "link", "add", "foreign", "type", "bridge")
	f.world.Host.Run("ip", "link", "add", "mcpwc0123456789", "type", "bridge")
	f.world.Host.Run("ip", "link", "set", "mcpwc0123456789", "alias", "mcpnet cni theirs")
	f.open()
	f.settledBut("delete", "remove")
	f.check(f.engine.Collect(t.Context()))
	f.settled()
	links := f.world.Host.Run("ip", "-br", "link")
	if !strings.Contains(links, "foreign") || !strings.Contains(links, "mcpwc0123456789") || strings.Contains(links, "mcpwd") || strings.Contains(links, "mcp-secure") {
		t.Errorf("links:\n%s", links)
	}
	f.world.Host.Run("ip", "link", "del", "mcpwc0123456789")
	// With a network of its own the engine clears up to the last: the tables are shared.
	f.network(oneGateway)
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(clean)
}

// settledBut is settled for a host where only such steps are left.
func (f *fixture) settledBut(kinds ...string) {
	f.t.Helper()
	steps, err := f.engine.Plan(f.t.Context())
	f.check(err)
	for _, s := range steps {
		ok := false
		for _, kind := range kinds {
			ok = ok || strings.Contains(s.String(), kind)
		}
		if !ok {
			f.t.Errorf("left to do: %s", s)
		}
	}
	if len(steps) == 0 {
		f.t.Error("nothing is left to do")
	}
}

// TestOpenFails: what cannot work is said at once, and the store is free again.
func TestOpenFails(t *testing.T) {
	f := newFixture(t)
	if _, err := engine.Open(t.Context(), engine.Config{StoreDir: f.dir, NetNS: f.world.Host.Path(), Owner: topology.OwnerDocker}); err == nil {
		t.Error("a second engine takes a store that is held")
	}
	f.close()
	if _, err := engine.Open(t.Context(), engine.Config{StoreDir: f.dir, NetNS: "/run/netns/none", Owner: topology.OwnerDocker}); err == nil ||
		!strings.Contains(err.Error(), "/run/netns/none") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.Open(ctx, engine.Config{StoreDir: f.dir, NetNS: f.world.Host.Path(), Owner: topology.OwnerDocker}); err == nil {
		t.Error("opens after its context ended")
	}
	f.open()
}
