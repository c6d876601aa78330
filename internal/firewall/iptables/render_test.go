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

// network compiles the host's part of a network; its subnet follows from the number.
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
	n := topology.Network{ID: bridge, Owner: topology.OwnerDocker, Bridge: bridge, Subnet: netip.PrefixFrom(at(0), 16),
		BridgeAddr: at(1), Policy: p}
	return iptables.Network{Uplink: n.Uplink(), Host: firewall.CompileHost(n)}
}

// TestText: what goes to iptables-restore on a host without anything, and on one whose Docker isolates its bridges.
func TestText(t *testing.T) {
	isolating := "*filter\n:FORWARD DROP [0:0]\n:DOCKER-ISOLATION-STAGE-2 - [0:0]\nCOMMIT\n"
	for name, c := range map[string]struct {
		saved   string
		options map[string]string
	}{
		"default": {},
		"gateways": {options: map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp",
			policy.KeyEgress: "udp/123"}},
		"isolation": {saved: isolating},
	} {
		t.Run(name, func(t *testing.T) {
			golden.Check(t, *update, name+".rules", iptables.Text(c.saved, network(t, "mcp-secure", 20, c.options)))
		})
	}
}

// TestTextOfNothing: a network without an uplink has nothing in iptables.
func TestTextOfNothing(t *testing.T) {
	n := network(t, "mcp-secure", 20, map[string]string{policy.KeyEgress: "off"})
	if got := iptables.Text("", n); strings.TrimSpace(got) != "" {
		t.Errorf("got:\n%s", got)
	}
}
