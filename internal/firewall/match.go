package firewall

import "strings"

// Type is the nftables data type of a set's field.
type Type string

// The types in use.
const (
	IPv4Addr    Type = "ipv4_addr"
	EtherAddr   Type = "ether_addr"
	InetService Type = "inet_service"
	InetProto   Type = "inet_proto"
	MarkType    Type = "mark"
	IfaceIndex  Type = "iface_index"
	// EtherSource and EtherTarget are raw bytes of the Ethernet header. A rule that names its fields by type asks the
	// kernel for the link's type and the EtherType besides, which is felt in each frame.
	EtherSource Type = "@ll,48,72" // source address, EtherType and the first byte of what follows
	EtherTarget Type = "@ll,0,48"  // destination address
)

// expressions are what sets of raw types are declared by: nft has no names for those types.
var expressions = map[Type]string{IPv4Addr: "ip saddr", EtherAddr: "ether saddr", InetService: "th dport", IfaceIndex: "meta iif"}

// isRaw reports whether the type has no name in nft.
func (t Type) isRaw() bool { return strings.HasPrefix(string(t), "@") }

// Field is a part of a packet, by its nftables expression.
type Field string

// The fields in use.
const (
	EtherType Field = "ether type"
	EtherSrc  Field = "ether saddr"
	EtherDst  Field = "ether daddr"
	EtherFrom Field = Field(EtherSource)
	EtherTo   Field = Field(EtherTarget)
	IPSrc     Field = "ip saddr"
	IPDst     Field = "ip daddr"
	IPProto   Field = "ip protocol"
	TCPSrc    Field = "tcp sport"
	TCPDst    Field = "tcp dport"
	UDPSrc    Field = "udp sport"
	UDPDst    Field = "udp dport"
	PortSrc   Field = "th sport" // of TCP or UDP: the rule asks for the protocol itself
	PortDst   Field = "th dport"
	ARPOp     Field = "arp operation"
	ARPSrcMAC Field = "arp saddr ether"
	ARPSrcIP  Field = "arp saddr ip"
	ARPDstIP  Field = "arp daddr ip"
	InIface   Field = "iifname"
	InIndex   Field = "meta iif" // the interface itself: no name is compared
	InGroup   Field = "meta iifgroup"
	Mark      Field = "meta mark"
	OutIface  Field = "oifname"
	CTState   Field = "ct state"
	CTMark    Field = "ct mark" // of the connection that the packet belongs to
	// What the connection was opened to, before its destination was translated.
	CTOriginalDst  Field = "ct original ip daddr"
	CTOriginalPort Field = "ct original proto-dst"
	CTDir          Field = "ct direction"
	CTStatus       Field = "ct status"
)

// Match is a condition of a rule: Is, IsNot, In or a Shape.
type Match interface{ match() }

// Is holds when the field has one of the values.
type Is struct {
	Field  Field
	Values []string
}

// IsNot holds when the field has another value.
type IsNot struct {
	Field Field
	Value string
}

// In holds when the fields together are a key of the set.
type In struct {
	Fields []Field
	Set    string
}

// Shape is a condition on the form of a packet, by its nftables text.
type Shape string

// The shapes in use.
const (
	// PlainIPv4 is version 4 without options: the first byte of the header is 0x45 (RFC 791, 3.1).
	PlainIPv4 Shape = "@nh,0,8 0x45"
	// Unfragmented has no more fragments and offset 0; DF may be set.
	Unfragmented Shape = "ip frag-off & 0x3fff == 0"
	// PlainTCP and PlainUDP are Unfragmented and the protocol, in one load: bytes 6 to 9 of the header are flags and
	// offset, TTL, protocol (RFC 791, 3.1).
	PlainTCP Shape = "@nh,48,32 & 0x3fff00ff == 0x6"
	PlainUDP Shape = "@nh,48,32 & 0x3fff00ff == 0x11"
	// Opening is the first segment of a TCP connection.
	Opening Shape = "tcp flags & (syn | ack) == syn"
	// NotOpening is every other segment.
	NotOpening Shape = "tcp flags & (syn | ack) != syn"
	// Closing carries FIN or RST.
	Closing Shape = "tcp flags & (fin | rst) != 0x0"
	// Resetting carries RST.
	Resetting Shape = "tcp flags & rst != 0x0"
	// PortUnreachable is the ICMP error about a UDP port that nobody listens on (RFC 792; RFC 1122, 4.1.3.1).
	PortUnreachable Shape = "icmp type destination-unreachable icmp code port-unreachable"
	// Unicast is addressed to one station: errors about other frames would be answers to nobody (RFC 1122, 3.2.2).
	Unicast Shape = "meta pkttype { host, other }"
	// ToHost is addressed to the machine itself.
	ToHost Shape = "fib daddr type local"
	// ManyConnections holds for a sender who has more connections than one sender may: the namespace's table of connections
	// is one for all (nf_conntrack_max is 262144 on most hosts).
	ManyConnections Shape = "add @connections { ip saddr ct count over 16384 }"
	// EthernetARP is ARP for IPv4 over Ethernet (RFC 826), whose fields stand at fixed places.
	EthernetARP Shape = "arp htype 1 arp ptype ip arp hlen 6 arp plen 4"
)

func (Is) match()    {}
func (IsNot) match() {}
func (In) match()    {}
func (Shape) match() {}

func is(f Field, values ...string) Match   { return Is{f, values} }
func in(set string, fields ...Field) Match { return In{fields, set} }
func all(groups ...[]Match) (matches []Match) {
	for _, g := range groups {
		matches = append(matches, g...)
	}
	return matches
}
