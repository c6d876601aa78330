package leak

import (
	"net"
	"net/netip"
)

// discoveryVectors are neighbour discovery and the rest of ICMPv6.
func discoveryVectors() []Vector {
	message := func(id, about string, aim Place, to pick, build func(*Scene, packet) packet) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: one(func(s *Scene) packet {
			return build(s, s.to6(to(s)))
		})}
	}
	nodes := func(*Scene) Party { return group("ff02::1") }
	routers := func(*Scene) Party { return group("ff02::2") }
	solicit := func(of pick) func(*Scene, packet) packet {
		return func(s *Scene, p packet) packet {
			return p.nd(ndSolicit, 0, of(s).IP6.AsSlice(), linkOption(1, s.Me.MAC), nonce(s.Token))
		}
	}
	advert := func(of func(*Scene) netip.Addr) func(*Scene, packet) packet {
		return func(s *Scene, p packet) packet {
			return p.nd(ndAdvert, naOverride, of(s).AsSlice(), linkOption(2, s.Me.MAC), nonce(s.Token))
		}
	}
	return []Vector{
		message("P5/nd-solicit-host", "a solicitation for the host", AtHost, nodes, solicit(host)),
		message("P5/nd-solicit-neighbour", "a solicitation for a neighbour", AtNeighbour, nodes, solicit(neighbour)),
		message("P5/nd-solicit-gateway", "a solicitation straight to the gateway", AtGateway, gateway, solicit(gateway)),
		message("P5/nd-advert-unused", "an advertisement of an unused address", AtNeighbour, nodes, advert((*Scene).phantom6)),
		message("P5/nd-advert-to-gateway", "an advertisement of an unused address, to the gateway", AtGateway, gateway, advert((*Scene).phantom6)),
		message("P5/nd-router-solicit", "a router solicitation", AtHost, routers, func(s *Scene, p packet) packet {
			return p.nd(ndRouterSolicit, 0, linkOption(1, s.Me.MAC), nonce(s.Token))
		}),
		message("P5/nd-router-advert", "a router advertisement without a lifetime", AtNeighbour, nodes, func(s *Scene, p packet) packet {
			p.src = linkLocal(s.Me.MAC)
			return p.nd(ndRouterAdvert, 0x40000000, make([]byte, 8), linkOption(1, s.Me.MAC), nonce(s.Token))
		}),
		message("P5/nd-redirect", "a redirect", AtNeighbour, neighbour, func(s *Scene, p packet) packet {
			p.src = linkLocal(s.Me.MAC)
			return p.nd(ndRedirect, 0, s.Me.IP6.AsSlice(), s.Net.IP6.AsSlice(), nonce(s.Token))
		}),
		message("P5/mld-query", "a multicast listener query", AtNeighbour, nodes, func(s *Scene, p packet) packet {
			p.src = linkLocal(s.Me.MAC)
			return p.mld(mldQuery, netip.IPv6Unspecified(), s.Token)
		}),
		message("P5/icmp6-node-query", "a node information query", AtNeighbour, nodes, func(s *Scene, p packet) packet {
			return p.icmp(139, 0, append(make([]byte, 12), s.Token...))
		}),
	}
}

// linkLocal is the IPv6 address that a MAC gives itself.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}
