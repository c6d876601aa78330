package firewall

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// NextHop is where a frame leaves the network's namespace: the device for a destination's addresses. A gateway's port
// is one, and a server's wire; what else a frame may be sent to becomes one more function that makes a NextHop.
type NextHop struct {
	MAC    string     // of the destination, which the frame is addressed to already
	IP     netip.Addr // of the destination
	Device string
}

// Port is the next hop towards an endpoint: a gateway's port, or a server's wire.
func Port(e topology.Endpoint) NextHop { return NextHop{e.MAC.String(), e.IP, e.Wire()} }

// hopKey is what a next hop is found by.
var hopKey = []Type{EtherAddr, IPv4Addr}

func (h NextHop) key() []string { return []string{h.MAC, h.IP.String()} }

// in is the element of a map of next hops.
func (h NextHop) in(name string) GuardElement {
	return GuardElement{Set{Family: NetDev, Name: name, Key: hopKey, Data: IfaceIndex}, Element{Key: h.key(), Data: h.Device}}
}

// member is the element of a set of destinations.
func (h NextHop) member(name string) GuardElement {
	return GuardElement{Set{Family: NetDev, Name: name, Key: hopKey}, Element{Key: h.key()}}
}
