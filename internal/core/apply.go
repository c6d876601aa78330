package core

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Apply does the steps in order and stops at the first that fails.
func (c *Core) Apply(ctx context.Context, steps ...plan.Step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		if err := c.step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// ApplyAll does every step, whatever fails: on the way out as much as possible has to go.
func (c *Core) ApplyAll(ctx context.Context, steps ...plan.Step) error {
	var failed []error
	for _, s := range steps {
		failed = append(failed, c.step(ctx, s))
	}
	return errors.Join(failed...)
}

func (c *Core) step(ctx context.Context, s plan.Step) error {
	c.log.Debug("apply", "step", s)
	if c.config.OnStep != nil {
		c.config.OnStep(s)
		defer c.config.OnStep(s)
	}
	if err := c.do(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

func (c *Core) do(ctx context.Context, s plan.Step) error {
	name, _ := s.In.Network()
	switch a := s.Action.(type) {
	case plan.CreateNamespace:
		return c.config.Pins.Create(name, func(h ns.Handle) error { return space.Furnish(h, a.Network, c.config.Store) })
	case plan.RemoveNamespace:
		return c.unpin(name, a.Network)
	case plan.SetPeer:
		path, _ := s.In.Container()
		return space.In(path, func(h ns.Handle) error { return space.SetPeer(h, a) })
	case plan.EnsureIPTables, plan.RemoveIPTables, plan.RemoveLegacy:
		return c.doIPTables(ctx, a)
	case plan.PrepareFirewalld, plan.JoinZone, plan.LeaveZone:
		return c.doFirewalld(ctx, a)
	}
	where, err := c.in(s.In)
	if errors.Is(err, ErrNoNamespace) && isRemoval(s.Action) {
		return nil
	}
	if err != nil {
		return err
	}
	return where.Apply(ctx, s.Action, c.host)
}

// unpin takes a network's namespace away. Whose it is is asked at the same moment: the name may be another's by then,
// whose namespace stays.
func (c *Core) unpin(name string, n topology.Network) error {
	err := c.config.Pins.Remove(name, func(h ns.Handle) error {
		mark, err := markIn(h, n)
		if err == nil && !c.isOf(mark, n) {
			err = c.foreignError(n, mark)
		}
		return err
	})
	if errors.Is(err, ErrForeign) {
		c.log.Warn("of a network that is removed stays what is not its own", "network", n.DisplayName(), "name", name, "reason", err)
		return nil
	}
	return errors.Join(c.forget(name), err)
}

// isRemoval reports whether an action is done where nothing is.
func isRemoval(a plan.Action) bool {
	switch a.(type) {
	case plan.DeleteLink, plan.DropGuard, plan.DropElements, plan.SetDown, plan.ReturnWire:
		return true
	}
	return false
}

// doIPTables does what iptables has a part in. Where the host has none, there is none to be done.
func (c *Core) doIPTables(ctx context.Context, action plan.Action) error {
	tables, err := c.openIPTables()
	if errors.Is(err, iptables.ErrUnavailable) {
		err = nil
	}
	if legacy, ok := action.(plan.RemoveLegacy); ok {
		err = errors.Join(err, c.host.NFT.RemoveLegacy(ctx, legacy.Bridge))
	}
	if err != nil || tables == nil {
		return err
	}
	switch a := action.(type) {
	case plan.EnsureIPTables:
		return tables.Ensure(ctx, iptables.Network{Uplink: a.Uplink, Host: a.Rules})
	case plan.RemoveIPTables:
		return tables.Remove(ctx, a.Uplink)
	case plan.RemoveLegacy:
		return tables.RemoveLegacy(ctx, a.Bridge)
	}
	return fmt.Errorf("unknown action %T", action)
}
