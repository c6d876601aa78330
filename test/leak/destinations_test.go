package leak

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// privateHost is a host of the operator's, beyond the host of the network.
var privateHost = netip.MustParseAddr("10.99.0.7")

// destinations are where a gateway may want to go. Something answers at each of them.
var destinations = map[string]netip.AddrPort{
	"internet":         netip.AddrPortFrom(testnet.InternetHost, 443),
	"private":          netip.AddrPortFrom(privateHost, 443),
	"private resolver": netip.AddrPortFrom(privateHost, 53),
	"metadata":         netip.AddrPortFrom(testnet.Metadata, 80),
	"host":             netip.AddrPortFrom(testnet.HostAddr, 443),
}

// TestDestinations: mcpnet.gateway.egress.to says where a gateway's connections lead. From an ordinary bridge all of
// them are reached.
func TestDestinations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to      string
		reaches []string
	}{
		{"public", []string{"internet", "private resolver"}},
		{"any", []string{"internet", "private", "private resolver"}},
		{"10.99.0.0/16", []string{"private", "private resolver"}},
		{"public,10.99.0.7", []string{"internet", "private", "private resolver"}},
		{"10.98.0.0/16", []string{"private resolver"}},
		{"169.254.0.0/16", []string{"private resolver"}},
		{"169.254.169.254", []string{"metadata", "private resolver"}},
	} {
		t.Run(c.to, func(t *testing.T) {
			t.Parallel()
			if got := reachable(t, NewMcpnet(t, map[string]string{policy.KeyEgressTo: c.to})); !slices.Equal(got, c.reaches) {
				t.Errorf("reaches %q, want %q", got, c.reaches)
			}
		})
	}
	if got := reachable(t, PlainBridge(t)); len(got) != len(destinations) {
		t.Errorf("control: only %q of an ordinary bridge's %d are reached", got, len(destinations))
	}
}

// reachable tells which of the destinations a gateway on the fabric reaches, in order.
func reachable(t *testing.T, fabric func(*testnet.World) Fabric) (names []string) {
	t.Helper()
	seat, _ := NewSeat(t, "destinations", fabric)
	seat.World.Internet.AddAddr("lo", netip.PrefixFrom(privateHost, 32).String())
	for _, ns := range []*testnet.NS{seat.World.Host, seat.World.Internet} {
		for _, port := range []uint16{53, 80, 443} {
			ns.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		}
	}
	for name, to := range destinations {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		conn, err := seat.Gateway.NS.Dial(ctx, "tcp", to)
		cancel()
		if err == nil {
			conn.Close()
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
