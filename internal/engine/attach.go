package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Attach attaches a container to a network of a shared store in one go, and makes the network with its first endpoint. On
// any error nothing of the endpoint is left, nor of a network that was made for it.
func (e *Engine) Attach(ctx context.Context, n topology.Network, a plan.Attachment) (topology.Network, topology.Endpoint, error) {
	err := e.within(ctx, n, func(ready topology.Network) (err error) {
		n = ready
		a.NetworkID, a.Owner = n.ID, e.owner
		if a.NetNS, err = ns.Inode(a.Sandbox); err != nil {
			return err
		}
		if a.MAC == nil {
			a.MAC = topology.MACFor(n.ID, a.IP)
		}
		return e.attachOne(ctx, n, a)
	})
	if err != nil {
		err = errors.Join(err, e.removeUnused(context.WithoutCancel(ctx), n.ID)) // made for this endpoint alone
	}
	return n, a.Endpoint, err
}

func (e *Engine) attachOne(ctx context.Context, n topology.Network, a plan.Attachment) error {
	if err := errors.Join(placed(n, a.Endpoint), e.checkResident(n, a.Endpoint)); err != nil {
		return err
	}
	done, alone, err := e.store.Attaching(n.ID, a.ID)
	if err != nil {
		return err
	}
	if !alone {
		return fmt.Errorf("network %s: container %s is being attached by another call: %w", n.DisplayName(), short(a.Container), ErrAttached)
	}
	defer done()
	if err := e.vacate(ctx, n, a.Endpoint); err != nil {
		return err
	}
	if a.Role == topology.RoleGateway && !n.Policy.Egress.Off() {
		if err := e.ensureIPTables(ctx, n); err != nil {
			return fmt.Errorf("network %s: gateway's egress: %w", n.DisplayName(), err)
		}
	}
	if err := e.store.PutEndpoint(a.Endpoint, true); err != nil {
		return err
	}
	if err := e.apply(ctx, plan.Attach(n, a)); err != nil {
		err = fmt.Errorf("network %s: container %s (%s): %w", n.DisplayName(), short(a.Container), a.IP, err)
		return errors.Join(err, e.dropEndpoint(context.WithoutCancel(ctx), n, a.Endpoint))
	}
	return nil
}

// placed checks an endpoint's address.
func placed(n topology.Network, p topology.Endpoint) error {
	if !n.Subnet.Contains(p.IP) {
		return fmt.Errorf("network %s: address %s is not in subnet %s", n.DisplayName(), p.IP, n.Subnet)
	}
	if p.IP == n.BridgeAddr {
		return fmt.Errorf("network %s: address %s is the bridge's", n.DisplayName(), p.IP)
	}
	return nil
}

// ErrAttached says that an attachment is there already.
var ErrAttached = errors.New("detach it first")

// vacate sees to it that neither the attachment nor its address is anybody's, and takes the address. What a container
// left that ended without a word is removed.
func (e *Engine) vacate(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	if old, ok, err := e.stored(n.ID, p.ID); err != nil {
		return err
	} else if ok {
		if err := e.removeLost(ctx, n, old.Endpoint); err != nil {
			return fmt.Errorf("network %s: container %s is attached with address %s: %w", n.DisplayName(), short(p.Container), old.IP, err)
		}
	}
	holder, err := e.store.Claim(n.ID, p.IP, p.ID)
	if err != nil || holder == "" {
		return err
	}
	old, ok, err := e.stored(n.ID, holder)
	if err != nil {
		return err
	}
	if ok {
		if err := e.removeLost(ctx, n, old.Endpoint); err != nil {
			return fmt.Errorf("network %s: address %s belongs to container %s, which runs; IPAM has given it away again: %w", n.DisplayName(), p.IP, old.Container, err)
		}
	}
	if err := e.store.Unclaim(n.ID, p.IP, holder); err != nil {
		return err
	}
	holder, err = e.store.Claim(n.ID, p.IP, p.ID)
	if err == nil && holder != "" {
		err = fmt.Errorf("network %s: address %s was taken at the same time", n.DisplayName(), p.IP)
	}
	return err
}

// removeLost removes an endpoint whose wire is gone, or ErrAttached.
func (e *Engine) removeLost(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	_, err := e.links.Find(p.Wire())
	if err == nil {
		return ErrAttached
	}
	if !errors.Is(err, link.ErrNotFound) {
		return err
	}
	return e.dropEndpoint(ctx, n, p)
}

// dropEndpoint removes what an endpoint has in the kernel, then its address and its document.
func (e *Engine) dropEndpoint(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	if err := e.applyAll(ctx, plan.RemoveEndpoint(n, p)); err != nil {
		return err
	}
	return errors.Join(e.store.Unclaim(n.ID, p.IP, p.ID), e.store.DeleteEndpoint(n.ID, p.ID))
}

// Detach takes a container off a network of a shared store, and the network away with its last endpoint. What is not there
// is no error. It gives the endpoint that was detached; ok is false where none was known.
func (e *Engine) Detach(ctx context.Context, networkID, id string) (p topology.Endpoint, ok bool, err error) {
	if p, ok, err = e.detachOne(ctx, networkID, id); err != nil {
		return p, ok, err
	}
	return p, ok, e.removeUnused(ctx, networkID)
}

func (e *Engine) detachOne(ctx context.Context, networkID, id string) (p topology.Endpoint, ok bool, err error) {
	unlock, err := e.store.RLock(ctx)
	if err != nil {
		return p, false, err
	}
	defer unlock()
	old, ok, err := e.stored(networkID, id)
	if err != nil {
		e.log.Warn("endpoint's document", "error", err) // the rest goes by its name
	}
	if !ok {
		return p, false, errors.Join(e.removeUnknown(topology.Endpoint{ID: id, NetworkID: networkID, Owner: e.owner}), e.store.DeleteEndpoint(networkID, id))
	}
	n, err := e.store.Network(networkID)
	if err != nil {
		e.log.Warn("network's document", "error", err)
		return old.Endpoint, true, errors.Join(e.removeUnknown(old.Endpoint), e.store.Unclaim(networkID, old.IP, id), e.store.DeleteEndpoint(networkID, id))
	}
	return old.Endpoint, true, e.dropEndpoint(ctx, n.Network, old.Endpoint)
}

// removeUnknown removes a wire and its chain by the name that follows from the endpoint's id.
func (e *Engine) removeUnknown(p topology.Endpoint) error {
	found, err := e.links.Find(p.Wire())
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if owner, _, ours := found.Owned(); !ours || owner != e.owner {
		return nil
	}
	if err := e.links.Delete(p.Wire()); err != nil {
		return err
	}
	return e.nft.Unguard(firewall.Guard{Chain: firewall.Chain{Family: firewall.NetDev, Name: firewall.ChainName(p), Hook: firewall.HookIngress, Device: p.Wire()}})
}

// removeUnused removes a network without endpoints, unless somebody is about to attach one.
func (e *Engine) removeUnused(ctx context.Context, networkID string) error {
	if used, err := e.store.HasEndpoints(networkID); used || err != nil {
		return err
	}
	unlock, alone, err := e.store.TryLock()
	if err != nil || !alone {
		return err
	}
	defer unlock()
	if used, err := e.store.HasEndpoints(networkID); used || err != nil {
		return err
	}
	n, err := e.store.Network(networkID)
	if err != nil {
		return nil //nolint:nilerr // it is gone, or was never made
	}
	return e.forgetNetwork(ctx, n.Network)
}

// Check tells what of an attachment is not in force, in the kernel and in the container.
func (e *Engine) Check(ctx context.Context, networkID, id, sandbox string) (problems []string, err error) {
	err = e.view(ctx, func() error {
		n, p, err := e.endpoint(networkID, id)
		if err != nil {
			return err
		}
		observed, err := e.observe()
		if err != nil {
			return err
		}
		only := plan.Network{Network: n.Network, Endpoints: []plan.Endpoint{{Endpoint: p.Endpoint, Joined: true}}}
		for _, s := range plan.Diff(plan.Desired{Owner: e.owner, Features: e.features, Networks: []plan.Network{only}}, observed) {
			problems = append(problems, "missing: "+s.String())
		}
		wire, exists := observed.Links[p.Wire()]
		if !exists {
			problems = append(problems, fmt.Sprintf("wire %s is gone", p.Wire()))
		}
		if p.Role != topology.RoleGateway && wire.Master != "" {
			problems = append(problems, fmt.Sprintf("wire %s is a port of bridge %s: a server's is a port of nothing", p.Wire(), wire.Master))
		}
		missing, err := e.nft.MissingElements(firewall.CompileEndpoint(n.Network, p.Endpoint))
		if err != nil {
			return err
		}
		problems = append(problems, missing...)
		inside, err := peerProblems(plan.Peer(n.Network, plan.Attachment{Endpoint: p.Endpoint, Sandbox: sandbox}))
		problems = append(problems, inside...)
		return err
	})
	return problems, err
}
