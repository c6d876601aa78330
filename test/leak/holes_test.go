package leak

import (
	"fmt"
	"testing"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestHoles opens mcpnet in several ways and expects the suite to see each:
// no leaks are worth something only where leaks would be seen. Where the other
// layers still hold, as on the way into the host, a hole is not enough.
func TestHoles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		open func(s Seat, wire, gateway string)
		// leaks are vectors that have to show, each at its aim.
		leaks []string
	}{
		{
			name: "gateway's ports", leaks: []string{"P4/v4-tcp-to-gateway", "P4/scan-fin", "P4/reply-to-other-port"},
			open: func(s Seat, wire, gateway string) {
				insert(s, wire, "ether type ip ip daddr "+GatewayIP.String()+" ip protocol tcp fwd to "+gateway)
			},
		},
		{
			name: "arp", leaks: []string{"P5/arp-as-neighbour", "P5/arp-request-gateway-unicast", "P5/poison-gateway-create"},
			open: func(s Seat, wire, gateway string) { insert(s, wire, "ether type arp fwd to "+gateway) },
		},
		{
			name: "tags", leaks: []string{"P4/vlan-tag", "P4/vlan-double"},
			open: func(s Seat, wire, gateway string) { insert(s, wire, "ether type vlan fwd to "+gateway) },
		},
		{
			name: "wire on the bridge", leaks: []string{
				"P1/ttl-1", "P2/mac-broadcast", "P3/see-host-broadcast", "P3/see-host-multicast", "P4/scan-syn",
				"P5/learn-new-mac", "P5/steal-mac-gateway", "P6/dns-via-gateway", "P7/via-gateway",
			},
			open: func(s Seat, wire, gateway string) {
				insert(s, wire, "accept")
				s.openBridge(wire, gateway)
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, test.name, NewMcpnet(t, nil))
			seat.Disturb = func() { test.open(seat, wireOf(t, seat, seat.Attacker), wireOf(t, seat, seat.Gateway)) }
			report := Run(t, seat)
			for _, id := range test.leaks {
				if f, ok := report.Finding(id); !ok || !f.AimHit {
					t.Errorf("%s: unseen, only %s", id, f.summary())
				}
			}
			t.Logf("%d leaks", len(report.Leaks()))
		})
	}
}

// insert puts a rule in front of those of a wire.
func insert(s Seat, wire, rule string) {
	s.Space.RunInput(fmt.Sprintf("insert rule netdev mcpnet DOCKER-MCP iifname %q %s\n", wire, rule), "nft", "-f", "-")
}

// openBridge makes of the network what it would be without mcpnet: the wire and
// the host are ports of one bridge.
func (s Seat) openBridge(wire, gateway string) {
	bridge, mac := s.Bridge, s.routerMAC().String()
	for _, link := range []string{wire, topology.UplinkPort} {
		s.Space.Run("ip", "link", "set", link, "master", bridge)
	}
	if err := s.Space.Handle().LinkSetIsolated(s.Space.Link(gateway), false); err != nil {
		s.Space.Run("false") // ends the test
	}
	s.Space.RunInput("insert rule netdev mcpnet DOCKER-MCP accept\n", "nft", "-f", "-")
	for _, tool := range []string{"iptables", "ip6tables", "arptables"} { // none where the kernel lacks br_netfilter
		_, _ = s.Space.Output("sysctl", "-qw", "net.bridge.bridge-nf-call-"+tool+"=0")
	}
	s.World.Host.Run("ip", "link", "set", bridge, "down")
	s.World.Host.Run("ip", "link", "set", bridge, "address", mac)
	s.World.Host.Run("ip", "link", "set", bridge, "up")
	s.World.Host.Sysctl("net.ipv4.conf."+bridge+".arp_ignore", "0")
	s.World.Host.AddAddr(bridge, prefixOf(s.BridgeIP))
}

// wireOf is the name of the network's end of a member's link.
func wireOf(t *testing.T, s Seat, m Member) string {
	t.Helper()
	l, err := s.network().Handle().LinkByIndex(m.NS.Link(m.Link).Attrs().ParentIndex)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Name
}
