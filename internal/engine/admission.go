package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Admit records what is known of an endpoint's container. Where the policy enforces its capabilities, the wire passes
// frames from then on, or none. An endpoint that is not there, or that nobody asks about, is no error.
func (e *Engine) Admit(ctx context.Context, networkID, id string, a topology.Admission) error {
	return e.locked(ctx, func() error {
		n, p, err := e.endpoint(networkID, id)
		if errors.Is(err, ErrNoEndpoint) || errors.Is(err, ErrNoNetwork) {
			return nil
		}
		if err != nil || p.leaving || !n.Examined(p.Endpoint) || p.Admission == a {
			return err
		}
		decided := p.Endpoint
		decided.Admission = a
		before, guard := firewall.CompileEndpoint(n.Network, p.Endpoint), firewall.CompileEndpoint(n.Network, decided)
		if !reflect.DeepEqual(before, guard) {
			guard.Gone = firewall.Stale(n.Network, decided)
			if err := e.apply(ctx, []plan.Step{plan.AddGuard{Network: n.Network, Guards: []firewall.Guard{guard}}}); err != nil {
				return fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), err)
			}
		}
		p.Endpoint = decided
		e.reportAdmission(n, p)
		return e.store.PutEndpoint(p.Endpoint, p.joined)
	})
}

func (e *Engine) reportAdmission(n *network, p *endpoint) {
	about := []any{"network", n.DisplayName(), "container", p.Container, "address", p.IP}
	switch {
	case p.Admission.State == topology.Conforms:
		e.log.Info("endpoint conforms", append(about, "evidence", p.Admission.By)...)
	case p.Admission.State == topology.Violates && n.Policy.CapsMode == policy.CapsEnforce:
		e.log.Warn("endpoint quarantined", append(about, "reason", p.Admission.Reason)...)
	case p.Admission.State == topology.Violates:
		e.log.Warn("endpoint would be quarantined (mcpnet.caps.mode=audit)", append(about, "reason", p.Admission.Reason)...)
	}
}

// Examined gives the endpoints whose networks want evidence about them, each with its network.
func (e *Engine) Examined(ctx context.Context) (out []Examined, err error) {
	err = e.view(ctx, func() error {
		for _, n := range e.desired().Networks {
			for _, p := range n.Endpoints {
				if n.Examined(p.Endpoint) {
					out = append(out, Examined{n.Network, p.Endpoint})
				}
			}
		}
		return nil
	})
	return out, err
}

// Examined is an endpoint with its network.
type Examined struct {
	Network  topology.Network
	Endpoint topology.Endpoint
}

// Reside tells processes that share the store that somebody looks at the containers of endpoints that are held, until leave.
func (e *Engine) Reside() (leave func(), err error) { return e.store.Reside() }

// ErrNoResident says that nobody would look at the container of an endpoint that is held.
var ErrNoResident = errors.New("mcpnet.caps.mode=enforce needs mcpnet's service, which looks at containers once they run: " +
	"install and start it (mcpnet install --service), or set mcpnet.caps.mode=audit")

// checkResident refuses an attachment that would be held for ever.
func (e *Engine) checkResident(n topology.Network, p topology.Endpoint) error {
	if !n.Held(p) {
		return nil
	}
	ok, err := e.store.HasResident()
	if err == nil && !ok {
		err = ErrNoResident
	}
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	return nil
}

// Outlets tells what leads out of a container's network namespace.
func (e *Engine) Outlets(sandbox string) (o link.Outlets, err error) {
	err = inSandbox(sandbox, func(h ns.Handle) (err error) {
		o, err = link.OutletsOf(h, e.ns)
		return err
	})
	return o, err
}
