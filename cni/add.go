package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// callTime bounds a call. Runtimes wait for minutes, but hold locks of their own meanwhile.
const callTime = 40 * time.Second

// add attaches a container (CNI, "ADD").
func add(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c, err := parse(args)
	if err != nil {
		return err
	}
	w, err := c.wantedBy(args.Args)
	if err != nil {
		return err
	}
	if err := checkSandbox(args.Netns); err != nil {
		return types.NewError(types.ErrInvalidEnvironmentVariables, fmt.Sprintf("mcpnet: network %q: CNI_NETNS: %v", c.Name, err), "")
	}
	e, err := openEngine(ctx, c)
	if err != nil {
		return c.failed(err)
	}
	defer e.Close()
	a := attachment{config: c, wanted: w, id: ipam.Attachment{ContainerID: args.ContainerID, IfName: args.IfName}, netns: args.Netns, engine: e}
	if c.chained() {
		return a.chain(ctx)
	}
	return a.main(ctx)
}

// openEngine opens the store of CNI's networks.
func openEngine(ctx context.Context, c *config) (*engine.Engine, error) {
	return openStore(ctx, surface.CNI, c.giveBack)
}

// giveBack releases the address of a container that ended without a DEL.
func (c *config) giveBack(p topology.Endpoint) {
	if c.ipam == nil || p.NetworkID != c.Name {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if err := c.ipam.Del(ctx, ipam.Attachment{ContainerID: p.Container, IfName: p.Interface}, p.IP); err != nil {
		slog.Warn("address of a container that is gone", "address", p.IP, "container", p.Container, "error", err)
	}
}

// attachment is one ADD.
type attachment struct {
	*config
	wanted
	id     ipam.Attachment
	netns  string
	engine *engine.Engine
}

// main makes the interface: main mode.
func (a attachment) main(ctx context.Context) error {
	if a.prev != nil {
		return a.invalid(problem.List{{Key: "ipam", Value: a.IPAM.Type, Reason: "another plugin of the chain made the interface and gave it an address",
			Accepted: "mcpnet first in the list, with ipam, or after the bridge plugin, without"}})
	}
	attached, err := a.engine.Attached(a.Name, endpointID(a.id.ContainerID, a.id.IfName))
	if err != nil {
		return a.failed(err)
	}
	if attached {
		return a.failed(fmt.Errorf("container %s has interface %s on this network: %w", a.id.ContainerID, a.id.IfName, engine.ErrAttached))
	}
	lease, err := a.lease(ctx)
	if err != nil {
		return a.failed(err)
	}
	result, err := a.attachMain(ctx, lease)
	if err != nil {
		if back := a.ipam.Del(context.WithoutCancel(ctx), a.id, lease.Addr.Addr()); back != nil {
			slog.Warn("give the address back", "error", back)
		}
		return a.failed(err)
	}
	return types.PrintResult(result, a.CNIVersion)
}

// lease gets an address. When none is free, those of containers that ended without a DEL are given back first.
func (a attachment) lease(ctx context.Context) (ipam.Lease, error) {
	asked := a.ips
	if a.role == policy.RoleGateway && len(asked) == 0 {
		asked = a.parsed.GatewayAddrs()
	}
	lease, err := a.ipam.Add(ctx, a.id, asked)
	if errors.Is(err, ipam.ErrExhausted) {
		if swept := a.engine.Sweep(ctx, a.Name, nil); swept != nil {
			slog.Warn("sweep", "error", swept)
		}
		lease, err = a.ipam.Add(ctx, a.id, asked)
	}
	return lease, err
}

func (a attachment) attachMain(ctx context.Context, lease ipam.Lease) (result types.Result, err error) {
	bridge := lease.Gateway
	if !bridge.IsValid() {
		bridge = lease.Addr.Masked().Addr().Next()
	}
	n := a.network(lease.Addr.Masked(), bridge)
	if problems := a.place(n.Subnet, n.BridgeAddr); len(problems) > 0 {
		return nil, a.invalid(problems)
	}
	p, err := a.endpoint(n, lease.Addr.Addr())
	if err != nil {
		return nil, err
	}
	n, p, err = attach(ctx, a.engine, n, plan.Attachment{Endpoint: p, Sandbox: a.netns})
	if err != nil {
		return nil, err
	}
	return a.result(n, p, lease.DNS), nil
}

func (a attachment) network(subnet netip.Prefix, bridge netip.Addr) topology.Network {
	return topology.Network{ID: a.Name, Name: a.Name, Bridge: a.parsed.Bridge, Subnet: subnet, BridgeAddr: bridge, Policy: a.parsed}
}

// endpoint decides what the attachment is. Nothing can tell later that a gateway's address was asked for, so an endpoint
// that merely got one is refused.
func (a attachment) endpoint(n topology.Network, addr netip.Addr) (topology.Endpoint, error) {
	p := topology.Endpoint{ID: endpointID(a.id.ContainerID, a.id.IfName), NetworkID: n.ID, IP: addr, Container: a.id.ContainerID, Interface: a.id.IfName}
	said := a.role
	askedFor := len(a.ips) > 0 || a.static
	if said == policy.RoleUnset && askedFor && n.Policy.IsGateway(addr) {
		said = policy.RoleGateway
	}
	var err error
	if p.Role, p.Reason, err = n.RoleFor(addr, said); err != nil {
		return p, a.unfit(err)
	}
	switch {
	case p.Role == topology.RoleCandidate:
		return p, a.invalid(problem.List{{Key: "ipam", Value: addr.String(), Reason: "the address is a gateway's, and nothing shows that it was asked for",
			Accepted: fmt.Sprintf("a range of %s without gateways' addresses, or %s=gateway (CNI_ARGS, args.cni, or a pod's annotation)", a.ipamName(), policy.KeyRole)}})
	case p.Role == topology.RoleGateway && a.role == policy.RoleUnset:
		p.Reason = fmt.Sprintf("address %s was asked for", addr)
	case p.Role == topology.RoleServer && len(a.Runtime.PortMappings) > 0:
		return p, a.invalid(problem.List{{Key: "portMappings", Value: a.ports(), Reason: "only the gateway reaches a server", Accepted: "no published ports: publish them on the gateway"}})
	}
	if p.MAC, err = n.RequestedMAC(p, a.mac); err != nil {
		err = a.unfit(err)
	}
	return p, err
}

func (a attachment) ports() string {
	var out []string
	for _, m := range a.Runtime.PortMappings {
		out = append(out, fmt.Sprintf("%d:%d/%s", m.HostPort, m.ContainerPort, m.Protocol))
	}
	return strings.Join(out, ",")
}

func (a attachment) ipamName() string {
	if a.chained() {
		return "the bridge plugin's ipam"
	}
	return a.IPAM.Type
}
