package leak

import "encoding/binary"

// egressVectors leave the network through connections and odd headers.
func egressVectors() []Vector {
	return []Vector{
		{ID: "P1/connect-tcp", About: "connection to the internet", Aim: Connected, Attack: dial("tcp", internet, 80)},
		{ID: "P1/connect-tcp-443", About: "connection to the internet, HTTPS", Aim: Connected, Attack: dial("tcp", internet, 443)},
		{ID: "P1/connect-tcp6", About: "connection to the internet over IPv6", Aim: Connected, Attack: dial6("tcp", internet, 80)},
		{ID: "P1/connect-router", About: "the host's own router", Aim: Connected, Attack: dial("tcp", router, 80)},
		{ID: "P1/connect-udp", About: "datagram to the internet", Aim: AtInternet, Attack: dial("udp", internet, 443)},
		{ID: "P1/connect-udp6", About: "datagram to the internet over IPv6", Aim: AtInternet, Attack: dial6("udp", internet, 443)},
		{ID: "P1/via-gateway-tcp", About: "the gateway as a router, permitted port", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Gateway.MAC, IP: s.Net.IP}).tcp(40000, s.Port, syn, s.Token)
		})},
		{ID: "P1/via-gateway-udp", About: "the gateway as a router, UDP", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Gateway.MAC, IP: s.Net.IP}).udp(40000, 53, s.Token)
		})},
		{ID: "P1/via-neighbour", About: "a neighbour as a router", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Neighbour.MAC, IP: s.Net.IP}).udp(40000, 53, s.Token)
		})},
		{ID: "P1/ttl-1", About: "a packet that dies at the host", Aim: AtHost, Attack: one(func(s *Scene) packet {
			p := toNet(s)
			p.ttl = 1
			return p.udp(40000, 33434, s.Token)
		})},
		{ID: "P1/evil-bit", About: "the reserved bit of the fragment field", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			p := toNet(s)
			p.frag = 0x8000
			return p.udp(40000, 9, s.Token)
		})},
		{ID: "P1/bad-ip-checksum", About: "a wrong header checksum", Aim: AtHost, Attack: broken(func(ip []byte) { ip[10] ^= 0xff })},
		{ID: "P1/ip-version-5", About: "a version that does not exist", Aim: AtHost, Attack: broken(func(ip []byte) { ip[0] = 0x55 })},
		{ID: "P1/short-header", About: "a header length below the least", Aim: AtHost, Attack: broken(func(ip []byte) { ip[0] = 0x44 })},
		{ID: "P1/long-header", About: "a header length beyond the packet", Aim: AtHost, Attack: broken(func(ip []byte) { ip[0] = 0x4f })},
		{ID: "P1/length-too-long", About: "a total length beyond the frame", Aim: AtHost, Attack: broken(func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 1400) })},
		{ID: "P1/trailer", About: "data behind the IP packet", Aim: AtHost, Attack: frame(func(s *Scene) []byte {
			return append(toNet(s).tcp(40000, 80, syn, "").frame(), s.Token...)
		})},
		{ID: "P1/v6-as-v4", About: "an IPv6 packet under the EtherType of IPv4", Aim: AtHost, Attack: frame(func(s *Scene) []byte {
			return ethernet(s.Host.MAC, s.Me.MAC, typeIPv4, toNet6(s).udp(40000, 9, s.Token).ipv6())
		})},
		{ID: "P1/v4-as-v6", About: "an IPv4 packet under the EtherType of IPv6", Aim: AtHost, Attack: frame(func(s *Scene) []byte {
			return ethernet(s.Host.MAC, s.Me.MAC, typeIPv6, toNet(s).udp(40000, 9, s.Token).ipv4())
		})},
		{ID: "P1/multicast", About: "a multicast group beyond the link", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to(group("239.1.2.3")).udp(40000, 9, s.Token)
		})},
	}
}

// broken sends a datagram to the internet with a header that something is done to.
func broken(spoil func(ip []byte)) Frames {
	return frame(func(s *Scene) []byte {
		f := toNet(s).udp(40000, 9, s.Token).frame()
		spoil(f[14:])
		return f
	})
}

// optionVectors carry IP options and IPv6 extension headers.
func optionVectors() []Vector {
	option := func(id, about string, to pick, aim Place, options func(*Scene) []byte) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: one(func(s *Scene) packet {
			p := s.to(to(s))
			p.options = options(s)
			return p.udp(40000, 9, s.Token)
		})}
	}
	fixed := func(b ...byte) func(*Scene) []byte { return func(*Scene) []byte { return b } }
	route := func(kind byte) func(*Scene) []byte {
		return func(s *Scene) []byte { return append([]byte{kind, 7, 4}, s.Net.IP.AsSlice()...) }
	}
	record := fixed(7, 7, 4, 0, 0, 0, 0, 0)
	return []Vector{
		option("P1/option-record-route", "record route", internet, AtInternet, record),
		option("P1/option-timestamp", "timestamp", internet, AtInternet, fixed(68, 8, 5, 0, 0, 0, 0, 0)),
		option("P1/option-router-alert", "router alert", internet, AtInternet, fixed(148, 4, 0, 0)),
		option("P1/option-nop", "no operation", internet, AtInternet, fixed(1, 1, 1, 1)),
		option("P1/option-unknown", "an unknown option", internet, AtInternet, fixed(0x9e, 4, 0, 0)),
		option("P1/option-loose-route", "loose source route through the host", host, AtHost, route(131)),
		option("P1/option-strict-route", "strict source route through the host", host, AtHost, route(137)),
		option("P2/option-record-route", "record route to the host", host, AtHostSocket, record),
		option("P3/option-record-route", "record route to a neighbour", neighbour, AtNeighbour, record),
		option("P3/option-loose-route", "loose source route through a neighbour", neighbour, AtNeighbour, route(131)),
		extension("P1/v6-hop-by-hop", internet, AtInternet, 0, []byte{17, 0, 1, 4, 0, 0, 0, 0}),
		extension("P1/v6-destination-options", internet, AtInternet, 60, []byte{17, 0, 1, 4, 0, 0, 0, 0}),
		extension("P3/v6-routing-header", neighbour, AtNeighbour, 43, []byte{17, 0, 0, 0, 0, 0, 0, 0}),
		extension("P3/v6-atomic-fragment", neighbour, AtNeighbour, 44, []byte{17, 0, 0, 0, 0, 0, 0x4d, 0x43}),
	}
}

func extension(id string, to pick, aim Place, next byte, header []byte) Vector {
	return Vector{ID: id, About: "a datagram behind an extension header", Aim: aim, Attack: one(func(s *Scene) packet {
		p := s.to6(to(s))
		p.next, p.options = next, header
		return p.udp(40000, 9, s.Token)
	})}
}

// conntrackVectors are packets that a stateful filter may take for answers.
func conntrackVectors() []Vector {
	segment := func(id, about string, flags byte) Vector {
		return Vector{ID: id, About: about, Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).tcp(uint16(41000+s.Nth), 443, flags, s.Token)
		})}
	}
	quote := func(s *Scene) []byte { // what an ICMP error quotes: a flow that the internet began
		p := packet{src: s.Net.IP, dst: s.Me.IP}.udp(443, 40000, s.Token)
		return append(make([]byte, 4), p.ipv4()...)
	}
	return []Vector{
		segment("P1/tcp-ack", "an ACK without a connection", ack),
		segment("P1/tcp-syn-ack", "a SYN+ACK without a connection", syn|ack),
		segment("P1/tcp-rst", "a RST without a connection", rst),
		segment("P1/tcp-fin", "a FIN without a connection", fin|ack),
		segment("P1/tcp-null", "no flags at all", 0),
		segment("P1/tcp-xmas", "all odd flags", fin|psh|urg),
		{ID: "P1/icmp-unreachable", About: "an ICMP error that quotes a flow", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).icmp(3, 3, quote(s))
		})},
		{ID: "P1/icmp-time-exceeded", About: "another ICMP error", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).icmp(11, 0, quote(s))
		})},
		{ID: "P1/icmp-echo-reply", About: "an answer that nobody asked for", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).icmp(0, 0, append([]byte{0x4d, 0x43, 0, 1}, s.Token...))
		})},
		{ID: "P1/icmp-timestamp", About: "an ICMP timestamp request", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).icmp(13, 0, append(make([]byte, 16), s.Token...))
		})},
		{ID: "P1/udp-from-dns", About: "a datagram that looks like an answer of a name server", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return toNet(s).udp(53, 40000, s.Token)
		})},
	}
}
