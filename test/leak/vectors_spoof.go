package leak

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
)

// spoof is a false sender.
type spoof struct {
	name string
	mac  func(*Scene) net.HardwareAddr
	ip   func(*Scene) netip.Addr
	late bool
}

// spoofVectors speak with another's addresses.
func spoofVectors() []Vector {
	macOf := func(p pick) func(*Scene) net.HardwareAddr { return func(s *Scene) net.HardwareAddr { return p(s).MAC } }
	ipOf := func(p pick) func(*Scene) netip.Addr { return func(s *Scene) netip.Addr { return p(s).IP } }
	fixed := func(addr string) func(*Scene) netip.Addr {
		return func(*Scene) netip.Addr { return netip.MustParseAddr(addr) }
	}
	evil, phantom := (*Scene).evil, (*Scene).phantom
	spoofs := []spoof{
		{"ip-neighbour", macOf(me), ipOf(neighbour), false},
		{"ip-gateway", macOf(me), ipOf(gateway), false},
		{"ip-host", macOf(me), ipOf(host), false},
		{"ip-internet", macOf(me), ipOf(internet), false},
		{"ip-unused", macOf(me), phantom, false},
		{"ip-loopback", macOf(me), fixed("127.0.0.1"), false},
		{"ip-zero", macOf(me), fixed("0.0.0.0"), false},
		{"ip-broadcast", macOf(me), fixed("255.255.255.255"), false},
		{"ip-multicast", macOf(me), fixed("224.0.0.1"), false},
		{"mac-neighbour", macOf(neighbour), ipOf(me), true},
		{"mac-gateway", macOf(gateway), ipOf(me), true},
		{"mac-host", macOf(host), ipOf(me), true},
		{"mac-unused", evil, ipOf(me), false},
		{"both-neighbour", macOf(neighbour), ipOf(neighbour), true},
		{"both-gateway", macOf(gateway), ipOf(gateway), true},
		{"both-host", macOf(host), ipOf(host), true},
		{"both-unused", evil, phantom, false},
	}
	var vs []Vector
	for _, sp := range spoofs {
		vs = append(vs, sp.vector("gateway", gateway, AtGateway), sp.vector("neighbour", neighbour, AtNeighbour))
	}
	for _, name := range []int{0, 1, 4, 14, 16} {
		vs = append(vs, spoofs[name].vector("internet", internet, AtInternet))
	}
	return vs
}

// vector sends a segment from the permitted port to the permitted port, so
// that it could be a request to the gateway as well as its answer.
func (sp spoof) vector(name string, to pick, aim Place) Vector {
	return Vector{
		ID:    fmt.Sprintf("P5/spoof-%s-to-%s", sp.name, name),
		About: "a segment with a false sender",
		Aim:   aim,
		Late:  sp.late,
		Attack: one(func(s *Scene) packet {
			p := s.to(to(s))
			p.from, p.src = sp.mac(s), sp.ip(s)
			if bytes.Equal(p.from, p.to) { // a bridge would send it back, that is, nowhere
				p.to = broadcast
			}
			return p.tcp(s.Port, s.Port, ack, s.Token)
		}),
	}
}
