package space

import (
	"context"
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Apply does an action in the namespace. host is that of the host, where the other ends of some links are.
func (s *Space) Apply(ctx context.Context, action plan.Action, host *Space) error {
	switch a := action.(type) {
	case plan.LoadRules:
		return s.NFT.Load(ctx, a.Rules)
	case plan.LoadHostRules:
		return s.NFT.LoadHost(a.Rules)
	case plan.UnloadHostRules:
		return s.NFT.UnloadHost(a.Rules)
	case plan.SetHostAddrs:
		return s.NFT.SetHostAddrs(a.Addrs)
	case plan.DropElements:
		return s.NFT.DropElements(a.Index, a.Elements...)
	case plan.AddGuard:
		return s.addGuards(a)
	case plan.DropGuard:
		return s.NFT.Unguard(nft.Guard{Guard: a.Guard, Index: a.Index})
	case plan.EnableForwarding:
		return s.Links.EnableForwarding()
	case plan.EnsureUplink:
		return s.Links.EnsureUplink(s.uplink(a.Network), host.Links, host.NS)
	case plan.AddWire:
		return s.addWire(a, host)
	case plan.MoveWire:
		return s.moveWire(a, host)
	case plan.ReturnWire:
		return ignoreNotFound(s.Links.Give(a.Wire, host.NS, a.Wire))
	}
	return s.applyLink(action)
}

func (s *Space) applyLink(action plan.Action) error {
	switch a := action.(type) {
	case plan.Prepare:
		return s.Links.Prepare()
	case plan.EnsureBridge:
		return s.Links.EnsureBridge(s.bridge(a.Network))
	case plan.EnsureRouter:
		return s.Links.EnsureRouter(s.router(a.Network))
	case plan.SetWire:
		return s.Links.MendWire(s.wire(a.Network, a.Endpoint, ""))
	case plan.Release:
		return s.Links.Release(a.Wire)
	case plan.Enslave:
		return s.Links.Enslave(a.Wire, a.Bridge)
	case plan.TellGateways:
		return s.tellGateways(a)
	case plan.SetRole:
		return s.Links.SetGroup(a.Wire, topology.Endpoint{Role: a.Role}.Group())
	case plan.SetUp:
		return s.Links.Up(a.Link)
	case plan.SetDown:
		return ignoreNotFound(s.Links.Down(a.Link))
	case plan.DeleteLink:
		return s.deleteLink(a.Name)
	}
	return fmt.Errorf("unknown action %T", action)
}

func (s *Space) addWire(a plan.AddWire, host *Space) error {
	w := s.wire(a.Network, a.Endpoint, a.Peer)
	path, inContainer := a.Peers.Container()
	if !inContainer {
		_, err := s.Links.AddWire(w, host.NS)
		return err
	}
	return In(path, func(h ns.Handle) error {
		_, err := s.Links.AddWire(w, h)
		return err
	})
}

func (s *Space) tellGateways(a plan.TellGateways) error {
	var about []link.Neighbour
	for _, gateway := range a.Network.Policy.GatewayAddrs() {
		about = append(about, link.Neighbour{IP: gateway, MAC: topology.MACFor(a.Network.ID, gateway)})
	}
	return s.Links.Answer(a.Endpoint.Wire(), link.Neighbour{IP: a.Endpoint.IP, MAC: a.Endpoint.MAC}, about...)
}

func (s *Space) moveWire(a plan.MoveWire, host *Space) error {
	w := s.wire(a.Network, a.Endpoint, a.Endpoint.Interface)
	if err := host.Links.Give(a.From, s.NS, w.Name); err != nil {
		return err
	}
	_, err := s.Links.TakeWire(w)
	return err
}

// deleteLink removes a link over a connection of its own: the kernel takes tens of milliseconds for it, and who asks
// for another link over the same one waits.
func (s *Space) deleteLink(name string) error {
	links, err := link.Open(s.NS)
	if err != nil {
		return err
	}
	defer links.Close()
	return links.Delete(name)
}

// addGuards looks for the indices of wires that were not there when the plan was made. A wire that went away since then
// needs no guard.
func (s *Space) addGuards(a plan.AddGuard) error {
	var found []nft.Guard
	for _, g := range a.Guards {
		index := a.Index[g.Wire]
		if index == 0 {
			wire, err := s.Links.Find(g.Wire)
			if errors.Is(err, link.ErrNotFound) && len(a.Guards) > 1 {
				continue
			}
			if err != nil {
				return err
			}
			index = wire.Index
		}
		found = append(found, nft.Guard{Guard: g, Index: index})
	}
	if err := s.NFT.Guard(found...); err == nil || len(a.Index) == 0 {
		return err
	}
	a.Index = nil // a wire went away: look anew
	return s.addGuards(a)
}

// SetPeer does the action in the namespace of a container.
func SetPeer(h ns.Handle, a plan.SetPeer) error {
	links, err := link.Open(h)
	if err != nil {
		return err
	}
	defer links.Close()
	return links.SetPeer(peer(a))
}

func peer(a plan.SetPeer) link.Peer {
	return link.Peer{Name: a.Endpoint.Interface, MAC: a.Endpoint.MAC, Addr: a.Addr, Routes: a.Routes}
}

// PeerProblems tells what of a container's interface is not as SetPeer leaves it.
func PeerProblems(sandbox string, a plan.SetPeer) (problems []string, err error) {
	err = In(sandbox, func(h ns.Handle) error {
		links, err := link.Open(h)
		if err != nil {
			return err
		}
		defer links.Close()
		problems, err = links.PeerProblems(peer(a))
		return err
	})
	return problems, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, link.ErrNotFound) {
		return nil
	}
	return err
}
