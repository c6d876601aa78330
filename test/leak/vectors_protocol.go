package leak

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// protocol is a kind of IP packet.
type protocol struct {
	name   string
	number byte
	build  func(packet, *Scene) packet
}

func plain(number byte, header int) func(packet, *Scene) packet {
	return func(p packet, s *Scene) packet {
		return p.raw(number, append(make([]byte, header), s.Token...))
	}
}

// tunnel wraps a datagram for the internet.
func tunnel(number byte, inner func(*Scene) packet) func(packet, *Scene) packet {
	return func(p packet, s *Scene) packet {
		b := inner(s).udp(40000, 9, s.Token).frame()[14:]
		if number == 47 {
			b = append([]byte{0, 0, 0x08, 0x00}, b...)
		}
		return p.raw(number, b)
	}
}

func toNet(s *Scene) packet  { return s.to(s.Net) }
func toNet6(s *Scene) packet { return s.to6(s.Net) }

func echoRequest(p packet, s *Scene) packet {
	kind := byte(8)
	if p.dst.Is6() {
		kind = icmp6Echo
	}
	return p.icmp(kind, 0, append([]byte{0x4d, 0x43, 0, 1}, s.Token...))
}

// sctpInit is an INIT chunk behind a common header.
func sctpInit(p packet, s *Scene) packet {
	b := []byte{0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20}
	return p.raw(132, append(binary.BigEndian.AppendUint64(b, 0x4d43), s.Token...))
}

// protocols is every kind of packet; the first ones are sent to more targets.
// The IGMP message is of an unknown kind, so that no bridge acts on it.
var protocols = []protocol{
	{"tcp", 6, func(p packet, s *Scene) packet { return p.tcp(40000, 80, syn, s.Token) }},
	{"udp", 17, func(p packet, s *Scene) packet { return p.udp(40000, 9, s.Token) }},
	{"icmp", 1, echoRequest},
	{"sctp", 132, sctpInit},
	{"gre", 47, tunnel(47, toNet)},
	{"esp", 50, plain(50, 8)},
	{"ah", 51, plain(51, 12)},
	{"ipip", 4, tunnel(4, toNet)},
	{"ip6", 41, tunnel(41, toNet6)},
	{"proto255", 255, plain(255, 4)},
	{"igmp", 2, func(p packet, s *Scene) packet { return p.raw(2, append([]byte{0x42, 0, 0xbd, 0xff}, s.Token...)) }},
	{"udplite", 136, plain(136, 8)},
	{"dccp", 33, plain(33, 16)},
	{"ospf", 89, plain(89, 24)},
	{"pim", 103, plain(103, 4)},
	{"vrrp", 112, plain(112, 8)},
	{"l2tp", 115, plain(115, 4)},
	{"proto253", 253, plain(253, 0)},
}

// everyFamily is how much of protocols is sent over IPv6, and to the targets
// behind the host.
const everyFamily = 4

// protocolTarget is somebody that packets of all protocols are sent to.
type protocolTarget struct {
	promise, name string
	who           pick
	aim           Place
	all           bool // every protocol, not only the first few
}

func protocolVectors() []Vector {
	targets := []protocolTarget{
		{"P1", "internet", internet, AtInternet, true},
		{"P2", "host", host, AtHostSocket, true},
		{"P2", "uplink", uplink, AtHostSocket, false},
		{"P3", "neighbour", neighbour, AtNeighbour, true},
		{"P3", "victim", victim, AtVictim, false},
		{"P4", "gateway", gateway, AtGateway, true},
	}
	var vs []Vector
	for _, t := range targets {
		for i, proto := range protocols {
			if i < everyFamily || t.all {
				vs = append(vs, t.vector(proto))
			}
			if i < everyFamily || t.all && slices.Contains([]string{"gre", "esp", "proto255"}, proto.name) {
				vs = append(vs, t.vector6(proto))
			}
		}
	}
	return vs
}

func (t protocolTarget) vector(proto protocol) Vector {
	return Vector{
		ID:    fmt.Sprintf("%s/v4-%s-to-%s", t.promise, proto.name, t.name),
		About: fmt.Sprintf("IPv4 protocol %d to the %s", proto.number, t.name),
		Aim:   t.aim,
		Attack: one(func(s *Scene) packet {
			return proto.build(s.to(t.who(s)), s)
		}),
	}
}

func (t protocolTarget) vector6(proto protocol) Vector {
	return Vector{
		ID:    fmt.Sprintf("%s/v6-%s-to-%s", t.promise, proto.name, t.name),
		About: fmt.Sprintf("%s over IPv6 to the %s", proto.name, t.name),
		Aim:   t.aim,
		Attack: one(func(s *Scene) packet {
			return proto.build(s.to6(t.who(s)), s)
		}),
	}
}
