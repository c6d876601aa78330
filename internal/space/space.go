// Package space works in one network namespace: its links and its nftables, opened together. It does the actions of
// package plan there, and observes what they set. Which namespaces there are, and what is to be done in them, package
// core knows.
package space

import (
	"errors"

	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Space is an open network namespace.
type Space struct {
	NS    ns.Handle
	Links *link.Links
	NFT   *nft.Firewall

	store string // whose links are made here
	inode uint64
}

// Open opens what works in a namespace, for the store of that identity. The space owns the handle from then on,
// unless Open fails.
func Open(h ns.Handle, store string) (*Space, error) {
	inode, err := h.Inode()
	if err != nil {
		return nil, err
	}
	links, err := link.Open(h)
	if err != nil {
		return nil, err
	}
	firewall, err := nft.Open(h)
	if err != nil {
		links.Close()
		return nil, err
	}
	return &Space{h, links, firewall, store, inode}, nil
}

// Close ends the connections; what was made stays.
func (s *Space) Close() error {
	s.Links.Close()
	return errors.Join(s.NFT.Close(), s.NS.Close())
}

// Inode is the number of the namespace.
func (s *Space) Inode() uint64 { return s.inode }

// In runs f with the namespace at a path, such as a container's.
func In(path string, f func(ns.Handle) error) error {
	h, err := ns.Open(path)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

// Furnish gives a network's new namespace what it is never without: its settings, its bridge and its router.
func Furnish(h ns.Handle, n topology.Network, store string) error {
	if err := link.Prepare(h); err != nil {
		return err
	}
	links, err := link.Open(h)
	if err != nil {
		return err
	}
	defer links.Close()
	s := Space{store: store}
	return errors.Join(links.EnsureBridge(s.bridge(n)), links.EnsureRouter(s.router(n)), links.Up("lo"))
}

// Mark is the mark of a link that is made here.
func (s *Space) Mark(owner topology.Owner, id string) topology.Mark {
	return topology.Mark{Owner: owner, ID: id, Store: s.store}
}

func (s *Space) bridge(n topology.Network) link.Bridge {
	return link.Bridge{Name: n.Bridge, MTU: n.Policy.MTU, Mark: s.Mark(n.Owner, n.ID)}
}

func (s *Space) router(n topology.Network) link.Router {
	return link.Router{Addr: n.RouterPrefix(), MAC: n.RouterMAC(), MTU: n.Policy.MTU, Mark: s.Mark(n.Owner, n.ID)}
}

func (s *Space) uplink(n topology.Network) link.Uplink {
	outer, inner := n.UplinkMACs()
	u := link.Uplink{Name: n.Uplink(), Subnet: n.Subnet, Outer: outer, Inner: inner, MTU: n.Policy.MTU, Mark: s.Mark(n.Owner, n.ID)}
	if n.Chained {
		u.InsteadOf = n.Bridge
	}
	return u
}

func (s *Space) wire(n topology.Network, e topology.Endpoint, peer string) link.Wire {
	return link.Wire{Name: e.Wire(), Peer: peer, PeerMAC: e.MAC, MAC: e.PortMAC(), MTU: n.Policy.MTU, Group: e.Group(),
		Mark: s.Mark(e.Owner, e.ID)}
}
