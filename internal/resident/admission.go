package resident

import (
	"context"
	"reflect"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Admit records what is known of an endpoint's container. Where the policy enforces its capabilities, the wire passes
// frames from then on, or none. An endpoint that is not there, or that nobody asks about, is no error.
func (f *Front) Admit(ctx context.Context, networkID, id string, a topology.Admission) error {
	return f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if isUnknown(err) {
			return nil
		}
		if err != nil || p.leaving || !n.Examined(p.Endpoint) || reflect.DeepEqual(p.Admission, a) {
			return err
		}
		decided := p.Endpoint
		decided.Admission = a
		if err := f.core.Admit(ctx, n.Network, p.Endpoint, decided); err != nil {
			return err
		}
		p.Endpoint = decided
		return f.store.PutEndpoint(p.Endpoint, p.joined)
	})
}

// Examined gives the endpoints whose networks want evidence about them, each with its network.
func (f *Front) Examined(ctx context.Context) (out []core.Examined, err error) {
	err = f.locked(ctx, func() error {
		for _, n := range f.planned() {
			out = append(out, core.ExaminedOf(n)...)
		}
		return nil
	})
	return out, err
}

// Lacking records what evidence cannot be had, for the status.
func (f *Front) Lacking(ctx context.Context, findings []report.Finding) error {
	return f.locked(ctx, func() error {
		f.lacking = findings
		return nil
	})
}
