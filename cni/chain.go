package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// chain guards the interface that the plugin before made (chained mode). The host end leaves the bridge and the host,
// and becomes a wire in the network's namespace.
func (a attachment) chain(ctx context.Context) error {
	port, err := a.port()
	if err != nil {
		return a.failed(err)
	}
	made := a.made(port)
	a.wanted.ExistingMAC = made.MAC
	var addr netip.Addr
	if len(made.Addrs) > 0 {
		addr = made.Addrs[0].Addr()
	}
	n, p, err := a.requested(made.On(a.words), addr)
	if err != nil {
		return a.failed(err)
	}
	n, p, err = attach(ctx, a.engine, n, plan.Attachment{Endpoint: p, Sandbox: a.netns, Port: port.Host})
	if err != nil {
		return a.failed(err)
	}
	return types.PrintResult(a.chainedResult(n, p, port), a.CNIVersion)
}

// port finds the host end of the container's interface. It asks the kernel, since the result may be wrong.
func (a attachment) port() (core.Port, error) {
	if a.prev == nil {
		return core.Port{}, a.invalid(problem.List{{Key: "prevResult",
			Reason:   "missing: without ipam mcpnet guards an interface that a plugin before it made",
			Accepted: "the bridge plugin before mcpnet in the list, or ipam"}})
	}
	inside := func(i *current.Interface) bool { return i.Sandbox != "" && i.Name == a.id.IfName }
	if !slices.ContainsFunc(a.prev.Interfaces, inside) {
		return core.Port{}, a.unusable(fmt.Sprintf("has no interface %s of the container", a.id.IfName))
	}
	port, err := a.engine.PortOf(a.netns, a.id.IfName)
	if errors.Is(err, core.ErrNoPort) {
		return port, a.unusable(err.Error())
	}
	return port, err
}

func (a attachment) unusable(reason string) error {
	return a.invalid(problem.List{request.UnusableResult(reason)})
}

// made describes what the plugin before made, by its result and by the kernel.
func (a attachment) made(port core.Port) request.CNIInterface {
	made := request.CNIInterface{Host: port.Host, Bridge: port.Bridge, MTU: port.MTU, MAC: port.MAC}
	for _, ip := range a.prev.IPs {
		addr, _ := netipx.FromStdIPNet(&ip.Address)
		made.Addrs = append(made.Addrs, addr)
		made.Gateway, _ = netipx.FromStdIP(ip.Gateway)
	}
	return made
}

// chainedResult is the result of the plugin before, without the end that is a wire in the network's namespace now, and
// with the container's new addresses.
func (a attachment) chainedResult(n topology.Network, p topology.Endpoint, port core.Port) *current.Result {
	var interfaces []*current.Interface
	for _, i := range a.prev.Interfaces {
		copied := *i
		switch {
		case i.Sandbox == "" && i.Name == port.Host:
			continue
		case i.Sandbox != "" && i.Name == p.Interface:
			copied.Mac = p.MAC.String()
		}
		interfaces = append(interfaces, &copied)
	}
	return a.describe(n, p, a.prev.DNS, interfaces)
}
