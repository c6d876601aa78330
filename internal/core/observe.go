package core

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// observation is what the kernel holds of one network, with the counters of its rules.
type observation struct {
	plan.Observed
	counters map[string]topology.Traffic
}

// Observe reads everything that the kernel holds of a network. The host's own state is read once for all of them.
func (c *Core) Observe(n topology.Network, host plan.HostState) (plan.Observed, error) {
	o, err := c.observe(n, c.rules(n), host)
	return o.Observed, err
}

// rules compiles the rules of a network. Whoever needs them twice passes them on.
func (c *Core) rules(n topology.Network) firewall.Ruleset {
	return firewall.CompileNetwork(n, c.features)
}

func (c *Core) observe(n topology.Network, rules firewall.Ruleset, host plan.HostState) (o observation, err error) {
	where, err := c.network(n.Namespace())
	if errors.Is(err, ErrNoNamespace) {
		o.Host = host
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("observe: %w", err)
	}
	if o.Observed, o.counters, err = where.Observe(rules); err != nil {
		return o, err
	}
	o.Host = host
	if err := c.checkOwner(n, o.Links); err != nil {
		return observation{}, err
	}
	if n.HasUplink() {
		o.Uplink, err = where.UplinkHolds(n, c.host)
	}
	return o, err
}

// ErrForeign says that a namespace of a network's name is another's.
var ErrForeign = errors.New("is not this network's")

// checkOwner refuses a namespace that is another's.
func (c *Core) checkOwner(n topology.Network, links map[string]plan.Link) error {
	if mark := ownerIn(n, links); !c.isOf(mark, n) {
		return c.foreignError(n, mark)
	}
	return nil
}

func (c *Core) foreignError(n topology.Network, mark topology.Mark) error {
	path := c.config.Pins.Path(n.Namespace())
	if mark.ID == "" {
		return fmt.Errorf("namespace %s %w: mcpnet did not make it; choose another bridge name, or remove it (ip netns delete)", path, ErrForeign)
	}
	return fmt.Errorf("namespace %s %w: it belongs to network %s of %s; choose another bridge name, or remove that network",
		path, ErrForeign, mark.ID, mark.Owner)
}

// ownerOf looks for the mark that ownerIn gives.
func ownerOf(n topology.Network, where *space.Space) (topology.Mark, error) {
	for _, name := range ownerLinks(n) {
		if found, _, err := where.ObserveLink(name); err != nil || found.Mark.ID != "" {
			return found.Mark, err
		}
	}
	return topology.Mark{}, nil
}

// markIn is ownerOf for a namespace that nothing works in. One that cannot be looked into is nobody's.
func markIn(h ns.Handle, n topology.Network) (topology.Mark, error) {
	for _, name := range ownerLinks(n) {
		if found, _, err := space.LinkIn(h, name); err != nil || found.Mark.ID != "" {
			return found.Mark, err
		}
	}
	return topology.Mark{}, nil
}

// ownerIn is the mark by which a namespace says whose it is: that of its bridge, or of its router where the bridge is
// gone. A namespace of ours is pinned with both.
func ownerIn(n topology.Network, links map[string]plan.Link) topology.Mark {
	for _, name := range ownerLinks(n) {
		if mark := links[name].Mark; mark.ID != "" {
			return mark
		}
	}
	return topology.Mark{}
}

func ownerLinks(n topology.Network) []string {
	return []string{n.Bridge, topology.Router, topology.RouterPort}
}

// ObserveHost reads what the host holds, iptables left out.
func (c *Core) ObserveHost() (plan.HostState, error) { return c.host.ObserveHost() }

// ObserveIPTables tells, by uplink, whether the rules of networks in iptables are complete; nil where there is no
// iptables or none is needed.
func (c *Core) ObserveIPTables(ctx context.Context, networks []topology.Network) map[string]bool {
	wanted := slices.DeleteFunc(slices.Clone(networks), func(n topology.Network) bool {
		return !n.HasUplink() || n.Policy.Firewall == policy.FirewallNFTables
	})
	if len(wanted) == 0 {
		return nil
	}
	var uplinks []string
	for _, n := range wanted {
		uplinks = append(uplinks, n.Uplink())
	}
	c.followIPTables(ctx, uplinks)
	tables, err := c.openIPTables()
	if err != nil || tables == nil {
		return nil
	}
	complete := map[string]bool{}
	for _, n := range wanted {
		missing, err := tables.Missing(iptables.Network{Uplink: n.Uplink(), Host: firewall.CompileHost(n)})
		if err != nil {
			c.log.Warn("look at iptables", "network", n.DisplayName(), "error", err)
		}
		complete[n.Uplink()] = !missing && err == nil
	}
	return complete
}

// ObserveWire looks at one endpoint's wire only, in a namespace that is the network's.
func (c *Core) ObserveWire(n topology.Network, e topology.Endpoint) (o plan.Observed, err error) {
	where, err := c.network(n.Namespace())
	if err != nil {
		return o, err
	}
	mark, err := ownerOf(n, where)
	if err == nil && !c.isOf(mark, n) {
		err = c.foreignError(n, mark)
	}
	if err != nil {
		return o, err
	}
	o.Exists = true
	found, ok, err := where.ObserveLink(e.Wire())
	if ok {
		o.Links = map[string]plan.Link{found.Name: found}
	}
	return o, err
}

// HasWire reports whether an endpoint's wire is there, and its index.
func (c *Core) HasWire(n topology.Network, e topology.Endpoint) (index int, ok bool, err error) {
	o, err := c.ObserveWire(n, e)
	if errors.Is(err, ErrNoNamespace) || errors.Is(err, ErrForeign) {
		return 0, false, nil
	}
	found, ok := o.Links[e.Wire()]
	return found.Index, ok, err
}

// Missing gives the steps that would put a network in force within its namespace, without its endpoints and its
// uplink. It looks at nothing that grows with endpoints.
func (c *Core) Missing(n topology.Network) ([]plan.Step, error) {
	rules := c.rules(n)
	o, err := c.observeSkeleton(n, rules)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return plan.Skeleton(n, rules, o), nil
}

func (c *Core) observeSkeleton(n topology.Network, rules firewall.Ruleset) (o plan.Observed, err error) {
	where, err := c.network(n.Namespace())
	if errors.Is(err, ErrNoNamespace) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	if o, err = where.ObserveSkeleton(n, rules); err != nil {
		return o, err
	}
	return o, c.checkOwner(n, o.Links)
}
