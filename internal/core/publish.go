package core

import (
	"context"
	"errors"

	"github.com/mcpnet/mcpnet/internal/hostport"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// HoldPort takes a port of the host for a gateway, so that no other program does.
func (c *Core) HoldPort(p topology.Publication) error { return c.ports.Hold(p) }

// ReleasePort gives it up.
func (c *Core) ReleasePort(p topology.Publication) error { return c.ports.Release(p) }

// RenewIPTables loads a network's rules in iptables anew: the published ports are others.
func (c *Core) RenewIPTables(ctx context.Context, n topology.Network) error {
	incomplete := map[string]bool{n.Uplink(): false}
	return c.Apply(ctx, plan.DiffIPTables(n, plan.Observed{Host: plan.HostState{IPTables: incomplete}})...)
}

// IsTaken reports whether HoldPort failed because another program has the port.
func IsTaken(err error) bool { return errors.Is(err, hostport.ErrTaken) }
