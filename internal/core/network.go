package core

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// firstBridge is the bridge name of the first network that names none.
const firstBridge = "mcp-secure"

// ChooseBridge chooses a bridge for a network that names none. One that is there already, of a network that the store
// lost, is found again.
func (c *Core) ChooseBridge(n topology.Network, others []topology.Network) string {
	if n.Policy.Bridge != "" {
		return n.Policy.Bridge
	}
	own := topology.BridgeName(n.ID)
	for _, name := range []string{firstBridge, own} {
		if mark, ok := c.ownerOf(name); ok && c.isOf(mark, n) {
			return name
		}
	}
	n.Bridge = firstBridge
	if _, taken := c.nameConflict(n, others); taken {
		return own
	}
	return firstBridge
}

// ownerOf tells whose a name is: by the bridge in the namespace of that name, or by the link of the host's.
func (c *Core) ownerOf(name string) (topology.Mark, bool) {
	where, err := c.network(name)
	if err != nil {
		where = c.host
	}
	found, _, err := where.ObserveLink(name)
	return found.Mark, err == nil && found.Mark.ID != ""
}

// Conflicts finds everything on the host that stands in a network's way.
func (c *Core) Conflicts(n topology.Network, others []topology.Network) error {
	var problems problem.List
	own := []string{n.Bridge, n.Uplink()} // its uplink, and the bridge of the plugin that made its interfaces
	if p, ok := c.nameConflict(n, others); ok {
		problems, own = append(problems, p), nil
	}
	// The bridge of that name is that of the plugin that made the interfaces, or of an earlier mcpnet.
	user, err := c.host.Links.InUse(n.Subnet, own...)
	if err != nil {
		return err
	}
	if user != "" {
		problems = append(problems, problem.Problem{Key: "--subnet", Value: n.Subnet.String(),
			Reason: fmt.Sprintf("overlaps the network of interface %s on this host", user), Accepted: "a subnet that is not in use"})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func (c *Core) nameConflict(n topology.Network, others []topology.Network) (problem.Problem, bool) {
	p := problem.Problem{Key: policy.KeyBridge, Value: n.Bridge,
		Accepted: "a name that no interface and no network namespace (ip netns) has, or none: mcpnet chooses one then"}
	if topology.IsReserved(n.Bridge) {
		p.Reason = "is the name of another link in each network's namespace"
		return p, true
	}
	for _, other := range others {
		if other.ID != n.ID && other.Bridge == n.Bridge {
			p.Reason = fmt.Sprintf("is the bridge of mcpnet network %s", other.DisplayName())
			return p, true
		}
	}
	if p.Reason = c.namespaceConflict(n); p.Reason == "" {
		p.Reason = c.linkConflict(n)
	}
	return p, p.Reason != ""
}

// namespaceConflict tells whose the namespace of the network's name is, if it is not the network's own.
func (c *Core) namespaceConflict(n topology.Network) string {
	where, err := c.network(n.Namespace())
	if errors.Is(err, ErrNoNamespace) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	mark, err := ownerOf(n, where)
	switch {
	case err != nil:
		return err.Error()
	case mark.ID == "":
		return fmt.Sprintf("is a network namespace (%s) that mcpnet did not make", c.config.Pins.Path(n.Namespace()))
	}
	return c.foreign(mark, n, "the namespace of")
}

// linkConflict tells whose the link of the host's is that has the uplink's name.
func (c *Core) linkConflict(n topology.Network) string {
	found, exists, err := c.host.ObserveLink(n.Uplink())
	outer, _ := n.UplinkMACs()
	switch {
	case err != nil:
		return err.Error()
	case !exists:
		return ""
	case found.Mark.ID == "" && found.Type == "veth" && found.MAC == outer.String():
		return "" // a process was killed before it could mark it
	case found.Mark.ID == "":
		return "is an interface of this host that mcpnet did not make"
	}
	return c.foreign(found.Mark, n, "an interface of")
}

// isOf reports whether a link is of a network of this store. One that an earlier mcpnet made has no store in its mark.
func (c *Core) isOf(m topology.Mark, n topology.Network) bool {
	return m.Owner == n.Owner && m.ID == n.ID && (c.config.UniqueIDs || m.Store == c.config.Store || m.Store == "")
}

// foreign tells of an object that mcpnet made for another network.
func (c *Core) foreign(m topology.Mark, n topology.Network, what string) string {
	if c.isOf(m, n) {
		return ""
	}
	return fmt.Sprintf("is %s another network that mcpnet made (%s %s)", what, m.Owner, m.ID)
}

// Reconcile compares the kernel with what one network should be and repairs it. It returns the steps that it took.
func (c *Core) Reconcile(ctx context.Context, n plan.Network, host plan.HostState) ([]plan.Step, error) {
	rules := c.rules(n.Network)
	o, err := c.observe(n.Network, rules, host)
	if err != nil {
		return nil, err
	}
	steps := plan.Diff(n, c.withFlows(n.Network, rules), o.Observed)
	return steps, c.Apply(ctx, steps...)
}

// Renew is Reconcile for a network whose rules in the kernel may be those of another policy: they are loaded anew.
func (c *Core) Renew(ctx context.Context, n plan.Network, host plan.HostState) ([]plan.Step, error) {
	rules := c.rules(n.Network)
	o, err := c.observe(n.Network, rules, host)
	if err != nil {
		return nil, err
	}
	for _, r := range rules.Chains {
		delete(o.Chains[r.Family], r.Name)
	}
	o.Host = host.WithoutRules(firewall.CompileHost(n.Network))
	steps := plan.Diff(n, rules, o.Observed)
	return steps, c.Apply(ctx, steps...)
}

// EnsureIPTables puts a network's part into iptables where it is not whole. Looking takes several processes, so that
// it comes after everything else.
func (c *Core) EnsureIPTables(ctx context.Context, networks ...topology.Network) ([]plan.Step, error) {
	host := plan.HostState{IPTables: c.ObserveIPTables(ctx, networks)}
	var steps []plan.Step
	for _, n := range networks {
		steps = append(steps, plan.DiffIPTables(n, plan.Observed{Host: host})...)
	}
	return steps, c.Apply(ctx, steps...)
}

// Remove takes a network away, whatever of it is there. What has its names and is another's stays.
func (c *Core) Remove(ctx context.Context, n topology.Network) error {
	steps := plan.Remove(n)
	uplink := c.linkConflict(n)
	taken, _, err := c.host.ObserveLink(n.Uplink())
	stays := func(s plan.Step) bool {
		switch s.Action.(type) {
		case plan.RemoveNamespace:
			return false // whose it is is asked when it goes
		case plan.DeleteLink:
			return uplink != ""
		}
		return uplink != "" && taken.Mark.ID != "" // rules go by the uplink's name
	}
	if uplink != "" {
		c.log.Warn("of a network that is removed stays what is not its own", "network", n.DisplayName(), "name", n.Uplink(), "reason", uplink)
	}
	err = errors.Join(err, c.ApplyAll(ctx, slices.DeleteFunc(steps, stays)...))
	if n.HasUplink() {
		c.OpenFirewalld(ctx) // takes what is gone out of its zone
	}
	return err
}

// RemoveEndpoint takes an endpoint away, whatever of it is there.
func (c *Core) RemoveEndpoint(ctx context.Context, n topology.Network, e topology.Endpoint) error {
	steps, err := c.EndpointRemoval(n, e)
	if err != nil {
		return err
	}
	return c.ApplyAll(ctx, steps...)
}

// EndpointRemoval gives the steps that take an endpoint away: the link first, then its rules. There are none where
// the network's namespace is gone, or another's has its name: the endpoint's wire and rules went with it.
func (c *Core) EndpointRemoval(n topology.Network, e topology.Endpoint) ([]plan.Step, error) {
	o, err := c.ObserveWire(n, e)
	if errors.Is(err, ErrNoNamespace) || errors.Is(err, ErrForeign) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return plan.RemoveEndpoint(n, e, c.features, o.Links[e.Wire()].Index), nil
}

// RemoveWire takes away an endpoint of which only the id is known.
func (c *Core) RemoveWire(ctx context.Context, n topology.Network, e topology.Endpoint) error {
	in := plan.InNetwork(n.Namespace())
	steps := []plan.Step{{In: in, Action: plan.DeleteLink{Name: e.Wire()}}}
	if !c.features.DevicePrefix {
		chain := firewall.Chain{Family: firewall.NetDev, Name: firewall.ChainName(e), Hook: firewall.HookIngress, Device: e.Wire()}
		steps = append(steps, plan.Step{In: in, Action: plan.DropGuard{Wire: e.Wire(), Guard: firewall.Guard{Wire: e.Wire(), Chain: chain}}})
	}
	return c.ApplyAll(ctx, steps...)
}

// Leftover is a network of this store's that the kernel holds.
type Leftover struct {
	ID     string
	Bridge string
}

// Leftovers finds the networks of this store that stand in the kernel. A namespace, or an uplink without one, says by
// its mark whose it is.
func (c *Core) Leftovers() (found []Leftover, err error) {
	names, err := c.config.Pins.Names()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	note := func(name string, m topology.Mark, ok bool) {
		if ok && m.Owner == c.config.Owner && m.Store == c.config.Store && !seen[m.ID] {
			seen[m.ID] = true
			found = append(found, Leftover{m.ID, name})
		}
	}
	for _, name := range names {
		h, err := c.config.Pins.Open(name)
		if err != nil {
			continue // it is being made or removed, or is no namespace
		}
		if found, ok, err := space.LinkIn(h, name); err == nil { // else it is the namespace of something else
			note(name, found.Mark, ok && found.Mark.ID != "")
		}
		if err := h.Close(); err != nil {
			return nil, err
		}
	}
	host, err := c.ObserveHost()
	for _, l := range host.Links {
		legacy := l.Name == topology.Endpoint{Owner: c.config.Owner, ID: l.Mark.ID}.LegacyWire()
		note(l.Name, l.Mark, l.Type == "veth" && !legacy)
	}
	return found, err
}
