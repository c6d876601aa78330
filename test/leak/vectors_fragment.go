package leak

// fragmentVectors hide what they carry in fragments.
func fragmentVectors() []Vector {
	kinds := []struct {
		name, about string
		build       func(packet, *Scene) []packet
	}{
		{"first-fragment", "a first fragment, alone", firstFragment},
		{"last-fragment", "a last fragment, alone", lastFragment},
		{"tiny-fragments", "a header cut after eight bytes", tinyFragments},
		{"overlapping-fragments", "a second fragment that overwrites the first", overlappingFragments},
		{"dont-fragment-offset", "an offset in spite of don't fragment", func(p packet, s *Scene) []packet {
			p.frag = 0x4002
			return []packet{p.raw(17, []byte(s.Token))}
		}},
	}
	targets := []struct {
		promise, name string
		who           pick
		aim           Place
	}{
		{"P2", "host", host, AtHost}, {"P3", "neighbour", neighbour, AtNeighbour}, {"P4", "gateway", gateway, AtGateway},
	}
	vs := []Vector{{
		ID: "P1/fragments", About: "a datagram in two fragments", Aim: AtInternet,
		Attack: several(func(s *Scene) []packet { return twoFragments(toNet(s), s) }),
	}}
	for _, t := range targets {
		for _, k := range kinds {
			vs = append(vs, Vector{
				ID: t.promise + "/" + k.name + "-to-" + t.name, About: k.about, Aim: t.aim,
				Attack: several(func(s *Scene) []packet { return k.build(s.to(t.who(s)), s) }),
			})
		}
	}
	return append(vs, Vector{
		ID: "P3/v6-last-fragment", About: "a last IPv6 fragment, alone", Aim: AtNeighbour,
		Attack: one(func(s *Scene) packet {
			p := s.to6(s.Neighbour)
			p.next, p.options = 44, []byte{17, 0, 0, 0x10, 0, 0, 0x4d, byte(s.Nth)}
			return p.raw(17, []byte(s.Token))
		}),
	})
}

// The fragments are of a TCP segment for the permitted port, which a filter
// that looks at the first fragment alone would pass.
func segment(p packet, s *Scene) packet {
	return p.tcp(uint16(42000+s.Nth), s.Port, syn, s.Token+s.Token)
}

func part(p packet, from, to int, more bool) packet {
	p.frag = uint16(from / 8)
	if more {
		p.frag |= 0x2000
	}
	p.payload = p.payload[from:to]
	return p
}

func firstFragment(p packet, s *Scene) []packet {
	return []packet{part(segment(p, s), 0, 32, true)}
}

func lastFragment(p packet, s *Scene) []packet {
	whole := segment(p, s)
	whole.payload = append(whole.payload, s.Token...)
	return []packet{part(whole, 16, len(whole.payload), false)}
}

func tinyFragments(p packet, s *Scene) []packet {
	whole := segment(p, s)
	return []packet{part(whole, 0, 8, true), part(whole, 8, 16, true), part(whole, 16, len(whole.payload), false)}
}

func overlappingFragments(p packet, s *Scene) []packet {
	whole := segment(p, s)
	return []packet{part(whole, 0, 24, true), part(whole, 8, len(whole.payload), false)}
}

func twoFragments(p packet, s *Scene) []packet {
	whole := p.udp(40000, 9, s.Token+s.Token)
	return []packet{part(whole, 0, 16, true), part(whole, 16, len(whole.payload), false)}
}
