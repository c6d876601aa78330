package leak

import "testing"

// TestLayers takes one layer away and attacks. No engine watches, so that
// nothing comes back.
func TestLayers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		column  string // of docs/guarantees.md
		options map[string]string
		disturb func(Seat)
	}{
		{name: "iptables flushed", column: "host flushed", disturb: func(s Seat) {
			for _, tool := range []string{"iptables", "ip6tables"} {
				s.World.Host.Run(tool, "-w", "-F")
				s.World.Host.Run(tool, "-w", "-t", "nat", "-F", "POSTROUTING")
			}
		}},
		{name: "iptables accepts all", column: "host flushed", disturb: func(s Seat) {
			for _, chain := range []string{"INPUT", "FORWARD", "OUTPUT"} {
				s.World.Host.Run("iptables", "-w", "-I", chain, "-j", "ACCEPT")
			}
		}},
		{name: "docker's forward policy", column: "host flushed", disturb: func(s Seat) {
			s.World.BridgeNetfilter(true)
			s.World.Host.Run("iptables", "-w", "-P", "FORWARD", "DROP")
		}},
		{name: "attacker remakes its link", column: "everything in force", disturb: remakeLink},
		{name: "gateway may not connect", column: "everything in force",
			options: map[string]string{"mcpnet.gateway.connect": "off"}},
		{name: "everything logged", column: "everything in force", options: map[string]string{"mcpnet.log": "all"}},
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
			checkDocumented(t, test.column, report)
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

// TestFlush takes rules away, with nobody to put them back. On the host that
// changes nothing; in the network's namespace the wires are dead, the gateway
// with them.
func TestFlush(t *testing.T) {
	t.Parallel()
	tables := "delete table netdev mcpnet; delete table inet mcpnet"
	tests := []struct {
		name  string
		flush func(Seat)
		check func(*testing.T, Report)
	}{
		{"host flushed", func(s Seat) {
			s.World.Host.Run("nft", "flush", "ruleset") // those of iptables-nft too
			s.World.Host.Run("iptables", "-w", "-P", "FORWARD", "ACCEPT")
		}, checkHolds},
		{"namespace flushed", func(s Seat) { s.Space.Run("nft", "flush", "ruleset") }, checkDead},
		{"both flushed", func(s Seat) {
			s.World.Host.Run("nft", "flush", "ruleset")
			s.Space.Run("nft", tables)
		}, checkDead},
		{"ingress alone", func(s Seat) { s.Space.Run("nft", "delete table inet mcpnet") }, checkQuiet},
		{"router alone", func(s Seat) { s.Space.Run("nft", "delete table netdev mcpnet") }, checkDead},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, test.name, NewMcpnet(t, nil))
			seat.Disturb = func() { test.flush(seat) }
			report := Run(t, seat)
			test.check(t, report)
			if test.name != "ingress alone" && test.name != "router alone" {
				checkDocumented(t, test.name, report)
			}
		})
	}
}

func checkDead(t *testing.T, r Report) {
	t.Helper()
	if !r.Before || r.Reaches || r.ReachesAfter {
		t.Errorf("gateway reached before the flush %v, after it %v, after the attack %v; want true, false, false",
			r.Before, r.Reaches, r.ReachesAfter)
	}
	for _, f := range r.Leaks() {
		t.Errorf("open after a flush: %s: %s: %s", f.ID, f.About, f.summary())
	}
}

// checkQuiet is checkHolds for a network without the table that answers.
func checkQuiet(t *testing.T, r Report) {
	t.Helper()
	for i := range r.Answers {
		r.Answers[i].OK = true
	}
	checkHolds(t, r)
}
