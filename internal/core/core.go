// Package core makes the kernel what a network should be: observe, plan, apply, one network at a time. It joins the
// edges of links, nftables, iptables and namespaces, and no other package does. What should be, and when it changes,
// its fronts know: package resident keeps it in memory, package percall reads it anew for each call.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/hostport"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Config says where a core works.
type Config struct {
	// NetNS is the path of the host's network namespace; empty is the process's own.
	NetNS string
	// Pins is where networks' namespaces are pinned.
	Pins ns.Pins
	// Owner is the surface whose networks these are, Store the identity of the store that holds them.
	Owner topology.Owner
	Store string
	// UniqueIDs says that no two networks ever have the same id: what bears it is the network's, even if the store was
	// lost.
	UniqueIDs bool
	// Bus is the address of the host's system bus, where its firewalld is; empty: there is none.
	Bus string
	Log *slog.Logger
	// OnStep, if set, is called before and after every step: a test ends the process there.
	OnStep func(plan.Step)
	// Features, if set, changes what was found of the kernel: a test works as on an older one.
	Features func(firewall.Features) firewall.Features
	// Inspection, if set, is how often Watch compares everything without a reason: a test sees what a notification does.
	Inspection time.Duration
}

// Core works on the networks of one store on one host.
type Core struct {
	config   Config
	log      *slog.Logger
	host     *space.Space
	ports    *hostport.Ports
	features firewall.Features

	mu       sync.Mutex // of what follows
	spaces   map[string]*space.Space
	flows    map[string]map[string][]firewall.Element      // of networks by id: what their dynamic sets held, see rememberFlows
	names    map[string]map[firewall.NameKey]firewall.Name // of networks by id: see PutNames
	iptables *iptables.Firewall                            // nil where the host has none, and before it was looked for
	looked   bool                                          // for iptables
}

// Open connects to the host. Nothing in the kernel changes.
func Open(c Config) (*Core, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	h, err := ns.Open(c.NetNS)
	if err != nil {
		return nil, err
	}
	host, err := space.Open(h, c.Store)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &Core{config: c, log: c.Log, host: host, ports: hostport.New(h, c.Log), spaces: map[string]*space.Space{},
		flows: map[string]map[string][]firewall.Element{}, names: map[string]map[firewall.NameKey]firewall.Name{}}, nil
}

// Close releases everything; namespaces, rules and links stay.
func (c *Core) Close() error {
	failed := []error{c.ports.Close(), c.host.Close()}
	for _, s := range c.spaces {
		failed = append(failed, s.Close())
	}
	return errors.Join(failed...)
}

// Owner is the surface whose networks these are.
func (c *Core) Owner() topology.Owner { return c.config.Owner }

// Log is where the core reports.
func (c *Core) Log() *slog.Logger { return c.log }

// Probe finds out what the kernel offers, which takes a process.
func (c *Core) Probe(ctx context.Context) (firewall.Features, error) {
	found, err := c.host.NFT.Features(ctx)
	if err == nil && c.config.Features != nil {
		found = c.config.Features(found)
	}
	return found, err
}

// Use tells the core what the kernel offers. Call it before anything else.
func (c *Core) Use(f firewall.Features) { c.features = f }

// Features is what the kernel offers.
func (c *Core) Features() firewall.Features { return c.features }

// openIPTables looks for the host's iptables, once: it takes several processes. It gives nil where there is none.
func (c *Core) openIPTables() (*iptables.Firewall, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.looked {
		return c.iptables, nil
	}
	found, err := iptables.Open(c.host.NS)
	if errors.Is(err, iptables.ErrUnavailable) {
		c.looked = true
		return nil, fmt.Errorf("%w: where another firewall drops forwarded packets, a gateway's egress does not pass", err)
	}
	if err == nil {
		c.iptables, c.looked = found, true
	}
	return c.iptables, err
}

// followIPTables changes to the variant in which the engine made its chains meanwhile.
func (c *Core) followIPTables(ctx context.Context, uplinks []string) {
	now, err := c.openIPTables()
	if err != nil || now == nil || !now.Outdated() {
		return
	}
	other, err := iptables.Open(c.host.NS)
	if err != nil || other.Variant() == now.Variant() {
		return
	}
	c.log.Info("the engine uses another iptables", "variant", other.Variant())
	for _, uplink := range uplinks {
		if err := now.Remove(ctx, uplink); err != nil {
			c.log.Warn("remove from the other iptables", "uplink", uplink, "error", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.iptables = other
}
