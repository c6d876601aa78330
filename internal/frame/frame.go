// Package frame builds Ethernet frames for tests, whole and right, so that a test can break exactly one thing in them.
package frame

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// EtherTypes (IEEE 802 numbers).
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100
	TypeQinQ = 0x88a8
	TypeIPv6 = 0x86dd
)

// TCP flags (RFC 9293, 3.1).
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	PSH = 0x08
	ACK = 0x10
)

// ARP operations (RFC 826).
const (
	Request = 1
	Reply   = 2
)

// Broadcast is the address of everyone.
var Broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Ethernet puts a header in front of a payload.
func Ethernet(dst, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	f := append(append(make([]byte, 0, 14+len(payload)), dst...), src...)
	return append(binary.BigEndian.AppendUint16(f, etherType), payload...)
}

// Tagged puts a VLAN tag into a frame.
func Tagged(frame []byte, etherType, id uint16) []byte {
	f := append([]byte(nil), frame[:12]...)
	f = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(f, etherType), id)
	return append(f, frame[12:]...)
}

// IPv4 is a packet. Without Options its header is the usual 20 bytes.
type IPv4 struct {
	Src, Dst netip.Addr
	Protocol byte
	ID, Frag uint16 // Frag is the whole field: flags and offset
	Options  []byte // a multiple of four bytes
	Payload  []byte
}

// Bytes is the packet with its checksum.
func (p IPv4) Bytes() []byte {
	header := 20 + len(p.Options)
	b := make([]byte, 20, header+len(p.Payload))
	b[0], b[8], b[9] = 0x40|byte(header/4), 64, p.Protocol
	binary.BigEndian.PutUint16(b[2:], uint16(header+len(p.Payload)))
	binary.BigEndian.PutUint16(b[4:], p.ID)
	binary.BigEndian.PutUint16(b[6:], p.Frag)
	copy(b[12:], p.Src.AsSlice())
	copy(b[16:], p.Dst.AsSlice())
	b = append(b, p.Options...)
	binary.BigEndian.PutUint16(b[10:], Checksum(b))
	return append(b, p.Payload...)
}

// Segment is a TCP segment.
type Segment struct {
	Src, Dst uint16
	Seq, Ack uint32
	Flags    byte
	Data     []byte
}

// TCP makes the packet carry a segment.
func (p IPv4) TCP(s Segment) IPv4 {
	b := make([]byte, 20, 20+len(s.Data))
	binary.BigEndian.PutUint16(b, s.Src)
	binary.BigEndian.PutUint16(b[2:], s.Dst)
	binary.BigEndian.PutUint32(b[4:], s.Seq)
	binary.BigEndian.PutUint32(b[8:], s.Ack)
	b[12], b[13] = 5<<4, s.Flags
	binary.BigEndian.PutUint16(b[14:], 0xfff0)
	b = append(b, s.Data...)
	p.Protocol, p.Payload = 6, b
	binary.BigEndian.PutUint16(b[16:], Checksum(p.pseudo(), b))
	return p
}

// UDP makes the packet carry a datagram.
func (p IPv4) UDP(src, dst uint16, data []byte) IPv4 {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, src)
	binary.BigEndian.PutUint16(b[2:], dst)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = append(b, data...)
	p.Protocol, p.Payload = 17, b
	binary.BigEndian.PutUint16(b[6:], Checksum(p.pseudo(), b))
	return p
}

// pseudo is the header that transport checksums cover.
func (p IPv4) pseudo() []byte {
	b := append(append([]byte(nil), p.Src.AsSlice()...), p.Dst.AsSlice()...)
	return binary.BigEndian.AppendUint16(append(b, 0, p.Protocol), uint16(len(p.Payload)))
}

// ARP is a message about IPv4 over Ethernet.
type ARP struct {
	Op             uint16
	SrcMAC, DstMAC net.HardwareAddr
	Src, Dst       netip.Addr
}

// Bytes is the message.
func (a ARP) Bytes() []byte {
	b := []byte{0, 1, 8, 0, 6, 4}
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SrcMAC...), a.Src.AsSlice()...)
	if a.DstMAC == nil {
		a.DstMAC = make(net.HardwareAddr, 6)
	}
	return append(append(b, a.DstMAC...), a.Dst.AsSlice()...)
}

// Checksum is the internet checksum (RFC 1071) of the parts, each of even length but the last.
func Checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
