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

// allowed is a network whose servers may reach a few addresses beyond it.
var allowed = map[string]string{policy.KeyGateway: "172.20.0.100:8080",
	policy.KeyAllow: "203.0.113.0/24,203.0.113.10:5432,198.51.100.2:53/udp,0.0.0.0/0:80,198.51.100.1:9000"}

// TestAllow: a server reaches exactly what the list says, every other address is refused at once, and nothing of it
// opens the host, metadata, private space, a neighbour, or a way in.
func TestAllow(t *testing.T) { testhost.OnBothKernels(t, testAllow) }

func testAllow(t *testing.T, h *testhost.Docker) {
	victim := h.World.NewVictim()
	h.Network(allowed)
	server := h.Container("s", "172.20.240.1", topology.RoleServer)
	neighbour := h.Container("n", "172.20.240.2", topology.RoleServer)
	gateway := h.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, h.World.Internet, 443, 80, 5432, 8443)
	testhost.Echo(t, h.World.Internet, 53)
	serve(t, h.World.Host, 443, 80, 9000)
	serve(t, gateway, 8080, 443)
	serve(t, neighbour, 443, 80)
	serve(t, victim, 80)
	for target, open := range map[string]bool{
		"203.0.113.10/443": true, "203.0.113.10/5432": true, "198.51.100.2/53/udp": true, "198.51.100.2/80": true, "172.20.0.100/8080": true,
		"198.51.100.1/9000": true, // the host's own, written out
		"203.0.113.10/8443": false, "203.0.113.10/53/udp": false, "198.51.100.2/443": false,
		"198.51.100.1/80": false, "198.51.100.1/443": false, "10.77.0.2/80": false, "10.77.0.1/80": false, "169.254.169.254/80": false,
		"172.20.0.1/80": false, "172.20.240.2/80": false, "172.20.0.100/443": false,
	} {
		h.Reaches(server, target, open)
	}
	for _, to := range []string{"203.0.113.10/5432", "198.51.100.2/80"} { // a gateway has its own policy
		h.Reaches(gateway, to, strings.HasSuffix(to, "/80"))
	}
	h.World.Internet.AddRoute(netip.MustParsePrefix("172.20.0.0/16"), testnet.HostAddr)
	for _, from := range []*testnet.NS{h.World.Internet, h.World.Host} { // the positive control is below
		if _, err := testhost.DialFor(from, "172.20.240.2/80", time.Second); err == nil {
			t.Errorf("%s opens a connection to a server", from.Label())
		}
	}
	h.Reaches(h.World.Host, "172.20.0.100/443", true)
	h.Settled()
}

// TestAllowNarrowed: an endpoint's own list is a part of the network's, and what one server may reach opens nothing for
// another.
func TestAllowNarrowed(t *testing.T) {
	h := testhost.NewDocker(t)
	h.Network(allowed)
	serve(t, h.World.Internet, 443, 80, 5432)
	narrow := h.Narrowed("a", "172.20.240.1", "203.0.113.10:5432,203.0.113.8/29")
	closed := h.Narrowed("b", "172.20.240.2", "off")
	whole := h.Container("c", "172.20.240.3", topology.RoleServer)
	for target, open := range map[string]bool{"203.0.113.10/5432": true, "203.0.113.10/443": true, "203.0.113.53/443": false, "198.51.100.2/80": false} {
		h.Reaches(narrow, target, open)
		h.Reaches(closed, target, false)
		h.Reaches(whole, target, true)
	}
	h.Settled()
	h.Close()
	h.Open()
	h.Settled()
	for id, want := range map[string]string{"a": "203.0.113.10:5432/tcp,203.0.113.8/29:443/tcp", "b": "off", "c": ""} {
		if got := h.Endpoint(id).Allow; got != want {
			t.Errorf("%s has %q after a restart, want %q", id, got, want)
		}
	}
	h.Reaches(narrow, "203.0.113.53/443", false)
	h.Reaches(closed, "203.0.113.10/443", false)
	h.Reaches(whole, "203.0.113.10/443", true)
}
