package iptables_test

import (
	"flag"
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

// network compiles a network on a bridge; its subnet follows from the number.
func network(t testing.TB, bridge string, number byte, options map[string]string) iptables.Network {
	t.Helper()
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{172, number, 0, last}) }
	all := map[string]string{policy.KeyGateway: at(100).String() + ":8080"}
	for k, v := range options {
		all[k] = v
	}
	p, err := policy.Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	n := topology.Network{ID: bridge, Owner: topology.OwnerDocker, Bridge: bridge, Subnet: netip.PrefixFrom(at(0), 16), BridgeAddr: at(1), Policy: p}
	return iptables.Network{Bridge: bridge, Host: firewall.CompileNetwork(n, firewall.Features{})}
}

func TestRestoreText(t *testing.T) {
	many := "tcp/1"
	for _, port := range strings.Fields("2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17") {
		many += ",tcp/" + port
	}
	for name, options := range map[string]map[string]string{
		"default":    nil,
		"egress-off": {policy.KeyEgress: "off"},
		"gateways":   {policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp", policy.KeyEgress: "udp/123"},
		"many-ports": {policy.KeyEgress: many},
	} {
		t.Run(name, func(t *testing.T) {
			n := network(t, "mcp-secure", 20, options)
			golden.Check(t, *update, name+".rules", iptables.RestoreText(n.Bridge, n.Host))
		})
	}
	golden.Check(t, *update, "ipv6.rules", iptables.RestoreText6("mcp-secure"))
}
