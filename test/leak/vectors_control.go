package leak

import (
	"net"
	"net/netip"
)

// controlVectors are the protocols that bridges, routers and hosts run.
func controlVectors() []Vector {
	bpdu := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}
	pvst := net.HardwareAddr{1, 0, 0x0c, 0xcc, 0xcc, 0xcd}
	llc := func(to net.HardwareAddr, header ...byte) Frames {
		return frame(func(s *Scene) []byte {
			body := append(append([]byte(nil), header...), padded(nil, s.Token)...)
			return ethernet(to, s.Me.MAC, uint16(len(body)), body)
		})
	}
	offer := func(s *Scene) packet {
		p := packet{from: s.Me.MAC, to: broadcast, src: s.Me.IP, dst: netip.MustParseAddr("255.255.255.255")}
		return p.udp(67, 68, dhcp(2, 2, s.Neighbour.MAC, s.Token))
	}
	return []Vector{
		{ID: "P5/stp-bpdu", About: "a spanning tree message of a better root", Aim: AtHost, Attack: llc(bpdu, 0x42, 0x42, 3, 0, 0, 0, 0)},
		{ID: "P5/stp-topology-change", About: "a topology change", Aim: AtHost, Attack: llc(bpdu, 0x42, 0x42, 3, 0, 0, 0, 0x80)},
		{ID: "P5/pvst", About: "a per-VLAN spanning tree message", Aim: AtNeighbour, Attack: llc(pvst, 0xaa, 0xaa, 3, 0, 0, 0x0c, 1, 0x0b)},
		{ID: "P5/cdp", About: "a discovery message of Cisco's", Aim: AtNeighbour, Attack: llc(net.HardwareAddr{1, 0, 0x0c, 0xcc, 0xcc, 0xcc}, 0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0)},
		{ID: "P5/isis", About: "an IS-IS hello", Aim: AtNeighbour, Attack: llc(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x14}, 0xfe, 0xfe, 3)},
		{ID: "P5/lacp", About: "a link aggregation message", Aim: AtHostTap, Attack: frame(func(s *Scene) []byte {
			return ethernet(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 2}, s.Me.MAC, 0x8809, padded([]byte{1, 1}, s.Token))
		})},
		{ID: "P5/mvrp", About: "a VLAN registration", Aim: AtHost, Attack: frame(func(s *Scene) []byte {
			return ethernet(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x21}, s.Me.MAC, 0x88f5, padded(nil, s.Token))
		})},
		{ID: "P5/dhcp-offer", About: "an offer of a false DHCP server", Aim: AtNeighbour, Attack: one(offer)},
		{ID: "P5/icmp-redirect", About: "an ICMP redirect to a neighbour, from the gateway's address", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			p := s.to(s.Neighbour)
			p.src = s.Gateway.IP
			inner := packet{src: s.Neighbour.IP, dst: s.Net.IP}.udp(1, 2, s.Token).ipv4()
			return p.icmp(5, 1, append(s.Me.IP.AsSlice(), inner...))
		})},
		{ID: "P5/icmp-router-advert", About: "an ICMP router advertisement", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(group("224.0.0.1")).icmp(9, 0, append([]byte{1, 2, 7, 8}, append(s.Me.IP.AsSlice(), s.Token...)...))
		})},
		{ID: "P5/igmp-query", About: "a group membership query", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(group("224.0.0.1")).igmp(igmpQuery, netip.IPv4Unspecified(), s.Token)
		})},
		{ID: "P5/vrrp", About: "a claim to be the virtual router", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			p := s.to(group("224.0.0.18"))
			p.ttl = 255
			return p.raw(112, append([]byte{0x21, 1, 255, 1, 0, 1, 0, 0}, s.Token...))
		})},
		{ID: "P5/ospf-hello", About: "an OSPF hello", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(group("224.0.0.5")).raw(89, append(make([]byte, 24), s.Token...))
		})},
	}
}
