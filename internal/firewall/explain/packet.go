package explain

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Packet is what rules see of a frame: the fields it has, in the text form of nftables, and the shapes it fits.
type Packet struct {
	Fields map[firewall.Field]string
	Shapes map[firewall.Shape]bool
}

// NewPacket makes a packet of the host's stack, which has interfaces and states that no frame carries.
func NewPacket(fields map[firewall.Field]string, shapes ...firewall.Shape) Packet {
	p := Packet{Fields: fields, Shapes: map[firewall.Shape]bool{}}
	for _, s := range shapes {
		p.Shapes[s] = true
	}
	return p
}

// EtherTypes that rules name (IEEE 802 numbers).
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// Decode reads a frame as it arrives on a device of an interface group. Fields that the frame is too short for are
// missing, so no rule that asks for them matches: the kernel ends a rule in the same way (NFT_BREAK).
func Decode(device string, group uint32, frame []byte) Packet {
	p := NewPacket(map[firewall.Field]string{firewall.InIface: device, firewall.InIndex: device, firewall.InGroup: strconv.Itoa(int(group))})
	if len(frame) < 14 {
		return p
	}
	p.Shapes[firewall.Unicast] = frame[0]&1 == 0 // the group bit (IEEE 802)
	p.Fields[firewall.EtherDst] = net.HardwareAddr(frame[0:6]).String()
	p.Fields[firewall.EtherSrc] = net.HardwareAddr(frame[6:12]).String()
	p.Fields[firewall.EtherTo] = fmt.Sprintf("0x%x", frame[0:6])
	if len(frame) > 14 {
		p.Fields[firewall.EtherFrom] = fmt.Sprintf("0x%x", frame[6:15])
	}
	payload := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case etherIPv4:
		p.Fields[firewall.EtherType] = "ip"
		p.decodeIPv4(payload)
	case etherARP:
		p.Fields[firewall.EtherType] = "arp"
		p.decodeARP(payload)
	case etherIPv6:
		p.Fields[firewall.EtherType] = "ip6"
	}
	return p
}

// decodeIPv4 reads as far as the header goes: rules ask for one field after the other.
func (p Packet) decodeIPv4(b []byte) {
	p.Shapes[firewall.PlainIPv4] = len(b) > 0 && b[0] == 0x45
	p.Shapes[firewall.Unfragmented] = len(b) >= 8 && binary.BigEndian.Uint16(b[6:8])&0x3fff == 0
	if len(b) >= 10 {
		p.Fields[firewall.IPProto] = protocolText(b[9])
		p.Shapes[firewall.PlainTCP] = p.Shapes[firewall.Unfragmented] && b[9] == 6
		p.Shapes[firewall.PlainUDP] = p.Shapes[firewall.Unfragmented] && b[9] == 17
	}
	if len(b) >= 16 {
		p.Fields[firewall.IPSrc] = addrText(b[12:16])
	}
	if len(b) < 20 {
		return
	}
	p.Fields[firewall.IPDst] = addrText(b[16:20])
	// The kernel looks for a transport header only where version and lengths agree with each other and with the frame.
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:4]))
	if b[0]>>4 == 4 && header >= 20 && header <= total && total <= len(b) {
		p.decodeTransport(b[9], b[header:])
	}
}

// decodeTransport reads ports and flags. Rules ask for the protocol before they ask for these.
func (p Packet) decodeTransport(protocol byte, b []byte) {
	p.Shapes[firewall.PortUnreachable] = protocol == 1 && len(b) >= 2 && b[0] == 3 && b[1] == 3
	source, destination := firewall.TCPSrc, firewall.TCPDst
	if protocol == 17 {
		source, destination = firewall.UDPSrc, firewall.UDPDst
	} else if protocol != 6 {
		return
	}
	// A header that is cut off has the fields that are there.
	if len(b) >= 2 {
		p.Fields[source] = strconv.Itoa(int(binary.BigEndian.Uint16(b[0:2])))
		p.Fields[firewall.PortSrc] = p.Fields[source]
	}
	if len(b) >= 4 {
		p.Fields[destination] = strconv.Itoa(int(binary.BigEndian.Uint16(b[2:4])))
		p.Fields[firewall.PortDst] = p.Fields[destination]
	}
	if protocol == 6 && len(b) >= 14 {
		p.decodeFlags(b[13])
	}
}

// TCP flags (RFC 9293, 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

func (p Packet) decodeFlags(flags byte) {
	p.Shapes[firewall.Opening] = flags&(flagSYN|flagACK) == flagSYN
	p.Shapes[firewall.NotOpening] = !p.Shapes[firewall.Opening]
	p.Shapes[firewall.Closing] = flags&(flagFIN|flagRST) != 0
	p.Shapes[firewall.Resetting] = flags&flagRST != 0
}

// decodeARP reads as many fields as there are (RFC 826).
func (p Packet) decodeARP(b []byte) {
	if len(b) >= 8 {
		p.Shapes[firewall.EthernetARP] = binary.BigEndian.Uint16(b[0:2]) == 1 && binary.BigEndian.Uint16(b[2:4]) == etherIPv4 && b[4] == 6 && b[5] == 4
		p.Fields[firewall.ARPOp] = arpOperation(binary.BigEndian.Uint16(b[6:8]))
	}
	if len(b) >= 14 {
		p.Fields[firewall.ARPSrcMAC] = net.HardwareAddr(b[8:14]).String()
	}
	if len(b) >= 18 {
		p.Fields[firewall.ARPSrcIP] = addrText(b[14:18])
	}
	if len(b) >= 28 {
		p.Fields[firewall.ARPDstIP] = addrText(b[24:28])
	}
}

func arpOperation(n uint16) string {
	switch n {
	case 1:
		return "request"
	case 2:
		return "reply"
	}
	return strconv.Itoa(int(n))
}

func addrText(b []byte) string { return netip.AddrFrom4([4]byte(b)).String() }

func protocolText(n byte) string {
	switch n {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return strconv.Itoa(int(n))
}
