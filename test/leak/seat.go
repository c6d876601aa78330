package leak

import (
	"net"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Member is a container on the network under test.
type Member struct {
	NS   *testnet.NS
	Link string // inside the container
	IP   netip.Addr
}

// Seat is where the attacker sits: everything that Run needs to know of the
// network under test.
type Seat struct {
	// Name stands in reports.
	Name  string
	World *testnet.World
	// Victim is a container on another network of the host.
	Victim *testnet.NS

	Bridge string // the host's link to the network, in World.Host
	// Space is the network's own namespace, or nil where it is in the host's.
	Space    *testnet.NS
	BridgeIP netip.Addr
	Subnet   netip.Prefix

	Attacker, Gateway, Neighbour Member
	// Port is the gateway's permitted TCP port. If nothing listens there, Run does.
	Port uint16

	// Disturb, if set, is called when everything is in place, and the attack
	// follows: flush the rules here.
	Disturb func()
}

// prefix6 is the network's IPv6 prefix: the suite gives every member an
// address, whatever the network under test thinks of IPv6.
var prefix6 = netip.MustParsePrefix("fd00:20::/64")

// addr6 is the IPv6 address that goes with an IPv4 address.
func addr6(ip netip.Addr) netip.Addr {
	b, v4 := prefix6.Addr().As16(), ip.As4()
	copy(b[13:], v4[1:])
	return netip.AddrFrom16(b)
}

// party is a member as the attacker sees it.
func (m Member) party() Party {
	return Party{MAC: m.NS.MAC(m.Link), IP: m.IP, IP6: addr6(m.IP)}
}

// scene is what the attacker can know.
func (s Seat) scene() Scene {
	bridge := s.routerMAC()
	behind := func(v4, v6 netip.Addr) Party { return Party{MAC: bridge, IP: v4, IP6: v6} }
	return Scene{
		Me: s.Attacker.party(), Gateway: s.Gateway.party(), Neighbour: s.Neighbour.party(),
		Host:         behind(s.BridgeIP, addr6(s.BridgeIP)),
		Uplink:       behind(testnet.HostAddr, testnet.HostAddr6),
		VictimBridge: behind(testnet.VictimBridge, testnet.VictimBridge6),
		Victim:       behind(testnet.VictimAddr, testnet.VictimAddr6),
		Net:          behind(testnet.InternetHost, testnet.InternetHost6),
		Resolver:     behind(testnet.Resolver, testnet.Resolver6),
		Metadata:     behind(testnet.Metadata, testnet.Metadata6),
		Subnet:       s.Subnet, Port: s.Port,
	}
}

// routerMAC is where a container sends what is for others.
func (s Seat) routerMAC() net.HardwareAddr {
	if s.Space != nil {
		return s.Space.MAC(topology.Router)
	}
	return s.World.Host.MAC(s.Bridge)
}

// network is the namespace of the network's bridge and wires.
func (s Seat) network() *testnet.NS {
	if s.Space != nil {
		return s.Space
	}
	return s.World.Host
}

// wire is the index of the attacker's veth end in the network's namespace.
func (s Seat) wire() int {
	return s.Attacker.NS.Link(s.Attacker.Link).Attrs().ParentIndex
}

// hostWire is that index where the end is in the host's namespace, or 0.
func (s Seat) hostWire() int {
	if s.Space != nil {
		return 0
	}
	return s.wire()
}

// namespace is where somebody sends from, and over which link.
func (s Seat) namespace(who Who) (*testnet.NS, string) {
	switch who {
	case Host:
		return s.World.Host, s.Bridge
	case Gateway:
		return s.Gateway.NS, s.Gateway.Link
	case Neighbour:
		return s.Neighbour.NS, s.Neighbour.Link
	case Internet:
		return s.World.Internet, "eth0"
	case Victim:
		return s.Victim, "eth0"
	}
	return s.Attacker.NS, s.Attacker.Link
}

// scope is a T whose clean-up happens at the end of a run.
type scope struct {
	testnet.T
	cleanups []func()
}

// Cleanup has fn called at the end of the run, last in first out.
func (s *scope) Cleanup(fn func()) { s.cleanups = append(s.cleanups, fn) }

func (s *scope) close() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		fn := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		fn()
	}
}

// within binds the namespaces of the seat to a scope.
func (s Seat) within(t testnet.T) Seat {
	s.Attacker.NS = s.Attacker.NS.With(t)
	s.Gateway.NS = s.Gateway.NS.With(t)
	s.Neighbour.NS = s.Neighbour.NS.With(t)
	s.Victim = s.Victim.With(t)
	s.World = &testnet.World{Host: s.World.Host.With(t), Internet: s.World.Internet.With(t)}
	if s.Space != nil {
		s.Space = s.Space.With(t)
	}
	return s
}
