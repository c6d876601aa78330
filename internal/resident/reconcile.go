package resident

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Start makes the kernel what the store says, once, when the process begins: endpoints whose wire is gone are
// forgotten (their container ended meanwhile, or the host was restarted), and every network's rules are loaded anew,
// since an older version may have made them. A network that fails is the only one that does. Left-overs wait for
// Collect: the store may lack what lives.
func (f *Front) Start(ctx context.Context) error {
	return f.locked(ctx, func() error {
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		moved := false
		for _, n := range f.sorted() {
			f.holdPorts(n)
			steps, err := f.startNetwork(ctx, n, host)
			if n.failed = err; err != nil {
				f.log.Error("network is not in force", "network", n.DisplayName(), "error", err)
			}
			moved = moved || slices.ContainsFunc(steps, isMove)
		}
		f.changed()
		if moved {
			_, _ = f.repairAll(ctx) // the host's addresses are others since; what failed is noted
		}
		steps, err := f.core.EnsureIPTables(ctx, f.plain()...)
		if err != nil {
			f.log.Error("iptables", "error", err)
		}
		f.log.Info("started", "networks", len(f.networks), "iptables", len(steps))
		return nil
	})
}

// isMove tells a step that takes the address of an earlier mcpnet's bridge from the host.
func isMove(s plan.Step) bool {
	_, is := s.Action.(plan.DeleteLink)
	return is && s.In == plan.Host
}

func (f *Front) startNetwork(ctx context.Context, n *network, host plan.HostState) ([]plan.Step, error) {
	observed, err := f.core.Observe(n.Network, host)
	if err != nil {
		return nil, err
	}
	for _, lost := range plan.Lost(n.plan(), observed) {
		f.log.Info("endpoint forgotten: its wire is gone", "network", n.DisplayName(), "address", lost.IP)
		if err := f.removeEndpoint(ctx, n, n.endpoints[lost.ID]); err != nil {
			return nil, err
		}
	}
	steps, err := f.core.Renew(ctx, n.plan(), host)
	n.noteMade(steps)
	if err != nil {
		return steps, err
	}
	f.ensureNames(n)
	return steps, f.store.PutNetwork(n.Network)
}

// Reconcile compares the kernel with what should be and repairs it. It returns the steps it took, and what failed; a
// network that fails keeps no other from being repaired.
func (f *Front) Reconcile(ctx context.Context) (steps []plan.Step, err error) {
	err = f.locked(ctx, func() error {
		var failed error
		steps, failed = f.repairAll(ctx)
		taken, err := f.core.EnsureIPTables(ctx, f.plain()...)
		steps = append(steps, taken...)
		return errors.Join(failed, err)
	})
	return steps, err
}

// repairAll repairs every network, iptables left out.
func (f *Front) repairAll(ctx context.Context) (steps []plan.Step, err error) {
	host, err := f.core.ObserveHost()
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, n := range f.sorted() {
		taken, err := f.repair(ctx, n, host)
		steps, failed = append(steps, taken...), append(failed, err)
	}
	return steps, errors.Join(failed...)
}

// RepairNetwork repairs one network.
func (f *Front) RepairNetwork(ctx context.Context, id string) error {
	return f.locked(ctx, func() error {
		n, ok := f.networks[id]
		if !ok {
			return nil
		}
		host, err := f.core.ObserveHost()
		if err == nil {
			_, err = f.repair(ctx, n, host)
		}
		return err
	})
}

func (f *Front) repair(ctx context.Context, n *network, host plan.HostState) ([]plan.Step, error) {
	freed := f.retryPorts(n)
	steps, err := f.core.Reconcile(ctx, n.plan(), host)
	n.noteMade(steps)
	if err == nil && freed {
		err = f.core.RenewIPTables(ctx, n.served())
	}
	if n.failed = err; err != nil {
		return steps, fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	f.ensureNames(n)
	if len(steps) > 0 {
		f.changed()
		f.log.Info("repaired", "network", n.DisplayName(), "steps", len(steps), "first", steps[0].String())
	}
	return steps, nil
}

// Inspect repairs everything without a reason.
func (f *Front) Inspect(ctx context.Context) error {
	_, err := f.Reconcile(ctx)
	return err
}

// Watch repairs what goes missing, until the context ends.
func (f *Front) Watch(ctx context.Context) { f.core.Watch(ctx, f, f.renew) }

// Plan gives the steps that Reconcile and Collect would take now.
func (f *Front) Plan(ctx context.Context) (steps []report.Step, err error) {
	err = f.locked(ctx, func() error {
		steps, err = f.core.Plan(ctx, f.planned(), f.spares)
		return err
	})
	return steps, err
}

// Status reads what is in force.
func (f *Front) Status(ctx context.Context) (s report.Status, err error) {
	err = f.locked(ctx, func() error {
		s, err = f.core.Status(ctx, f.planned(), true)
		s.Findings = slices.Concat(s.Findings, f.problems, f.lacking)
		for _, n := range f.sorted() {
			s.Findings = append(s.Findings, n.unheldFindings()...)
			if n.failed != nil {
				s.Findings = append(s.Findings, report.Finding{Code: report.CodeNetwork, Severity: report.Failure,
					Object: "network " + n.DisplayName(), Meaning: n.failed.Error()})
			}
			s.Findings = append(s.Findings, n.nameFindings()...)
		}
		return err
	})
	slices.SortFunc(s.Findings, report.Compare)
	return s, err
}

func (f *Front) planned() (out []plan.Network) {
	for _, n := range f.sorted() {
		out = append(out, n.plan())
	}
	return out
}

// spares tells of what may be described by a document that cannot be read, or is being removed by another call.
func (f *Front) spares(network, id string) bool {
	if n, ok := f.networks[network]; ok && n.endpoints[id] != nil {
		return true
	}
	return slices.ContainsFunc(f.unreadable, func(r store.Ref) bool {
		return r.Network == network && (r.Endpoint == "" || r.Endpoint == id)
	})
}

// Collect removes what this store left behind in the kernel. Only call it when every living endpoint is known.
func (f *Front) Collect(ctx context.Context) error {
	return f.locked(ctx, func() error {
		for _, n := range f.networks {
			n.complete = true
		}
		_, failed := f.repairAll(ctx) // what sets hold of endpoints that are gone
		return errors.Join(failed, f.core.Collect(ctx, f.planned(), f.spares))
	})
}

// Adopt takes over endpoints that live but that the store does not know, because it was lost with the plugin that made
// them: their containers run, their wires exist.
func (f *Front) Adopt(ctx context.Context, endpoints []topology.Endpoint) error {
	return f.locked(ctx, func() error {
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		adopted := map[*network]int{}
		for _, p := range endpoints {
			n, known := f.networks[p.NetworkID]
			if !known || n.endpoints[p.ID] != nil {
				continue
			}
			p.Owner = f.core.Owner()
			_, exists, err := f.core.HasWire(n.Network, p)
			if old, ok := host.Links[p.LegacyWire()]; err != nil || !(exists || (ok && old.Mark.ID == p.ID)) {
				continue
			}
			n.endpoints[p.ID] = &endpoint{Endpoint: p, joined: true}
			f.nameServer(n, n.endpoints[p.ID])
			if err := f.store.PutEndpoint(p, true); err != nil {
				return err
			}
			adopted[n]++
		}
		var failed []error
		for n, count := range adopted {
			f.log.Info("endpoints adopted", "network", n.DisplayName(), "count", count)
			failed = append(failed, f.establish(ctx, n))
		}
		return errors.Join(failed...)
	})
}

// Endpoints gives all endpoints.
func (f *Front) Endpoints(ctx context.Context) (out []topology.Endpoint, err error) {
	err = f.locked(ctx, func() error {
		for _, n := range f.planned() {
			for _, p := range n.Endpoints {
				out = append(out, p.Endpoint)
			}
		}
		return nil
	})
	return out, err
}
