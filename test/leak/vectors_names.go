package leak

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// overTCP is a DNS message with its length, as TCP carries it.
func overTCP(token string) string {
	q := query(token)
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(q)))) + q
}

// nameVectors carry queries out.
func nameVectors() []Vector {
	ask := func(d Dial) Dial {
		d.Data = query
		if d.Network == "tcp" {
			d.Data = overTCP
		}
		return d
	}
	raw := func(id, about string, aim Place, to pick, sport, dport uint16) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: one(func(s *Scene) packet {
			p := s.to(to(s))
			return p.udp(sport, dport, query(s.Token))
		})}
	}
	vs := []Vector{
		raw("P6/mdns", "multicast DNS", AtNeighbour, func(*Scene) Party { return group("224.0.0.251") }, 5353, 5353),
		raw("P6/llmnr", "link-local name resolution", AtNeighbour, func(*Scene) Party { return group("224.0.0.252") }, 40000, 5355),
		raw("P6/netbios", "NetBIOS names", AtNeighbour, func(s *Scene) Party {
			return Party{MAC: broadcast, IP: lastOf(s.Subnet)}
		}, 137, 137),
		raw("P6/dns-to-loopback", "the stub resolver of the host", AtHostSocket, func(s *Scene) Party {
			return Party{MAC: s.Host.MAC, IP: netip.MustParseAddr("127.0.0.53")}
		}, 40000, 53),
		raw("P6/dns-broadcast", "a query to everybody", AtHostSocket, func(*Scene) Party {
			return Party{MAC: broadcast, IP: netip.MustParseAddr("255.255.255.255")}
		}, 40000, 53),
		raw("P6/dns-via-gateway", "a query to the internet through the gateway's MAC", AtGateway, func(s *Scene) Party {
			return Party{MAC: s.Gateway.MAC, IP: s.Resolver.IP}
		}, 40000, 53),
		{ID: "P6/mdns6", About: "multicast DNS over IPv6", Aim: AtNeighbour, Attack: one(func(s *Scene) packet {
			return s.to6(group("ff02::fb")).udp(5353, 5353, query(s.Token))
		})},
		{ID: "P6/dns6-to-internet", About: "a name server over IPv6", Aim: AtInternet, Attack: ask(dial6("udp", resolver, 53))},
		{ID: "P6/dns6-to-host", About: "the host over IPv6", Aim: AtHostSocket, Attack: ask(dial6("udp", host, 53))},
		{ID: "P6/dot", About: "DNS over TLS", Aim: Connected, Attack: dial("tcp", resolver, 853)},
		{ID: "P6/doq", About: "DNS over QUIC", Aim: AtInternet, Attack: dial("udp", resolver, 853)},
		{ID: "P6/doh", About: "DNS over HTTPS", Aim: Connected, Attack: dial("tcp", resolver, 443)},
	}
	targets := []struct {
		name string
		to   pick
		aim  Place
	}{
		{"internet", resolver, AtInternet}, {"host", host, AtHostSocket}, {"uplink", uplink, AtHostSocket},
		{"gateway", gateway, AtGateway}, {"neighbour", neighbour, AtNeighbour}, {"victim", victim, AtVictim},
	}
	for _, t := range targets {
		vs = append(vs,
			Vector{ID: "P6/dns-udp-to-" + t.name, About: "a query to the " + t.name, Aim: t.aim, Attack: ask(dial("udp", t.to, 53))},
			Vector{ID: "P6/dns-tcp-to-" + t.name, About: "a query over TCP to the " + t.name, Aim: Connected, Attack: ask(dial("tcp", t.to, 53))},
		)
	}
	return vs
}

// metadataVectors ask for the credentials that clouds hand out.
func metadataVectors() []Vector {
	vs := []Vector{
		{ID: "P7/connect", About: "the metadata service", Aim: Connected, Attack: dial("tcp", metadata, 80)},
		{ID: "P7/connect6", About: "the metadata service over IPv6", Aim: Connected, Attack: dial6("tcp", metadata, 80)},
		{ID: "P7/udp", About: "a datagram to the metadata service", Aim: AtInternet, Attack: dial("udp", metadata, 80)},
		{ID: "P7/icmp", About: "a ping of the metadata service", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return echoRequest(s.to(s.Metadata), s)
		})},
		{ID: "P7/broadcast", About: "the metadata service in a broadcast frame", Aim: AtHost, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: broadcast, IP: s.Metadata.IP}).tcp(40006, 80, syn, s.Token)
		})},
		{ID: "P7/via-gateway", About: "the metadata service through the gateway's MAC", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Gateway.MAC, IP: s.Metadata.IP}).tcp(40006, s.Port, syn, s.Token)
		})},
		{ID: "P7/via-gateway6", About: "the same over IPv6", Aim: AtGateway, Attack: one(func(s *Scene) packet {
			return s.to6(Party{MAC: s.Gateway.MAC, IP6: s.Metadata.IP6}).tcp(40006, s.Port, syn, s.Token)
		})},
		{ID: "P7/arp", About: "a request for the metadata service's MAC", Aim: AtNeighbour, Attack: frame(func(s *Scene) []byte {
			return arp{op: arpRequest, from: s.Me.MAC, fromIP: s.Me.IP, targetIP: s.Metadata.IP}.frame(broadcast, s.Me.MAC, s.Token)
		})},
		{ID: "P7/link-local-source", About: "a link-local sender", Aim: AtHost, Attack: one(func(s *Scene) packet {
			p := s.to(s.Metadata)
			p.src = netip.MustParseAddr("169.254.7.7")
			return p.tcp(40006, 80, syn, s.Token)
		})},
	}
	for _, addr := range []string{"169.254.170.2", "169.254.169.253", "169.254.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16"} {
		vs = append(vs, Vector{ID: fmt.Sprintf("P7/%s", addr), About: "another service of clouds", Aim: AtInternet, Attack: one(func(s *Scene) packet {
			return s.to(Party{MAC: s.Host.MAC, IP: netip.MustParseAddr(addr)}).tcp(40006, 80, syn, s.Token)
		})})
	}
	return vs
}
