package engine_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/topology"
)

var oneGateway = map[string]string{"mcpnet.gateway": "172.20.0.100:8080"}

func TestPath(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	a, b := f.container("a", "172.20.240.1", topology.RoleServer), f.container("b", "172.20.240.2", topology.RoleServer)
	f.reaches(a, "172.20.0.100/8080", false) // no gateway yet
	g := f.container("g", "172.20.0.100", topology.RoleGateway)
	for _, port := range []uint16{8080, 9090} {
		hello(g, port)
	}
	hello(a, 3000)
	hello(b, 3000)
	hello(f.world.Host, 22)
	hello(f.world.Internet, 443)
	hello(f.world.Internet, 444)

	f.reaches(a, "172.20.0.100/8080", true)
	f.reaches(a, "172.20.0.100/9090", false)
	f.reaches(a, "198.51.100.2/443", false)
	f.reaches(g, "172.20.240.1/3000", true)
	f.reaches(g, "198.51.100.2/443", true)
	f.reaches(g, "198.51.100.2/444", false)
	f.reaches(g, "172.20.0.1/22", false)
	f.reaches(f.world.Host, "172.20.0.100/8080", true)
	for _, addr := range []string{"172.20.240.2/3000", "172.20.0.1/22"} { // silent: ARP's own limit
		if took, err := dial(a, addr); err == nil {
			t.Errorf("reached %s in %v", addr, took)
		}
	}
	f.settled()
}

func TestLeavesNothing(t *testing.T) {
	f := newFixture(t)
	before := f.state()
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.container("g", "172.20.0.100", topology.RoleGateway)
	if f.state() == before {
		t.Fatal("a network shows nowhere")
	}
	for _, id := range []string{"a", "g", "g", "unknown"} {
		f.check(f.engine.Leave(t.Context(), networkID, id))
		f.check(f.engine.DeleteEndpoint(t.Context(), networkID, id))
	}
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(before)
}

// TestDeleteNetworkWithEndpoints: an engine that removes a network without its endpoints leaves nothing either.
func TestDeleteNetworkWithEndpoints(t *testing.T) {
	f := newFixture(t)
	before := f.state()
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.container("g", "172.20.0.100", topology.RoleGateway)
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(before)
}

// TestDeleteWhatIsFlushed: a host whose rules somebody took away is left without anything of mcpnet.
func TestDeleteWhatIsFlushed(t *testing.T) {
	f := newFixture(t)
	before := f.state()
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	f.world.Host.Run("nft", "flush", "ruleset")
	f.check(f.engine.DeleteEndpoint(t.Context(), networkID, "a"))
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(before)
}

// TestCandidate: whoever holds a gateway's address by chance passes nothing, until the engine's record says otherwise.
func TestCandidate(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	a := f.container("a", "172.20.240.1", topology.RoleServer)
	c := f.container("c", "172.20.0.100", topology.RoleCandidate)
	hello(c, 8080)
	hello(a, 3000)
	hello(f.world.Internet, 443)
	f.reaches(a, "172.20.0.100/8080", false)
	f.reaches(c, "198.51.100.2/443", false) // it has no route
	if _, err := dial(c, "172.20.240.1/3000"); err == nil {
		t.Error("a candidate reaches a server")
	}
	f.check(f.engine.Promote(t.Context(), networkID, "c", "asked for"))
	f.check(f.engine.Promote(t.Context(), networkID, "c", "asked for"))
	f.reaches(a, "172.20.0.100/8080", true)
	f.reaches(c, "172.20.240.1/3000", true)
	f.settled()
	f.close()
	f.open()
	status, err := f.engine.Status(t.Context())
	f.check(err)
	if p := status.Networks[0].Endpoints[0]; p.Role != topology.RoleGateway || p.Reason != "asked for" {
		t.Errorf("after a restart: %+v", p)
	}
}

// TestServerIsNotPromoted: only a candidate can become a gateway.
func TestServerIsNotPromoted(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	f.container("a", "172.20.240.1", topology.RoleServer)
	before := f.state()
	f.check(f.engine.Promote(t.Context(), networkID, "a", "no"))
	f.same(before)
	if err := f.engine.Promote(t.Context(), networkID, "unknown", ""); err == nil || !strings.Contains(err.Error(), "no such endpoint") {
		t.Errorf("got %v", err)
	}
}
