package stress_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress"
)

// attack sends from a seat for a while, long enough for every frame.
func attack(t *testing.T, seat leak.Seat, wires string) *stress.Traffic {
	t.Helper()
	party := func(m leak.Member) leak.Party { return leak.Party{MAC: m.NS.MAC(m.Link), IP: m.IP} }
	s := stress.New(t, seat.World, wires)
	s.Network(seat.Space)
	host := leak.Party{MAC: router(seat), IP: seat.BridgeIP}
	me := party(seat.Attacker)
	wire := (&topology.Endpoint{MAC: topology.HardwareAddr(me.MAC)}).PortMAC()
	s.Prepare(stress.Scene(seat.Subnet, seat.Port, me, host, party(seat.Gateway), party(seat.Neighbour)), []byte(wire))
	for _, ns := range []*testnet.NS{seat.Attacker.NS, seat.Gateway.NS, seat.Neighbour.NS, seat.Victim} {
		s.Container(ns)
	}
	s.Attack(t.Context(), seat.Attacker.NS, seat.Attacker.Link)
	if !s.Passes(2 * time.Second) {
		t.Error("the permitted traffic does not pass")
	}
	time.Sleep(time.Second)
	return s
}

// router is the hardware address that a server sends to what is for others.
func router(seat leak.Seat) net.HardwareAddr {
	if seat.Space != nil {
		return seat.Space.MAC(topology.Router)
	}
	return seat.World.Host.MAC(seat.Bridge)
}

// TestControl shows that leaks are seen: on an ordinary bridge nearly everything is one.
func TestControl(t *testing.T) {
	seat, _ := leak.NewSeat(t, "plain bridge", leak.PlainBridge(t))
	s := attack(t, seat, "plainport")
	leaks := s.Leaks()
	t.Logf("%d of %d vectors leak:\n%s", len(leaks), s.Vectors(), strings.Join(leaks, "\n"))
	if len(leaks) < s.Vectors()/2 {
		t.Errorf("only %d of %d vectors leak", len(leaks), s.Vectors())
	}
}

// TestNothingLeaks is the same on mcpnet, where nothing is broken yet.
func TestNothingLeaks(t *testing.T) {
	seat, _ := leak.NewSeat(t, "mcpnet", leak.NewMcpnet(t, nil))
	for _, l := range attack(t, seat, topology.WirePrefix).Leaks() {
		t.Error(l)
	}
}
