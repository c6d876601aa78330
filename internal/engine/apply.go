package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
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
		if e.openIPTables(); e.iptables == nil {
			return nil
		}
		return e.iptables.Ensure(ctx, iptables.Network{Bridge: s.Network.Bridge, Host: s.Rules})
	case plan.RemoveIPTables:
		if e.openIPTables(); e.iptables == nil {
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
		return e.ensureBridge(s.Network)
	case plan.AddWire:
		_, err := e.links.AddWire(wire(s.Network, s.Endpoint, s.Endpoint.Peer()))
		return err
	case plan.AddWireInto:
		return inSandbox(s.Sandbox, func(h ns.Handle) error {
			_, err := e.links.AddWireInto(h, wire(s.Network, s.Endpoint, s.Endpoint.Interface))
			return err
		})
	case plan.AdoptWire:
		_, err := e.links.AdoptWire(s.Port, wire(s.Network, s.Endpoint, s.Endpoint.Interface))
		return err
	case plan.SetPeer:
		return inSandbox(s.Sandbox, func(h ns.Handle) error { return setPeer(h, s) })
	case plan.Enslave:
		return e.links.Enslave(s.Wire, s.Bridge)
	case plan.SetUp:
		return e.links.Up(s.Wire)
	case plan.ReleaseLink:
		return ignoreNotFound(e.links.Release(s.Name))
	case plan.DeleteLink:
		return e.links.Delete(s.Name)
	}
	return fmt.Errorf("unknown step %T", s)
}

func (e *Engine) ensureBridge(n topology.Network) error {
	b := link.Bridge{Name: n.Bridge, Addr: n.BridgePrefix(), MTU: n.Policy.MTU, MAC: n.BridgeMAC(), Alias: link.Alias(e.owner, n.ID)}
	if n.Adopted {
		return e.links.TuneBridge(b)
	}
	return e.links.EnsureBridge(b)
}

func wire(n topology.Network, p topology.Endpoint, peer string) link.Wire {
	return link.Wire{Name: p.Wire(), Peer: peer, PeerMAC: p.MAC, MAC: p.PortMAC(), MTU: n.Policy.MTU, Alias: link.Alias(p.Owner, p.ID)}
}

// inSandbox runs f with a container's network namespace.
func inSandbox(path string, f func(ns.Handle) error) error {
	h, err := ns.Open(path)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

func setPeer(h ns.Handle, s plan.SetPeer) error {
	links, err := link.Open(h)
	if err != nil {
		return err
	}
	defer links.Close()
	return links.SetPeer(peer(s))
}

func peer(s plan.SetPeer) link.Peer {
	p := link.Peer{Name: s.Endpoint.Interface, MAC: s.Endpoint.MAC, Addr: s.Addr}
	for _, r := range s.Routes {
		p.Routes = append(p.Routes, link.Route(r))
	}
	return p
}

func ignoreNotFound(err error) error {
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	return err
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

// peerProblems tells what of a container's interface is not as it should be.
func peerProblems(s plan.SetPeer) (problems []string, err error) {
	err = inSandbox(s.Sandbox, func(h ns.Handle) error {
		links, err := link.Open(h)
		if err != nil {
			return err
		}
		defer links.Close()
		problems, err = links.PeerProblems(peer(s))
		return err
	})
	return problems, err
}
