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

	"github.com/mcpnet/mcpnet/internal/policy"
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

// WirePrefix begins the name of every host end of an endpoint's veth pair. Firewall rules match it as a wildcard.
const WirePrefix = "mcpw"

// peerPrefix begins the name of the container end while it is still in the host's namespace.
const peerPrefix = "mcpc"

// Network is one mcpnet network.
type Network struct {
	ID         string        `json:"id"`
	Name       string        `json:"name,omitempty"` // as the user wrote it; empty until the engine told it
	Owner      Owner         `json:"owner"`
	Bridge     string        `json:"bridge"`           // interface name
	Subnet     netip.Prefix  `json:"subnet"`           // IPv4
	BridgeAddr netip.Addr    `json:"bridgeAddr"`       // the host's address on the bridge
	IPRange    netip.Prefix  `json:"ipRange,omitzero"` // the part of Subnet the engine assigns from; zero if unknown
	Policy     policy.Policy `json:"policy"`
	// Adopted networks have a bridge and container interfaces that another CNI plugin made, and removes.
	Adopted bool `json:"adopted,omitempty"`
}

// BridgePrefix is the host's address on the bridge with the subnet's prefix length.
func (n Network) BridgePrefix() netip.Prefix {
	return netip.PrefixFrom(n.BridgeAddr, n.Subnet.Bits())
}

// BridgeMAC is the hardware address of the bridge.
func (n Network) BridgeMAC() HardwareAddr { return MACFor(n.ID, n.BridgeAddr) }

// AskedFor reports whether an endpoint can hold the address only because somebody asked for it: the engine assigns
// from IPRange, so an address outside was requested.
func (n Network) AskedFor(a netip.Addr) bool {
	return n.IPRange.IsValid() && !n.IPRange.Contains(a)
}

// DisplayName is the name that a user knows the network by, or a short id where it is not known yet.
func (n Network) DisplayName() string {
	return cmp.Or(n.Name, n.ID[:min(12, len(n.ID))])
}

// Endpoint is one container's attachment to a network.
type Endpoint struct {
	ID        string       `json:"id"`
	NetworkID string       `json:"network"`
	Owner     Owner        `json:"owner"`
	Role      Role         `json:"role"`
	IP        netip.Addr   `json:"ip"`
	MAC       HardwareAddr `json:"mac"`
	Container string       `json:"container,omitempty"` // the container's name, once the engine told it
	Reason    string       `json:"reason,omitempty"`    // why Role is what it is
	Interface string       `json:"interface,omitempty"` // its name in the container, where mcpnet gives it that
	NetNS     uint64       `json:"netns,omitempty"`     // inode of the container's network namespace, where it is known
	Admission Admission    `json:"admission,omitzero"`  // whether its container keeps to the policy
}

// Wire is the name of the endpoint's host end: WirePrefix, the owner's letter and 10 hex digits of a hash of the
// endpoint's id, 15 bytes in all (IFNAMSIZ-1). The name alone tells whose garbage a left-over is.
func (e Endpoint) Wire() string { return OwnedWirePrefix(e.Owner) + digest(e.ID)[:10] }

// Peer is the name of the container end before an engine moves and renames it.
func (e Endpoint) Peer() string { return peerPrefix + string(e.Owner[:1]) + digest(e.ID)[:10] }

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

// OwnedWirePrefix begins the names of all wires of an owner.
func OwnedWirePrefix(o Owner) string { return WirePrefix + string(o[:1]) }

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

// MACFor is the hardware address of an address on a network: locally administered, a byte of the network's id, then
// the IPv4 address. A restarted gateway keeps it, so that neighbours' caches stay right.
func MACFor(networkID string, a netip.Addr) HardwareAddr {
	v4 := a.As4()
	sum := sha256.Sum256([]byte(networkID))
	return HardwareAddr{0x02, sum[0], v4[0], v4[1], v4[2], v4[3]}
}

// BridgeName is the interface name of a network that names none and is not the first: "mcp-" and 8 digits of its id.
func BridgeName(networkID string) string { return "mcp-" + digest(networkID)[:8] }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
