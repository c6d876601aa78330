package leak

import (
	"fmt"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// plainBridge is the positive control: a bridge like Docker's, with the host's
// address on it, masquerade, a default route in every container, no filter.
type plainBridge struct {
	t     testnet.T
	w     *testnet.World
	ports int
}

// PlainBridge makes the control.
func PlainBridge(t testnet.T) func(*testnet.World) Fabric {
	return func(w *testnet.World) Fabric {
		b := &plainBridge{t: t, w: w}
		w.Host.AddBridge(b.Bridge(), prefixOf(BridgeAddr))
		w.Host.Run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING",
			"-s", Subnet.String(), "!", "-o", b.Bridge(), "-j", "MASQUERADE")
		return b
	}
}

func (b *plainBridge) Bridge() string { return "plain0" }

func (b *plainBridge) Space() *testnet.NS { return nil }

func (b *plainBridge) Attach(ns *testnet.NS, ip netip.Addr, _ Role) Member {
	b.ports++
	port := fmt.Sprintf("plainport%d", b.ports)
	testnet.Connect(b.t, testnet.Port{NS: b.w.Host, Name: port},
		testnet.Port{NS: ns, Name: containerLink, Addrs: []string{prefixOf(ip)}})
	b.w.Host.Enslave(port, b.Bridge())
	ns.AddRoute(netip.Prefix{}, BridgeAddr)
	return Member{NS: ns, Link: containerLink, IP: ip}
}

func (b *plainBridge) Detach(m Member) {
	m.NS.Run("ip", "link", "delete", m.Link)
}
