package core

import (
	"errors"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/space"
)

// ErrNoNamespace says that a network's namespace is not there.
var ErrNoNamespace = ns.ErrNoPin

// network opens a network's namespace, or gives the one that is open unless it was made anew meanwhile.
func (c *Core) network(name string) (*space.Space, error) {
	inode, err := ns.Inode(c.config.Pins.Path(name))
	c.mu.Lock()
	defer c.mu.Unlock()
	known, open := c.spaces[name]
	if open && err == nil && inode == known.Inode() {
		return known, nil
	}
	if open {
		delete(c.spaces, name)
		c.log.Debug("namespace closed", "namespace", name, "error", known.Close())
	}
	h, err := c.config.Pins.Open(name)
	if err != nil {
		return nil, err
	}
	s, err := space.Open(h, c.config.Store)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	c.spaces[name] = s
	return s, nil
}

// Stale reports whether a namespace is open that is no network's any more: another process removed it, or somebody
// unpinned it. While it is open it lives on, with everything in it.
func (c *Core) Stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stale()) > 0
}

// Prune closes those namespaces. Nobody may be working in them.
func (c *Core) Prune() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed []error
	for _, name := range c.stale() {
		failed = append(failed, c.spaces[name].Close())
		delete(c.spaces, name)
	}
	return errors.Join(failed...)
}

func (c *Core) stale() (names []string) {
	for name, s := range c.spaces {
		if inode, err := ns.Inode(c.config.Pins.Path(name)); err != nil || inode != s.Inode() {
			names = append(names, name)
		}
	}
	return names
}

// forget closes a network's namespace, which is to go.
func (c *Core) forget(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.spaces[name]
	if !ok {
		return nil
	}
	delete(c.spaces, name)
	return s.Close()
}

// in is what works in the namespace of a step. Those of containers are opened by who needs one.
func (c *Core) in(where plan.Space) (*space.Space, error) {
	if name, ok := where.Network(); ok {
		return c.network(name)
	}
	return c.host, nil
}
