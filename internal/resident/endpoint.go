package resident

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Interface is what an engine needs to give an endpoint's interface to a container.
type Interface struct {
	// Name is that of the container end, which is still in the host's namespace.
	Name string
	// MAC is its hardware address.
	MAC topology.HardwareAddr
	// Gateway is the default route of an endpoint that may open connections outside; invalid for all others.
	Gateway netip.Addr
	// Routes are those of a server that may reach more than its gateways. None of them is a default route: with one,
	// Docker would ask the host's resolvers for the container.
	Routes []topology.Route
}

// CreateEndpoint makes an endpoint's wire with its rules; both ends stay down. On any error nothing of it is left.
func (f *Front) CreateEndpoint(ctx context.Context, p topology.Endpoint) (topology.Endpoint, error) {
	err := f.locked(ctx, func() error {
		n, err := f.network(p.NetworkID)
		if err != nil {
			return err
		}
		p.Owner = f.core.Owner()
		if p.MAC == nil {
			p.MAC = topology.MACFor(n.ID, p.IP)
		}
		known, err := f.knownEndpoint(p)
		if err != nil {
			return err
		}
		if known != nil { // finish what an earlier attempt may have left undone; a failure leaves the endpoint as it is
			return f.attach(ctx, n, known)
		}
		if err := f.checkAddress(ctx, n, p); err != nil {
			return err
		}
		return f.createEndpoint(ctx, n, &endpoint{Endpoint: p})
	})
	return p, err
}

// knownEndpoint finds the endpoint that a repeated request is about. One of the same id that asks for something else is
// refused: its wire may be somebody's.
func (f *Front) knownEndpoint(p topology.Endpoint) (*endpoint, error) {
	for _, n := range f.networks {
		known, ok := n.endpoints[p.ID]
		if !ok || known.leaving {
			continue
		}
		promoted := known.Role == topology.RoleGateway && p.Role == topology.RoleCandidate
		if n.ID != p.NetworkID || known.IP != p.IP || known.MAC.String() != p.MAC.String() || (known.Role != p.Role && !promoted) {
			return nil, fmt.Errorf("endpoint %s exists on network %s with address %s as %s: remove it first", short(p.ID), n.DisplayName(), known.IP, known.Role)
		}
		return known, nil
	}
	return nil, nil
}

func (f *Front) createEndpoint(ctx context.Context, n *network, p *endpoint) error {
	if err := f.store.PutEndpoint(p.Endpoint, p.joined); err != nil {
		return err
	}
	n.endpoints[p.ID] = p
	f.clearNames(n, p)
	err := f.attach(ctx, n, p)
	if err != nil && ctx.Err() == nil {
		// The network's own rules may be gone: put them back first, then try once more.
		if repair := f.establish(ctx, n); repair == nil {
			err = f.attach(ctx, n, p)
		}
	}
	if err != nil {
		err = fmt.Errorf("network %s: endpoint %s (%s): %w", n.DisplayName(), short(p.ID), p.IP, err)
		return errors.Join(err, f.removeEndpoint(context.WithoutCancel(ctx), n, p))
	}
	f.nameServer(n, p)
	return nil
}

func (f *Front) attach(ctx context.Context, n *network, p *endpoint) error {
	observed, err := f.core.ObserveWire(n.Network, p.Endpoint)
	if err != nil {
		return err
	}
	return f.core.Apply(ctx, plan.AddEndpoint(n.Network, plan.Endpoint{Endpoint: p.Endpoint, Joined: p.joined}, f.core.Features(), observed)...)
}

// checkAddress checks the address, and removes an endpoint that held it before: the container engine assigns addresses,
// and gives one away again only when its holder is gone. A dockerd that was killed forgets endpoints without a word.
func (f *Front) checkAddress(ctx context.Context, n *network, p topology.Endpoint) error {
	if err := n.Placed(p); err != nil {
		return err
	}
	for _, other := range n.endpoints {
		if other.IP != p.IP || other.ID == p.ID || other.leaving {
			continue
		}
		f.log.Info("endpoint removed: its address was given to another", "network", n.DisplayName(), "address", p.IP, "endpoint", short(other.ID))
		if err := f.removeEndpoint(ctx, n, other); err != nil {
			return err
		}
	}
	return nil
}

// Join brings an endpoint's wire up. Its rules stand since CreateEndpoint.
func (f *Front) Join(ctx context.Context, networkID, id string) (i Interface, err error) {
	err = f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if err != nil {
			return err
		}
		p.joined = true
		if err := f.store.PutEndpoint(p.Endpoint, true); err != nil {
			return err
		}
		if err := f.core.Apply(ctx, plan.Step{In: plan.InNetwork(n.Namespace()), Action: plan.SetUp{Link: p.Wire()}}); err != nil {
			return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), err)
		}
		i = Interface{Name: p.Peer(), MAC: p.MAC}
		if p.Role == topology.RoleGateway && n.HasUplink() {
			i.Gateway = n.BridgeAddr
		}
		if p.Role != topology.RoleGateway && n.RoutesServers() {
			i.Routes = n.Halves()
		}
		return nil
	})
	return i, err
}

// Leave takes an endpoint's wire down. One that is not there is no error.
func (f *Front) Leave(ctx context.Context, networkID, id string) error {
	return f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if isUnknown(err) {
			return nil
		}
		if err != nil {
			return err
		}
		p.joined = false
		if err := f.core.Apply(ctx, plan.Step{In: plan.InNetwork(n.Namespace()), Action: plan.SetDown{Link: p.Wire()}}); err != nil {
			return err
		}
		return f.store.PutEndpoint(p.Endpoint, false)
	})
}

// DeleteEndpoint removes an endpoint. One that is not there is no error. The link goes first, without the lock, since
// that takes the kernel tens of milliseconds; its rules stand until it is gone.
func (f *Front) DeleteEndpoint(ctx context.Context, networkID, id string) error {
	n, p, steps, err := f.startLeaving(ctx, networkID, id)
	if err != nil || p == nil {
		return err
	}
	if len(steps) > 0 {
		if err := f.core.Apply(ctx, steps[0]); err != nil {
			f.log.Warn("delete link", "error", err)
		}
	}
	return f.locked(ctx, func() error { return f.finishLeaving(ctx, n, p, steps) })
}

func (f *Front) startLeaving(ctx context.Context, networkID, id string) (n *network, p *endpoint, steps []plan.Step, err error) {
	err = f.locked(ctx, func() error {
		n, p, err = f.endpoint(networkID, id)
		if isUnknown(err) {
			return nil
		}
		if err == nil {
			p.leaving = true
			steps, err = f.core.EndpointRemoval(n.Network, p.Endpoint)
		}
		return err
	})
	return n, p, steps, err
}

// removeEndpoint removes what an endpoint has in the kernel, then its document.
func (f *Front) removeEndpoint(ctx context.Context, n *network, p *endpoint) error {
	p.leaving = true
	steps, err := f.core.EndpointRemoval(n.Network, p.Endpoint)
	if err != nil {
		p.leaving = false
		return err
	}
	return f.finishLeaving(ctx, n, p, steps)
}

func (f *Front) finishLeaving(ctx context.Context, n *network, p *endpoint, steps []plan.Step) error {
	if n.heldByOther(p) {
		for i := range steps {
			if drop, ok := steps[i].Action.(plan.DropGuard); ok {
				drop.Guard = drop.Guard.OfWireAlone()
				if drop.Index == 0 {
					// What is left cannot be told from the other's. The next repair knows it.
					drop.Guard.Elements = nil
				}
				steps[i].Action = drop
			}
		}
	}
	if err := f.core.ApplyAll(ctx, steps...); err != nil {
		p.leaving = false
		return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(p.ID), err)
	}
	if err := f.unpublish(ctx, n, p.ID); err != nil {
		f.log.Warn("published ports of a removed endpoint", "network", n.DisplayName(), "error", err) // the next repair does it
	}
	f.unnameServer(n, p)
	delete(n.endpoints, p.ID)
	return errors.Join(f.store.Unclaim(n.ID, p.IP, p.ID), f.store.DeleteEndpoint(n.ID, p.ID))
}

// heldByOther reports whether another endpoint has taken the address of one that leaves: what leads to the address is
// its own.
func (n *network) heldByOther(p *endpoint) bool {
	for _, other := range n.endpoints {
		if other != p && other.IP == p.IP && !other.leaving {
			return true
		}
	}
	return false
}

// Promote makes a candidate a gateway: the engine's record shows that its address was asked for. The bridge comes
// first, while the rules still deny everything, and the role last, with which the gateway's rules begin.
func (f *Front) Promote(ctx context.Context, networkID, id, reason string) error {
	return f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if err != nil {
			return err
		}
		if p.Role != topology.RoleCandidate || p.leaving {
			return nil
		}
		promoted := p.Endpoint
		promoted.Role, promoted.Reason = topology.RoleGateway, reason
		in := plan.InNetwork(n.Namespace())
		if err := f.core.Apply(ctx,
			plan.Step{In: in, Action: plan.Enslave{Wire: p.Wire(), Bridge: n.Bridge}},
			plan.Step{In: in, Action: plan.AddGuard{Guards: []firewall.Guard{f.change(n, p.Endpoint, promoted)}}},
			plan.Step{In: in, Action: plan.SetRole{Wire: p.Wire(), Role: topology.RoleGateway}},
		); err != nil {
			return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), err)
		}
		p.Endpoint = promoted
		f.log.Info("gateway recognised", "network", n.DisplayName(), "address", p.IP, "reason", reason)
		return f.store.PutEndpoint(p.Endpoint, p.joined)
	})
}

// change is the guard of an endpoint that becomes another one.
func (f *Front) change(n *network, before, after topology.Endpoint) firewall.Guard {
	features := f.core.Features()
	return firewall.Change(firewall.CompileEndpoint(n.Network, before, features), firewall.CompileEndpoint(n.Network, after, features))
}

// Annotate records what the engine tells of an endpoint: its container's name, and why its role is what it is.
func (f *Front) Annotate(ctx context.Context, networkID, id, container, reason string) error {
	return f.locked(ctx, func() error {
		_, p, err := f.endpoint(networkID, id)
		if err != nil || (p.Container == container && (reason == "" || p.Reason == reason)) {
			return err
		}
		p.Container = container
		if reason != "" {
			p.Reason = reason
		}
		return f.store.PutEndpoint(p.Endpoint, p.joined)
	})
}
