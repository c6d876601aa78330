package leak

import "testing"

// TestLayers takes one layer away and attacks. No engine watches, so that
// nothing comes back.
func TestLayers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options map[string]string
		disturb func(Seat)
	}{
		{name: "iptables flushed", disturb: func(s Seat) {
			for _, tool := range []string{"iptables", "ip6tables"} {
				s.World.Host.Run(tool, "-w", "-F")
				s.World.Host.Run(tool, "-w", "-t", "nat", "-F", "POSTROUTING")
			}
		}},
		{name: "iptables accepts all", disturb: func(s Seat) {
			for _, chain := range []string{"INPUT", "FORWARD", "OUTPUT"} {
				s.World.Host.Run("iptables", "-w", "-I", chain, "-j", "ACCEPT")
			}
		}},
		{name: "docker's forward policy", disturb: func(s Seat) {
			s.World.BridgeNetfilter(true)
			s.World.Host.Run("iptables", "-w", "-P", "FORWARD", "DROP")
		}},
		{name: "attacker remakes its link", disturb: remakeLink},
		{name: "gateway may not connect", options: map[string]string{"mcpnet.gateway.connect": "off"}},
		{name: "everything logged", options: map[string]string{"mcpnet.log": "all"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, test.name, NewMcpnet(t, test.options))
			if test.disturb != nil {
				seat.Disturb = func() { test.disturb(seat) }
			}
			report := Run(t, seat)
			checkHolds(t, report)
			checkDocumented(t, "iptables flushed", report)
			t.Logf("%.1f s\n%s", report.Took.Seconds(), Table(report))
		})
	}
}

// remakeLink is what root in a container can do to its end of a wire.
func remakeLink(s Seat) {
	ns, link := s.Attacker.NS, s.Attacker.Link
	ns.Run("ip", "link", "set", link, "down")
	ns.Run("ip", "link", "set", link, "mtu", "9000")
	ns.Run("ip", "link", "set", link, "promisc", "on", "multicast", "on", "allmulticast", "on")
	ns.Run("ip", "link", "set", link, "up")
	ns.Run("ip", "link", "set", link, "up")
}

// afterFlush are the vectors that reach the IP stack of a host without any
// rules, and why. All others find no route, no neighbour and no service.
var afterFlush = map[string]string{
	"P2/dhcp-discover": "a broadcast from 0.0.0.0 passes reverse path filtering",
}

// TestFlush takes the rules of nftables away. The wires must be dead, the
// gateway with them. Packet sockets of the host do see what arrives at its
// links, which is no service of the host's.
func TestFlush(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		flush string
		known map[string]string
	}{
		{"nftables flushed", "flush ruleset", afterFlush}, // those of iptables-nft too
		{"iptables alone", "delete table netdev mcpnet; delete table inet mcpnet", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, test.name, NewMcpnet(t, nil))
			seat.Disturb = func() { seat.World.Host.Run("nft", test.flush) }
			report := Run(t, seat)
			checkDead(t, report, test.known)
			checkDocumented(t, test.name, report)
		})
	}
}

func checkDead(t *testing.T, r Report, known map[string]string) {
	t.Helper()
	if !r.Before || r.Reaches || r.ReachesAfter {
		t.Errorf("gateway reached before the flush %v, after it %v, after the attack %v; want true, false, false",
			r.Before, r.Reaches, r.ReachesAfter)
	}
	taps := 0
	for _, f := range r.Leaks() {
		switch {
		case f.TapOnly():
			taps++
		case known[f.ID] != "":
			t.Logf("known: %s (%s): %s", f.ID, known[f.ID], f.summary())
		default:
			t.Errorf("open after a flush: %s: %s: %s", f.ID, f.About, f.summary())
		}
	}
	if taps == 0 {
		t.Error("no packet socket of the host saw anything: the suite does not see what a wire lets in")
	}
	t.Logf("%d of %d vectors seen by packet sockets alone", taps, len(r.Findings))
}
