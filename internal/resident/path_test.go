package resident_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestPath: what is permitted passes, and all else is refused at once, whoever it was for.
func TestPath(t *testing.T) { testhost.OnBothKernels(t, testPath) }

func testPath(t *testing.T, f *testhost.Docker) {
	f.Network(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.100:5353/udp,172.20.0.101:8080",
		policy.KeyConnect: "tcp/3000"})
	a, b := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("b", "172.20.240.2", topology.RoleServer)
	for _, absent := range []string{"172.20.0.100/8080", "172.20.0.100/5353/udp", "172.20.0.101/8080"} {
		f.Reaches(a, absent, false)
	}
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080, 9090, 5353)
	serve(t, a, 3000)
	serve(t, b, 3000)
	serve(t, f.World.Host, 22)
	serve(t, f.World.Internet, 443, 444)

	f.Reaches(a, "172.20.0.100/8080", true)
	f.Reaches(a, "172.20.0.100/5353/udp", true)
	f.Reaches(g, "172.20.240.1/3000", true)
	f.Reaches(g, "198.51.100.2/443", true)
	f.Reaches(f.World.Host, "172.20.0.100/8080", true)
	for _, to := range []string{
		"172.20.0.100/9090", "172.20.0.100/9090/udp", "172.20.0.100/8080/udp", "172.20.0.100/5353",
		// a gateway's closed ports
		"172.20.0.101/8080", "172.20.0.101/8080/udp", // a gateway that is not there
		"172.20.240.2/3000", "172.20.240.2/3000/udp", "172.20.240.9/3000", "172.20.240.9/3000/udp", // neighbours, and nobody
		"172.20.0.1/22", "172.20.0.1/22/udp", // the network's router
	} {
		f.Reaches(a, to, false)
	}
	for _, to := range []string{"172.20.240.1/3001", "172.20.240.1/3000/udp", "198.51.100.2/444", "198.51.100.2/443/udp",
		"198.51.100.1/22",
		"172.20.0.1/22", "172.20.0.1/22/udp", "172.20.0.101/8080"} {
		f.Reaches(g, to, false)
	}
	testhost.Unreachable(t, a, "198.51.100.2/443") // a server has no route beyond its network
	f.Settled()
	a.AddRoute(netip.Prefix{}, f.RouterAddr()) // and with one it is refused
	for _, to := range []string{"198.51.100.2/443", "198.51.100.2/443/udp", "198.51.100.1/22", "198.51.100.1/22/udp"} {
		f.Reaches(a, to, false)
	}
	f.Settled()
}

// serve answers on ports of a namespace, over TCP and UDP.
func serve(t *testing.T, in *testnet.NS, ports ...uint16) {
	t.Helper()
	for _, port := range ports {
		testhost.Hello(in, port)
		testhost.Echo(t, in, port)
	}
}

func TestLeavesNothing(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		before := f.State()
		f.Network(testhost.OneGateway)
		f.Container("a", "172.20.240.1", topology.RoleServer)
		f.Container("g", "172.20.0.100", topology.RoleGateway)
		if f.State() == before {
			t.Fatal("a network shows nowhere")
		}
		for _, id := range []string{"a", "g", "g", "unknown"} {
			f.Check(f.Front.Leave(t.Context(), testhost.NetworkID, id))
			f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, id))
		}
		f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
		f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
		f.Same(before)
	})
}

// TestEndpointLeavesNothing: what an endpoint has in its network's namespace goes with it.
func TestEndpointLeavesNothing(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		f.Container("a", "172.20.240.1", topology.RoleServer)
		before := f.State()
		f.Container("b", "172.20.240.2", topology.RoleServer)
		f.Container("g", "172.20.0.100", topology.RoleGateway)
		for _, id := range []string{"b", "g"} {
			f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, id))
		}
		f.Same(before)
		f.Settled()
	})
}

// TestDeleteNetworkWithEndpoints: an engine that removes a network without its endpoints leaves nothing either.
func TestDeleteNetworkWithEndpoints(t *testing.T) {
	f := testhost.NewDocker(t)
	before := f.State()
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	f.Same(before)
}

// TestDeleteWhatIsFlushed: a host whose rules somebody took away, there or in a network's namespace, or whose
// network's namespace
// itself is gone, is left without anything of mcpnet.
func TestDeleteWhatIsFlushed(t *testing.T) {
	for name, harm := range map[string]func(*testhost.Docker){
		"host":      func(f *testhost.Docker) { f.World.Host.Run("nft", "flush", "ruleset") },
		"namespace": func(f *testhost.Docker) { f.Space().Run("nft", "flush", "ruleset") },
		"both": func(f *testhost.Docker) {
			f.World.Host.Run("nft", "flush", "ruleset")
			f.Space().Run("nft", "flush", "ruleset")
		},
		"unpinned": func(f *testhost.Docker) { f.Unpin("mcp-secure") },
	} {
		t.Run(name, func(t *testing.T) {
			testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
				before := f.State()
				f.Network(testhost.OneGateway)
				f.Container("a", "172.20.240.1", topology.RoleServer)
				f.Container("g", "172.20.0.100", topology.RoleGateway)
				harm(f)
				f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "a"))
				f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
				f.Same(before)
			})
		})
	}
}

// TestCandidate: whoever holds a gateway's address by chance passes nothing, until the engine's record says otherwise.
func TestCandidate(t *testing.T) { testhost.OnBothKernels(t, testCandidate) }

func testCandidate(t *testing.T, f *testhost.Docker) {
	f.Network(testhost.OneGateway)
	a := f.Container("a", "172.20.240.1", topology.RoleServer)
	c := f.Container("c", "172.20.0.100", topology.RoleCandidate)
	serve(t, c, 8080)
	serve(t, a, 3000)
	serve(t, f.World.Internet, 443)
	f.Reaches(a, "172.20.0.100/8080", false)
	testhost.Unreachable(t, c, "198.51.100.2/443")
	if took, err := testhost.Dial(c, "172.20.240.1/3000"); err == nil || took > time.Second {
		t.Errorf("a candidate to a server: %v after %v", err, took)
	}
	f.Settled()
	f.Check(f.Front.Promote(t.Context(), testhost.NetworkID, "c", "asked for"))
	f.Check(f.Front.Promote(t.Context(), testhost.NetworkID, "c", "asked for"))
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Reaches(c, "172.20.240.1/3000", true)
	f.Settled()
	f.Close()
	f.Open()
	if e := f.Endpoint("c"); e.Role != string(topology.RoleGateway) || e.Reason != "asked for" {
		t.Errorf("after a restart: %+v", e)
	}
}

// TestNeighbourCaches: who has tried to reach an address that nobody had, or that it might not reach, reaches it at
// once when it may. What ARP has told it before must not stand in the way.
func TestNeighbourCaches(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		g := f.Container("g", "172.20.0.100", topology.RoleGateway)
		serve(t, g, 8080)
		f.Reaches(g, "172.20.240.1/3000", false) // a server that is not there yet, or just restarts
		a := f.Container("a", "172.20.240.1", topology.RoleServer)
		serve(t, a, 3000)
		f.Reaches(g, "172.20.240.1/3000", true)
		f.Reaches(a, "172.20.0.100/8080", true)

		f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "g"))
		c := f.Container("c", "172.20.0.100", topology.RoleCandidate)
		serve(t, c, 8080)
		f.Reaches(c, "172.20.240.1/3000", false)
		f.Check(f.Front.Promote(t.Context(), testhost.NetworkID, "c", "asked for"))
		f.Reaches(c, "172.20.240.1/3000", true)
		f.Reaches(a, "172.20.0.100/8080", true)
	})
}

// TestServerIsNotPromoted: only a candidate can become a gateway.
func TestServerIsNotPromoted(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	before := f.State()
	f.Check(f.Front.Promote(t.Context(), testhost.NetworkID, "a", "no"))
	f.Same(before)
	if err := f.Front.Promote(t.Context(), testhost.NetworkID, "unknown", ""); err == nil ||
		!strings.Contains(err.Error(), "no such endpoint") {
		t.Errorf("got %v", err)
	}
}
