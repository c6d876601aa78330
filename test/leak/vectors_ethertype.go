package leak

import "net"

// etherTypeVectors are frames of protocols beside IP.
func etherTypeVectors() []Vector {
	types := []struct {
		name string
		kind uint16
		to   net.HardwareAddr
		aim  Place
	}{
		{"lldp", 0x88cc, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0x0e}, AtHostTap},
		{"lldp-nearest-customer", 0x88cc, net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}, AtHost},
		{"eapol", 0x888e, broadcast, AtNeighbour},
		{"pppoe-discovery", 0x8863, broadcast, AtNeighbour},
		{"pppoe-session", 0x8864, broadcast, AtNeighbour},
		{"mpls", 0x8847, broadcast, AtNeighbour},
		{"mpls-multicast", 0x8848, broadcast, AtNeighbour},
		{"ipx", 0x8137, broadcast, AtNeighbour},
		{"appletalk", 0x809b, broadcast, AtNeighbour},
		{"aarp", 0x80f3, broadcast, AtNeighbour},
		{"rarp", 0x8035, broadcast, AtNeighbour},
		{"wake-on-lan", 0x0842, broadcast, AtNeighbour},
		{"macsec", 0x88e5, broadcast, AtNeighbour},
		{"ptp", 0x88f7, broadcast, AtNeighbour},
		{"cfm", 0x8902, broadcast, AtNeighbour},
		{"fcoe", 0x8906, broadcast, AtNeighbour},
		{"trill", 0x22f3, broadcast, AtNeighbour},
		{"tipc", 0x88ca, broadcast, AtNeighbour},
		{"batman", 0x4305, broadcast, AtNeighbour},
		{"homeplug", 0x88e1, broadcast, AtNeighbour},
		{"loop", 0x9000, broadcast, AtNeighbour},
		{"local-experimental", 0x88b5, broadcast, AtNeighbour},
		{"reserved", 0xffff, broadcast, AtNeighbour},
		{"llc", 46, broadcast, AtNeighbour},
		{"length-zero", 0, broadcast, AtNeighbour},
	}
	var vs []Vector
	for _, t := range types {
		vs = append(vs, Vector{ID: "P3/ethertype-" + t.name, About: "a frame of another protocol", Aim: t.aim,
			Attack: frame(func(s *Scene) []byte { return ethernet(t.to, s.Me.MAC, t.kind, padded(nil, s.Token)) })})
	}
	return append(vs,
		Vector{ID: "P3/ethertype-unicast", About: "an unknown protocol straight to a neighbour", Aim: AtNeighbour,
			Attack: frame(func(s *Scene) []byte { return ethernet(s.Neighbour.MAC, s.Me.MAC, 0x88b6, padded(nil, s.Token)) })},
		Vector{ID: "P4/ethertype-unicast", About: "an unknown protocol straight to the gateway", Aim: AtGateway,
			Attack: frame(func(s *Scene) []byte { return ethernet(s.Gateway.MAC, s.Me.MAC, 0x88b6, padded(nil, s.Token)) })},
		Vector{ID: "P2/ethertype-unicast", About: "an unknown protocol straight to the host", Aim: AtHost,
			Attack: frame(func(s *Scene) []byte { return ethernet(s.Host.MAC, s.Me.MAC, 0x88b6, padded(nil, s.Token)) })},
		Vector{ID: "P3/runt", About: "a frame shorter than Ethernet allows", Aim: AtNeighbour,
			Attack: frame(func(s *Scene) []byte { return ethernet(s.Neighbour.MAC, s.Me.MAC, 0x88b6, []byte(s.Token)) })},
		Vector{ID: "P3/runt-ip", About: "half an IP header", Aim: AtNeighbour,
			Attack: frame(func(s *Scene) []byte {
				return ethernet(s.Neighbour.MAC, s.Me.MAC, typeIPv4, append([]byte{0x45, 0}, s.Token...))
			})},
		Vector{ID: "P3/snap-ip", About: "IP in an LLC/SNAP frame", Aim: AtNeighbour,
			Attack: frame(func(s *Scene) []byte {
				ip := s.to(s.Neighbour).udp(40000, 9, s.Token).ipv4()
				snap := append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip...)
				return ethernet(s.Neighbour.MAC, s.Me.MAC, uint16(len(snap)), snap)
			})},
	)
}

// vlanVectors carry tags.
func vlanVectors() []Vector {
	wrap := func(id, about string, aim Place, to pick, tags ...[]byte) Vector {
		return Vector{ID: id, About: about, Aim: aim, Attack: frame(func(s *Scene) []byte {
			return tagged(s.to(to(s)).tcp(40002, s.Port, syn, s.Token).frame(), tags...)
		})}
	}
	vid, priority := tag(typeVLAN, 100), tag(typeVLAN, 0xe000)
	return []Vector{
		wrap("P2/vlan-tag", "tagged, to the host", AtHost, host, vid),
		wrap("P2/vlan-priority", "priority tag, to the host", AtHost, host, priority),
		wrap("P3/vlan-tag", "tagged, to a neighbour", AtNeighbour, neighbour, vid),
		wrap("P3/vlan-priority", "priority tag, to a neighbour", AtNeighbour, neighbour, priority),
		wrap("P3/vlan-double", "two tags, to a neighbour", AtNeighbour, neighbour, vid, tag(typeVLAN, 200)),
		wrap("P3/vlan-service", "a service tag, to a neighbour", AtNeighbour, neighbour, tag(typeQinQ, 100)),
		wrap("P3/vlan-q-in-q", "a service tag and a tag, to a neighbour", AtNeighbour, neighbour, tag(typeQinQ, 100), vid),
		wrap("P3/vlan-legacy", "the old EtherType of stacked tags", AtNeighbour, neighbour, tag(0x9100, 100)),
		wrap("P4/vlan-tag", "the permitted tuple, tagged", AtGateway, gateway, vid),
		wrap("P4/vlan-priority", "the permitted tuple with a priority tag", AtGateway, gateway, priority),
		wrap("P4/vlan-default", "the permitted tuple with the bridge's own VLAN", AtGateway, gateway, tag(typeVLAN, 1)),
		wrap("P4/vlan-double", "the permitted tuple with two tags", AtGateway, gateway, vid, vid),
		wrap("P4/vlan-service", "the permitted tuple with a service tag", AtGateway, gateway, tag(typeQinQ, 1)),
		{ID: "P5/vlan-arp", About: "a tagged ARP request", Aim: AtNeighbour, Attack: frame(func(s *Scene) []byte {
			a := arp{op: arpRequest, from: s.Me.MAC, fromIP: s.Me.IP, targetIP: s.Neighbour.IP}
			return tagged(a.frame(broadcast, s.Me.MAC, s.Token), vid)
		})},
		{ID: "P3/vlan-v6", About: "a tagged IPv6 datagram to all nodes", Aim: AtNeighbour, Attack: frame(func(s *Scene) []byte {
			return tagged(s.to6(group("ff02::1")).udp(1, 9, s.Token).frame(), priority)
		})},
	}
}
