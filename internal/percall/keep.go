package percall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Reconcile compares the kernel with what should be and repairs it. It returns the steps it took, and what failed; a
// network that fails keeps no other from being repaired.
func (f *Front) Reconcile(ctx context.Context) (steps []plan.Step, err error) {
	err = f.alone(ctx, func(s *state) error {
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		var failed []error
		for _, n := range s.living() {
			taken, err := f.repair(ctx, s, n, host)
			steps, failed = append(steps, taken...), append(failed, err)
		}
		taken, err := f.core.EnsureIPTables(ctx, s.plain()...)
		steps = append(steps, taken...)
		return errors.Join(append(failed, err)...)
	})
	return steps, err
}

// RepairNetwork repairs one network.
func (f *Front) RepairNetwork(ctx context.Context, id string) error {
	return f.alone(ctx, func(s *state) error {
		n, known := s.networks[id]
		if !known || n.dead {
			return nil
		}
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		_, err = f.repair(ctx, s, n, host)
		return err
	})
}

func (f *Front) repair(ctx context.Context, s *state, n *network, host plan.HostState) ([]plan.Step, error) {
	reconcile := f.core.Reconcile
	if n.Pending || n.Legacy {
		reconcile = f.core.Renew
	}
	steps, err := reconcile(ctx, s.plan(n), host)
	if n.Legacy && errors.Is(err, ns.ErrPrivate) {
		f.leave(n)
		return nil, nil
	}
	if err != nil {
		return steps, fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	if n.Pending || n.Legacy {
		err = f.store.PutNetwork(n.Network.Network)
	}
	if len(steps) > 0 {
		f.log.Info("repaired", "network", n.DisplayName(), "steps", len(steps), "first", steps[0].String())
	}
	return steps, err
}

// leave says once that a network of an earlier mcpnet stays where it is. The service has a mount namespace of its
// own, in which no namespace can be pinned for others; the process of an attachment has the host's.
func (f *Front) leave(n *network) {
	if _, said := f.left.LoadOrStore(n.ID, true); !said {
		f.log.Warn("network of an earlier version is not repaired: its next attachment moves it to a namespace of its own",
			"network", n.DisplayName())
	}
}

// Inspect looks at everything beside attachments, and holds the store alone only when there is something to do;
// nobody else collects what killed processes left.
func (f *Front) Inspect(ctx context.Context) error {
	if f.core.Stale() {
		if err := f.alone(ctx, func(*state) error { return f.core.Prune() }); err != nil {
			return err
		}
	}
	steps, err := f.Plan(ctx)
	if err == nil && len(steps) == 0 {
		return nil
	}
	_, err = f.Reconcile(ctx)
	return errors.Join(err, f.Collect(ctx))
}

// Watch repairs what goes missing, until the context ends.
func (f *Front) Watch(ctx context.Context) { f.core.Watch(ctx, f, nil) }

// Collect removes what this store left behind in the kernel.
func (f *Front) Collect(ctx context.Context) error {
	return f.alone(ctx, func(s *state) error { return f.core.Collect(ctx, s.planned(), s.spares) })
}

// Admit records what is known of an endpoint's container. Where the policy enforces its capabilities, the wire passes
// frames from then on, or none. An endpoint that is not there, or that nobody asks about, is no error.
func (f *Front) Admit(ctx context.Context, networkID, id string, a topology.Admission) error {
	return f.alone(ctx, func(s *state) error {
		n, p, err := s.endpoint(networkID, id)
		if errors.Is(err, ErrNoEndpoint) || errors.Is(err, ErrNoNetwork) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !n.Examined(p.Endpoint) || p.Admission == a {
			return err
		}
		decided := p.Endpoint
		decided.Admission = a
		if err := f.core.Admit(ctx, n.Network.Network, p.Endpoint, decided); err != nil {
			return err
		}
		return f.store.PutEndpoint(decided, p.Joined)
	})
}
