package percall

import (
	"context"
	"errors"
	"time"

	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Sweep removes, from one network, the endpoints whose wire is gone and those that keep does not want, then what
// belongs to nobody in its namespace. A nil keep keeps all. Each endpoint that goes is told to Config.OnForget.
func (f *Front) Sweep(ctx context.Context, networkID string, keep func(topology.Endpoint) bool) error {
	var forgotten []topology.Endpoint
	err := f.alone(ctx, func(s *state) error {
		n, known := s.networks[networkID]
		if !known {
			return nil
		}
		var err error
		if forgotten, err = f.forgetLost(ctx, n, keep); err != nil {
			return err
		}
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		return errors.Join(f.core.CollectNetwork(ctx, s.plan(n), host, s.spares), f.store.MarkSwept(networkID))
	})
	// Whoever is told may ask other programs. Nobody waits for them with the store's lock.
	for _, p := range forgotten {
		f.onForget(p)
	}
	return errors.Join(err, f.removeUnused(ctx, networkID))
}

// forgetLost removes the endpoints of a network whose wire is gone, and those that keep does not want.
func (f *Front) forgetLost(ctx context.Context, n *network, keep func(topology.Endpoint) bool) (forgotten []topology.Endpoint, err error) {
	var failed []error
	var rest []store.Endpoint
	for _, p := range n.endpoints {
		_, lives, err := f.core.HasWire(n.Network.Network, p.Endpoint)
		if err != nil || (lives && (keep == nil || keep(p.Endpoint))) {
			failed, rest = append(failed, err), append(rest, p)
			continue
		}
		f.log.Info("endpoint removed", "network", n.DisplayName(), "container", p.Container, "address", p.IP, "wire", lives)
		if err := f.dropEndpoint(ctx, ownedBy(n), p.Endpoint); err != nil {
			failed, rest = append(failed, err), append(rest, p)
			continue
		}
		forgotten = append(forgotten, p.Endpoint)
	}
	n.endpoints = rest
	return forgotten, errors.Join(failed...)
}

// ownedBy is a network whose wires are removed, whoever made them: who does not ask for an endpoint to be taken off
// does not ask the plugin that made its interface either.
func ownedBy(n *network) topology.Network {
	owned := n.Network.Network
	owned.Chained = false
	return owned
}

// sweepInterval is how often a network is swept without a reason, where no resident process and no runtime does it.
const sweepInterval = 10 * time.Minute

// SweepSometimes sweeps a network that has not been swept for a while.
func (f *Front) SweepSometimes(ctx context.Context, networkID string) error {
	last, err := f.store.Swept(networkID)
	if err != nil || time.Since(last) < sweepInterval {
		return err
	}
	return f.Sweep(ctx, networkID, nil)
}
