package engine

import (
	"context"
	"errors"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Adopt takes over endpoints that live but that the store does not know, because it was lost with the plugin that made
// them: their containers run, their wires exist.
func (e *Engine) Adopt(ctx context.Context, endpoints []topology.Endpoint) error {
	return e.locked(ctx, func() error {
		adopted := 0
		for _, p := range endpoints {
			n, err := e.network(p.NetworkID)
			if err != nil {
				continue
			}
			p.Owner = e.owner
			if _, known := n.endpoints[p.ID]; known {
				continue
			}
			if _, err := e.links.Find(p.Wire()); errors.Is(err, link.ErrNotFound) {
				continue
			}
			n.endpoints[p.ID] = &endpoint{Endpoint: p, joined: true}
			if err := e.store.PutEndpoint(p, true); err != nil {
				return err
			}
			adopted++
		}
		if adopted == 0 {
			return nil
		}
		e.log.Info("endpoints adopted", "count", adopted)
		_, err := e.reconcile(ctx)
		return err
	})
}

// Collect removes what mcpnet left behind in the kernel. Only call it when every living endpoint is known.
func (e *Engine) Collect(ctx context.Context) error {
	return e.locked(ctx, func() error {
		observed, err := e.observe()
		if err != nil {
			return err
		}
		steps := plan.Orphans(e.desiredWithLeaving(), observed)
		for _, s := range steps {
			e.log.Info("collect", "step", s.String())
		}
		return e.applyAll(ctx, steps)
	})
}

// desiredWithLeaving also holds endpoints that are on their way out, which no one else may remove.
func (e *Engine) desiredWithLeaving() plan.Desired {
	d := e.desired()
	for i := range d.Networks {
		n := &d.Networks[i]
		for _, p := range e.networks[n.ID].endpoints {
			if p.leaving {
				n.Endpoints = append(n.Endpoints, plan.Endpoint{Endpoint: p.Endpoint, Joined: p.joined})
			}
		}
	}
	return d
}

// Endpoints gives all endpoints.
func (e *Engine) Endpoints(ctx context.Context) (out []topology.Endpoint, err error) {
	err = e.locked(ctx, func() error {
		for _, n := range e.desired().Networks {
			for _, p := range n.Endpoints {
				out = append(out, p.Endpoint)
			}
		}
		return nil
	})
	return out, err
}
