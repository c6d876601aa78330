// Package topology names the things an mcpnet network consists of: networks, endpoints, and the names and hardware
// addresses that the kernel objects of both get. It is pure; every other package speaks of networks in its terms.
package topology

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/printed"
)

// Owner is the engine surface that made a network. Each surface collects only the garbage of its own.
type Owner string

// The surfaces.
const (
	OwnerDocker   Owner = "docker"
	OwnerCNI      Owner = "cni"
	OwnerNetavark Owner = "netavark"
)

// Role is what an endpoint may do on its network.
type Role string

const (
	// RoleServer reaches the network's gateways and nothing else.
	RoleServer Role = "server"
	// RoleGateway is reached by servers.
	RoleGateway Role = "gateway"
	// RoleCandidate holds the address of a gateway, but nothing shows yet that it was asked for: engines hand a
	// stopped gateway's address to the next container. Its wire passes nothing.
	RoleCandidate Role = "candidate"
)

// Names of links. The wires of a network, its bridge, its router and the inner end of its uplink lie in the network's
// own namespace; only the outer end of the uplink, and an endpoint's container end until an engine moves it, lie on
// the host.
const (
	// WirePrefix begins the name of the network's end of every endpoint's veth pair, its wire. One ingress chain takes the
	// frames of all of them by this prefix, where the kernel can.
	WirePrefix = "mcpw"
	// Router is the link by which the namespace's IP stack speaks to endpoints: it bears the bridge address. What comes
	// out of it arrives at RouterPort, where a chain carries it to an endpoint.
	Router     = "mcp-router"
	RouterPort = "mcp-rport"
	// UplinkPort is the namespace's end of the uplink.
	UplinkPort = "mcp-uplink"

	peerPrefix   = "mcpc" // the container end while it is still in the host's namespace
	uplinkPrefix = "mcpu" // the uplink of a network whose bridge's name on the host is another plugin's
)

// FirewallZone is the zone of firewalld that uplinks join.
const FirewallZone = "mcpnet"

// Packet marks (skb->mark) within a network's namespace. The ingress chains set one on what they hand to the router;
// the inet table turns it into MarkPermitted, without which nothing is routed: each of the two tables alone leads
// nowhere.
const (
	MarkDenied    = 1 // to be refused
	MarkEgress    = 2 // from a gateway, to be filtered
	MarkServer    = 3 // from a server, to be filtered
	MarkPermitted = 4
)

// What answers servers for names in a network's namespace: ports at the router's address.
const (
	FilterPort = 53
	RelayPort  = 1443
)

// IsReserved reports whether a bridge cannot have a name, because another link in a network's namespace has it.
func IsReserved(name string) bool {
	return name == Router || name == RouterPort || name == UplinkPort || strings.HasPrefix(name, WirePrefix)
}

// Interface groups (IFLA_GROUP) of wires. A wire of no group is a server's.
const (
	GroupServer  = 0
	GroupGateway = 2
)

// Network is one mcpnet network.
type Network struct {
	ID         string        `json:"id"`
	Name       string        `json:"name,omitempty"` // as the user wrote it; empty until the engine told it
	Owner      Owner         `json:"owner"`
	Bridge     string        `json:"bridge"`           // interface name
	Subnet     netip.Prefix  `json:"subnet"`           // IPv4
	BridgeAddr netip.Addr    `json:"bridgeAddr"`       // the address of the network's router
	IPRange    netip.Prefix  `json:"ipRange,omitzero"` // the part of Subnet the engine assigns from; zero if unknown
	Policy     policy.Policy `json:"policy"`
	// Chained networks have container interfaces that another CNI plugin made, and removes. Its bridge on the host has the
	// name in Bridge.
	Chained bool `json:"adopted,omitempty"`
	// Published are the ports of the host that lead to gateways. They come and go with the gateways' endpoints.
	Published []Publication `json:"published,omitempty"`
}

// Namespace is the name of the network's namespace, as `ip netns` shows it.
func (n Network) Namespace() string { return n.Bridge }

// HasUplink reports whether anything of the network goes beyond it. Where nothing does, the host has no link of it.
func (n Network) HasUplink() bool {
	return len(n.Policy.Allow) > 0 || !n.Policy.Egress.Off()
}

// RoutesServers reports whether servers have routes beyond the network: all of them lead to its router, which decides.
func (n Network) RoutesServers() bool { return len(n.Policy.Allow) > 0 }

// Halves are two routes over the network's router that lead everywhere, and are no default route.
func (n Network) Halves() []Route {
	return []Route{{netip.MustParsePrefix("0.0.0.0/1"), n.BridgeAddr}, {netip.MustParsePrefix("128.0.0.0/1"), n.BridgeAddr}}
}

// Uplink is the name of the uplink on the host.
func (n Network) Uplink() string {
	if n.Chained {
		return uplinkPrefix + digest(n.ID)[:11]
	}
	return n.Bridge
}

// RouterPrefix is the router's address with the subnet's prefix length.
func (n Network) RouterPrefix() netip.Prefix {
	return netip.PrefixFrom(n.BridgeAddr, n.Subnet.Bits())
}

// RouterMAC is the hardware address of the router.
func (n Network) RouterMAC() HardwareAddr { return MACFor(n.ID, n.BridgeAddr) }

// UplinkMACs are the hardware addresses of the uplink's ends, on the host and in the namespace: those of two link-local
// addresses that no endpoint can have.
func (n Network) UplinkMACs() (outer, inner HardwareAddr) {
	return MACFor(n.ID, netip.AddrFrom4([4]byte{169, 254, 1, 1})), MACFor(n.ID, netip.AddrFrom4([4]byte{169, 254, 1, 2}))
}

// AskedFor reports whether an endpoint can hold the address only because somebody asked for it: the engine assigns
// from IPRange, so an address outside was requested.
func (n Network) AskedFor(a netip.Addr) bool {
	return n.IPRange.IsValid() && !n.IPRange.Contains(a)
}

// Placed checks an endpoint's address.
func (n Network) Placed(e Endpoint) error {
	if !n.Subnet.Contains(e.IP) {
		return fmt.Errorf("network %s: address %s is not in subnet %s", n.DisplayName(), e.IP, n.Subnet)
	}
	if e.IP == n.BridgeAddr {
		return fmt.Errorf("network %s: address %s is the router's", n.DisplayName(), e.IP)
	}
	return nil
}

// DisplayName is the name that a user knows the network by, or a short id where it is not known yet.
func (n Network) DisplayName() string {
	return printed.Name(cmp.Or(n.Name, n.ID[:min(12, len(n.ID))]))
}

// Endpoint is one container's attachment to a network.
type Endpoint struct {
	ID        string       `json:"id"`
	NetworkID string       `json:"network"`
	Owner     Owner        `json:"owner"`
	Role      Role         `json:"role"`
	IP        netip.Addr   `json:"ip"`
	MAC       HardwareAddr `json:"mac"`
	Container string       `json:"container,omitempty"` // the container's name, once the engine told it; of CNI its id
	Name      string       `json:"name,omitempty"`      // the container's name, where Container is its id
	Reason    string       `json:"reason,omitempty"`    // why Role is what it is
	Interface string       `json:"interface,omitempty"` // its name in the container, where mcpnet gives it that
	Ports     []string     `json:"ports,omitempty"`     // that were to be published, as the surface wrote them
	// Allow is the part of the network's list that the endpoint may reach; nil: all of it.
	Allow     *policy.Allow `json:"allow,omitempty"`
	NetNS     uint64        `json:"netns,omitempty"`    // inode of the container's network namespace, where it is known
	Admission Admission     `json:"admission,omitzero"` // whether its container keeps to the policy
}

// Wire is the name of the endpoint's end in the network's namespace: WirePrefix and 11 hex digits of a hash of the
// endpoint's id, 15 bytes in all (IFNAMSIZ-1).
func (e Endpoint) Wire() string { return WirePrefix + digest(e.ID)[:11] }

// LegacyWire is the name that the wire had in the host's namespace, which held wires before networks had namespaces:
// the owner's letter stands behind the prefix.
func (e Endpoint) LegacyWire() string { return WirePrefix + string(e.Owner[:1]) + digest(e.ID)[:10] }

// Peer is the name of the container end before an engine moves and renames it.
func (e Endpoint) Peer() string { return peerPrefix + digest(string(e.Owner) + e.ID)[:11] }

// Group is the interface group of the endpoint's wire.
func (e Endpoint) Group() uint32 {
	if e.Role == RoleGateway {
		return GroupGateway
	}
	return GroupServer
}

// PortMAC is the hardware address of the host end. No frame is ever addressed to it.
func (e Endpoint) PortMAC() HardwareAddr {
	mac := append(HardwareAddr(nil), e.MAC...)
	mac[0] |= 0x04
	return mac
}

// RequestedMAC takes the hardware address that a user asked for, or without one the address that follows from the
// network. A gateway's is fixed: servers know it before it is there.
func (n Network) RequestedMAC(e Endpoint, asked string) (HardwareAddr, error) {
	fixed := MACFor(n.ID, e.IP)
	if asked == "" {
		return fixed, nil
	}
	mac, err := net.ParseMAC(asked)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return nil, fmt.Errorf("--mac-address %s: not the address of one Ethernet interface", asked)
	}
	for _, a := range append(n.Policy.GatewayAddrs(), n.BridgeAddr) {
		if a != e.IP && mac.String() == MACFor(n.ID, a).String() {
			return nil, fmt.Errorf("--mac-address %s: belongs to %s", asked, a)
		}
	}
	if e.Role != RoleServer && mac.String() != fixed.String() {
		return nil, fmt.Errorf("--mac-address %s: the address of a gateway is fixed (%s): drop the option", asked, fixed)
	}
	return HardwareAddr(mac), nil
}

// HardwareAddr is an Ethernet address that JSON carries in its usual text form.
type HardwareAddr net.HardwareAddr

// String is the colon form, lower case.
func (h HardwareAddr) String() string { return net.HardwareAddr(h).String() }

// MarshalText implements encoding.TextMarshaler.
func (h HardwareAddr) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HardwareAddr) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = nil
		return nil
	}
	m, err := net.ParseMAC(string(b))
	*h = HardwareAddr(m)
	return err
}

// Mark says whose a link is. It is the link's alias (IFLA_IFALIAS), so that every store collects what it made itself,
// and nothing else.
type Mark struct {
	Owner Owner
	ID    string // of the network or the endpoint
	Store string // identity of the store; empty in marks from before networks had namespaces
}

// markPrefix begins every alias of ours.
const markPrefix = "mcpnet"

// String is the alias.
func (m Mark) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", markPrefix, m.Owner, m.ID, m.Store))
}

// ParseMark reads an alias; ok is false for one that is not of ours.
func ParseMark(alias string) (m Mark, ok bool) {
	fields := strings.Fields(alias)
	if len(fields) < 3 || len(fields) > 4 || fields[0] != markPrefix {
		return Mark{}, false
	}
	m = Mark{Owner: Owner(fields[1]), ID: fields[2]}
	if len(fields) == 4 {
		m.Store = fields[3]
	}
	return m, true
}

// MACFor is the hardware address of an address on a network: locally administered, a byte of the network's id, then
// the IPv4 address. A restarted gateway keeps it, so that neighbours' caches stay right.
func MACFor(networkID string, a netip.Addr) HardwareAddr {
	v4 := a.As4()
	sum := sha256.Sum256([]byte(networkID))
	return HardwareAddr{0x02, sum[0], v4[0], v4[1], v4[2], v4[3]}
}

// MACPrefix is how the addresses of MACFor begin, in the network: two bytes.
func (n Network) MACPrefix() string {
	return MACFor(n.ID, netip.IPv4Unspecified()).String()[:len("02:00")]
}

// BridgeName is the interface name of a network that names none and is not the first: "mcp-" and 8 digits of its id.
func BridgeName(networkID string) string { return "mcp-" + digest(networkID)[:8] }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
