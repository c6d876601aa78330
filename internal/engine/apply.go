package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/plan"
)

// apply does the steps in order and stops at the first that fails.
func (e *Engine) apply(ctx context.Context, steps []plan.Step) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		e.log.Debug("apply", "step", s)
		if err := e.do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// applyAll does every step, whatever fails: on the way out as much as possible has to go.
func (e *Engine) applyAll(ctx context.Context, steps []plan.Step) error {
	var failed []error
	for _, s := range steps {
		e.log.Debug("apply", "step", s)
		if err := e.do(ctx, s); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s, err))
		}
	}
	return errors.Join(failed...)
}

func (e *Engine) do(ctx context.Context, s plan.Step) error {
	if e.onStep != nil {
		e.onStep(s)
		defer e.onStep(s)
	}
	switch s := s.(type) {
	case plan.LoadWires:
		return e.nft.Load(ctx, s.Rules)
	case plan.LoadNetwork:
		return e.nft.Load(ctx, s.Rules)
	case plan.UnloadNetwork:
		return e.nft.Unload(ctx, s.Rules)
	case plan.RemoveTables:
		return e.nft.RemoveTables(ctx)
	case plan.EnsureIPTables:
		return e.iptables.Ensure(ctx, iptables.Network{Bridge: s.Network.Bridge, Host: s.Rules})
	case plan.RemoveIPTables:
		if e.iptables == nil {
			return nil
		}
		return e.iptables.Remove(ctx, s.Bridge)
	case plan.AddGuard:
		return e.addGuards(s)
	case plan.DropGuard:
		return e.nft.Unguard(s.Guard)
	}
	return e.doLink(s)
}

func (e *Engine) doLink(s plan.Step) error {
	switch s := s.(type) {
	case plan.EnsureBridge:
		return e.links.EnsureBridge(link.Bridge{Name: s.Network.Bridge, Addr: s.Network.BridgePrefix(), MTU: s.Network.Policy.MTU,
			MAC: s.Network.BridgeMAC(), Alias: link.Alias(e.owner, s.Network.ID)})
	case plan.AddWire:
		_, err := e.links.AddWire(link.Wire{Name: s.Endpoint.Wire(), Peer: s.Endpoint.Peer(), PeerMAC: s.Endpoint.MAC,
			MAC: s.Endpoint.PortMAC(), MTU: s.Network.Policy.MTU, Alias: link.Alias(e.owner, s.Endpoint.ID)})
		return err
	case plan.Enslave:
		return e.links.Enslave(s.Wire, s.Bridge)
	case plan.SetUp:
		return e.links.Up(s.Wire)
	case plan.DeleteLink:
		return e.links.Delete(s.Name)
	}
	return fmt.Errorf("unknown step %T", s)
}

// addGuards looks for the indices of wires that were not there when the plan was made. A wire that went away since then
// needs no guard.
func (e *Engine) addGuards(s plan.AddGuard) error {
	var found []nft.Guard
	for _, g := range s.Guards {
		index := s.Index[g.Chain.Device]
		if index == 0 {
			wire, err := e.links.Find(g.Chain.Device)
			if errors.Is(err, link.ErrNotFound) && len(s.Guards) > 1 {
				continue
			}
			if err != nil {
				return err
			}
			index = wire.Index
		}
		found = append(found, nft.Guard{Guard: g, Index: index})
	}
	if err := e.nft.Guard(found...); err == nil || len(s.Index) == 0 {
		return err
	}
	s.Index = nil // a wire went away: look anew
	return e.addGuards(s)
}
