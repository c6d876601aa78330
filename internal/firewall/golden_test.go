package firewall_test

import (
	"flag"
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

// options are those of a network; the gateway is added where none is named.
type options map[string]string

func network(t testing.TB, o options) topology.Network {
	t.Helper()
	all := map[string]string{policy.KeyGateway: "172.20.0.100:8080"}
	for k, v := range o {
		all[k] = v
	}
	p, err := policy.Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Network{ID: "4f2a9c1e", Owner: topology.OwnerDocker, Bridge: "mcp-secure",
		Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
}

func endpoint(n topology.Network, id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: n.ID, Owner: n.Owner, Role: role, IP: a, MAC: topology.MACFor(n.ID, a)}
}

var policies = map[string]options{
	"default":     {},
	"gateways":    {policy.KeyGateway: "172.20.0.100:8080,172.20.0.100:8443,172.20.0.101:53/udp"},
	"connect-off": {policy.KeyConnect: "off"},
	"connect":     {policy.KeyConnect: "tcp/3000,tcp/3001"},
	"dns-gateway": {policy.KeyDNS: "gateway"},
	"audit":       {policy.KeyMode: "audit"},
	"egress-off":  {policy.KeyEgress: "off"},
	"egress-udp":  {policy.KeyEgress: "udp/123,tcp/443,dns"},
	"log-off":     {policy.KeyLog: "off"},
	"log-all":     {policy.KeyLog: "all"},
}

func TestNetworkText(t *testing.T) {
	for name, o := range policies {
		t.Run(name, func(t *testing.T) {
			rules := firewall.CompileNetwork(network(t, o), firewall.Features{Reset: true})
			golden.Check(t, *update, "network-"+name+".nft", rules.LoadText())
		})
	}
}

func TestNetworkTextWithoutReset(t *testing.T) {
	rules := firewall.CompileNetwork(network(t, nil), firewall.Features{})
	golden.Check(t, *update, "network-no-reset.nft", rules.LoadText())
}

func TestUnloadText(t *testing.T) {
	rules := firewall.CompileNetwork(network(t, nil), firewall.Features{Reset: true})
	golden.Check(t, *update, "network-unload.nft", rules.UnloadText())
}

func TestWiresText(t *testing.T) {
	golden.Check(t, *update, "wires.nft", firewall.CompileWires().LoadText())
	golden.Check(t, *update, "wires-unload.nft", firewall.CompileWires().UnloadText())
}

func TestGuardText(t *testing.T) {
	n := network(t, nil)
	for _, e := range []topology.Endpoint{
		endpoint(n, "a", "172.20.240.1", topology.RoleServer),
		endpoint(n, "g", "172.20.0.100", topology.RoleGateway),
		endpoint(n, "c", "172.20.0.100", topology.RoleCandidate),
	} {
		golden.Check(t, *update, "guard-"+string(e.Role)+".nft", firewall.CompileEndpoint(n, e).Text())
	}
}

// TestIDs holds every rule to an id that counters, logs and status can name: its network, a stroke, and one word of its
// own in its chain. A log prefix has room for 127 bytes (NF_LOG_PREFIXLEN).
func TestIDs(t *testing.T) {
	for name, o := range policies {
		n := network(t, o)
		n.Bridge = "mcp-longest-nam" // as long as a name can be
		rules := firewall.CompileNetwork(n, firewall.Features{Reset: true}).With(
			firewall.CompileEndpoint(n, endpoint(n, "a", "172.20.240.1", topology.RoleServer)))
		for _, c := range rules.Chains {
			seen := map[string]bool{}
			for _, r := range c.Rules {
				if len(r.ID) <= len(n.Bridge)+1 || r.ID[:len(n.Bridge)+1] != n.Bridge+"/" || seen[r.ID] || len("mcpnet:"+r.ID) > 100 {
					t.Errorf("policy %s: chain %s: id %q", name, c.Name, r.ID)
				}
				seen[r.ID] = true
			}
		}
	}
}

// TestNamesFit holds names of sets and chains to what the kernel takes with the longest bridge name.
func TestNamesFit(t *testing.T) {
	const most = 255 // NFT_NAME_MAXLEN - 1; one of a set that nft 1.0.6 takes is as long
	n := network(t, nil)
	n.Bridge = "mcp-longest-nam"
	rules := firewall.CompileNetwork(n, firewall.Features{Reset: true})
	for _, s := range rules.Sets {
		if len(s.Name) > most {
			t.Errorf("set %s is too long", s.Name)
		}
	}
	for _, c := range rules.Chains {
		if len(c.Name) > most {
			t.Errorf("chain %s is too long", c.Name)
		}
	}
}
