// Package testtopology makes networks and endpoints for tests of what is pure.
package testtopology

import (
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Options are those of a network; the gateway is added where none is named.
type Options map[string]string

// Network is a network of Docker's with these options.
func Network(t testing.TB, o Options) topology.Network {
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

// Endpoint is an endpoint of a network, with the hardware address that mcpnet gives it.
func Endpoint(n topology.Network, id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: n.ID, Owner: n.Owner, Role: role, IP: a, MAC: topology.MACFor(n.ID, a)}
}

// Policies are those that change the rules of a network, by name.
var Policies = map[string]Options{
	"default":     {},
	"gateways":    {policy.KeyGateway: "172.20.0.100:8080,172.20.0.100:8443,172.20.0.101:53/udp"},
	"connect-off": {policy.KeyConnect: "off"},
	"connect":     {policy.KeyConnect: "tcp/3000,tcp/3001"},
	"dns-gateway": {policy.KeyDNS: "gateway"},
	"audit":       {policy.KeyMode: "audit"},
	"egress-off":  {policy.KeyEgress: "off"},
	"egress-udp":  {policy.KeyEgress: "udp/123,tcp/443,dns"},
	"egress-any":  {policy.KeyEgressTo: "any"},
	"egress-to":   {policy.KeyEgressTo: "public,10.1.0.0/16,169.254.169.254"},
	"egress-only": {policy.KeyEgressTo: "10.1.0.0/16"},
	"allow":       {policy.KeyAllow: "0.0.0.0/0:80,203.0.113.0/24,203.0.113.7:5432,10.1.2.3:53/udp,169.254.169.254:80"},
	"allow-names": {policy.KeyAllow: "api.github.com,*.slack.com,git.example.com:22,203.0.113.0/24"},
	"log-off":     {policy.KeyLog: "off"},
	"log-all":     {policy.KeyLog: "all"},
}
