package resident

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CreateNetwork makes a network, or does nothing if it is there. On any error nothing of it is left.
func (f *Front) CreateNetwork(ctx context.Context, n topology.Network) error {
	if err := f.locked(ctx, func() error { return f.requestNetwork(ctx, n) }); err != nil {
		return err
	}
	f.openFirewalld(ctx, n.ID)
	return nil
}

// openFirewalld sees to a network's egress where firewalld runs, without the lock: nobody waits for firewalld but who
// asked for the network.
func (f *Front) openFirewalld(ctx context.Context, id string) {
	networks, err := f.Networks(ctx)
	networks = slices.DeleteFunc(networks, func(n topology.Network) bool { return n.ID != id || !n.HasUplink() })
	if err == nil && len(networks) > 0 {
		f.core.OpenFirewalld(ctx, networks...)
	}
}

func (f *Front) requestNetwork(ctx context.Context, n topology.Network) error {
	n.Owner = f.core.Owner()
	known, exists := f.networks[n.ID]
	if n.Bridge == "" && exists {
		n.Bridge = known.Bridge
	}
	if n.Bridge == "" {
		n.Bridge = f.core.ChooseBridge(n, f.plain())
	}
	if exists {
		n.Published = known.Published
	}
	if exists && !sameNetwork(known.Network, n) {
		return fmt.Errorf("network %s exists with another configuration: remove it first", n.DisplayName())
	}
	if err := f.core.Conflicts(n, f.plain()); err != nil {
		return err
	}
	return f.createNetwork(ctx, n)
}

func (f *Front) createNetwork(ctx context.Context, n topology.Network) error {
	if err := f.store.PutNetwork(n); err != nil {
		return err
	}
	known, exists := f.networks[n.ID]
	if !exists {
		known = &network{Network: n, endpoints: map[string]*endpoint{}}
		f.networks[n.ID] = known
	}
	if err := f.establish(ctx, known); exists && err != nil {
		return err // its endpoints live
	} else if err != nil {
		return errors.Join(err, f.forgetNetwork(context.WithoutCancel(ctx), n))
	}
	f.changed()
	f.log.Info("network ready", "network", n.DisplayName(), "namespace", n.Namespace(), "subnet", n.Subnet)
	return nil
}

// establish puts one network in force, and iptables' part after everything else.
func (f *Front) establish(ctx context.Context, n *network) error {
	host, err := f.core.ObserveHost()
	if err == nil {
		var steps []plan.Step
		steps, err = f.core.Reconcile(ctx, n.plan(), host)
		n.noteMade(steps)
	}
	if err == nil {
		_, err = f.core.EnsureIPTables(ctx, n.served())
	}
	if n.failed = err; err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	f.ensureNames(n)
	return nil
}

// noteMade notes that a network was made anew: it has no endpoint that the store has lost.
func (n *network) noteMade(steps []plan.Step) {
	if len(steps) > 0 {
		_, made := steps[0].Action.(plan.CreateNamespace)
		n.complete = n.complete || made
	}
}

// sameNetwork compares what a user can configure. The engine's name for the network, its range and published ports come
// later.
func sameNetwork(a, b topology.Network) bool {
	a.Name, a.IPRange, a.Published = b.Name, b.IPRange, b.Published
	return reflect.DeepEqual(a, b)
}

// DeleteNetwork removes a network. One that is not there is no error.
func (f *Front) DeleteNetwork(ctx context.Context, id string) error {
	return f.locked(ctx, func() error {
		if n, ok := f.networks[id]; ok {
			if err := f.dropNetwork(ctx, n); err != nil {
				return err
			}
		}
		f.noteRemoved(id)
		return nil
	})
}

func (f *Front) dropNetwork(ctx context.Context, n *network) error {
	for _, p := range n.endpoints {
		if err := f.removeEndpoint(ctx, n, p); err != nil {
			f.log.Warn("endpoint of a removed network", "error", err)
		}
	}
	return f.forgetNetwork(ctx, n.Network)
}

// forgetNetwork removes what a network has in the kernel, then its document: a failure leaves the document, and the
// next start removes the rest.
func (f *Front) forgetNetwork(ctx context.Context, n topology.Network) error {
	if known, ok := f.networks[n.ID]; ok {
		f.stopNames(known)
	}
	err := f.core.Remove(ctx, n)
	delete(f.networks, n.ID)
	f.changed()
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	if err := f.store.DeleteNetwork(n.ID); err != nil {
		return err
	}
	f.log.Info("network removed", "network", n.DisplayName(), "namespace", n.Namespace())
	return nil
}

// Describe records what the engine tells of a network after it was made: its name, the range it assigns from, and what
// mcpnet.caps.mode means there, whose default was another in an earlier version.
func (f *Front) Describe(ctx context.Context, n topology.Network) error {
	return f.locked(ctx, func() error {
		known, err := f.network(n.ID)
		if err != nil {
			return err
		}
		if known.Name == n.Name && known.IPRange == n.IPRange && known.Policy.CapsMode == n.Policy.CapsMode {
			return nil
		}
		changed := known.Policy.CapsMode != n.Policy.CapsMode
		known.Name, known.IPRange, known.Policy.CapsMode = n.Name, n.IPRange, n.Policy.CapsMode
		if err := f.store.PutNetwork(known.Network); err != nil || !changed {
			return err
		}
		f.log.Info("network has another mcpnet.caps.mode", "network", known.DisplayName(), "mode", known.Policy.CapsMode)
		return f.establish(ctx, known)
	})
}

// Networks gives the networks, without their endpoints.
func (f *Front) Networks(ctx context.Context) (out []topology.Network, err error) {
	err = f.locked(ctx, func() error {
		out = f.plain()
		return nil
	})
	return out, err
}

// ErrRemoved says that a network was removed a moment ago.
var ErrRemoved = errors.New("the network was removed after the list was read that still shows it")

// removedAge is how long a list may be under way: far longer than anybody waits for one.
const removedAge = time.Minute

// RebuildNetwork makes a network that the container engine's list shows and the store lacks. The list may be older
// than a removal, which is ErrRemoved then: what came back would hold the subnet of the network that is made next.
func (f *Front) RebuildNetwork(ctx context.Context, n topology.Network) error {
	return f.locked(ctx, func() error {
		if at, ok := f.removed[n.ID]; ok && time.Since(at) < removedAge {
			return ErrRemoved
		}
		if err := f.requestNetwork(ctx, n); err != nil {
			return err
		}
		f.log.Info("network rebuilt from the engine's list", "network", n.DisplayName())
		return nil
	})
}

func (f *Front) noteRemoved(id string) {
	maps.DeleteFunc(f.removed, func(_ string, at time.Time) bool { return time.Since(at) >= removedAge })
	f.removed[id] = time.Now()
}
