package engine_test

import (
	"errors"
	"testing"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRebuild: a network that only the container engine knows is made; one that it listed just before it was removed stays away.
func TestRebuild(t *testing.T) {
	f := newFixture(t)
	empty := f.state()
	n := f.network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	made := f.state()
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(empty)
	if err := f.engine.RebuildNetwork(t.Context(), n); !errors.Is(err, engine.ErrRemoved) {
		t.Errorf("a network that was just removed: %v", err)
	}
	f.same(empty)

	// Docker gives no id twice; what asks for this one by itself is not an old list.
	f.check(f.engine.CreateNetwork(t.Context(), n))
	f.same(made)
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))

	// The plugin was installed anew: the memory is lost with the store, and the list is right.
	f.close()
	f.open()
	f.check(f.engine.RebuildNetwork(t.Context(), n))
	f.same(made)
	f.settled()
	other, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.21.0.100:8080"})
	f.check(err)
	clash := topology.Network{ID: "99", Subnet: n.Subnet, BridgeAddr: n.BridgeAddr, Policy: other}
	if err := f.engine.RebuildNetwork(t.Context(), clash); err == nil || errors.Is(err, engine.ErrRemoved) {
		t.Errorf("a network in the way of another: %v", err)
	}
	f.same(made)
}
