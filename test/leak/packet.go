package leak

import (
	"encoding/binary"
	"net"
	"net/netip"

	frames "github.com/mcpnet/mcpnet/internal/frame"
)

// EtherTypes that the vectors need by name.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeVLAN = 0x8100
	typeQinQ = 0x88a8
	typeIPv6 = 0x86dd
)

var (
	broadcast  = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	unknownMAC = net.HardwareAddr{0x02, 0xde, 0xad, 0xbe, 0xef, 0x01}
	evilMAC    = net.HardwareAddr{0x02, 0xe1, 0x00, 0x00, 0x00, 0x01}
	oldMAC     = net.HardwareAddr{0x02, 0x0d, 0x00, 0x00, 0x00, 0x01}
)

// packet is an IP packet in an Ethernet frame. The address family is that of
// dst. What is left zero gets the value of an ordinary packet.
type packet struct {
	from, to net.HardwareAddr
	src, dst netip.Addr
	proto    byte
	payload  []byte // with its transport header

	ttl     byte
	frag    uint16 // the IPv4 field as a whole: flags and offset
	options []byte // IPv4 options, or IPv6 extension headers that end in proto
	next    byte   // the first IPv6 extension header, if there are any
}

// ethernet puts a header in front of a payload.
func ethernet(to, from net.HardwareAddr, etherType uint16, payload []byte) []byte {
	f := append(append(make([]byte, 0, 14+len(payload)), to...), from...)
	return append(binary.BigEndian.AppendUint16(f, etherType), payload...)
}

// tagged puts VLAN tags into a frame, the outer one first.
func tagged(frame []byte, tags ...[]byte) []byte {
	out := append([]byte(nil), frame[:12]...)
	for _, tag := range tags {
		out = append(out, tag...)
	}
	return append(out, frame[12:]...)
}

// tag is a VLAN tag of a kind and its control information.
func tag(etherType, tci uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, etherType), tci)
}

// frame is the packet on the wire.
func (p packet) frame() []byte {
	if p.dst.Is4() {
		return ethernet(p.to, p.from, typeIPv4, p.ipv4())
	}
	return ethernet(p.to, p.from, typeIPv6, p.ipv6())
}

func (p packet) hops() byte {
	if p.ttl == 0 {
		return 64
	}
	return p.ttl
}

func (p packet) ipv4() []byte {
	options := append([]byte(nil), p.options...)
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	size := 20 + len(options)
	h := make([]byte, 20, size+len(p.payload))
	h[0] = 0x40 | byte(size/4)
	binary.BigEndian.PutUint16(h[2:], uint16(size+len(p.payload)))
	binary.BigEndian.PutUint16(h[4:], 0x4d43)
	binary.BigEndian.PutUint16(h[6:], p.frag)
	h[8], h[9] = p.hops(), p.proto
	copy(h[12:], p.src.AsSlice())
	copy(h[16:], p.dst.AsSlice())
	h = append(h, options...)
	binary.BigEndian.PutUint16(h[10:], frames.Checksum(h))
	return append(h, p.payload...)
}

func (p packet) ipv6() []byte {
	h := make([]byte, 8, 40+len(p.options)+len(p.payload))
	h[0] = 0x60
	binary.BigEndian.PutUint16(h[4:], uint16(len(p.options)+len(p.payload)))
	h[6], h[7] = p.proto, p.hops()
	if len(p.options) > 0 {
		h[6] = p.next
	}
	h = append(h, p.src.AsSlice()...)
	h = append(h, p.dst.AsSlice()...)
	h = append(h, p.options...)
	return append(h, p.payload...)
}

// pseudo is the header that transport checksums cover.
func (p packet) pseudo(size int) []byte {
	b := append(append([]byte(nil), p.src.AsSlice()...), p.dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return append(b, 0, 0, 0, p.proto)
}

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
	urg
)

// tcp makes it a TCP segment.
func (p packet) tcp(sport, dport uint16, flags byte, data string) packet {
	b := make([]byte, 20, 20+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], 0x1000)
	if flags&ack != 0 {
		binary.BigEndian.PutUint32(b[8:], 0x2000)
	}
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 0xfff0)
	p.proto, p.payload = 6, append(b, data...)
	binary.BigEndian.PutUint16(b[16:], frames.Checksum(p.pseudo(len(p.payload)), p.payload))
	return p
}

// udp makes it a UDP datagram.
func (p packet) udp(sport, dport uint16, data string) packet {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	p.proto = 17
	binary.BigEndian.PutUint16(b[6:], frames.Checksum(p.pseudo(len(b)), b))
	p.payload = b
	return p
}

// icmp makes it an ICMP or ICMPv6 message; rest follows the checksum.
func (p packet) icmp(kind, code byte, rest []byte) packet {
	b := append([]byte{kind, code, 0, 0}, rest...)
	if p.dst.Is4() {
		p.proto = 1
		binary.BigEndian.PutUint16(b[2:], frames.Checksum(b))
	} else {
		p.proto = 58
		binary.BigEndian.PutUint16(b[2:], frames.Checksum(p.pseudo(len(b)), b))
	}
	p.payload = b
	return p
}

// raw makes it a packet of any protocol.
func (p packet) raw(proto byte, payload []byte) packet {
	p.proto, p.payload = proto, payload
	return p
}
