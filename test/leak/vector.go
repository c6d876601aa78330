package leak

import (
	"net"
	"net/netip"
	"strings"
)

// Place is where a token can turn up, or what else a vector can bring about.
type Place string

// The places. All but Connected and State are observers: see observe.go.
const (
	AtHost       Place = "host"        // a link of the host, the attacker's own wire left out
	AtHostSocket Place = "host-socket" // the host's IP stack
	AtHostTap    Place = "host-tap"    // a packet socket of the host that is bound to a protocol
	AtGateway    Place = "gateway"
	AtNeighbour  Place = "neighbour"
	AtVictim     Place = "victim"
	AtInternet   Place = "internet"
	AtAttacker   Place = "attacker"  // for what a server must not receive
	Connected    Place = "connected" // a connection came about
	State        Place = "state"     // something was learned from the attacker
)

// Vector is one way to break a promise.
type Vector struct {
	// ID begins with the promise: "P3/arp-broadcast-request".
	ID string
	// About is a line for people.
	About string
	// Aim is where the vector shows on a network without a policy. A vector
	// that does not show there proves nothing.
	Aim Place
	// Attack is what is done.
	Attack Attack
	// Late vectors spoil the state of an ordinary bridge. They come after all
	// others, one by one, and the network is healed after each.
	Late bool
}

// Promise is the promise that the vector tries.
func (v Vector) Promise() string {
	promise, _, _ := strings.Cut(v.ID, "/")
	return promise
}

// Attack is one of Frames, Dial and Change.
type Attack interface {
	// counts tells whether a token at a place is a leak.
	counts(Place) bool
	launch(*run, *Scene)
}

// Who sends.
type Who string

// The senders. All but the attacker are there for what a server must not see.
const (
	Attacker  Who = "attacker"
	Neighbour Who = "neighbour"
	Gateway   Who = "gateway"
	Host      Who = "host"
	Internet  Who = "internet"
	Victim    Who = "victim"
)

// counts tells whether what who sends is a leak at a place. What others send
// can only leak to the attacker.
func (w Who) counts(p Place) bool {
	if w == Attacker || w == "" {
		return p != AtAttacker
	}
	return p == AtAttacker || p == Connected
}

// Frames are written as they are to the sender's link.
type Frames struct {
	From  Who
	Build func(*Scene) [][]byte
	// Segmented frames are handed over with an offload header, as packets
	// larger than the link's MTU are.
	Segmented bool
}

// Dial opens a connection, or sends a datagram, through the sender's IP stack.
type Dial struct {
	From    Who
	Network string
	To      func(*Scene) netip.AddrPort
	Data    func(token string) string // the token alone, if nil
}

// Change sends frames and looks for what they changed.
type Change struct {
	Build func(*Scene) [][]byte
	// Plant has somebody know the vector's phantom addresses before.
	Plant Who
	// Found tells what changed, or nothing.
	Found func(*Scene, *inspector) string
}

func (f Frames) counts(p Place) bool { return f.From.counts(p) }
func (d Dial) counts(p Place) bool   { return d.From.counts(p) }
func (Change) counts(p Place) bool   { return Attacker.counts(p) }

// Party is an owner of addresses, as the attacker sees it: what lies behind
// the host has the host's MAC.
type Party struct {
	MAC net.HardwareAddr
	IP  netip.Addr
	IP6 netip.Addr
}

// Scene is what an attacker can know, with the token of one vector.
type Scene struct {
	Token string
	// Nth is a number of the vector's own, for addresses nobody else uses.
	Nth int

	Me, Host, Gateway, Neighbour Party
	// Uplink, VictimBridge, Victim and Net lie behind the host.
	Uplink, VictimBridge, Victim, Net, Resolver, Metadata Party

	Subnet netip.Prefix
	Port   uint16 // the permitted one
	// ReplyPort is where the gateway holds a connection from, which it opened
	// to the attacker's serverPort.
	ReplyPort uint16
}

// to is a packet from the attacker to an IPv4 address.
func (s *Scene) to(p Party) packet {
	return packet{from: s.Me.MAC, to: p.MAC, src: s.Me.IP, dst: p.IP}
}

// to6 is the same for IPv6.
func (s *Scene) to6(p Party) packet {
	return packet{from: s.Me.MAC, to: p.MAC, src: s.Me.IP6, dst: p.IP6}
}

// evil is a MAC that only this vector uses.
func (s *Scene) evil() net.HardwareAddr {
	mac := append(net.HardwareAddr(nil), evilMAC...)
	mac[4], mac[5] = byte(s.Nth>>8), byte(s.Nth)
	return mac
}

// phantom is an IPv4 address that only this vector uses.
func (s *Scene) phantom() netip.Addr {
	b := s.Subnet.Masked().Addr().As4()
	b[2], b[3] = 0xfe-byte(s.Nth>>8), byte(s.Nth)
	return netip.AddrFrom4(b)
}

// phantom6 is the same for IPv6.
func (s *Scene) phantom6() netip.Addr {
	b := prefix6.Addr().As16()
	b[13], b[14], b[15] = 0xfe, byte(s.Nth>>8), byte(s.Nth)
	return netip.AddrFrom16(b)
}
