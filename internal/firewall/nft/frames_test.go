package nft_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// etherTypes are all that random frames have, since it takes a socket for each to see that none passes.
var etherTypes = []uint16{frame.TypeIPv4, frame.TypeARP, frame.TypeIPv6, frame.TypeVLAN, frame.TypeQinQ, 0x88cc, 0x8847,
	0x888e, 0x22f0}

// A frame carries its number behind a mark, and in both TCP numbers, whose upper 20 bits a reset gives back.
const (
	mark     = "mZq7"
	seqShift = 12
)

// identity is what stays of a frame that is handed to the router: all but the destination MAC.
func identity(f []byte) string { return string(f[min(6, len(f)):]) }

func token(n int) []byte { return binary.BigEndian.AppendUint32([]byte(mark), uint32(n)) }

// numberOf finds the number of a frame of which nothing but the destination MAC was changed, or in one that carries it.
func numberOf(f []byte, known map[string]int) (int, bool) {
	if n, ok := known[identity(f)]; ok {
		return n, true
	}
	i := bytes.Index(f, []byte(mark))
	if i < 0 || len(f) < i+8 {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(f[i+4:])), true
}

// resetFor finds what a reset answers: a segment with ACK gives its acknowledgement as the reset's number, one without
// is acknowledged (RFC 9293, 3.10.7.1). A frame of ours has data, which a reset has not.
func resetFor(f []byte) (int, bool) {
	if len(f) != 54 || f[12] != 8 || f[13] != 0 || f[23] != 6 || f[47]&frame.RST == 0 {
		return 0, false
	}
	n := binary.BigEndian.Uint32(f[38:])
	if n == 0 {
		n = binary.BigEndian.Uint32(f[42:])
	}
	return int((n + 1<<(seqShift-1)) >> seqShift), true
}

func segment(n int, src, dst uint16, flags byte) frame.Segment {
	number := uint32(n) << seqShift
	return frame.Segment{Src: src, Dst: dst, Seq: number, Ack: number, Flags: flags, Data: token(n)}
}

// denied is a segment from one server to another, which is always answered with a reset.
func denied(from, to topology.Endpoint, n int) []byte {
	p := frame.IPv4{Src: from.IP, Dst: to.IP}.TCP(segment(n, 40000, 8080, frame.ACK))
	return frame.Ethernet(net.HardwareAddr(to.MAC), net.HardwareAddr(from.MAC), frame.TypeIPv4, p.Bytes())
}

// generator makes random frames out of right ones.
type generator struct {
	*rand.Rand
	lab  *lab
	seen map[string]bool
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) next(n int) shot {
	for {
		s := g.base(n)
		var made []string
		for range pick(g, 0, 0, 1, 1, 1, 2, 3) {
			made = append(made, g.mutate(&s))
		}
		s.made, s.whole = strings.Join(made, ", "), len(made) == 0
		// The kernel drops a frame that ends in a VLAN tag, or right behind it, before any rule sees it.
		if len(s.frame) >= 20 && !g.seen[identity(s.frame)] {
			g.seen[identity(s.frame)] = true
			return s
		}
	}
}

// base is a frame as an endpoint might send it, permitted or not, but in order.
func (g generator) base(n int) shot {
	from := pick(g, g.lab.endpoints[serverA], g.lab.endpoints[serverB], g.lab.endpoints[gateway],
		g.lab.endpoints[gateway], g.lab.endpoints[candidate])
	to := pick(g, g.lab.endpoints...)
	if from.Role == topology.RoleServer && g.IntN(4) > 0 {
		to = g.lab.endpoints[gateway]
	}
	s := shot{number: n, from: from}
	mac := net.HardwareAddr(to.MAC)
	switch g.IntN(8) {
	case 0:
		m := frame.ARP{Op: pick[uint16](g, 1, 1, 1, 2), SrcMAC: net.HardwareAddr(from.MAC), Src: from.IP, Dst: g.addr()}
		s.kind, s.frame = "arp", append(frame.Ethernet(pick(g, frame.Broadcast, mac), net.HardwareAddr(from.MAC),
			frame.TypeARP, m.Bytes()), token(n)...)
		return s
	case 1:
		p := frame.IPv4{Src: from.IP, Dst: to.IP}.UDP(g.port(), g.port(), token(n))
		s.kind, s.frame = "udp", frame.Ethernet(mac, net.HardwareAddr(from.MAC), frame.TypeIPv4, p.Bytes())
		return s
	case 2:
		mac = net.HardwareAddr(g.lab.network.RouterMAC())
	}
	src, dst := g.port(), g.port()
	if flow, ok := g.flow(from, to); ok && g.IntN(3) == 0 {
		src, dst = flow[0], flow[1]
	}
	p := frame.IPv4{Src: from.IP, Dst: to.IP}.TCP(segment(n, src, dst,
		pick[byte](g, 2, 2, 16, 16, 18, 17, 4, 24, 0, byte(g.IntN(256)))))
	s.kind, s.frame = "tcp", frame.Ethernet(mac, net.HardwareAddr(from.MAC), frame.TypeIPv4, p.Bytes())
	return s
}

// flow gives the ports of a connection that the rules remember, as the sender has them.
func (g generator) flow(from, to topology.Endpoint) (ports [2]uint16, ok bool) {
	server, gw := from, to
	if from.Role != topology.RoleServer {
		server, gw = to, from
	}
	for _, name := range []string{"flows", "closing"} {
		set, _ := g.lab.rules.Set(firewall.NetDev, name)
		for _, e := range set.Elements {
			if e.Key[0] == server.IP.String() && e.Key[2] == gw.IP.String() {
				ports, ok = [2]uint16{number(e.Key[1]), number(e.Key[3])}, true
			}
		}
	}
	if ok && from.Role != topology.RoleServer {
		ports[0], ports[1] = ports[1], ports[0]
	}
	return ports, ok
}

func number(s string) (n uint16) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

func (g generator) port() uint16 {
	return pick[uint16](g, 8080, 8080, 5000, 53, 3000, 3001, 3002, 40000, 50000, 50001)
}

func (g generator) addr() netip.Addr {
	outside := []netip.Addr{g.lab.network.BridgeAddr, testOutside,
		netip.AddrFrom4([4]byte{172, 20, 9, byte(g.IntN(256))})}
	for _, e := range g.lab.endpoints {
		outside = append(outside, e.IP)
	}
	return pick(g, outside...)
}

var testOutside = netip.MustParseAddr("198.51.100.2")

func (g generator) mac() net.HardwareAddr {
	all := []net.HardwareAddr{net.HardwareAddr(g.lab.network.RouterMAC()), frame.Broadcast, {1, 0, 0x5e, 0, 0, 1},
		{0x33, 0x33, 0, 0, 0, 1}, {2, 0xde, 0xad, 0, 0, byte(g.IntN(256))}}
	for _, e := range g.lab.endpoints {
		all = append(all, net.HardwareAddr(e.MAC), net.HardwareAddr(e.PortMAC()))
	}
	return pick(g, all...)
}
