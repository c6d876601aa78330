package resident_test

import (
	"errors"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRebuild: a network that only the container engine knows is made; one that it listed just before it was removed
// stays away.
func TestRebuild(t *testing.T) {
	f := testhost.NewDocker(t)
	empty := f.State()
	n := f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	made := f.State()
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	f.Same(empty)
	if err := f.Front.RebuildNetwork(t.Context(), n); !errors.Is(err, resident.ErrRemoved) {
		t.Errorf("a network that was just removed: %v", err)
	}
	f.Same(empty)

	// Docker gives no id twice; what asks for this one by itself is not an old list.
	f.Check(f.Front.CreateNetwork(t.Context(), n))
	f.Same(made)
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))

	// The plugin was installed anew: the memory is lost with the store, and the list is right.
	f.Close()
	f.Open()
	f.Check(f.Front.RebuildNetwork(t.Context(), n))
	f.Same(made)
	f.Settled()
	other, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.21.0.100:8080"})
	f.Check(err)
	clash := topology.Network{ID: "99", Subnet: n.Subnet, BridgeAddr: n.BridgeAddr, Policy: other}
	if err := f.Front.RebuildNetwork(t.Context(), clash); err == nil || errors.Is(err, resident.ErrRemoved) {
		t.Errorf("a network in the way of another: %v", err)
	}
	f.Same(made)
}
