package engines_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// TestLeaks runs the leak suite from the seat of root in a real container of each engine. The control is the suite's
// own (test/leak, TestLeaks): every vector leaks on an ordinary bridge.
func TestLeaks(t *testing.T) {
	onEverySurface(t, func(t *testing.T, w *testnet.World, l lab) {
		victim := w.NewVictim()
		l.network(defaultPolicy())
		seat := leak.Seat{Name: t.Name(), World: w, Victim: victim, Bridge: networkName, BridgeIP: leak.BridgeAddr, Subnet: leak.Subnet, Port: leak.GatewayPort}
		seat.Gateway = leak.Member{NS: l.gateway("gateway"), Link: "eth0", IP: leak.GatewayIP}
		seat.Attacker = leak.Member{NS: l.server("attacker", leak.AttackerIP), Link: "eth0", IP: leak.AttackerIP}
		seat.Neighbour = leak.Member{NS: l.server("neighbour", leak.PeerIP), Link: "eth0", IP: leak.PeerIP}
		seat.Space = space(t, l)
		report := leak.Run(t, seat)
		t.Logf("\n%s", leak.Table(report))
		for _, broken := range report.Broken() {
			t.Error(broken)
		}
		l.remove("gateway", "attacker", "neighbour")
		if e, ok := l.(executor); ok {
			wantNothing(t, w, e)
		}
	})
}
