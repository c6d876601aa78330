package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// Start makes the kernel what the store says, once, when the process begins: endpoints whose wire is gone are forgotten
// (their container ended while nobody looked, or the host was restarted), and every network's rules are loaded anew,
// since an older version may have made them. Left-overs wait for Collect: the store may lack what lives.
func (e *Engine) Start(ctx context.Context) error {
	return e.locked(ctx, func() error {
		observed, err := e.observe()
		if err != nil {
			return err
		}
		if err := e.forgetLost(ctx, observed); err != nil {
			return err
		}
		for name := range observed.Chains[firewall.NetDev] {
			if isBridgeChain(name) {
				delete(observed.Chains[firewall.NetDev], name)
			}
		}
		steps := plan.Diff(e.desired(), observed)
		if err := e.apply(ctx, steps); err != nil {
			return err
		}
		repaired, err := e.reconcile(ctx)
		e.log.Info("started", "networks", len(e.networks), "steps", len(steps)+len(repaired))
		return err
	})
}

func (e *Engine) forgetLost(ctx context.Context, o plan.Observed) error {
	var failed []error
	for _, p := range plan.Lost(e.desired(), o) {
		n, lost, err := e.endpoint(p.NetworkID, p.ID)
		if err == nil {
			e.log.Info("endpoint forgotten: its wire is gone", "network", n.DisplayName(), "address", p.IP)
			err = e.removeEndpoint(ctx, n, lost)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Reconcile compares the kernel with what should be and repairs it. It returns the steps it took.
func (e *Engine) Reconcile(ctx context.Context) (steps []plan.Step, err error) {
	err = e.locked(ctx, func() error {
		steps, err = e.reconcile(ctx)
		return err
	})
	return steps, err
}

// Plan gives the steps that Reconcile would take now.
func (e *Engine) Plan(ctx context.Context) (steps []plan.Step, err error) {
	err = e.view(ctx, func() error {
		observed, err := e.observe()
		if err != nil {
			return err
		}
		observed.IPTables = e.observeIPTables()
		steps = append(plan.Diff(e.desired(), observed), plan.Orphans(e.desired(), observed)...)
		return nil
	})
	return steps, err
}

// reconcile repairs nftables and links first: looking at iptables takes several processes.
func (e *Engine) reconcile(ctx context.Context) ([]plan.Step, error) {
	began := time.Now()
	observed, err := e.observe()
	if err != nil {
		return nil, err
	}
	e.distrust(observed)
	steps := plan.Diff(e.desired(), observed)
	if err := e.apply(ctx, steps); err != nil {
		return steps, err
	}
	if err := e.settle(); err != nil {
		return steps, err
	}
	if len(steps) > 0 {
		e.log.Info("repaired", "steps", len(steps), "first", steps[0].String(), "took", time.Since(began))
	}
	observed.IPTables = e.observeIPTables()
	var rest []plan.Step
	for _, s := range plan.Diff(e.desired(), observed) {
		if ensure, ok := s.(plan.EnsureIPTables); ok {
			rest = append(rest, ensure)
		}
	}
	return append(steps, rest...), e.apply(ctx, rest)
}

// distrust has the rules of pending networks loaded anew: those in the kernel look the same, but for another policy.
func (e *Engine) distrust(o plan.Observed) {
	for _, n := range e.networks {
		if n.pending {
			for _, c := range firewall.CompileNetwork(n.Network, e.features).Chains {
				delete(o.Chains[c.Family], c.Name)
			}
		}
	}
}

// settle records that the rules of pending networks are the kernel's.
func (e *Engine) settle() error {
	for _, n := range e.networks {
		if n.pending && !n.dead {
			if err := e.store.PutNetwork(n.Network); err != nil {
				return err
			}
			n.pending = false
		}
	}
	return nil
}

// observe reads links and nftables.
func (e *Engine) observe() (plan.Observed, error) {
	state, err := e.nft.Observe()
	if err != nil {
		return plan.Observed{}, fmt.Errorf("observe: %w", err)
	}
	return e.observeWith(state)
}

// observeWith adds the links to what is read of nftables already.
func (e *Engine) observeWith(state nft.State) (plan.Observed, error) {
	links, err := e.links.List()
	if err != nil {
		return plan.Observed{}, fmt.Errorf("observe: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
	}
	o := plan.Observed{Links: map[string]plan.Link{}, Chains: state.Chains, Elements: state.Elements}
	for _, l := range links {
		owner, id, _ := l.Owned()
		o.Links[l.Name] = plan.Link{Name: l.Name, Master: names[l.Master], Up: l.Up, MTU: l.MTU, MAC: l.MAC.String(), Owner: owner, ID: id, Addrs: l.Addrs, Index: l.Index,
			In: plan.Traffic(l.In), Out: plan.Traffic(l.Out)}
	}
	return o, nil
}

// followIPTables changes to the variant in which the engine made its chains meanwhile.
func (e *Engine) followIPTables() {
	if e.iptables == nil || !e.iptables.Outdated() {
		return
	}
	now, err := iptables.Open(e.ns)
	if err != nil || now.Variant() == e.iptables.Variant() {
		return
	}
	e.log.Info("the engine uses another iptables", "variant", now.Variant())
	for _, n := range e.networks {
		if err := e.iptables.Remove(context.Background(), n.Bridge); err != nil {
			e.log.Warn("remove from the other iptables", "network", n.DisplayName(), "error", err)
		}
	}
	e.iptables = now
}

// observeIPTables tells which bridges' rules are complete; nil where there is no iptables.
func (e *Engine) observeIPTables() map[string]bool {
	wanted := slices.DeleteFunc(e.desired().Networks, func(n plan.Network) bool { return n.Policy.Firewall == policy.FirewallNFTables })
	if len(wanted) == 0 {
		return nil
	}
	e.openIPTables()
	e.followIPTables()
	if e.iptables == nil {
		return nil
	}
	complete := map[string]bool{}
	for _, n := range wanted {
		missing, err := e.iptables.Missing(iptables.Network{Bridge: n.Bridge, Host: firewall.CompileNetwork(n.Network, e.features)})
		if err != nil {
			e.log.Warn("look at iptables", "network", n.DisplayName(), "error", err)
		}
		complete[n.Bridge] = !missing && err == nil
	}
	return complete
}
