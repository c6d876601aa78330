package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// chain guards the interface that the plugin before made: chained mode. The host end leaves the bridge and becomes a wire.
func (a attachment) chain(ctx context.Context) error {
	port, err := a.port()
	if err != nil {
		return a.failed(err)
	}
	n, addr, err := a.ground(port)
	if err != nil {
		return a.failed(err)
	}
	p, err := a.endpoint(n, addr)
	if err == nil && p.Role == topology.RoleServer && a.mac == "" {
		p.MAC = port.MAC // the bridge plugin's choice
	}
	if err != nil {
		return a.failed(err)
	}
	n, p, err = attach(ctx, a.engine, n, plan.Attachment{Endpoint: p, Sandbox: a.netns, Port: port.Host})
	if err != nil {
		return a.failed(err)
	}
	return types.PrintResult(a.chainedResult(n, p, port), a.CNIVersion)
}

// port finds the host end of the container's interface: not by what the result says, but by what the kernel does.
func (a attachment) port() (engine.Port, error) {
	if a.prev == nil {
		return engine.Port{}, a.invalid(problem.List{{Key: "prevResult", Reason: "missing: without ipam mcpnet guards an interface that a plugin before it made",
			Accepted: "the bridge plugin before mcpnet in the list, or ipam"}})
	}
	inside := func(i *current.Interface) bool { return i.Sandbox != "" && i.Name == a.id.IfName }
	if !slices.ContainsFunc(a.prev.Interfaces, inside) {
		return engine.Port{}, a.unusable(fmt.Sprintf("has no interface %s of the container", a.id.IfName))
	}
	port, err := a.engine.PortOf(a.netns, a.id.IfName)
	if errors.Is(err, engine.ErrNoPort) {
		return port, a.unusable(err.Error())
	}
	return port, err
}

func (a attachment) unusable(reason string) error {
	return a.invalid(problem.List{{Key: "prevResult", Reason: reason, Accepted: "the result of the bridge plugin: one veth pair, one IPv4 address"}})
}

// ground reads the network from the result of the plugin before.
func (a attachment) ground(port engine.Port) (n topology.Network, addr netip.Addr, err error) {
	if port.Bridge == "" {
		return n, addr, a.unusable(fmt.Sprintf("interface %s of the host is a port of no bridge", port.Host))
	}
	if len(a.prev.IPs) != 1 || a.prev.IPs[0].Address.IP.To4() == nil {
		return n, addr, a.unusable(fmt.Sprintf("has %d addresses; an endpoint has exactly one, of IPv4", len(a.prev.IPs)))
	}
	if a.parsed.Bridge != "" && a.parsed.Bridge != port.Bridge {
		return n, addr, a.invalid(problem.List{{Key: "bridge", Value: a.parsed.Bridge, Reason: "the plugin before mcpnet uses " + port.Bridge, Accepted: "no bridge here"}})
	}
	ip := a.prev.IPs[0]
	addr, _ = netip.AddrFromSlice(ip.Address.IP.To4())
	ones, _ := ip.Address.Mask.Size()
	subnet := netip.PrefixFrom(addr, ones).Masked()
	bridge, ok := netip.AddrFromSlice(ip.Gateway.To4())
	if !ok {
		bridge = subnet.Addr().Next()
	}
	n = a.network(subnet, bridge)
	n.Bridge, n.Adopted = port.Bridge, true
	if a.MTU == nil {
		n.Policy.MTU = port.MTU
	}
	if problems := a.place(n.Subnet, n.BridgeAddr); len(problems) > 0 {
		return n, addr, a.invalid(problems)
	}
	return n, addr, nil
}

// chainedResult passes on what the plugin before said, with the wire under its new name and what the container has now.
func (a attachment) chainedResult(n topology.Network, p topology.Endpoint, port engine.Port) *current.Result {
	var interfaces []*current.Interface
	for _, i := range a.prev.Interfaces {
		copied := *i
		switch {
		case i.Sandbox == "" && i.Name == port.Host:
			copied.Name = p.Wire()
		case i.Sandbox == "" && i.Name == n.Bridge:
			copied.Mac = n.BridgeMAC().String()
		case i.Sandbox != "" && i.Name == p.Interface:
			copied.Mac = p.MAC.String()
		}
		interfaces = append(interfaces, &copied)
	}
	return a.describe(n, p, a.prev.DNS, interfaces)
}
