package core

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Namespace opens a network's namespace once more, for who closes it.
func (c *Core) Namespace(n topology.Network) (ns.Handle, error) {
	return c.config.Pins.Open(n.Namespace())
}

// HostNamespace opens the host's once more.
func (c *Core) HostNamespace() (ns.Handle, error) { return ns.Open(c.config.NetNS) }

// PutNames leads servers' connections to names, and ends other ways, in one transaction. A repair after a flush does so
// again.
func (c *Core) PutNames(n topology.Network, put, gone []firewall.Name) error {
	where, err := c.network(n.Namespace())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.names[n.ID]
	for _, p := range put {
		if old, ok := known[p.Key()]; ok {
			gone = append(gone, old)
		}
	}
	if err := where.NFT.Swap(elementsOf(gone), elementsOf(put)); err != nil {
		return err
	}
	if known == nil {
		known = map[firewall.NameKey]firewall.Name{}
		c.names[n.ID] = known
	}
	for _, g := range gone {
		delete(known, g.Key())
	}
	for _, p := range put {
		known[p.Key()] = p
	}
	return nil
}

// ClearNames ends all ways of a server.
func (c *Core) ClearNames(n topology.Network, server netip.Addr) error {
	known, err := c.knownNames(n)
	if err != nil {
		return err
	}
	var gone []firewall.Name
	for _, name := range known {
		if name.Server == server.String() {
			gone = append(gone, name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return c.PutNames(n, nil, gone)
}

// knownNames are the ways that were put. Where nothing was yet, an earlier process may have put some.
func (c *Core) knownNames(n topology.Network) ([]firewall.Name, error) {
	c.mu.Lock()
	known, remembered := c.names[n.ID]
	names := slices.Collect(maps.Values(known))
	c.mu.Unlock()
	if remembered {
		return names, nil
	}
	where, err := c.network(n.Namespace())
	if err != nil {
		return nil, err
	}
	return where.NFT.Names()
}

// TakeNames takes over what the kernel holds of an earlier process, but for servers that are not there any more.
func (c *Core) TakeNames(n topology.Network, servers []netip.Addr) error {
	where, err := c.network(n.Namespace())
	if err != nil {
		return err
	}
	held, err := where.NFT.Names()
	if err != nil {
		return err
	}
	known := map[firewall.NameKey]firewall.Name{}
	var gone []firewall.Name
	for _, name := range held {
		if a, err := netip.ParseAddr(name.Server); err == nil && slices.Contains(servers, a) {
			known[name.Key()] = name
		} else {
			gone = append(gone, name)
		}
	}
	c.mu.Lock()
	c.names[n.ID] = known
	c.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return c.PutNames(n, nil, gone)
}

func elementsOf(names []firewall.Name) (out []firewall.GuardElement) {
	for _, n := range names {
		out = append(out, n.Elements()...)
	}
	return out
}

// nameElements are what is known of a network's names, by the name of the set.
func nameElements(known map[firewall.NameKey]firewall.Name) map[string][]firewall.Element {
	out := map[string][]firewall.Element{}
	for _, name := range known {
		for _, e := range name.Elements() {
			out[e.Set.Name] = append(out[e.Set.Name], e.Element)
		}
	}
	return out
}
