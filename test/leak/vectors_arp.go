package leak

import (
	"net"
	"net/netip"
)

// arpVectors are ARP messages; not one may cross. The attacker's own requests
// for the gateway are answered on the way.
func arpVectors() []Vector {
	mine := func(s *Scene) arp { return arp{op: arpRequest, from: s.Me.MAC, fromIP: s.Me.IP} }
	message := func(id, about string, aim Place, to func(*Scene) net.HardwareAddr, change func(*Scene, *arp)) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: frame(func(s *Scene) []byte {
			a := mine(s)
			change(s, &a)
			return a.frame(to(s), s.Me.MAC, s.Token)
		})}
	}
	all := func(*Scene) net.HardwareAddr { return broadcast }
	macOf := func(p pick) func(*Scene) net.HardwareAddr { return func(s *Scene) net.HardwareAddr { return p(s).MAC } }
	ask := func(p pick) func(*Scene, *arp) { return func(s *Scene, a *arp) { a.targetIP = p(s).IP } }
	reply := func(claim, to pick) func(*Scene, *arp) {
		return func(s *Scene, a *arp) {
			a.op, a.fromIP, a.target, a.targetIP = arpReply, claim(s).IP, to(s).MAC, to(s).IP
		}
	}
	gratuitous := func(op uint16, claim func(*Scene) netip.Addr) func(*Scene, *arp) {
		return func(s *Scene, a *arp) { a.op, a.fromIP, a.targetIP, a.target = op, claim(s), claim(s), broadcast }
	}
	phantom := (*Scene).phantom
	own := func(s *Scene) netip.Addr { return s.Me.IP }
	return []Vector{
		message("P5/arp-request-host", "a request for the host", AtHost, all, ask(host)),
		message("P5/arp-request-neighbour", "a request for a neighbour", AtNeighbour, all, ask(neighbour)),
		message("P5/arp-request-gateway", "a request for the gateway, seen by a neighbour", AtNeighbour, all, ask(gateway)),
		message("P5/arp-request-gateway-unicast", "a request straight to the gateway", AtGateway, macOf(gateway), ask(gateway)),
		message("P5/arp-request-host-unicast", "a request straight to the host", AtHost, macOf(host), ask(host)),
		message("P5/arp-request-neighbour-unicast", "a request straight to a neighbour", AtNeighbour, macOf(neighbour), ask(neighbour)),
		message("P5/arp-probe", "a probe, without a sender's address", AtNeighbour, all, func(s *Scene, a *arp) {
			a.fromIP, a.targetIP = netip.IPv4Unspecified(), s.Neighbour.IP
		}),
		message("P5/arp-probe-gateway", "a probe for the gateway", AtGateway, all, func(s *Scene, a *arp) {
			a.fromIP, a.targetIP = netip.IPv4Unspecified(), s.Gateway.IP
		}),
		message("P5/arp-as-neighbour", "a request for the gateway in a neighbour's name", AtGateway, all, func(s *Scene, a *arp) {
			a.fromIP, a.targetIP = s.Neighbour.IP, s.Gateway.IP
		}),
		message("P5/arp-as-other-mac", "a request with another MAC inside", AtGateway, all, func(s *Scene, a *arp) {
			a.from, a.targetIP = s.evil(), s.Gateway.IP
		}),
		message("P5/arp-gratuitous-own", "an announcement of the own address", AtNeighbour, all, gratuitous(arpRequest, own)),
		message("P5/arp-gratuitous-unused", "an announcement of an unused address", AtNeighbour, all, gratuitous(arpRequest, phantom)),
		message("P5/arp-gratuitous-reply", "an announcement in the form of an answer", AtNeighbour, all, gratuitous(arpReply, phantom)),
		message("P5/arp-reply-to-host", "an answer to the host for the gateway", AtHost, macOf(host), reply(gateway, host)),
		message("P5/arp-reply-to-gateway", "an answer to the gateway for a neighbour", AtGateway, macOf(gateway), reply(neighbour, gateway)),
		message("P5/arp-reply-to-neighbour", "an answer to a neighbour for the gateway", AtNeighbour, macOf(neighbour), reply(gateway, neighbour)),
		message("P5/arp-inverse", "an inverse ARP request", AtNeighbour, all, func(s *Scene, a *arp) {
			a.op, a.target, a.targetIP = 8, s.Neighbour.MAC, s.Neighbour.IP
		}),
		message("P5/arp-unknown-operation", "an operation that does not exist", AtNeighbour, all, func(s *Scene, a *arp) {
			a.op, a.targetIP = 77, s.Neighbour.IP
		}),
		{ID: "P5/arp-truncated", About: "half a request", Aim: AtNeighbour, Attack: frame(func(s *Scene) []byte {
			return ethernet(broadcast, s.Me.MAC, typeARP, append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, s.Token...))
		})},
		{ID: "P5/arp-other-hardware", About: "a request for another kind of hardware", Aim: AtNeighbour, Attack: frame(func(s *Scene) []byte {
			a := mine(s)
			a.targetIP = s.Gateway.IP
			f := a.frame(broadcast, s.Me.MAC, s.Token)
			f[15] = 6
			return f
		})},
	}
}
