package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/ipam"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// callTime bounds a call. Runtimes wait for minutes, and hold locks of their own meanwhile.
const callTime = 40 * time.Second

// add attaches a container (CNI, "ADD").
func add(args *skel.CmdArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	c, err := parse(args)
	if err != nil {
		return err
	}
	w, err := c.wantedBy(args)
	if err != nil {
		return err
	}
	if err := checkSandbox(args.Netns); err != nil {
		return types.NewError(types.ErrInvalidEnvironmentVariables,
			fmt.Sprintf("mcpnet: network %q: CNI_NETNS: %v", c.Name, err), "")
	}
	e, err := openEngine(ctx, c)
	if err != nil {
		return c.failed(err)
	}
	defer e.Close()
	a := attachment{config: c, wanted: w, id: ipam.Attachment{ContainerID: args.ContainerID, IfName: args.IfName},
		netns: args.Netns, engine: e}
	if c.chained() {
		return a.chain(ctx)
	}
	return a.main(ctx)
}

// openEngine opens the store of CNI's networks.
func openEngine(ctx context.Context, c *config) (*percall.Front, error) {
	return openStore(ctx, surface.CNI, c.releaseAddress)
}

// releaseAddress releases the address of a container that ended without a DEL.
func (c *config) releaseAddress(p topology.Endpoint) {
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
	wanted request.EndpointWords
	id     ipam.Attachment
	netns  string
	engine *percall.Front
}

// main makes the interface (main mode).
func (a attachment) main(ctx context.Context) error {
	if a.prev != nil {
		return a.invalid(problem.List{{Key: "ipam", Value: a.IPAM.Type,
			Reason:   "another plugin of the chain made the interface and gave it an address",
			Accepted: "mcpnet first in the list, with ipam, or after the bridge plugin, without"}})
	}
	attached, err := a.engine.Attached(a.Name, a.wanted.ID)
	if err != nil {
		return a.failed(err)
	}
	if attached {
		return a.failed(fmt.Errorf("container %s has interface %s on this network: %w", a.id.ContainerID,
			a.id.IfName, percall.ErrAttached))
	}
	lease, err := a.lease(ctx)
	if err != nil {
		return a.failed(err)
	}
	result, err := a.attachMain(ctx, lease)
	if err != nil {
		if failed := a.ipam.Del(context.WithoutCancel(ctx), a.id, lease.Addr.Addr()); failed != nil {
			slog.Warn("release the address", "error", failed)
		}
		return a.failed(err)
	}
	return types.PrintResult(result, a.CNIVersion)
}

// lease gets an address. When none is free it first releases those of containers that ended without a DEL.
func (a attachment) lease(ctx context.Context) (ipam.Lease, error) {
	asked := a.wanted.Wants(a.policy)
	lease, err := a.ipam.Add(ctx, a.id, asked)
	if errors.Is(err, ipam.ErrExhausted) {
		if swept := a.engine.Sweep(ctx, a.Name, nil); swept != nil {
			slog.Warn("sweep", "error", swept)
		}
		lease, err = a.ipam.Add(ctx, a.id, asked)
	}
	return lease, err
}

func (a attachment) attachMain(ctx context.Context, lease ipam.Lease) (types.Result, error) {
	w := a.words
	w.Subnet, w.BridgeAddr = lease.Addr.Masked(), lease.Gateway
	n, p, err := a.requested(w, lease.Addr.Addr())
	if err != nil {
		return nil, err
	}
	n, p, err = attach(ctx, a.engine, n, plan.Attachment{Endpoint: p, Sandbox: a.netns})
	if err != nil {
		return nil, err
	}
	return a.result(n, p, lease.DNS), nil
}

// requested makes the network and the endpoint, once the addresses of both are known.
func (a attachment) requested(w request.NetworkWords, addr netip.Addr) (topology.Network, topology.Endpoint, error) {
	n, err := w.Network()
	if err != nil {
		return n, topology.Endpoint{}, a.refused(err)
	}
	a.wanted.Addrs = []netip.Addr{addr}
	p, err := a.wanted.Endpoint(n)
	if err != nil {
		return n, p, a.refused(err)
	}
	return n, p, nil
}
