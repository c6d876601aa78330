package core

import (
	"context"
	"fmt"
	"reflect"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Examined is an endpoint about whose container evidence is wanted, with its network.
type Examined struct {
	Network  topology.Network
	Endpoint topology.Endpoint
}

// ExaminedOf gives those of a network.
func ExaminedOf(n plan.Network) (out []Examined) {
	for _, e := range n.Endpoints {
		if n.Examined(e.Endpoint) {
			out = append(out, Examined{n.Network, e.Endpoint})
		}
	}
	return out
}

// Admit gives an endpoint the rules of what is known of its container now, and says so.
func (c *Core) Admit(ctx context.Context, n topology.Network, before, after topology.Endpoint) error {
	had, has := firewall.CompileEndpoint(n, before, c.features), firewall.CompileEndpoint(n, after, c.features)
	if !reflect.DeepEqual(had, has) {
		step := plan.Step{In: plan.InNetwork(n.Namespace()), Action: plan.AddGuard{Guards: []firewall.Guard{firewall.Change(had, has)}}}
		if err := c.Apply(ctx, step); err != nil {
			return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), after.IP, err)
		}
	}
	if n.Waits(before) && !n.Waits(after) {
		c.tellGateways(ctx, n, after)
	}
	about := []any{"network", n.DisplayName(), "container", after.Container, "address", after.IP}
	switch {
	case after.Admission.State == topology.Conforms:
		c.log.Info("endpoint conforms", append(about, "evidence", after.Admission.By)...)
	case after.Admission.State == topology.Violates && n.Held(after):
		c.log.Warn("endpoint quarantined", append(about, "reason", after.Admission.Reason)...)
	case after.Admission.State == topology.Violates:
		c.log.Warn("endpoint does not conform (mcpnet.caps.mode="+string(n.Policy.CapsMode)+" reports it)", append(about, "reason", after.Admission.Reason)...)
	}
	return nil
}

// tellGateways lets an endpoint say what it has to say to its gateways. Without it the endpoint asks again a second
// later, and is answered.
func (c *Core) tellGateways(ctx context.Context, n topology.Network, e topology.Endpoint) {
	step := plan.Step{In: plan.InNetwork(n.Namespace()), Action: plan.TellGateways{Network: n, Endpoint: e}}
	if err := c.Apply(ctx, step); err != nil {
		c.log.Warn("a server that was held waits longer for its gateways", "network", n.DisplayName(), "address", e.IP, "reason", err)
	}
}
