package evidence

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// host is networks of a host, as collectors see them.
type host struct {
	t         *testing.T
	examined  []core.Examined
	lacking   []report.Finding
	outlets   core.Outlets
	mounts    []admission.Mount
	names     []string // of interfaces
	unseen    error
	looks     int // into containers' network namespaces
	admission map[string]topology.Admission
}

func newHost(t *testing.T, endpoints ...string) *host {
	h := &host{t: t, admission: map[string]topology.Admission{}}
	for i, id := range endpoints {
		n := topology.Network{ID: "mcp", Name: "mcp", Policy: policy.Defaults()}
		h.examined = append(h.examined, core.Examined{Network: n, Endpoint: topology.Endpoint{ID: id, NetworkID: n.ID, Role: topology.RoleServer,
			Container: id, NetNS: uint64(i + 1)}})
	}
	return h
}

func (h *host) Examined(context.Context) ([]core.Examined, error) { return h.examined, nil }

func (h *host) Admit(_ context.Context, network, endpoint string, a topology.Admission) error {
	for i, e := range h.examined {
		if e.Network.ID == network && e.Endpoint.ID == endpoint {
			h.examined[i].Endpoint.Admission = a
			h.admission[endpoint] = a
			return nil
		}
	}
	h.t.Errorf("admit %s on %s: nobody asked", endpoint, network)
	return nil
}

func (h *host) Lacking(_ context.Context, findings []report.Finding) error {
	h.lacking = findings
	return nil
}

func (h *host) Networks(context.Context) (out []topology.Network, err error) {
	return []topology.Network{h.examined[0].Network}, nil
}

func (h *host) Outlets(string) (core.Outlets, error) {
	h.looks++
	return h.outlets, h.unseen
}

func attestations(t *testing.T) attest.Directory {
	t.Helper()
	return attest.In(filepath.Join(t.TempDir(), attest.Dir))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
