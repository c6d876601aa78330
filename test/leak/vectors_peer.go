package leak

import "net/netip"

// serverPort is where the attacker listens, for those that must not reach it.
const serverPort = 7000

func me(s *Scene) Party { return s.Me }

// peerVectors reach for neighbours and for containers of other networks.
func peerVectors() []Vector {
	datagram := func(id, about string, aim Place, to func(*Scene) Party) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: one(func(s *Scene) packet {
			return s.to(to(s)).udp(40000, 9, s.Token)
		})}
	}
	return []Vector{
		{ID: "P3/connect-neighbour", About: "connection to a neighbour", Aim: Connected, Attack: dial("tcp", neighbour, 80)},
		{ID: "P3/connect-neighbour6", About: "connection to a neighbour over IPv6", Aim: Connected, Attack: dial6("tcp", neighbour, 80)},
		{ID: "P3/connect-neighbour-udp", About: "datagram to a neighbour", Aim: AtNeighbour, Attack: dial("udp", neighbour, 80)},
		{ID: "P3/connect-victim", About: "connection to another network's container", Aim: Connected, Attack: dial("tcp", victim, 80)},
		{ID: "P3/connect-victim6", About: "the same over IPv6", Aim: Connected, Attack: dial6("tcp", victim, 80)},
		datagram("P3/mac-broadcast", "a neighbour's address in a broadcast frame", AtNeighbour, func(s *Scene) Party {
			return Party{MAC: broadcast, IP: s.Neighbour.IP}
		}),
		datagram("P3/mac-multicast", "a neighbour's address in a multicast frame", AtNeighbour, func(s *Scene) Party {
			return Party{MAC: groupMAC(netip.MustParseAddr("224.0.0.9")), IP: s.Neighbour.IP}
		}),
		datagram("P3/mac-unknown", "a frame to a MAC that nobody has, which bridges flood", AtNeighbour, func(s *Scene) Party {
			return Party{MAC: unknownMAC, IP: s.Neighbour.IP}
		}),
		datagram("P3/mac-gateway", "a neighbour's address in a frame for the gateway", AtGateway, func(s *Scene) Party {
			return Party{MAC: s.Gateway.MAC, IP: s.Neighbour.IP}
		}),
		datagram("P3/hairpin-host", "a neighbour's address in a frame for the host", AtHost, func(s *Scene) Party {
			return Party{MAC: s.Host.MAC, IP: s.Neighbour.IP}
		}),
		datagram("P3/broadcast", "255.255.255.255", AtNeighbour, func(*Scene) Party {
			return Party{MAC: broadcast, IP: netip.MustParseAddr("255.255.255.255")}
		}),
		datagram("P3/subnet-broadcast", "the subnet's broadcast address", AtNeighbour, func(s *Scene) Party {
			return Party{MAC: broadcast, IP: lastOf(s.Subnet)}
		}),
		datagram("P3/multicast", "a group of the link", AtNeighbour, func(*Scene) Party { return group("224.0.0.251") }),
		datagram("P3/multicast-ssdp", "the group of SSDP", AtNeighbour, func(*Scene) Party { return group("239.255.255.250") }),
		{ID: "P3/v6-multicast", About: "the group of all IPv6 nodes", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to6(group("ff02::1")).udp(40000, 9, s.Token)
		})},
		{ID: "P3/permitted-port", About: "the permitted port, at a neighbour's MAC and address", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(s.Neighbour).tcp(40001, s.Port, syn, s.Token)
		})},
		{ID: "P3/tcp-ack", About: "an answer that nobody asked for, from the permitted port's number", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(s.Neighbour).tcp(s.Port, 40001, ack, s.Token)
		})},
		{ID: "P3/jumbo", About: "a datagram larger than the MTU, offloaded", Aim: AtNeighbour, Attack: Frames{
			Segmented: true,
			Build: func(s *Scene) [][]byte {
				return [][]byte{s.to(s.Neighbour).udp(40000, 9, s.Token+string(make([]byte, 6000))).frame()}
			},
		}},
	}
}
