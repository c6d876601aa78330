package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Keys of the engine's own options (libnetwork's netlabel package).
const (
	optionGeneric    = "com.docker.network.generic"
	optionEnableIPv4 = "com.docker.network.enable_ipv4"
	optionEnableIPv6 = "com.docker.network.enable_ipv6"
	optionInternal   = "com.docker.network.internal"
	optionPortMap    = "com.docker.network.portmap"
)

// requestedNetwork reads a CreateNetwork request and names everything that is wrong with it.
func requestedNetwork(r *network.CreateNetworkRequest) (topology.Network, error) {
	if err := needID(r.NetworkID); err != nil {
		return topology.Network{}, err
	}
	generic, _ := r.Options[optionGeneric].(map[string]any)
	w := wanted{id: r.NetworkID, options: stringOptions(generic), ipv6: r.Options[optionEnableIPv6] == true || len(r.IPv6Data) > 0,
		internal: r.Options[optionInternal] == true}
	var problems problem.List
	if r.Options[optionEnableIPv4] == false {
		problems = append(problems, problem.Problem{Key: "--ipv4", Value: "false", Reason: "an mcpnet network is IPv4", Accepted: "true"})
	}
	if len(r.IPv4Data) != 1 || r.IPv4Data[0] == nil {
		problems = append(problems, problem.Problem{Key: "--subnet", Reason: fmt.Sprintf("the network has %d IPv4 subnets", len(r.IPv4Data)), Accepted: "exactly one"})
	} else {
		problems = append(problems, w.address(r.IPv4Data[0])...)
	}
	n, err := w.network()
	return n, joinProblems(problems, err)
}

// wanted is a network as an engine describes it, in a request or in its list.
type wanted struct {
	id, name       string
	options        map[string]string
	subnet         netip.Prefix
	ipRange        netip.Prefix
	gateway        netip.Addr
	ipv6, internal bool
}

func (w *wanted) address(d *network.IPAMData) (problems problem.List) {
	subnet, err := netip.ParsePrefix(d.Pool)
	if err != nil {
		problems = append(problems, problem.Problem{Key: "--subnet", Value: d.Pool, Reason: err.Error(), Accepted: "an IPv4 prefix"})
	}
	w.subnet = subnet
	gateway, err := netip.ParsePrefix(d.Gateway)
	if err != nil {
		problems = append(problems, problem.Problem{Key: "--gateway", Value: d.Gateway, Reason: "the engine gave the bridge no address", Accepted: "an address of the subnet"})
	}
	w.gateway = gateway.Addr()
	return problems
}

// network makes the network, or names every problem.
func (w wanted) network() (topology.Network, error) {
	p, err := policy.Parse(w.options)
	problems, other := problem.Of(err)
	if other != nil {
		return topology.Network{}, other
	}
	if w.internal {
		if w.options[policy.KeyEgress] != "" && w.options[policy.KeyEgress] != "off" {
			problems = append(problems, problem.Problem{Key: policy.KeyEgress, Value: w.options[policy.KeyEgress],
				Reason: "an --internal network has no egress", Accepted: "off, or no --internal"})
		}
		p.Egress = policy.Egress{}
	}
	if w.subnet.IsValid() || w.ipv6 {
		more, _ := problem.Of(p.Validate(policy.Network{Subnet: w.subnet, BridgeAddr: w.gateway, IPv6: w.ipv6}))
		problems = append(problems, more...)
	}
	if len(problems) > 0 {
		return topology.Network{}, problems
	}
	return topology.Network{ID: w.id, Name: w.name, Bridge: p.Bridge, Subnet: w.subnet.Masked(), BridgeAddr: w.gateway, IPRange: w.ipRange, Policy: p}, nil
}

func joinProblems(first problem.List, err error) error {
	more, other := problem.Of(err)
	if all := append(first, more...); len(all) > 0 {
		return all
	}
	return other
}

// stringOptions takes the options that a user wrote. The engine adds values of its own, which are not strings; an option
// of ours that is none goes on as its text, to be refused by name.
func stringOptions(options map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range options {
		if isEngineOption(k) {
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

func isEngineOption(key string) bool {
	return key == optionPortMap || strings.HasPrefix(key, "com.docker.network.endpoint.")
}

// checkPorts refuses published ports on a server: it has nothing that could carry them. A gateway's may be meant for
// its other network, since newer engines send them to every endpoint.
func checkPorts(n topology.Network, p topology.Endpoint, options map[string]any) error {
	ports, _ := options[optionPortMap].([]any)
	if len(ports) == 0 || p.Role != topology.RoleServer {
		return nil
	}
	return fmt.Errorf("network %s: published ports (-p) on a server: only the gateway reaches it; publish the port on the gateway, and drop -p (%s) here",
		n.DisplayName(), describePorts(ports))
}

func describePorts(ports []any) string {
	var out []string
	for _, p := range ports {
		if m, ok := p.(map[string]any); ok {
			out = append(out, fmt.Sprintf("%v:%v", m["HostPort"], m["Port"]))
		}
	}
	return strings.Join(out, ", ")
}
