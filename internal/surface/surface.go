// Package surface is the table of the surfaces on which users meet mcpnet. A row says what is true of one surface
// and not of the others; another engine is another row.
package surface

import (
	"cmp"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// DefaultRoot holds the store of each surface, and what mcpnet records about itself.
	DefaultRoot = "/var/lib/mcpnet"
	// RootVariable is the environment variable that names another root.
	RootVariable = "MCPNET_STORE"
)

const (
	// DefaultNamespaces is where networks' namespaces are pinned, and where ip-netns(8) looks for them.
	DefaultNamespaces = "/run/netns"
	// NamespacesVariable is the environment variable that names another directory.
	NamespacesVariable = "MCPNET_NETNS"
)

const (
	// DefaultSystemBus is the address of a host's system bus, where its firewalld is.
	DefaultSystemBus = "unix:path=/run/dbus/system_bus_socket"
	// SystemBusVariable is the environment variable that names another, as to every program that speaks D-Bus.
	SystemBusVariable = "DBUS_SYSTEM_BUS_ADDRESS"
)

// SystemBus is the address of the system bus, from the value of SystemBusVariable.
func SystemBus(named string) string { return cmp.Or(named, DefaultSystemBus) }

// Namespaces is the directory of networks' namespaces, from the value of NamespacesVariable.
func Namespaces(named string) string { return cmp.Or(named, DefaultNamespaces) }

// Root is the root of all stores, from the value of RootVariable.
func Root(named string) string { return cmp.Or(named, DefaultRoot) }

// Surface is one row.
type Surface struct {
	Owner topology.Owner
	// Dir is the directory of the surface's store below the root. The store of Docker's plugin is the root itself:
	// a managed plugin has the root for itself.
	Dir string
	// Resident says that one process serves all calls and repairs what goes missing. Without it each call is a process.
	Resident bool
	// Later says that the engine's record shows after the start that an address was asked for. Without it the
	// request has to.
	Later bool
	Words Words
}

// Words are what the users of a surface call things. An empty word says that the surface has no such thing.
type Words struct {
	Subnet, BridgeAddr, Range, IPv6, Internal string // of a network
	BridgeName, MTU                           string // of its bridge
	PolicyPrefix                              string // begins the keys of the policy
	Address, MAC, Ports                       string // of an endpoint
	Role                                      string // where an endpoint's role is set
	Assigner                                  string // who chooses addresses that nobody asked for
}

// flags are the words of Docker's command line, which Podman's repeats. Package policy knows a network by them.
var flags = Words{
	Subnet: "--subnet", BridgeAddr: "--gateway", Range: "--ip-range", IPv6: "--ipv6", Internal: "--internal",
	BridgeName: policy.KeyBridge, MTU: policy.KeyMTU, PolicyPrefix: policyPrefix,
	Address: "--ip", MAC: "--mac-address", Ports: "-p",
	Role: "a driver option of the endpoint", Assigner: "the engine",
}

// The surfaces.
var (
	Docker   = Surface{Owner: topology.OwnerDocker, Resident: true, Later: true, Words: flags}
	CNI      = Surface{Owner: topology.OwnerCNI, Dir: "cni", Words: conflist}
	Netavark = Surface{Owner: topology.OwnerNetavark, Dir: "netavark", Words: podman}
)

var conflist = Words{
	Subnet: "ipam.subnet", BridgeAddr: "ipam.gateway", Range: "ipam.ranges", IPv6: "ipam.ranges",
	BridgeName: "bridge", MTU: "mtu", PolicyPrefix: "policy.",
	Address: "ips", MAC: "mac", Ports: "portMappings",
	Role: "CNI_ARGS, args.cni, or a pod's annotation", Assigner: "the IPAM plugin",
}

var podman = func() Words {
	w := flags
	w.Role, w.Assigner = "an option of the container's network", "Podman"
	return w
}()

// All is the table.
func All() []Surface { return []Surface{Docker, CNI, Netavark} }

// Of is the surface whose networks have an owner.
func Of(owner topology.Owner) Surface {
	for _, s := range All() {
		if s.Owner == owner {
			return s
		}
	}
	return Docker
}

// PerCall are the surfaces that start a process for each call.
func PerCall() (some []Surface) {
	for _, s := range All() {
		if !s.Resident {
			some = append(some, s)
		}
	}
	return some
}

// Store is the directory of the surface's documents.
func (s Surface) Store(root string) string { return filepath.Join(root, s.Dir) }
