package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall"
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
		return e.addGuards(s.Guards)
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

// addGuards resolves wires to indices. A wire that went away since the plan was made needs no guard.
func (e *Engine) addGuards(guards []firewall.Guard) error {
	var found []nft.Guard
	for _, g := range guards {
		wire, err := e.links.Find(g.Chain.Device)
		if errors.Is(err, link.ErrNotFound) && len(guards) > 1 {
			continue
		}
		if err != nil {
			return err
		}
		found = append(found, nft.Guard{Guard: g, Index: wire.Index})
	}
	return e.nft.Guard(found...)
}
