package leak

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// reach is something that a gateway tries to connect to.
type reach struct {
	row string // of docs/guarantees.md
	to  netip.AddrPort
}

// reaches are what a gateway may open and what it may not, with services that
// answer at each of them.
func gatewayReaches() []reach {
	at := func(ip netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(ip, port) }
	return []reach{
		{"a permitted port of the internet", at(testnet.InternetHost, 443)},
		{"another port of the internet", at(testnet.InternetHost, 22)},
		{"a service of the host", at(testnet.HostAddr, 443)},
		{"a service of the host at the router's address", at(BridgeAddr, 443)},
		{"a private address beyond the host", at(privateHost, 443)},
		{"cloud metadata", at(testnet.Metadata, 80)},
		{"another gateway's port, round about", at(GatewayIP, 443)},
	}
}

// gatewayStates are what may happen to a network, and how many of its layers
// are left.
var gatewayStates = []struct {
	column  string
	disturb func(Seat)
}{
	{"everything in force", func(Seat) {}},
	{"host flushed", func(s Seat) {
		s.World.Host.Run("nft", "flush", "ruleset")
		s.World.Host.Run("iptables", "-w", "-P", "FORWARD", "ACCEPT")
	}},
	{"namespace flushed", func(s Seat) { s.Space.Run("nft", "flush", "ruleset") }},
	{"ingress alone", func(s Seat) { s.Space.Run("nft", "delete table inet mcpnet") }},
	{"router alone", func(s Seat) { s.Space.Run("nft", "delete table netdev mcpnet") }},
}

// TestGatewayReach holds what a gateway gains, in every state, to the second
// table of docs/guarantees.md. Whatever is denied has to be reached from an
// ordinary bridge.
func TestGatewayReach(t *testing.T) {
	t.Parallel()
	for _, r := range connects(t, "control", PlainBridge(t), func(Seat) {}) {
		if !r.connected && r.row != "another gateway's port, round about" {
			t.Errorf("control: %s is not reached", r.row)
		}
	}
	for _, state := range gatewayStates {
		t.Run(state.column, func(t *testing.T) {
			t.Parallel()
			for _, r := range connects(t, state.column, NewMcpnet(t, nil), state.disturb) {
				got := map[bool]string{true: "yes", false: "no"}[r.connected]
				if want := documentedCell(t, r.row, state.column); got != want {
					t.Errorf("%s: docs/guarantees.md says %q, seen: %q", r.row, want, got)
				}
			}
		})
	}
}

type reached struct {
	reach
	connected bool
}

// connects has a gateway connect to everything at once.
func connects(t *testing.T, name string, fabric func(*testnet.World) Fabric, disturb func(Seat)) (out []reached) {
	t.Helper()
	seat, f := NewSeat(t, name, fabric)
	seat.Space = f.Space()
	for _, ns := range []*testnet.NS{seat.World.Host, seat.World.Internet} {
		for _, port := range []uint16{22, 80, 443} {
			ns.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		}
	}
	seat.World.Internet.AddAddr("lo", netip.PrefixFrom(privateHost, 32).String())
	disturb(seat)
	results := make(chan reached)
	for _, r := range gatewayReaches() {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			conn, err := seat.Gateway.NS.Dial(ctx, "tcp", r.to)
			if err == nil {
				conn.Close()
			}
			results <- reached{r, err == nil}
		}()
	}
	for range gatewayReaches() {
		out = append(out, <-results)
	}
	return out
}
