package topology_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestNamesFit: an interface name has at most 15 bytes (IFNAMSIZ - 1), whatever an engine's ids look like.
func TestNamesFit(t *testing.T) {
	for _, owner := range []topology.Owner{topology.OwnerDocker, topology.OwnerCNI, topology.OwnerNetavark} {
		for _, id := range []string{"", "a", strings.Repeat("f", 64), "name with spaces/and strokes", "ü"} {
			e := topology.Endpoint{ID: id, Owner: owner}
			for _, name := range []string{e.Wire(), e.Peer(), topology.BridgeName(id)} {
				if len(name) > 15 || strings.ContainsAny(name, " /") {
					t.Errorf("owner %s, id %q: name %q", owner, id, name)
				}
			}
			if !strings.HasPrefix(e.Wire(), topology.OwnedWirePrefix(owner)) || e.Wire() == e.Peer() {
				t.Errorf("wire %s, peer %s", e.Wire(), e.Peer())
			}
		}
	}
}

// TestOwnersDiffer: the name alone tells whose a wire is.
func TestOwnersDiffer(t *testing.T) {
	seen := map[string]topology.Owner{}
	for _, owner := range []topology.Owner{topology.OwnerDocker, topology.OwnerCNI, topology.OwnerNetavark} {
		prefix := topology.OwnedWirePrefix(owner)
		if other, ok := seen[prefix]; ok {
			t.Errorf("%s and %s share %s", owner, other, prefix)
		}
		seen[prefix] = owner
	}
}

// TestStable pins what living endpoints and neighbours' caches rely on: a newer mcpnet must find what an older one made.
func TestStable(t *testing.T) {
	a := netip.MustParseAddr("172.20.0.100")
	e := topology.Endpoint{ID: "a", Owner: topology.OwnerDocker, MAC: topology.MACFor("4f2a9c1e", a)}
	got := []string{e.Wire(), e.Peer(), e.MAC.String(), e.PortMAC().String(), topology.BridgeName("4f2a9c1e")}
	want := []string{"mcpwdca978112ca", "mcpcdca978112ca", "02:6b:ac:14:00:64", "06:6b:ac:14:00:64", "mcp-6b8c24a0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e.MAC[0]&1 != 0 || e.PortMAC()[0]&1 != 0 || e.MAC[0]&2 == 0 {
		t.Error("not a unicast address of local administration")
	}
	if e.MAC.String() != "02:6b:ac:14:00:64" {
		t.Error("PortMAC changes the endpoint's own address")
	}
}

func TestEndpointJSON(t *testing.T) {
	for _, e := range []topology.Endpoint{
		{ID: "a", NetworkID: "n", Owner: topology.OwnerDocker, Role: topology.RoleServer, IP: netip.MustParseAddr("172.20.0.2"), MAC: topology.HardwareAddr{2, 0, 0, 0, 0, 1}},
		{ID: "b"},
	} {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back topology.Endpoint
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s:\n%s", data, diff)
		}
	}
	var h topology.HardwareAddr
	if err := h.UnmarshalText([]byte("no address")); err == nil {
		t.Error("takes anything for an address")
	}
}

func TestRoleFor(t *testing.T) {
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.250.1:53/udp"})
	if err != nil {
		t.Fatal(err)
	}
	known := topology.Network{ID: "n", Subnet: netip.MustParsePrefix("172.20.0.0/16"), IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: p}
	unknown := known
	unknown.IPRange = netip.Prefix{}
	for _, c := range []struct {
		name    string
		network topology.Network
		addr    string
		said    policy.Role
		want    topology.Role
		text    string // in the reason or the error
	}{
		{"anyone", known, "172.20.240.1", policy.RoleUnset, topology.RoleServer, ""},
		{"anyone, outside the range", known, "172.20.0.5", policy.RoleUnset, topology.RoleServer, ""},
		{"says server", known, "172.20.240.1", policy.RoleServer, topology.RoleServer, ""},
		{"address can only be asked for", known, "172.20.0.100", policy.RoleUnset, topology.RoleGateway, "outside the range 172.20.240.0/20"},
		{"address may be assigned", known, "172.20.250.1", policy.RoleUnset, topology.RoleCandidate, "may have assigned"},
		{"range is not known yet", unknown, "172.20.0.100", policy.RoleUnset, topology.RoleCandidate, "waiting for the engine's record"},
		{"says gateway", unknown, "172.20.0.100", policy.RoleGateway, topology.RoleGateway, "mcpnet.role=gateway"},
		{"says gateway in the range", known, "172.20.250.1", policy.RoleGateway, topology.RoleGateway, "mcpnet.role=gateway"},
		{"says gateway at another address", known, "172.20.240.1", policy.RoleGateway, "", "(172.20.0.100, 172.20.250.1)"},
		{"says server at a gateway's", known, "172.20.0.100", policy.RoleServer, "", "choose another with --ip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			role, reason, err := c.network.RoleFor(netip.MustParseAddr(c.addr), c.said)
			text := reason
			if err != nil {
				text = err.Error()
			}
			if role != c.want || (err != nil) != (c.want == "") || !strings.Contains(text, c.text) {
				t.Errorf("got %q, %q, %v", role, reason, err)
			}
		})
	}
}
