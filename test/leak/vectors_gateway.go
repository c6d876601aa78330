package leak

import (
	"encoding/binary"
	"net/netip"
)

// gatewayVectors want more of the gateway than its permitted port.
func gatewayVectors() []Vector {
	permitted := func(id, about string, change func(*Scene, *packet)) Vector {
		return Vector{ID: id, About: about, Aim: AtGateway, Attack: one(func(s *Scene) packet {
			p := s.to(s.Gateway)
			change(s, &p)
			return p.tcp(40003, s.Port, syn, s.Token)
		})}
	}
	return []Vector{
		{ID: "P4/connect-22", About: "SSH of the gateway", Aim: Connected, Attack: dial("tcp", gateway, 22)},
		{ID: "P4/connect-80", About: "another port of the gateway", Aim: Connected, Attack: dial("tcp", gateway, 80)},
		{ID: "P4/connect6", About: "the gateway over IPv6", Aim: Connected, Attack: dial6("tcp", gateway, 80)},
		{ID: "P4/connect-udp", About: "a datagram to the gateway", Aim: AtGateway, Attack: dial("udp", gateway, 53)},
		{ID: "P4/permitted-port-udp", About: "the permitted port over UDP", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(s.Gateway).udp(40003, s.Port, s.Token)
		})},
		{ID: "P4/permitted-port-v6", About: "the permitted port over IPv6", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to6(s.Gateway).tcp(40003, s.Port, syn, s.Token)
		})},
		{ID: "P4/permitted-port-sctp", About: "the permitted port over SCTP", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(s.Gateway).raw(132, append([]byte{0x9c, 0x43, byte(s.Port >> 8), byte(s.Port), 0, 0, 0, 0, 0, 0, 0, 0}, s.Token...))
		})},
		{ID: "P4/permitted-port-udplite", About: "the permitted port over UDP-Lite", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(s.Gateway).raw(136, append([]byte{0x9c, 0x43, byte(s.Port >> 8), byte(s.Port), 0, 0, 0, 0}, s.Token...))
		})},
		permitted("P4/mac-broadcast", "the permitted tuple in a broadcast frame", func(_ *Scene, p *packet) { p.to = broadcast }),
		permitted("P4/mac-multicast", "the permitted tuple in a multicast frame", func(s *Scene, p *packet) { p.to = groupMAC(s.Gateway.IP) }),
		permitted("P4/mac-unknown", "the permitted tuple to a MAC that nobody has", func(_ *Scene, p *packet) { p.to = unknownMAC }),
		{ID: "P4/mac-neighbour", About: "the permitted tuple in a frame for a neighbour", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Neighbour.MAC, IP: s.Gateway.IP}).tcp(40003, s.Port, syn, s.Token)
		})},
		permitted("P4/other-address", "another address at the gateway's MAC", func(_ *Scene, p *packet) {
			p.dst = netip.MustParseAddr("10.99.0.9")
		}),
		permitted("P4/loopback", "127.0.0.1 at the gateway's MAC", func(_ *Scene, p *packet) {
			p.dst = netip.MustParseAddr("127.0.0.1")
		}),
		permitted("P4/subnet-broadcast", "the subnet's broadcast at the gateway's MAC", func(s *Scene, p *packet) { p.dst = lastOf(s.Subnet) }),
		permitted("P4/option-nop", "the permitted tuple with IP options", func(_ *Scene, p *packet) { p.options = []byte{1, 1, 1, 1} }),
		permitted("P4/option-loose-route", "the permitted tuple with a source route", func(s *Scene, p *packet) {
			p.options = append([]byte{131, 7, 4}, s.Net.IP.AsSlice()...)
		}),
		permitted("P4/option-as-ports", "options that look like the permitted ports", func(s *Scene, p *packet) {
			p.options = []byte{0x9c, 0x43, byte(s.Port >> 8), byte(s.Port)}
		}),
		malformed("P4/length-too-long", "the permitted tuple, longer than its frame", func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 1400) }),
		malformed("P4/length-too-short", "the permitted tuple, shorter than its header", func(ip []byte) { binary.BigEndian.PutUint16(ip[2:], 10) }),
		malformed("P4/short-header", "the permitted tuple, with a header length below the least", func(ip []byte) { ip[0] = 0x44 }),
		malformed("P4/long-header", "the permitted tuple, with a header length beyond the packet", func(ip []byte) { ip[0] = 0x4f }),
		malformed("P4/version-6", "the permitted tuple, with a wrong version", func(ip []byte) { ip[0] = 0x65 }),
		{ID: "P4/jumbo-udp", About: "a datagram larger than the MTU, offloaded", Aim: AtGateway, Attack: Frames{
			Segmented: true,
			Build: func(s *Scene) [][]byte {
				return [][]byte{s.to(s.Gateway).udp(40003, s.Port, s.Token+string(make([]byte, 6000))).frame()}
			},
		}},
	}
}

// malformed sends the permitted tuple with a header that something is done to.
func malformed(id, about string, spoil func(ip []byte)) Vector {
	return Vector{ID: id, About: about, Aim: AtGateway, Attack: frame(func(s *Scene) []byte {
		f := s.to(s.Gateway).tcp(40003, s.Port, syn, s.Token).frame()
		spoil(f[14:])
		return f
	})}
}

// replyVectors misuse the way back that a connection of the gateway opened.
func replyVectors() []Vector {
	reply := func(id, about string, build func(*Scene, packet) packet) Vector {
		return Vector{ID: id, About: about, Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return build(s, s.to(s.Gateway))
		})}
	}
	answer := func(s *Scene, p packet) packet { return p.tcp(serverPort, s.ReplyPort, ack|psh, s.Token) }
	return []Vector{
		reply("P4/reply-syn", "a connection of the server's own, back to the port of the gateway's", func(s *Scene, p packet) packet {
			return p.tcp(serverPort, s.ReplyPort, syn, s.Token)
		}),
		reply("P4/reply-to-other-port", "an answer to another port", func(s *Scene, p packet) packet {
			return p.tcp(serverPort, s.ReplyPort+1, ack, s.Token)
		}),
		reply("P4/reply-from-other-port", "an answer from another port", func(s *Scene, p packet) packet {
			return p.tcp(serverPort+1, s.ReplyPort, ack, s.Token)
		}),
		reply("P4/reply-udp", "an answer of another protocol", func(s *Scene, p packet) packet {
			return p.udp(serverPort, s.ReplyPort, s.Token)
		}),
		reply("P4/reply-as-neighbour", "an answer in a neighbour's name", func(s *Scene, p packet) packet {
			p.src = s.Neighbour.IP
			return answer(s, p)
		}),
		reply("P4/reply-options", "an answer with IP options", func(s *Scene, p packet) packet {
			p.options = []byte{1, 1, 1, 1}
			return answer(s, p)
		}),
		reply("P4/reply-fragment", "an answer in a fragment", func(s *Scene, p packet) packet {
			p.frag = 0x2000
			return answer(s, p)
		}),
		{ID: "P4/reply-vlan", About: "a tagged answer", Aim: AtGateway, Attack: frame(func(s *Scene) []byte {
			return tagged(answer(s, s.to(s.Gateway)).frame(), tag(typeVLAN, 0))
		})},
		{ID: "P3/reply-to-neighbour", About: "the gateway's answer at a neighbour", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return answer(s, s.to(s.Neighbour))
		})},
		{ID: "P2/reply-to-host", About: "the gateway's answer at the host", Aim: AtHostSocket, Attack: one(func(s *Scene) packet {
			return answer(s, s.to(s.Host))
		})},
	}
}

// scanVectors are the probes of a port scanner, at ports that are closed.
func scanVectors() []Vector {
	probes := []struct {
		name  string
		flags byte
	}{
		{"syn", syn}, {"ack", ack}, {"fin", fin}, {"null", 0}, {"xmas", fin | psh | urg},
		{"syn-ack", syn | ack}, {"rst", rst}, {"window", ack | rst}, {"maimon", fin | ack},
	}
	var vs []Vector
	for _, probe := range probes {
		vs = append(vs, Vector{ID: "P4/scan-" + probe.name, About: "a port scan of the gateway", Aim: AtGateway,
			Attack: several(func(s *Scene) []packet {
				var out []packet
				for _, port := range []uint16{0, 1, 22, 443, s.Port - 1, s.Port + 1, 2375, 65535} {
					out = append(out, s.to(s.Gateway).tcp(40004, port, probe.flags, s.Token))
				}
				return out
			})})
	}
	return vs
}
