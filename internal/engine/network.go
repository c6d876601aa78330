package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// firstBridge is the interface name of the first network that names none.
const firstBridge = "mcp-secure"

// CreateNetwork makes a network, or does nothing if it is there. On any error nothing of it is left.
func (e *Engine) CreateNetwork(ctx context.Context, n topology.Network) error {
	return e.locked(ctx, func() error { return e.requestNetwork(ctx, n) })
}

func (e *Engine) requestNetwork(ctx context.Context, n topology.Network) error {
	n.Owner = e.owner
	known, exists := e.networks[n.ID]
	if n.Bridge == "" && exists {
		n.Bridge = known.Bridge
	}
	if n.Bridge == "" {
		n.Bridge = e.chooseBridge(n)
	}
	if exists && !sameNetwork(known.Network, n) {
		return fmt.Errorf("network %s exists with another configuration: remove it first", n.DisplayName())
	}
	if err := e.conflicts(n); err != nil {
		return err
	}
	return e.createNetwork(ctx, n)
}

func (e *Engine) createNetwork(ctx context.Context, n topology.Network) error {
	if err := e.store.PutNetwork(n); err != nil {
		return err
	}
	_, exists := e.networks[n.ID]
	if !exists {
		e.networks[n.ID] = &network{Network: n, endpoints: map[string]*endpoint{}}
	}
	if _, err := e.reconcile(ctx); exists && err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err) // its endpoints live
	} else if err != nil {
		return errors.Join(fmt.Errorf("network %s: %w", n.DisplayName(), err), e.forgetNetwork(context.WithoutCancel(ctx), n))
	}
	e.log.Info("network ready", "network", n.DisplayName(), "bridge", n.Bridge, "subnet", n.Subnet)
	return nil
}

// sameNetwork compares what a user can configure. The engine's name for the network and its range come later.
func sameNetwork(a, b topology.Network) bool {
	a.Name, a.IPRange = b.Name, b.IPRange
	return reflect.DeepEqual(a, b)
}

func (e *Engine) chooseBridge(n topology.Network) string {
	if n.Policy.Bridge != "" {
		return n.Policy.Bridge
	}
	taken := false
	for _, other := range e.networks {
		taken = taken || (other.Bridge == firstBridge && !other.dead)
	}
	found, err := e.links.Find(firstBridge)
	if owner, id, ok := found.Owned(); err == nil && !(ok && owner == e.owner && id == n.ID) {
		taken = true
	}
	if taken {
		return topology.BridgeName(n.ID)
	}
	return firstBridge
}

// conflicts finds everything on the host that stands in the network's way.
func (e *Engine) conflicts(n topology.Network) error {
	var problems policy.Problems
	own := n.Bridge
	if p, ok := e.bridgeConflict(n); ok {
		problems = append(problems, p)
		own = "" // the interface of that name is in the way of the subnet, too
	}
	user, err := e.links.AddrInUse(n.Subnet, own)
	if err != nil {
		return err
	}
	if user != "" {
		problems = append(problems, policy.Problem{Key: "--subnet", Value: n.Subnet.String(),
			Reason: fmt.Sprintf("overlaps the network of interface %s on this host", user), Accepted: "a subnet that is not in use"})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func (e *Engine) bridgeConflict(n topology.Network) (policy.Problem, bool) {
	p := policy.Problem{Key: policy.KeyBridge, Value: n.Bridge, Accepted: "a name that no interface has, or none: mcpnet chooses one then"}
	for _, other := range e.networks {
		if other.ID != n.ID && other.Bridge == n.Bridge && !other.dead {
			p.Reason = fmt.Sprintf("is the bridge of mcpnet network %s", other.DisplayName())
			return p, true
		}
	}
	found, err := e.links.Find(n.Bridge)
	if errors.Is(err, link.ErrNotFound) {
		return policy.Problem{}, false
	}
	owner, id, ours := found.Owned()
	if (n.Adopted && !ours) || (ours && owner == e.owner && id == n.ID) {
		return policy.Problem{}, false
	}
	p.Reason = "is an interface of this host that mcpnet did not make"
	if ours {
		p.Reason = fmt.Sprintf("is a bridge that mcpnet made for another network (%s)", owner)
	}
	return p, true
}

// DeleteNetwork removes a network. One that is not there is no error.
func (e *Engine) DeleteNetwork(ctx context.Context, id string) error {
	return e.locked(ctx, func() error {
		if n, ok := e.networks[id]; ok {
			if err := e.dropNetwork(ctx, n); err != nil {
				return err
			}
		}
		e.noteRemoved(id)
		return nil
	})
}

func (e *Engine) dropNetwork(ctx context.Context, n *network) error {
	for _, p := range n.endpoints {
		if err := e.removeEndpoint(ctx, n, p); err != nil {
			e.log.Warn("endpoint of a removed network", "error", err)
		}
	}
	return e.forgetNetwork(ctx, n.Network)
}

// forgetNetwork removes what a network has in the kernel, then its document: a failure leaves the document, and the
// next start removes the rest.
func (e *Engine) forgetNetwork(ctx context.Context, n topology.Network) error {
	err := e.applyAll(ctx, plan.RemoveNetwork(n, e.features))
	delete(e.networks, n.ID)
	err = errors.Join(err, e.removeTables(ctx))
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	if err := e.store.DeleteNetwork(n.ID); err != nil {
		return err
	}
	e.log.Info("network removed", "network", n.DisplayName(), "bridge", n.Bridge)
	return nil
}

// removeTables removes mcpnet's tables when no network of any owner is left.
func (e *Engine) removeTables(ctx context.Context) error {
	state, err := e.nft.Observe()
	if err != nil {
		return err
	}
	wires := firewall.CompileWires()
	for name := range state.Chains[firewall.Inet] {
		if _, ours := wires.Chain(firewall.Inet, name); !ours {
			return nil
		}
	}
	if len(state.Chains[firewall.NetDev]) > 0 {
		return nil
	}
	return e.apply(ctx, []plan.Step{plan.RemoveTables{}})
}

// Describe records what the engine tells of a network after it was made: its name, and the range it assigns from.
func (e *Engine) Describe(ctx context.Context, n topology.Network) error {
	return e.locked(ctx, func() error {
		known, err := e.network(n.ID)
		if err != nil {
			return err
		}
		if known.Name == n.Name && known.IPRange == n.IPRange {
			return nil
		}
		known.Name, known.IPRange = n.Name, n.IPRange
		return e.store.PutNetwork(known.Network)
	})
}

// Networks gives the networks, without their endpoints.
func (e *Engine) Networks(ctx context.Context) (out []topology.Network, err error) {
	err = e.locked(ctx, func() error {
		for _, n := range e.networks {
			out = append(out, n.Network)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b topology.Network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return out, err
}

// isBridgeChain reports whether a chain belongs to a bridge's rules.
func isBridgeChain(name string) bool { return !strings.HasPrefix(name, "in-") }
