package request

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// NetavarkCall is NetworkPluginExec of netavark's plugin API: a container on a network.
type NetavarkCall struct {
	ContainerID   string            `json:"container_id"`
	ContainerName string            `json:"container_name"`
	Ports         []NetavarkPort    `json:"port_mappings"`
	Network       NetavarkNetwork   `json:"network"`
	Options       NetavarkContainer `json:"network_options"`
}

// NetavarkPort is a published port.
type NetavarkPort struct {
	ContainerPort int    `json:"container_port"`
	HostPort      int    `json:"host_port"`
	Protocol      string `json:"protocol"`
}

// NetavarkContainer is what Podman says of a container's interface.
type NetavarkContainer struct {
	Interface string            `json:"interface_name"`
	IPs       []netip.Addr      `json:"static_ips"`
	MAC       string            `json:"static_mac"`
	Options   map[string]string `json:"options"`
}

// NetavarkNetwork is the part of a network of Podman's that mcpnet reads.
type NetavarkNetwork struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Interface  string            `json:"network_interface"`
	Subnets    []NetavarkSubnet  `json:"subnets"`
	Routes     []json.RawMessage `json:"routes"`
	IPv6       bool              `json:"ipv6_enabled"`
	Internal   bool              `json:"internal"`
	DNSServers []string          `json:"network_dns_servers"`
	Options    map[string]string `json:"options"`
	IPAM       map[string]string `json:"ipam_options"`
}

// NetavarkSubnet is a subnet of a network.
type NetavarkSubnet struct {
	Subnet  netip.Prefix   `json:"subnet"`
	Gateway netip.Addr     `json:"gateway,omitzero"`
	Lease   *NetavarkLease `json:"lease_range,omitempty"`
}

// NetavarkLease is the range that Podman assigns from. One end may be missing: the range is open then.
type NetavarkLease struct {
	Start netip.Addr `json:"start_ip,omitzero"`
	End   netip.Addr `json:"end_ip,omitzero"`
}

// Words translates the network.
func (n NetavarkNetwork) Words() NetworkWords {
	w := n.words()
	if len(n.Subnets) != 1 {
		w.Problems = append(w.Problems, problem.Problem{Key: w.Surface.Words.Subnet,
			Reason: fmt.Sprintf("the network has %d subnets", len(n.Subnets)), Accepted: "exactly one, of IPv4"})
		return w
	}
	w.Subnet, w.BridgeAddr = n.Subnets[0].Subnet, n.Subnets[0].Gateway
	return w
}

// words translates all but the subnets.
func (n NetavarkNetwork) words() NetworkWords {
	w := NetworkWords{Surface: surface.Netavark, ID: n.ID, Name: n.Name, Options: map[string]string{}, IPv6: n.IPv6,
		Internal: n.Internal}
	maps.Copy(w.Options, n.Options)
	if n.Interface != "" {
		if have, ok := n.Options[policy.KeyBridge]; ok && have != n.Interface {
			w.Problems = append(w.Problems, problem.Problem{Key: policy.KeyBridge, Value: have,
				Reason: "--interface-name says " + n.Interface, Accepted: "one of the two"})
		}
		w.Options[policy.KeyBridge] = n.Interface
	}
	if len(n.Routes) > 0 {
		w.Problems = append(w.Problems, problem.Problem{Key: "--route",
			Reason: "a server's only routes are those to its gateways", Accepted: "no --route"})
	}
	if driver := n.IPAM["driver"]; driver != "" && driver != hostLocal {
		w.Problems = append(w.Problems, problem.Problem{Key: "--ipam-driver", Value: driver,
			Reason: "Podman has to assign the addresses", Accepted: hostLocal})
	}
	return w
}

const hostLocal = "host-local"

// Words translates the container, for an endpoint with an id.
func (c NetavarkCall) Words(id string) EndpointWords {
	w := EndpointWords{Surface: surface.Netavark, ID: id, Container: c.ContainerName, Interface: c.Options.Interface,
		Options: c.Options.Options, Addrs: c.Options.IPs, MAC: c.Options.MAC}
	for _, p := range c.Ports {
		w.Ports = append(w.Ports, fmt.Sprintf("%d:%d", p.HostPort, p.ContainerPort))
	}
	if len(w.Addrs) != 1 || len(c.Network.Subnets) != 1 {
		return w
	}
	if r, ok := c.Network.Subnets[0].leased(); ok && !r.Contains(w.Addrs[0]) {
		w.outside(r)
	}
	return w
}

// leased is the range that Podman assigns from, where one was said. An end that is missing is that of the subnet.
func (s NetavarkSubnet) leased() (r netipx.IPRange, ok bool) {
	if s.Lease == nil || !s.Subnet.IsValid() {
		return r, false
	}
	whole := netipx.RangeOfPrefix(s.Subnet)
	start, end := s.Lease.Start, s.Lease.End
	if !start.IsValid() {
		start = whole.From().Next()
	}
	if !end.IsValid() {
		end = whole.To().Prev()
	}
	r = netipx.IPRangeFrom(start, end)
	return r, r.IsValid() && s.Subnet.Contains(start) && s.Subnet.Contains(end)
}
