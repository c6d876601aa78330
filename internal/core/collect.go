package core

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Spares tells of a network's endpoint, or with an empty id of a network, that nobody can say whether it lives.
type Spares func(network, endpoint string) bool

// Plan gives the steps that would make the kernel what networks should be, and remove what this store left behind.
func (c *Core) Plan(ctx context.Context, networks []plan.Network, spares Spares) ([]report.Step, error) {
	host, err := c.ObserveHost()
	if err != nil {
		return nil, err
	}
	host.IPTables = c.ObserveIPTables(ctx, plain(networks))
	if host.Firewalld, err = c.lookAtFirewalld(ctx, networks); err != nil {
		c.log.Debug("look at firewalld", "error", err)
	}
	steps := []report.Step{}
	for _, n := range networks {
		rules := c.rules(n.Network)
		o, err := c.observe(n.Network, rules, host)
		if err != nil { // it keeps nobody from what is to be done for the others
			steps = append(steps, report.Step{Network: n.DisplayName(), Namespace: plan.InNetwork(n.Namespace()).String(),
				Action: "nothing can be done: " + err.Error()})
			continue
		}
		for _, s := range append(plan.Diff(n, rules, o.Observed), plan.Orphans(n, o.Observed, sparesOf(spares, n.ID))...) {
			steps = append(steps, report.Step{Network: n.DisplayName(), Namespace: s.In.String(), Action: s.Action.String()})
		}
	}
	left, err := c.leftSteps(networks, spares)
	for _, s := range left {
		steps = append(steps, report.Step{Namespace: s.In.String(), Action: s.Action.String()})
	}
	return steps, err
}

func sparesOf(spares Spares, network string) func(string) bool {
	return func(endpoint string) bool { return spares(network, endpoint) }
}

// Collect removes what this store left behind: from networks' namespaces what belongs to no endpoint, and networks
// that it does not know. What another store made is left alone.
func (c *Core) Collect(ctx context.Context, networks []plan.Network, spares Spares) error {
	host, err := c.ObserveHost()
	if err != nil {
		return err
	}
	var failed []error
	for _, n := range networks {
		failed = append(failed, c.CollectNetwork(ctx, n, host, spares))
	}
	steps, err := c.leftSteps(networks, spares)
	return errors.Join(append(failed, err, c.collect(ctx, steps))...)
}

// CollectNetwork removes from a network's namespace what belongs to no endpoint.
func (c *Core) CollectNetwork(ctx context.Context, n plan.Network, host plan.HostState, spares Spares) error {
	o, err := c.Observe(n.Network, host)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	return c.collect(ctx, plan.Orphans(n, o, sparesOf(spares, n.ID)))
}

func (c *Core) collect(ctx context.Context, steps []plan.Step) error {
	for _, s := range steps {
		c.log.Info("collect", "step", s.String())
	}
	return c.ApplyAll(ctx, steps...)
}

// leftSteps are those that remove networks which the kernel holds and nobody knows. The names of what is removed
// follow from the bridge alone.
func (c *Core) leftSteps(networks []plan.Network, spares Spares) (steps []plan.Step, err error) {
	known := map[string]bool{}
	for _, n := range networks {
		known[n.ID] = true
	}
	left, err := c.Leftovers()
	for _, l := range left {
		if !known[l.ID] && !spares(l.ID, "") {
			n := topology.Network{ID: l.ID, Owner: c.config.Owner, Bridge: l.Bridge, Policy: policy.Defaults()}
			steps = append(steps, plan.Remove(n)...)
		}
	}
	return steps, err
}
