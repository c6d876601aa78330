package leak

import "net"

// passiveVectors are frames of others, which a server must not see.
func passiveVectors() []Vector {
	var vs []Vector
	senders := []struct {
		who  Who
		from pick
	}{{Host, host}, {Gateway, gateway}, {Neighbour, neighbour}}
	for _, sender := range senders {
		send := func(kind, about string, build func(s *Scene, from Party) []byte) {
			vs = append(vs, Vector{
				ID: "P3/see-" + string(sender.who) + "-" + kind, About: about + " by the " + string(sender.who), Aim: AtAttacker,
				Attack: frame(func(s *Scene) []byte { return build(s, sender.from(s)) }).by(sender.who),
			})
		}
		send("arp", "an ARP request", func(s *Scene, from Party) []byte {
			return arp{op: arpRequest, from: from.MAC, fromIP: from.IP, targetIP: s.phantom()}.frame(broadcast, from.MAC, s.Token)
		})
		send("broadcast", "a broadcast datagram", func(s *Scene, from Party) []byte {
			return packet{from: from.MAC, to: broadcast, src: from.IP, dst: lastOf(s.Subnet)}.udp(40000, 138, s.Token).frame()
		})
		send("multicast", "an mDNS message", func(s *Scene, from Party) []byte {
			to := group("224.0.0.251")
			return packet{from: from.MAC, to: to.MAC, src: from.IP, dst: to.IP}.udp(5353, 5353, s.Token).frame()
		})
		send("multicast6", "an IPv6 message to all nodes", func(s *Scene, from Party) []byte {
			to := group("ff02::1")
			return packet{from: from.MAC, to: to.MAC, src: from.IP6, dst: to.IP6}.udp(5353, 5353, s.Token).frame()
		})
		send("unknown", "a frame that bridges flood", func(s *Scene, from Party) []byte {
			return packet{from: from.MAC, to: unknownMAC, src: from.IP, dst: s.phantom()}.udp(40000, 9, s.Token).frame()
		})
		send("ethertype", "a broadcast frame of another protocol", func(s *Scene, from Party) []byte {
			return ethernet(broadcast, from.MAC, 0x88b5, padded(nil, s.Token))
		})
	}
	return vs
}

// inboundVectors reach a server from where nobody has business with it.
func inboundVectors() []Vector {
	straight := func(s *Scene) packet {
		return packet{from: s.Neighbour.MAC, to: s.Me.MAC, src: s.Neighbour.IP, dst: s.Me.IP}
	}
	claim := func(s *Scene, mac net.HardwareAddr) packet { // as if the gateway answered
		return packet{from: mac, to: s.Me.MAC, src: s.Gateway.IP, dst: s.Me.IP}.tcp(s.Port, serverPort, ack, s.Token)
	}
	return []Vector{
		{ID: "P3/inbound-neighbour-tcp", About: "a neighbour connects", Aim: Connected, Attack: dial("tcp", me, serverPort).by(Neighbour)},
		{ID: "P3/inbound-neighbour-tcp6", About: "a neighbour connects over IPv6", Aim: Connected, Attack: dial6("tcp", me, serverPort).by(Neighbour)},
		{ID: "P3/inbound-neighbour-udp", About: "a neighbour sends a datagram", Aim: AtAttacker, Attack: dial("udp", me, serverPort).by(Neighbour)},
		{ID: "P3/inbound-neighbour-frame", About: "a neighbour writes a frame", Aim: AtAttacker, Attack: one(func(s *Scene) packet {
			return straight(s).udp(40000, serverPort, s.Token)
		}).by(Neighbour)},
		{ID: "P3/inbound-neighbour-ethertype", About: "a neighbour writes a frame of another protocol", Aim: AtAttacker, Attack: frame(func(s *Scene) []byte {
			return ethernet(s.Me.MAC, s.Neighbour.MAC, 0x88b5, padded(nil, s.Token))
		}).by(Neighbour)},
		{ID: "P3/inbound-neighbour-as-gateway", About: "a neighbour answers with the gateway's address", Aim: AtAttacker, Attack: one(func(s *Scene) packet {
			return claim(s, s.Neighbour.MAC)
		}).by(Neighbour)},
		{ID: "P3/inbound-victim-tcp", About: "another network's container connects", Aim: Connected, Attack: dial("tcp", me, serverPort).by(Victim)},
		{ID: "P3/inbound-victim-tcp6", About: "the same over IPv6", Aim: Connected, Attack: dial6("tcp", me, serverPort).by(Victim)},
		{ID: "P3/inbound-victim-udp", About: "another network's container sends a datagram", Aim: AtAttacker, Attack: dial("udp", me, serverPort).by(Victim)},
		{ID: "P1/inbound-internet-tcp", About: "the internet connects, with a route", Aim: Connected, Attack: dial("tcp", me, serverPort).by(Internet)},
		{ID: "P1/inbound-internet-tcp6", About: "the same over IPv6", Aim: Connected, Attack: dial6("tcp", me, serverPort).by(Internet)},
		{ID: "P1/inbound-internet-udp", About: "the internet sends a datagram", Aim: AtAttacker, Attack: dial("udp", me, serverPort).by(Internet)},
	}
}
