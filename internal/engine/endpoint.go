package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Attachment is what an engine needs to give an endpoint's interface to a container.
type Attachment struct {
	// Interface is the name of the container end, which is still in the engine's namespace.
	Interface string
	// MAC is its hardware address.
	MAC topology.HardwareAddr
	// Gateway is the default route of an endpoint that may open connections outside; invalid for all others.
	Gateway netip.Addr
}

// CreateEndpoint makes an endpoint's wire with its guard; both ends stay down. On any error nothing of it is left.
func (e *Engine) CreateEndpoint(ctx context.Context, p topology.Endpoint) (topology.Endpoint, error) {
	err := e.locked(ctx, func() error {
		n, err := e.network(p.NetworkID)
		if err != nil {
			return err
		}
		p.Owner = e.owner
		if p.MAC == nil {
			p.MAC = topology.MACFor(n.ID, p.IP)
		}
		if known, err := e.knownEndpoint(p); known != nil || err != nil {
			return errors.Join(err, e.reattach(ctx, n, known))
		}
		if err := e.checkAddress(ctx, n, p); err != nil {
			return err
		}
		return e.createEndpoint(ctx, n, &endpoint{Endpoint: p})
	})
	return p, err
}

// knownEndpoint finds the endpoint that a repeated request is about. One of the same id that asks for something else is
// refused: its wire may be somebody's.
func (e *Engine) knownEndpoint(p topology.Endpoint) (*endpoint, error) {
	for _, n := range e.networks {
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

// reattach finishes what an earlier attempt may have left undone; a failure leaves the endpoint as it is.
func (e *Engine) reattach(ctx context.Context, n *network, known *endpoint) error {
	if known == nil {
		return nil
	}
	return e.attach(ctx, n, known)
}

func (e *Engine) createEndpoint(ctx context.Context, n *network, p *endpoint) error {
	if err := e.store.PutEndpoint(p.Endpoint, p.joined); err != nil {
		return err
	}
	n.endpoints[p.ID] = p
	err := e.attach(ctx, n, p)
	if err != nil && ctx.Err() == nil {
		// The network's own rules may be gone: put them back first, then try once more.
		if _, repair := e.reconcile(ctx); repair == nil {
			err = e.attach(ctx, n, p)
		}
	}
	if err != nil {
		err = fmt.Errorf("network %s: endpoint %s (%s): %w", n.DisplayName(), short(p.ID), p.IP, err)
		return errors.Join(err, e.removeEndpoint(context.WithoutCancel(ctx), n, p))
	}
	return nil
}

func (e *Engine) attach(ctx context.Context, n *network, p *endpoint) error {
	observed, err := e.observeWire(p.Endpoint)
	if err != nil {
		return err
	}
	return e.apply(ctx, plan.AddEndpoint(n.Network, plan.Endpoint{Endpoint: p.Endpoint, Joined: p.joined}, observed))
}

// observeWire looks at one endpoint's link only.
func (e *Engine) observeWire(p topology.Endpoint) (plan.Observed, error) {
	found, err := e.links.Find(p.Wire())
	if errors.Is(err, link.ErrNotFound) {
		return plan.Observed{}, nil
	}
	if err != nil {
		return plan.Observed{}, err
	}
	owner, id, _ := found.Owned()
	return plan.Observed{Links: map[string]plan.Link{found.Name: {Name: found.Name, Up: found.Up, Owner: owner, ID: id}}}, nil
}

// checkAddress checks the address, and removes an endpoint that held it before: the container engine assigns addresses,
// and gives one away again only when its holder is gone. A dockerd that was killed forgets endpoints without a word.
func (e *Engine) checkAddress(ctx context.Context, n *network, p topology.Endpoint) error {
	if !n.Subnet.Contains(p.IP) {
		return fmt.Errorf("network %s: address %s is not in subnet %s", n.DisplayName(), p.IP, n.Subnet)
	}
	if p.IP == n.BridgeAddr {
		return fmt.Errorf("network %s: address %s is the bridge's", n.DisplayName(), p.IP)
	}
	for _, other := range n.endpoints {
		if other.IP != p.IP || other.ID == p.ID || other.leaving {
			continue
		}
		e.log.Info("endpoint removed: its address was given to another", "network", n.DisplayName(), "address", p.IP, "endpoint", short(other.ID))
		if err := e.removeEndpoint(ctx, n, other); err != nil {
			return err
		}
	}
	return nil
}

// Join brings an endpoint's wire up. The guard stands since CreateEndpoint.
func (e *Engine) Join(ctx context.Context, networkID, id string) (Attachment, error) {
	var a Attachment
	err := e.locked(ctx, func() error {
		n, p, err := e.endpoint(networkID, id)
		if err != nil {
			return err
		}
		p.joined = true
		if err := e.store.PutEndpoint(p.Endpoint, true); err != nil {
			return err
		}
		if err := e.apply(ctx, []plan.Step{plan.SetUp{Wire: p.Wire()}}); err != nil {
			return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), err)
		}
		a = Attachment{Interface: p.Peer(), MAC: p.MAC}
		if p.Role == topology.RoleGateway && !n.Policy.Egress.Off() {
			a.Gateway = n.BridgeAddr
		}
		return nil
	})
	return a, err
}

// Leave takes an endpoint's wire down. One that is not there is no error.
func (e *Engine) Leave(ctx context.Context, networkID, id string) error {
	return e.locked(ctx, func() error {
		_, p, err := e.endpoint(networkID, id)
		if errors.Is(err, ErrNoEndpoint) || errors.Is(err, ErrNoNetwork) {
			return nil
		}
		if err != nil {
			return err
		}
		p.joined = false
		if err := e.links.Down(p.Wire()); err != nil && !errors.Is(err, link.ErrNotFound) {
			return err
		}
		return e.store.PutEndpoint(p.Endpoint, false)
	})
}

// DeleteEndpoint removes an endpoint. One that is not there is no error. The link goes first, without the lock, since
// that takes the kernel tens of milliseconds; its rules stand until it is gone.
func (e *Engine) DeleteEndpoint(ctx context.Context, networkID, id string) error {
	n, p, err := e.startLeaving(ctx, networkID, id)
	if err != nil || p == nil {
		return err
	}
	if err := e.links.Delete(p.Wire()); err != nil {
		e.log.Warn("delete link", "error", err)
	}
	return e.locked(ctx, func() error { return e.removeEndpoint(ctx, n, p) })
}

func (e *Engine) startLeaving(ctx context.Context, networkID, id string) (n *network, p *endpoint, err error) {
	err = e.locked(ctx, func() error {
		n, p, err = e.endpoint(networkID, id)
		if errors.Is(err, ErrNoEndpoint) || errors.Is(err, ErrNoNetwork) {
			return nil
		}
		if err == nil {
			p.leaving = true
		}
		return err
	})
	return n, p, err
}

// removeEndpoint removes what an endpoint has in the kernel, then its document.
func (e *Engine) removeEndpoint(ctx context.Context, n *network, p *endpoint) error {
	p.leaving = true
	steps := plan.RemoveEndpoint(n.Network, p.Endpoint)
	if n.heldByOther(p) {
		guard := firewall.CompileEndpoint(n.Network, p.Endpoint)
		leadsToSuccessor := func(g firewall.GuardElement) bool { return g.Set.Key[0] != firewall.IfaceName }
		guard.Elements = slices.DeleteFunc(guard.Elements, leadsToSuccessor)
		steps = []plan.Step{plan.DeleteLink{Name: p.Wire()}, plan.DropGuard{Guard: guard}}
	}
	err := e.applyAll(ctx, steps)
	if err != nil {
		p.leaving = false
		return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(p.ID), err)
	}
	delete(n.endpoints, p.ID)
	return errors.Join(e.store.Unclaim(n.ID, p.IP, p.ID), e.store.DeleteEndpoint(n.ID, p.ID))
}

// heldByOther reports whether another endpoint has taken the address of one that leaves.
func (n *network) heldByOther(p *endpoint) bool {
	for _, other := range n.endpoints {
		if other != p && other.IP == p.IP && !other.leaving {
			return true
		}
	}
	return false
}

// Promote makes a candidate a gateway: the engine's record shows that its address was asked for. The bridge comes
// first, while the guard still drops everything.
func (e *Engine) Promote(ctx context.Context, networkID, id, reason string) error {
	return e.locked(ctx, func() error {
		n, p, err := e.endpoint(networkID, id)
		if err != nil {
			return err
		}
		if p.Role != topology.RoleCandidate || p.leaving {
			return nil
		}
		promoted := p.Endpoint
		promoted.Role, promoted.Reason = topology.RoleGateway, reason
		if err := e.apply(ctx, []plan.Step{
			plan.Enslave{Wire: p.Wire(), Bridge: n.Bridge},
			plan.AddGuard{Network: n.Network, Guards: []firewall.Guard{firewall.CompileEndpoint(n.Network, promoted)}},
		}); err != nil {
			return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), err)
		}
		p.Endpoint = promoted
		e.log.Info("gateway recognised", "network", n.DisplayName(), "address", p.IP, "reason", reason)
		return e.store.PutEndpoint(p.Endpoint, p.joined)
	})
}

// Annotate records what the engine tells of an endpoint: its container's name, and why its role is what it is.
func (e *Engine) Annotate(ctx context.Context, networkID, id, container, reason string) error {
	return e.locked(ctx, func() error {
		_, p, err := e.endpoint(networkID, id)
		if err != nil || (p.Container == container && (reason == "" || p.Reason == reason)) {
			return err
		}
		p.Container = container
		if reason != "" {
			p.Reason = reason
		}
		return e.store.PutEndpoint(p.Endpoint, p.joined)
	})
}
