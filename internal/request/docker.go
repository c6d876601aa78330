package request

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Keys of the engine's own options (libnetwork's netlabel package).
const (
	dockerGeneric    = "com.docker.network.generic"
	dockerEnableIPv4 = "com.docker.network.enable_ipv4"
	dockerEnableIPv6 = "com.docker.network.enable_ipv6"
	dockerInternal   = "com.docker.network.internal"
	dockerPortMap    = "com.docker.network.portmap"
	dockerEndpoint   = "com.docker.network.endpoint."
)

// DockerNetwork is a network in a request of Docker's remote driver protocol.
type DockerNetwork struct {
	ID      string
	Options map[string]any
	IPv4    []DockerPool
	IPv6    bool // it has pools of IPv6
}

// DockerPool is a pool of addresses.
type DockerPool struct{ Subnet, Gateway string }

// Words translates the request.
func (n DockerNetwork) Words() NetworkWords {
	generic, _ := n.Options[dockerGeneric].(map[string]any)
	w := NetworkWords{Surface: surface.Docker, ID: n.ID, Options: dockerOptions(generic),
		IPv6: n.IPv6 || n.Options[dockerEnableIPv6] == true, Internal: n.Options[dockerInternal] == true}
	if n.Options[dockerEnableIPv4] == false {
		w.Problems = append(w.Problems, problem.Problem{Key: "--ipv4", Value: "false",
			Reason: "an mcpnet network is IPv4", Accepted: "true"})
	}
	if len(n.IPv4) != 1 {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.Subnet,
			Reason: fmt.Sprintf("the network has %d IPv4 subnets", len(n.IPv4)), Accepted: "exactly one"})
		return w
	}
	w.pool(n.IPv4[0])
	return w
}

func (w *NetworkWords) pool(d DockerPool) {
	subnet, err := netip.ParsePrefix(d.Subnet)
	if err != nil {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.Subnet, Value: d.Subnet,
			Reason: err.Error(), Accepted: "an IPv4 prefix"})
	}
	gateway, err := netip.ParsePrefix(d.Gateway)
	if err != nil {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.BridgeAddr, Value: d.Gateway,
			Reason: "the engine gave the bridge no address", Accepted: "an address of the subnet"})
	}
	w.Subnet, w.BridgeAddr = subnet, gateway.Addr()
}

// DockerEndpoint is an endpoint in a request of the remote driver protocol.
type DockerEndpoint struct {
	ID      string
	Address string // with its prefix
	MAC     string
	Options map[string]any
}

// Words translates the request for an endpoint of a network.
func (e DockerEndpoint) Words(n topology.Network) EndpointWords {
	w := EndpointWords{Surface: surface.Docker, ID: e.ID, Options: dockerOptions(e.Options), MAC: e.MAC,
		Ports: dockerPorts(e.Options)}
	if e.Address == "" {
		return w
	}
	address, err := netip.ParsePrefix(e.Address)
	if err != nil {
		w.Problems = problem.List{{Key: w.Surface.Words.Address, Value: e.Address,
			Reason: "not an IPv4 address with its prefix"}}
		return w
	}
	w.assigned(n, address.Addr())
	return w
}

// DockerRecord is an endpoint in the engine's list: it exists already.
type DockerRecord struct {
	ID, Container string
	Address       netip.Addr
	MAC           string
	Options       map[string]string
}

// Words translates what the engine's list says of an endpoint of a network.
func (r DockerRecord) Words(n topology.Network) EndpointWords {
	options := map[string]any{}
	for k, v := range r.Options {
		options[k] = v
	}
	w := EndpointWords{Surface: surface.Docker, ID: r.ID, Container: r.Container, Options: dockerOptions(options)}
	mac, err := net.ParseMAC(r.MAC)
	if err != nil {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.MAC, Value: r.MAC, Reason: err.Error()})
	}
	if !n.Subnet.Contains(r.Address) {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.Address, Value: r.Address.String(),
			Reason: "not in the subnet " + n.Subnet.String()})
		return w
	}
	w.ExistingMAC = topology.HardwareAddr(mac)
	w.assigned(n, r.Address)
	return w
}

// assigned notes the address that the engine gave.
func (w *EndpointWords) assigned(n topology.Network, a netip.Addr) {
	w.Addrs = []netip.Addr{a}
	if n.IPRange.IsValid() && !n.IPRange.Contains(a) {
		w.outside(n.IPRange)
	}
}

// dockerOptions takes the options that a user wrote. The engine adds values of its own, which are not strings; an
// option of ours that is none goes on as its text, to be refused by name.
func dockerOptions(options map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range options {
		if k == dockerPortMap || strings.HasPrefix(k, dockerEndpoint) {
			continue
		}
		if s, ok := v.(string); ok {
			out[k] = s
		} else if strings.HasPrefix(k, "mcpnet.") {
			out[k] = fmt.Sprintf("%v (%T; not a string)", v, v)
		}
	}
	return out
}

func dockerPorts(options map[string]any) (out []string) {
	ports, _ := options[dockerPortMap].([]any)
	for _, p := range ports {
		if m, ok := p.(map[string]any); ok {
			p = fmt.Sprintf("%v:%v", m["HostPort"], m["Port"])
		}
		out = append(out, fmt.Sprint(p))
	}
	return out
}

// IsDockerDriver reports whether a driver's name is this plugin's: the alias, or the reference under which the
// plugin is installed, with or without a registry, a tag and a digest.
func IsDockerDriver(name string) bool {
	name, _, _ = strings.Cut(name, "@")
	components := strings.Split(name, "/")
	last := len(components) - 1
	components[last], _, _ = strings.Cut(components[last], ":") // a colon before the last slash is of a registry's port
	if last == 0 {
		return components[0] == "mcpnet"
	}
	return components[last-1] == "mcpnet" && components[last] == "driver"
}
