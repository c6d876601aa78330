package leak

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Role is what a container is on a network.
type Role string

// The roles.
const (
	ServerRole  Role = "server"
	GatewayRole Role = "gateway"
	// CandidateRole holds the gateway's address without having asked for it.
	CandidateRole Role = "candidate"
)

// Fabric joins containers made of namespaces to a network in a world's host.
type Fabric interface {
	// Bridge is the name of the host's link to the network: its bridge, or its
	// uplink where the network has a namespace of its own.
	Bridge() string
	// Space is that namespace, or nil where the network is in the host's.
	Space() *testnet.NS
	// Attach joins a container to the network and brings its link up.
	Attach(ns *testnet.NS, ip netip.Addr, role Role) Member
	// Detach takes it off again.
	Detach(Member)
}

// The addresses of the network under test, those of the README.
var (
	Subnet     = netip.MustParsePrefix("172.20.0.0/16")
	BridgeAddr = netip.MustParseAddr("172.20.0.1")
	GatewayIP  = netip.MustParseAddr("172.20.0.100")
	AttackerIP = netip.MustParseAddr("172.20.240.2")
	PeerIP     = netip.MustParseAddr("172.20.240.3")
)

// GatewayPort is the permitted port.
const GatewayPort = 8080

// NewSeat makes a world with a gateway and two servers on a network.
func NewSeat(t testnet.T, name string, fabric func(*testnet.World) Fabric) (Seat, Fabric) {
	t.Helper()
	w := testnet.NewWorld(t)
	seat := Seat{Name: name, World: w, Victim: w.NewVictim(), BridgeIP: BridgeAddr, Subnet: Subnet, Port: GatewayPort}
	f := fabric(w)
	seat.Bridge = f.Bridge()
	seat.Gateway = f.Attach(testnet.New(t, "gateway"), GatewayIP, GatewayRole)
	seat.Attacker = f.Attach(testnet.New(t, "server"), AttackerIP, ServerRole)
	seat.Neighbour = f.Attach(testnet.New(t, "neighbour"), PeerIP, ServerRole)
	seat.Space = f.Space()
	return seat, f
}

// containerLink is the name of a container's link.
const containerLink = "eth0"

// prefixOf is an address with the length of the network's prefix.
func prefixOf(ip netip.Addr) string {
	return netip.PrefixFrom(ip, Subnet.Bits()).String()
}
