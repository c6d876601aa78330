package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewalld"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// lookTime bounds how long somebody who only looks waits for firewalld.
	lookTime = 2 * time.Second
	// zoneTime bounds how long an attachment waits for it. A firewalld that is starting answers when it has started.
	zoneTime = 6 * time.Second
)

// withFirewalld runs do with the host's firewalld, and nothing where none runs.
func (c *Core) withFirewalld(ctx context.Context, do func(*firewalld.Firewall) error) error {
	if c.config.Bus == "" {
		return nil
	}
	f, err := firewalld.Open(ctx, c.config.Bus)
	if err == nil {
		err = errors.Join(do(f), f.Close())
	}
	if errors.Is(err, firewalld.ErrAbsent) {
		return nil
	}
	return err
}

// ObserveFirewalld reads what the host's firewalld has in force; nil where none runs.
func (c *Core) ObserveFirewalld(ctx context.Context) (found *plan.Firewalld, err error) {
	err = c.withFirewalld(ctx, func(f *firewalld.Firewall) error {
		s, err := f.State(ctx)
		if err == nil {
			found = &plan.Firewalld{Prepared: s.Prepared, Zones: s.Zones}
		}
		return err
	})
	return found, err
}

// EnsureFirewalld puts uplinks of networks into the zone in which firewalld forwards, and takes out of it what is gone.
// No promise depends on it.
func (c *Core) EnsureFirewalld(ctx context.Context, networks ...topology.Network) ([]plan.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, zoneTime)
	defer cancel()
	found, err := c.ObserveFirewalld(ctx)
	if err != nil || found == nil {
		return nil, err
	}
	host, err := c.ObserveHost()
	if err != nil {
		return nil, err
	}
	host.Firewalld = found
	steps := plan.Strays(host)
	for _, n := range networks {
		if _, exists := host.Links[n.Uplink()]; exists {
			steps = append(steps, plan.DiffFirewalld(n, plan.Observed{Host: host})...)
		}
	}
	return steps, c.ApplyAll(ctx, steps...)
}

// OpenFirewalld is EnsureFirewalld for who does not fail with it: it is told, and tried again.
func (c *Core) OpenFirewalld(ctx context.Context, networks ...topology.Network) {
	steps, err := c.EnsureFirewalld(ctx, networks...)
	for _, s := range steps {
		c.log.Info("firewalld", "step", s.Action.String())
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("firewalld may refuse what gateways send beyond their networks", "error", err)
	}
}

// doFirewalld does what firewalld has a part in.
func (c *Core) doFirewalld(ctx context.Context, action plan.Action) error {
	return c.withFirewalld(ctx, func(f *firewalld.Firewall) error {
		switch a := action.(type) {
		case plan.PrepareFirewalld:
			return f.Prepare(ctx)
		case plan.JoinZone:
			return f.Join(ctx, a.Uplink)
		case plan.LeaveZone:
			return f.Leave(ctx, a.Uplink)
		}
		return fmt.Errorf("unknown action %T", action)
	})
}

// firewalld sees to uplinks' zones whenever firewalld tells of a change, networks come or go, and without a reason. It
// holds no lock of the front meanwhile: a firewalld that does not answer delays nothing else.
func (w *watch) firewalld(ctx context.Context, changed wake) {
	tick := time.NewTicker(inspection)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
		networks, err := w.repairer.Networks(ctx)
		if err != nil && ctx.Err() == nil {
			w.core.log.Warn("watch", "error", err)
		}
		if err == nil {
			w.core.OpenFirewalld(ctx, networks...)
		}
	}
}

// firewalldSignals follows the host's firewalld, also one that starts later.
func (w *watch) firewalldSignals(ctx context.Context, changed wake) {
	if w.core.config.Bus == "" {
		return
	}
	for ctx.Err() == nil {
		if err := firewalld.Watch(ctx, w.core.config.Bus, changed.notify); err != nil && ctx.Err() == nil {
			w.core.log.Debug("watch firewalld", "error", err)
			pause(ctx, time.Second)
		}
	}
}

// lookAtFirewalld is ObserveFirewalld for who only looks, where one of networks has a use for it.
func (c *Core) lookAtFirewalld(ctx context.Context, networks []plan.Network) (*plan.Firewalld, error) {
	if c.config.Bus == "" || !slices.ContainsFunc(networks, func(n plan.Network) bool { return n.HasUplink() }) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := c.ObserveFirewalld(ctx)
	if err != nil || found != nil {
		return found, err
	}
	// A process in a mount namespace of its own may not see the bus.
	if filters, err := c.host.NFT.HasTable(firewalldTable); err != nil || !filters {
		return nil, err
	}
	return nil, fmt.Errorf("its rules are in force, and it is not on the system bus (%s)", c.config.Bus)
}

// firewalldTable is the table of firewalld's nftables backend.
const firewalldTable = "firewalld"

// firewalldFindings tells what of gateways' egress firewalld refuses, or may refuse.
func firewalldFindings(f *plan.Firewalld, failed error, networks []plan.Network) []report.Finding {
	if failed == nil {
		return zoneFindings(f, networks)
	}
	return []report.Finding{{Code: report.CodeNoFirewalld, Severity: report.Failure, Object: "host",
		Meaning: fmt.Sprintf("firewalld may refuse what gateways send beyond their networks, and does not tell: %s", failed),
		Remedy:  "firewall-cmd --get-zone-of-interface=UPLINK tells by hand"}}
}

// zoneFindings tells of each uplink that firewalld does not let pass, or that somebody has put into another zone.
func zoneFindings(f *plan.Firewalld, networks []plan.Network) (found []report.Finding) {
	for _, n := range networks {
		if f == nil || !n.HasUplink() {
			continue
		}
		finding := report.Finding{Object: "network " + n.DisplayName()}
		switch {
		case f.IsForeign(n.Uplink()):
			finding.Code, finding.Severity = report.CodeForeignZone, report.Info
			finding.Meaning = fmt.Sprintf("uplink %s is in firewalld's zone %s, not in %s: "+
				"what gateways send beyond the network passes as far as that zone lets it",
				n.Uplink(), f.Zones[n.Uplink()], topology.FirewallZone)
		case !f.Prepared || f.Zones[n.Uplink()] == "":
			finding.Code, finding.Severity = report.CodeFirewalld, report.Failure
			finding.Meaning = fmt.Sprintf("firewalld refuses what gateways send beyond the network: "+
				"uplink %s is in no zone that forwards", n.Uplink())
			finding.Remedy = "mcpnet's resident process puts it into one by itself, or says in its log why it cannot"
		default:
			continue
		}
		found = append(found, finding)
	}
	return found
}
