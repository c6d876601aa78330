package core

import (
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Check tells what of an attachment is not in force, in the kernel and in the container.
func (c *Core) Check(n topology.Network, a plan.Attachment) (problems []string, err error) {
	steps, err := c.Missing(n)
	if err == nil && a.Role == topology.RoleGateway {
		var beyond []plan.Step
		beyond, err = c.missingUplink(n)
		steps = append(steps, beyond...)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		problems = append(problems, "missing: "+s.String())
	}
	more, err := c.checkWire(n, a.Endpoint)
	if err != nil {
		return nil, err
	}
	inside, err := space.PeerProblems(a.Sandbox, plan.Peer(n, a))
	return append(append(problems, more...), inside...), err
}

func (c *Core) checkWire(n topology.Network, e topology.Endpoint) (problems []string, err error) {
	gone := []string{fmt.Sprintf("wire %s is gone", e.Wire())}
	where, err := c.network(n.Namespace())
	if errors.Is(err, ErrNoNamespace) {
		return gone, nil
	}
	if err != nil {
		return nil, err
	}
	wire, exists, err := where.ObserveLink(e.Wire())
	if err != nil || !exists {
		return gone, err
	}
	if !wire.Up {
		problems = append(problems, fmt.Sprintf("wire %s is down", e.Wire()))
	}
	if e.Role != topology.RoleGateway && wire.Master != "" {
		problems = append(problems, fmt.Sprintf("wire %s is a port of bridge %s: a server's is a port of nothing", e.Wire(), wire.Master))
	}
	if e.Role == topology.RoleGateway && wire.Master != n.Bridge {
		problems = append(problems, fmt.Sprintf("wire %s is no port of bridge %s, as a gateway's is", e.Wire(), n.Bridge))
	}
	for _, s := range plan.MendWire(n, e, wire) {
		if _, said := s.Action.(plan.Release); !said {
			problems = append(problems, "missing: "+s.String())
		}
	}
	missing, err := where.MissingRules(firewall.CompileEndpoint(n, e, c.features), wire.Index)
	return append(problems, missing...), err
}

// missingUplink gives the steps that would put a network's way beyond in force, iptables left out.
func (c *Core) missingUplink(n topology.Network) ([]plan.Step, error) {
	host, err := c.ObserveHost()
	if err != nil {
		return nil, err
	}
	o, err := c.Observe(n, host)
	if err != nil {
		return nil, err
	}
	return plan.Uplink(n, o), nil
}

// What the core passes on from the namespaces that it works in.
type (
	// Port is an interface of a container that another plugin made.
	Port = space.Port
	// Outlets is what leads out of a container's network namespace.
	Outlets = space.Outlets
)

var (
	// ErrNoPort says that an interface is not one end of a veth whose other end is on the host.
	ErrNoPort = space.ErrNoPort
	// ErrPeerExists says that a container has an interface of the name already.
	ErrPeerExists = space.ErrPeerExists
)

// PortOf finds the host end of a container's interface, by the kernel's own links between the two.
func (c *Core) PortOf(sandbox, name string) (Port, error) { return c.host.PortOf(sandbox, name) }

// Outlets tells what leads out of a container's network namespace.
func (c *Core) Outlets(sandbox string) (Outlets, error) { return space.OutletsOf(sandbox) }
