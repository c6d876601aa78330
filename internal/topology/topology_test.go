package topology_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var owners = []topology.Owner{topology.OwnerDocker, topology.OwnerCNI, topology.OwnerNetavark}

// TestNamesFit: an interface name has at most 15 bytes (IFNAMSIZ - 1), whatever an engine's ids look like.
func TestNamesFit(t *testing.T) {
	for _, owner := range owners {
		for _, id := range []string{"", "a", strings.Repeat("f", 64), "name with spaces/and strokes", "ü"} {
			e := topology.Endpoint{ID: id, Owner: owner}
			adopted := topology.Network{ID: id, Bridge: "cni0", Chained: true}
			names := []string{e.Wire(), e.LegacyWire(), e.Peer(), topology.BridgeName(id), adopted.Uplink()}
			for _, name := range append(names, topology.Router, topology.RouterPort, topology.UplinkPort) {
				if len(name) > 15 || strings.ContainsAny(name, " /") {
					t.Errorf("owner %s, id %q: name %q", owner, id, name)
				}
			}
			if !strings.HasPrefix(e.Wire(), topology.WirePrefix) ||
				!strings.HasPrefix(e.LegacyWire(), topology.WirePrefix) {
				t.Errorf("wire %s, once %s", e.Wire(), e.LegacyWire())
			}
			slices.Sort(names)
			if len(slices.Compact(names)) != 5 {
				t.Errorf("id %q: names are not different: %v", id, names)
			}
		}
	}
}

// TestOwnersDiffer: on the host, where the links of all surfaces meet, those of the same id do not.
func TestOwnersDiffer(t *testing.T) {
	seen := map[string]topology.Owner{}
	for _, owner := range owners {
		e := topology.Endpoint{ID: "a", Owner: owner}
		for _, name := range []string{e.Peer(), e.LegacyWire(), e.LegacyWire()[:len(topology.WirePrefix)+1]} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s and %s share %s", owner, other, name)
			}
			seen[name] = owner
		}
	}
}

// TestStable pins what living endpoints and neighbours' caches rely on: a newer mcpnet must find what an older one
// made.
func TestStable(t *testing.T) {
	a := netip.MustParseAddr("172.20.0.100")
	e := topology.Endpoint{ID: "a", Owner: topology.OwnerDocker, MAC: topology.MACFor("4f2a9c1e", a)}
	adopted := topology.Network{ID: "4f2a9c1e", Chained: true}
	got := []string{e.Wire(), e.LegacyWire(), e.Peer(), e.MAC.String(), e.PortMAC().String(),
		topology.BridgeName("4f2a9c1e"), adopted.Uplink()}
	want := []string{"mcpwca978112ca1", "mcpwdca978112ca", "mcpc248e2364a4b", "02:6b:ac:14:00:64", "06:6b:ac:14:00:64",
		"mcp-6b8c24a0", "mcpu6b8c24a066e"}
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

// TestNetworkNames: a network's namespace, and its uplink unless another plugin's bridge has the name, are called like
// its bridge.
func TestNetworkNames(t *testing.T) {
	n := topology.Network{ID: "n", Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1")}
	if n.Namespace() != "mcp-secure" || n.Uplink() != "mcp-secure" || n.RouterPrefix().String() != "172.20.0.1/16" {
		t.Errorf("namespace %s, uplink %s, router %s", n.Namespace(), n.Uplink(), n.RouterPrefix())
	}
	n.Chained = true
	if n.Namespace() != "mcp-secure" || n.Uplink() == "mcp-secure" {
		t.Errorf("adopted: namespace %s, uplink %s", n.Namespace(), n.Uplink())
	}
	if n.HasUplink() {
		t.Error("a policy without egress has an uplink")
	}
	if n.Policy = policy.Defaults(); !n.HasUplink() {
		t.Error("a policy with egress has no uplink")
	}
	outer, inner := n.UplinkMACs()
	macs := []string{outer.String(), inner.String(), n.RouterMAC().String()}
	slices.Sort(macs)
	if len(slices.Compact(macs)) != 3 || n.RouterMAC().String() != topology.MACFor("n", n.BridgeAddr).String() {
		t.Errorf("hardware addresses %v", macs)
	}
}

// TestIsReserved: a bridge stands in one namespace with the router, the uplink and all wires.
func TestIsReserved(t *testing.T) {
	wire := topology.Endpoint{ID: "a"}.Wire()
	for name, want := range map[string]bool{"mcp-router": true, "mcp-rport": true, "mcp-uplink": true, wire: true,
		"mcpw":       true,
		"mcp-secure": false, "mcp": false, "br0": false, topology.BridgeName("a"): false} {
		if topology.IsReserved(name) != want {
			t.Errorf("%s: reserved %v, want %v", name, !want, want)
		}
	}
}

// TestGroup: rules know a gateway's wire by its group, and nobody else's.
func TestGroup(t *testing.T) {
	for role, want := range map[topology.Role]uint32{topology.RoleServer: 0, topology.RoleCandidate: 0,
		topology.RoleGateway: 2, "": 0} {
		if got := (topology.Endpoint{Role: role}).Group(); got != want {
			t.Errorf("%q: group %d, want %d", role, got, want)
		}
	}
}

// TestMark: a mark is read as it was written, and nothing else is one. One without a store is an earlier mcpnet's.
func TestMark(t *testing.T) {
	for alias, want := range map[string]topology.Mark{
		"mcpnet docker 4f2a9c1e":        {Owner: topology.OwnerDocker, ID: "4f2a9c1e"},
		"mcpnet cni pod-eth0 c0ffee":    {Owner: topology.OwnerCNI, ID: "pod-eth0", Store: "c0ffee"},
		"mcpnet netavark 0123 deadbeef": {Owner: topology.OwnerNetavark, ID: "0123", Store: "deadbeef"},
	} {
		got, ok := topology.ParseMark(alias)
		if !ok || got != want || got.String() != alias {
			t.Errorf("%q: got %+v, %v, written again %q", alias, got, ok, got)
		}
	}
	for _, alias := range []string{"", "mcpnet", "mcpnet docker", "mcpnet docker a b c", "other docker a b",
		"mcpnetx docker a"} {
		if got, ok := topology.ParseMark(alias); ok || got != (topology.Mark{}) {
			t.Errorf("%q is taken for %+v", alias, got)
		}
	}
}

// TestPlaced: an endpoint has an address of its subnet, and not the router's.
func TestPlaced(t *testing.T) {
	n := topology.Network{ID: "n", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1")}
	for addr, want := range map[string]string{"172.20.0.2": "", "172.21.0.2": "not in subnet 172.20.0.0/16",
		"172.20.0.1": "is the router's"} {
		err := n.Placed(topology.Endpoint{IP: netip.MustParseAddr(addr)})
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
}

// TestRequestedMAC: a server may have any address of one interface but those of gateways and the router, a gateway and
// whoever may become one its own alone.
func TestRequestedMAC(t *testing.T) {
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:8080"})
	if err != nil {
		t.Fatal(err)
	}
	n := topology.Network{ID: "n", Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	of := func(ip string) string { return topology.MACFor(n.ID, netip.MustParseAddr(ip)).String() }
	const server, first, other, free = "172.20.240.1", "172.20.0.100", "172.20.0.101", "02:00:00:00:00:07"
	for _, tt := range []struct {
		role            topology.Role
		ip, asked, want string
	}{
		{topology.RoleServer, server, "", of(server)},
		{topology.RoleServer, server, free, free},
		{topology.RoleServer, server, of(server), of(server)},
		{topology.RoleServer, server, of(first), ""},
		{topology.RoleServer, server, of("172.20.0.1"), ""},
		{topology.RoleServer, server, "01:00:00:00:00:07", ""},
		{topology.RoleServer, server, "02:00:00:00:00:00:00:07", ""},
		{topology.RoleServer, server, "x", ""},
		{topology.RoleGateway, first, "", of(first)},
		{topology.RoleGateway, first, of(first), of(first)},
		{topology.RoleGateway, first, of(other), ""},
		{topology.RoleGateway, first, free, ""},
		{topology.RoleCandidate, first, free, ""},
		{topology.RoleCandidate, first, of(first), of(first)},
	} {
		got, err := n.RequestedMAC(topology.Endpoint{Role: tt.role, IP: netip.MustParseAddr(tt.ip)}, tt.asked)
		if got.String() != tt.want || (err == nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), "--mac-address "+tt.asked) {
			t.Errorf("%s at %s asks for %q: %s, %v; want %q", tt.role, tt.ip, tt.asked, got, err, tt.want)
		}
	}
}

func TestEndpointJSON(t *testing.T) {
	for _, e := range []topology.Endpoint{
		{ID: "a", NetworkID: "n", Owner: topology.OwnerDocker, Role: topology.RoleServer,
			IP: netip.MustParseAddr("172.20.0.2"), MAC: topology.HardwareAddr{2, 0, 0, 0, 0, 1}},
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
	known := topology.Network{ID: "n", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: p}
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
		{"address can only be asked for", known, "172.20.0.100", policy.RoleUnset, topology.RoleGateway,
			"outside the range 172.20.240.0/20"},
		{"address may be assigned", known, "172.20.250.1", policy.RoleUnset, topology.RoleCandidate,
			"may have assigned"},
		{"range is not known yet", unknown, "172.20.0.100", policy.RoleUnset, topology.RoleCandidate,
			"waiting for the engine's record"},
		{"says gateway", unknown, "172.20.0.100", policy.RoleGateway, topology.RoleGateway, "mcpnet.role=gateway"},
		{"says gateway in the range", known, "172.20.250.1", policy.RoleGateway, topology.RoleGateway,
			"mcpnet.role=gateway"},
		{"says gateway at another address", known, "172.20.240.1", policy.RoleGateway, "",
			"(172.20.0.100, 172.20.250.1)"},
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
