package resident_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRestart: a plugin that ends and starts again leaves rules and links standing and knows its endpoints.
func TestRestart(t *testing.T) { testhost.OnBothKernels(t, testRestart) }

func testRestart(t *testing.T, f *testhost.Docker) {
	n := f.Network(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp",
		policy.KeyConnect: "tcp/3000", policy.KeyEgress: "off"})
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	testhost.Hello(a, 3000)
	before := f.State()
	f.Close()
	f.Same(before)
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Open()
	f.Same(before)
	f.Settled()
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Reaches(g, "172.20.240.1/3000", true)
	f.Check(f.Front.CreateNetwork(t.Context(), n)) // the engine's retry
	f.Check(f.Front.Describe(t.Context(), topology.Network{ID: n.ID, Name: "mcp",
		IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: n.Policy}))
	f.Check(f.Front.CreateNetwork(t.Context(), n))
	f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "a"))
	f.Close()
	f.Open()
	f.Settled()
	endpoints, err := f.Front.Endpoints(t.Context())
	f.Check(err)
	if len(endpoints) != 1 || endpoints[0].ID != "g" {
		t.Errorf("knows %v", endpoints)
	}
}

// TestHostRestart: after the host's restart the kernel holds nothing. Networks are made again, endpoints are gone with
// their containers.
func TestHostRestart(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	f.Close()
	f.World = testnet.NewWorld(t)
	f.Open()
	f.Settled()
	endpoints, err := f.Front.Endpoints(t.Context())
	f.Check(err)
	if len(endpoints) > 0 {
		t.Errorf("still knows %v", endpoints)
	}
	if _, err := f.Front.Join(t.Context(), testhost.NetworkID, "a"); !errors.Is(err, resident.ErrNoEndpoint) {
		t.Errorf("got %v", err)
	}
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	f.Reaches(a, "172.20.0.100/8080", true)
}

// TestContainerEndsUnseen: an endpoint whose wire went away while no plugin ran does not block its address.
func TestContainerEndsUnseen(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	f.Space().Run("ip", "link", "del", topology.Endpoint{ID: "a", Owner: topology.OwnerDocker}.Wire())
	f.Container("b", "172.20.240.1", topology.RoleServer) // while the plugin runs
	f.Close()
	f.Space().Run("ip", "link", "del", topology.Endpoint{ID: "b", Owner: topology.OwnerDocker}.Wire())
	f.Open()
	f.Container("c", "172.20.240.1", topology.RoleServer)
	f.Settled()
	if got := f.Space().Run("ip", "-br", "link"); strings.Count(got, topology.WirePrefix) != 1 {
		t.Errorf("left of the others:\n%s", got)
	}
}

// TestAdopt: the documents, or all of the store with its identity, went with an old plugin; the containers did not.
func TestAdopt(t *testing.T) {
	for name, lost := range map[string]string{"documents": "/v2", "store": ""} {
		t.Run(name, func(t *testing.T) {
			testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) { testAdopt(t, f, lost) })
		})
	}
}

func testAdopt(t *testing.T, f *testhost.Docker, lost string) {
	n := f.Network(testhost.OneGateway)
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	before := f.State()
	f.Close()
	f.Check(os.RemoveAll(f.Dir + lost))
	f.Open()
	f.Check(f.Front.CreateNetwork(t.Context(), n))
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Check(f.Front.Adopt(t.Context(), []topology.Endpoint{
		listed("a", "172.20.240.1", topology.RoleServer), listed("g", "172.20.0.100", topology.RoleGateway),
		listed("without a wire", "172.20.240.9", topology.RoleServer),
		{ID: "x", NetworkID: "unknown", IP: netip.MustParseAddr("172.20.240.8")},
	}))
	f.Check(f.Front.Collect(t.Context()))
	f.Same(before)
	f.Settled()
	f.Reaches(a, "172.20.0.100/8080", true)
	// An endpoint that was adopted is watched over like any other.
	wire := topology.Endpoint{ID: "a", Owner: topology.OwnerDocker}.Wire()
	f.Space().Run("ip", "link", "set", wire, "down")
	_, err := f.Front.Reconcile(t.Context())
	f.Check(err)
	testhost.WaitForCarrier(t, f.Space(), wire)
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "a"))
}

// listed is an endpoint as the engine's list has it.
func listed(id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: testhost.NetworkID, IP: a, MAC: topology.MACFor(testhost.NetworkID, a),
		Role: role}
}

// TestCollect: what carries our mark and nobody wants goes, with its rules; what is others' stays.
func TestCollect(t *testing.T) {
	f := testhost.NewDocker(t)
	clean := f.State()
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	f.Close()
	f.Check(os.RemoveAll(f.Dir + "/v2"))
	f.World.Host.Run("ip", "link", "add", "foreign", "type", "bridge")
	f.World.Host.Run("ip", "link", "add", "mcpwc0123456789", "type", "bridge")
	f.World.Host.Run("ip", "link", "set", "mcpwc0123456789", "alias", "mcpnet cni theirs")
	f.World.Host.Run("ip", "link", "add", "theirs", "type", "veth", "peer", "name", "theirs2")
	f.World.Host.Run("ip", "link", "set", "theirs", "alias", "mcpnet docker theirs 0123abcd") // of another store
	f.Open()
	settledBut(f, "delete", "remove")
	f.Check(f.Front.Collect(t.Context()))
	f.Settled()
	links := f.World.Host.Run("ip", "-br", "link")
	for name, want := range map[string]bool{"foreign": true, "mcpwc0123456789": true, "theirs2": true,
		"mcp-secure": false} {
		if strings.Contains(links, name) != want {
			t.Errorf("link %s: want %v in\n%s", name, want, links)
		}
	}
	for _, link := range []string{"mcpwc0123456789", "theirs"} {
		f.World.Host.Run("ip", "link", "del", link)
	}
	f.Same(clean)
}

// settledBut is settled for a host where only such steps are left.
func settledBut(f *testhost.Docker, kinds ...string) {
	f.T.Helper()
	steps, err := f.Front.Plan(f.T.Context())
	f.Check(err)
	for _, s := range steps {
		ok := false
		for _, kind := range kinds {
			ok = ok || strings.Contains(s.Action, kind)
		}
		if !ok {
			f.T.Errorf("left to do: %s: %s", s.Namespace, s.Action)
		}
	}
	if len(steps) == 0 {
		f.T.Error("nothing is left to do")
	}
}

// TestOpenFails: what cannot work is said at once, and the store is free again.
func TestOpenFails(t *testing.T) {
	f := testhost.NewDocker(t)
	if _, err := resident.Open(t.Context(), f.Config()); err == nil {
		t.Error("a second engine takes a store that is held")
	}
	f.Close()
	none := f.Config()
	none.NetNS = "/run/netns/none"
	if _, err := resident.Open(t.Context(), none); err == nil || !strings.Contains(err.Error(), "/run/netns/none") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resident.Open(ctx, f.Config()); err == nil {
		t.Error("opens after its context ended")
	}
	f.Open()
}
