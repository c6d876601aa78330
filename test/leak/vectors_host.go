package leak

import (
	"net/netip"
)

// group is a multicast group as a party.
func group(addr string) Party {
	a := netip.MustParseAddr(addr)
	if a.Is6() {
		return Party{MAC: groupMAC(a), IP6: a}
	}
	return Party{MAC: groupMAC(a), IP: a}
}

// publishedPort is a port of the host that leads to the victim.
const publishedPort = 18080

// hostVectors send frames that the host's IP stack may take.
func hostVectors() []Vector {
	datagram := func(id, about string, aim Place, to func(*Scene) Party) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: one(func(s *Scene) packet {
			return s.to(to(s)).udp(40000, 53, s.Token)
		})}
	}
	behindBridge := func(addr string) func(*Scene) Party {
		return func(s *Scene) Party { return Party{MAC: s.Host.MAC, IP: netip.MustParseAddr(addr)} }
	}
	toAll := func(addr string) func(*Scene) Party {
		return func(*Scene) Party { return Party{MAC: broadcast, IP: netip.MustParseAddr(addr)} }
	}
	return []Vector{
		datagram("P2/loopback-udp", "127.0.0.1 of the host, through route_localnet", AtHostSocket, behindBridge("127.0.0.1")),
		datagram("P2/loopback-53-udp", "the stub resolver of the host", AtHostSocket, behindBridge("127.0.0.53")),
		{ID: "P2/loopback-tcp", About: "127.0.0.1 of the host, TCP", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return s.to(behindBridge("127.0.0.1")(s)).tcp(40000, 80, syn, s.Token)
		})},
		datagram("P2/other-bridge", "the host's address on another bridge", AtHostSocket, victimBridge),
		datagram("P2/limited-broadcast", "255.255.255.255", AtHostSocket, toAll("255.255.255.255")),
		{ID: "P2/subnet-broadcast", About: "the broadcast address of the subnet", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: broadcast, IP: lastOf(s.Subnet)}).udp(40000, 53, s.Token)
		})},
		datagram("P2/address-zero", "0.0.0.0", AtHost, toAll("0.0.0.0")),
		datagram("P2/all-hosts", "the group of all hosts", AtHostSocket, func(*Scene) Party { return group("224.0.0.1") }),
		datagram("P2/mac-broadcast", "the host's address in a broadcast frame", AtHost, func(s *Scene) Party {
			return Party{MAC: broadcast, IP: s.Host.IP}
		}),
		datagram("P2/mac-multicast", "the host's address in a multicast frame", AtHost, func(s *Scene) Party {
			return Party{MAC: groupMAC(netip.MustParseAddr("224.0.0.1")), IP: s.Host.IP}
		}),
		{ID: "P2/dhcp-discover", About: "a DHCP discover", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			p := s.to(toAll("255.255.255.255")(s))
			p.src = netip.IPv4Unspecified()
			return p.udp(68, 67, dhcp(1, 1, s.Me.MAC, s.Token))
		})},
		{ID: "P2/dhcp6-solicit", About: "a DHCPv6 solicit", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to6(group("ff02::1:2")).udp(546, 547, s.Token)
		})},
		{ID: "P2/v6-all-nodes", About: "the group of all IPv6 nodes", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to6(group("ff02::1")).udp(40000, 53, s.Token)
		})},
		{ID: "P2/v6-other-bridge", About: "the host's IPv6 address on another bridge", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return s.to6(s.VictimBridge).udp(40000, 53, s.Token)
		})},
		{ID: "P2/v6-loopback", About: "::1 of the host", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to6(Party{MAC: s.Host.MAC, IP6: netip.IPv6Loopback()}).udp(40000, 53, s.Token)
		})},
		{ID: "P2/vxlan", About: "a VXLAN packet to the host", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return s.to(s.Host).udp(40000, 4789, "\x08\x00\x00\x00\x00\x00\x01\x00"+s.Token)
		})},
		{ID: "P2/loopback-source", About: "the host from 127.0.0.1", Aim: AtHost, Attack: one(func(s *Scene) packet {
			p := s.to(s.Host)
			p.src = netip.MustParseAddr("127.0.0.1")
			return p.udp(40000, 53, s.Token)
		})},
		{ID: "P2/from-host", About: "the host from its own address", Aim: AtHost, Attack: one(func(s *Scene) packet {
			p := s.to(s.Host)
			p.src = s.Host.IP
			return p.udp(40000, 53, s.Token)
		})},
		{ID: "P2/icmp-redirect", About: "an ICMP redirect to the host", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			inner := packet{src: s.Host.IP, dst: s.Net.IP}.udp(1, 2, s.Token).ipv4()
			return s.to(s.Host).icmp(5, 1, append(s.Me.IP.AsSlice(), inner...))
		})},
		{ID: "P2/permitted-port", About: "the permitted port, at the host's MAC and address", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return s.to(s.Host).tcp(40001, s.Port, syn, s.Token)
		})},
		{ID: "P2/gateway-address-at-host", About: "the permitted address and port in a frame for the host", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Host.MAC, IP: s.Gateway.IP}).tcp(40001, s.Port, syn, s.Token)
		})},
	}
}

// hostDialVectors connect to services of the host.
func hostDialVectors() []Vector {
	return []Vector{
		{ID: "P2/connect-bridge-address", About: "SSH at the bridge address", Aim: Connected, Attack: dial("tcp", host, 22)},
		{ID: "P2/connect-bridge-address6", About: "SSH at the bridge's IPv6 address", Aim: Connected, Attack: dial6("tcp", host, 22)},
		{ID: "P2/connect-uplink", About: "HTTP at the uplink's address", Aim: Connected, Attack: dial("tcp", uplink, 80)},
		{ID: "P2/connect-uplink6", About: "HTTP at the uplink's IPv6 address", Aim: Connected, Attack: dial6("tcp", uplink, 80)},
		{ID: "P2/connect-other-bridge", About: "HTTP at another bridge's address", Aim: Connected, Attack: dial("tcp", victimBridge, 80)},
		{ID: "P2/connect-udp", About: "a datagram to the bridge address", Aim: AtHostSocket, Attack: dial("udp", host, 80)},
		{ID: "P2/published-bridge", About: "a published port at the bridge address", Aim: Connected, Attack: dial("tcp", host, publishedPort)},
		{ID: "P2/published-uplink", About: "a published port at the uplink's address", Aim: Connected, Attack: dial("tcp", uplink, publishedPort)},
		{ID: "P2/inbound-tcp", About: "the host connects to a server", Aim: Connected, Attack: dial("tcp", me, serverPort).by(Host)},
		{ID: "P2/inbound-udp", About: "the host sends a datagram to a server", Aim: AtAttacker, Attack: dial("udp", me, serverPort).by(Host)},
	}
}

// lastOf is the broadcast address of a subnet.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}
