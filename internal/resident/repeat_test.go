package resident_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRepeatedEndpoint: the same request again changes nothing, another one under the same id is refused and leaves the
// living endpoint as it is.
func TestRepeatedEndpoint(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	before := f.State()
	first := topology.Endpoint{ID: "a", NetworkID: testhost.NetworkID, IP: netip.MustParseAddr("172.20.240.1"),
		Role: topology.RoleServer}
	if _, err := f.Front.CreateEndpoint(t.Context(), first); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for what, change := range map[string]func(*topology.Endpoint){
		"address": func(p *topology.Endpoint) { p.IP = netip.MustParseAddr("172.20.240.9") },
		"role":    func(p *topology.Endpoint) { p.IP, p.Role = netip.MustParseAddr("172.20.0.100"), topology.RoleGateway },
	} {
		other := first
		change(&other)
		if _, err := f.Front.CreateEndpoint(t.Context(), other); err == nil || !strings.Contains(err.Error(),
			"endpoint a exists") {
			t.Errorf("another %s under the same id: %v", what, err)
		}
	}
	f.Same(before)
	f.Settled()
	f.Reaches(a, "172.20.0.100/8080", true)
}
