package engine

import (
	"context"
	"errors"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Sweep removes, from a network of a shared store, the endpoints whose wire is gone and those that keep does not want, then
// what nobody knows in the kernel. A nil keep keeps all. Each endpoint that goes is told to Config.OnForget.
func (e *Engine) Sweep(ctx context.Context, networkID string, keep func(topology.Endpoint) bool) error {
	err := e.locked(ctx, func() error {
		observed, err := e.observe()
		if err != nil {
			return err
		}
		var failed []error
		if n, ok := e.networks[networkID]; ok {
			for _, p := range n.endpoints {
				_, exists := observed.Links[p.Wire()]
				if exists && (keep == nil || keep(p.Endpoint)) {
					continue
				}
				e.log.Info("endpoint removed", "network", n.DisplayName(), "container", p.Container, "address", p.IP, "wire", exists)
				failed = append(failed, e.removeEndpoint(ctx, n, p))
				e.onForget(p.Endpoint)
			}
		}
		if observed, err = e.observe(); err != nil {
			return errors.Join(append(failed, err)...)
		}
		failed = append(failed, e.applyAll(ctx, plan.Orphans(e.desired(), observed)), e.store.MarkSwept(networkID))
		return errors.Join(failed...)
	})
	return errors.Join(err, e.removeUnused(ctx, networkID))
}

// sweepInterval is how often a network is swept without a reason, where no resident process and no runtime does it.
const sweepInterval = 10 * time.Minute

// SweepSometimes sweeps a network that has not been swept for a while.
func (e *Engine) SweepSometimes(ctx context.Context, networkID string) error {
	last, err := e.store.Swept(networkID)
	if err != nil || time.Since(last) < sweepInterval {
		return err
	}
	return e.Sweep(ctx, networkID, nil)
}
