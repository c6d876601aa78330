package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Step is one change of the kernel, in one namespace.
type Step struct {
	In Space
	Action
}

// String tells the namespace and the change.
func (s Step) String() string { return fmt.Sprintf("%s: %s", s.In, s.Action) }

// Action is what a step does.
type Action interface {
	fmt.Stringer
	action()
}

// What is done for a network as a whole.
type (
	// CreateNamespace makes and pins the network's namespace, with its settings, its bridge and its router.
	CreateNamespace struct{ Network topology.Network }
	// RemoveNamespace unpins it, and so ends everything in it, unless it is another network's.
	RemoveNamespace struct{ Network topology.Network }
	// Prepare gives the namespace its settings again.
	Prepare struct{}
	// EnsureBridge makes or mends the bridge that holds gateways' ports.
	EnsureBridge struct{ Network topology.Network }
	// EnsureRouter makes or mends the router.
	EnsureRouter struct{ Network topology.Network }
	// LoadRules loads the rules of the namespace.
	LoadRules struct{ Rules firewall.Ruleset }
	// SetHostAddrs writes down the host's addresses, which egress does not reach.
	SetHostAddrs struct{ Addrs []netip.Addr }
	// DropElements removes elements of sets that belong to nothing.
	DropElements struct {
		Elements []firewall.GuardElement
		// Index gives the interface indices of the wires that elements name.
		Index map[string]int
	}
)

// What is done on the host, for a network that has something beyond it.
type (
	// EnsureUplink makes or mends the uplink, with its routes on both sides.
	EnsureUplink struct{ Network topology.Network }
	// LoadHostRules loads the uplink's rules.
	LoadHostRules struct{ Rules firewall.Ruleset }
	// EnsureIPTables gives the uplink its way through iptables.
	EnsureIPTables struct {
		Uplink string
		Rules  firewall.Ruleset
	}
	// PrepareFirewalld gives firewalld the zone of uplinks, from which the host forwards.
	PrepareFirewalld struct{}
	// JoinZone puts an uplink into that zone, LeaveZone takes it out.
	JoinZone  struct{ Uplink string }
	LeaveZone struct{ Uplink string }
	// EnableForwarding lets the host forward packets.
	EnableForwarding struct{}
	// UnloadHostRules removes an uplink's rules.
	UnloadHostRules struct {
		Uplink string
		Rules  firewall.Ruleset
	}
	// RemoveIPTables removes an uplink's way through iptables.
	RemoveIPTables struct{ Uplink string }
	// RemoveLegacy removes the rules that stood on the host for a bridge before networks had namespaces.
	RemoveLegacy struct{ Bridge string }
)

// What is done for endpoints.
type (
	// AddWire makes an endpoint's veth pair, both ends down, the container end as Peer in Peers.
	AddWire struct {
		Network  topology.Network
		Endpoint topology.Endpoint
		Peer     string
		Peers    Space
	}
	// MoveWire makes a veth end of the host's the endpoint's wire, down.
	MoveWire struct {
		Network  topology.Network
		Endpoint topology.Endpoint
		From     string // its interface name on the host
	}
	// ReturnWire moves a wire to the host, down, for the plugin that made it to remove.
	ReturnWire struct{ Wire string }
	// SetPeer gives the container end its addresses and routes and brings it up.
	SetPeer struct {
		Endpoint topology.Endpoint
		Addr     netip.Prefix
		Routes   []topology.Route
	}
	// AddGuard installs or replaces the elements of endpoints, and their chains where each has one.
	AddGuard struct {
		Guards []firewall.Guard
		// Index gives the interface indices of wires that were observed.
		Index map[string]int
	}
	// TellGateways answers what an endpoint asked about gateways' hardware addresses while it was held.
	TellGateways struct {
		Network  topology.Network
		Endpoint topology.Endpoint
	}
	// SetRole puts a wire into the interface group of a role.
	SetRole struct {
		Wire string
		Role topology.Role
	}
	// SetWire puts right what somebody set on a wire.
	SetWire struct {
		Network  topology.Network
		Endpoint topology.Endpoint
	}
	// Release makes a wire the port of nothing.
	Release struct{ Wire string }
	// Enslave makes a gateway's wire an isolated port of the bridge.
	Enslave struct{ Wire, Bridge string }
	// SetUp lets a link pass frames.
	SetUp struct{ Link string }
	// SetDown stops one.
	SetDown struct{ Link string }
	// DeleteLink removes a link.
	DeleteLink struct{ Name string }
	// DropGuard removes the elements of an endpoint, and its chain. Index 0 is a wire that is gone.
	DropGuard struct {
		Wire  string
		Guard firewall.Guard
		Index int
	}
)

func (CreateNamespace) action()  {}
func (RemoveNamespace) action()  {}
func (Prepare) action()          {}
func (EnsureBridge) action()     {}
func (EnsureRouter) action()     {}
func (LoadRules) action()        {}
func (SetHostAddrs) action()     {}
func (DropElements) action()     {}
func (EnsureUplink) action()     {}
func (LoadHostRules) action()    {}
func (EnsureIPTables) action()   {}
func (PrepareFirewalld) action() {}
func (JoinZone) action()         {}
func (LeaveZone) action()        {}
func (EnableForwarding) action() {}
func (UnloadHostRules) action()  {}
func (RemoveIPTables) action()   {}
func (RemoveLegacy) action()     {}
func (AddWire) action()          {}
func (MoveWire) action()         {}
func (ReturnWire) action()       {}
func (SetPeer) action()          {}
func (AddGuard) action()         {}
func (TellGateways) action()     {}
func (SetRole) action()          {}
func (SetWire) action()          {}
func (Release) action()          {}
func (Enslave) action()          {}
func (SetUp) action()            {}
func (SetDown) action()          {}
func (DeleteLink) action()       {}
func (DropGuard) action()        {}

func (s CreateNamespace) String() string {
	return fmt.Sprintf("create, with bridge %s and router %s, mtu %d", s.Network.Bridge, s.Network.RouterPrefix(), s.Network.Policy.MTU)
}
func (RemoveNamespace) String() string { return "remove, with everything in it" }
func (Prepare) String() string         { return "settings of the namespace" }
func (s EnsureBridge) String() string {
	return fmt.Sprintf("bridge %s: mtu %d, up", s.Network.Bridge, s.Network.Policy.MTU)
}
func (s EnsureRouter) String() string {
	return fmt.Sprintf("router: address %s, mtu %d, up", s.Network.RouterPrefix(), s.Network.Policy.MTU)
}
func (LoadRules) String() string { return "load nftables rules" }
func (s SetHostAddrs) String() string {
	var addrs []string
	for _, a := range s.Addrs {
		addrs = append(addrs, a.String())
	}
	return "egress does not reach the host's addresses " + summary(addrs)
}
func (s DropElements) String() string {
	var keys []string
	for _, e := range s.Elements {
		keys = append(keys, e.Set.Name+" "+e.KeyText())
	}
	return "remove what belongs to no endpoint: " + summary(keys)
}
func (s EnsureUplink) String() string {
	return fmt.Sprintf("uplink %s to the host, which reaches %s over it", s.Network.Uplink(), s.Network.Subnet)
}
func (s LoadHostRules) String() string { return "load the uplink's nftables rules" }
func (s EnsureIPTables) String() string {
	return fmt.Sprintf("load iptables rules of uplink %s", s.Uplink)
}
func (PrepareFirewalld) String() string {
	return fmt.Sprintf("firewalld: make zone %s, from which the host forwards and to which it opens nothing; reload",
		topology.FirewallZone)
}
func (s JoinZone) String() string {
	return fmt.Sprintf("firewalld: put uplink %s into zone %s", s.Uplink, topology.FirewallZone)
}
func (s LeaveZone) String() string {
	return fmt.Sprintf("firewalld: take uplink %s out of zone %s", s.Uplink, topology.FirewallZone)
}
func (EnableForwarding) String() string {
	return "net.ipv4.ip_forward=1, which a gateway's egress needs"
}
func (s UnloadHostRules) String() string {
	return fmt.Sprintf("remove nftables rules of uplink %s", s.Uplink)
}
func (s RemoveIPTables) String() string {
	return fmt.Sprintf("remove iptables rules of uplink %s", s.Uplink)
}
func (s RemoveLegacy) String() string {
	return fmt.Sprintf("remove the rules of an earlier mcpnet for bridge %s", s.Bridge)
}
func (s AddWire) String() string {
	return fmt.Sprintf("wire %s: add for %s %s (%s), down, with %s in %s", s.Endpoint.Wire(), s.Endpoint.Role, s.Endpoint.IP, s.Endpoint.MAC, s.Peer, s.Peers)
}
func (s MoveWire) String() string {
	return fmt.Sprintf("wire %s: take %s of the host for %s %s (%s), down", s.Endpoint.Wire(), s.From, s.Endpoint.Role, s.Endpoint.IP, s.Endpoint.MAC)
}
func (s ReturnWire) String() string {
	return fmt.Sprintf("wire %s: give back to the host, down", s.Wire)
}
func (s SetPeer) String() string {
	var routes strings.Builder
	for _, r := range s.Routes {
		fmt.Fprintf(&routes, ", route %s", r)
	}
	return fmt.Sprintf("interface %s: address %s%s, up", s.Endpoint.Interface, s.Addr, routes.String())
}
func (s AddGuard) String() string {
	var names []string
	for _, g := range s.Guards {
		names = append(names, g.Wire)
	}
	return fmt.Sprintf("wire %s: own addresses only", summary(names))
}
func (s TellGateways) String() string {
	return fmt.Sprintf("wire %s: answer what %s asked about gateways", s.Endpoint.Wire(), s.Endpoint.IP)
}
func (s SetWire) String() string {
	return fmt.Sprintf("wire %s: hardware address %s, mtu %d, mark and settings", s.Endpoint.Wire(), s.Endpoint.PortMAC(), s.Network.Policy.MTU)
}
func (s Release) String() string    { return fmt.Sprintf("wire %s: port of nothing", s.Wire) }
func (s SetRole) String() string    { return fmt.Sprintf("wire %s: role %s", s.Wire, s.Role) }
func (s Enslave) String() string    { return fmt.Sprintf("wire %s: port of bridge %s", s.Wire, s.Bridge) }
func (s SetUp) String() string      { return fmt.Sprintf("link %s: up", s.Link) }
func (s SetDown) String() string    { return fmt.Sprintf("link %s: down", s.Link) }
func (s DeleteLink) String() string { return fmt.Sprintf("link %s: delete", s.Name) }
func (s DropGuard) String() string  { return fmt.Sprintf("wire %s: remove its rules", s.Wire) }

// summary names a few and counts the others: a plan for a thousand endpoints stays readable.
func summary(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
