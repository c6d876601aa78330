package main

import (
	"log/slog"
	"maps"
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/docker"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testhost"
)

// TestNewDefault: a network that an earlier version made gets this version's mcpnet.caps.mode, unless its user chose
// one.
func TestNewDefault(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	for chosen, want := range map[string]policy.CapsMode{"": policy.CapsGuard, "audit": policy.CapsAudit} {
		f := testhost.NewDocker(t)
		known := f.Network(map[string]string{policy.KeyGateway: "172.20.0.100:8080", policy.KeyCapsMode: "audit"})
		s := &engineSync{engine: f.Front, log: slog.New(slog.DiscardHandler)}
		options := maps.Clone(testhost.OneGateway)
		if chosen != "" {
			options[policy.KeyCapsMode] = chosen
		}
		listed := docker.Network{ID: known.ID, Name: "mcp-secure", Driver: "mcpnet", Options: options, Subnet: known.Subnet,
			Gateway: netip.MustParseAddr("172.20.0.1")}
		_, err := s.networks(t.Context(), []docker.Network{listed})
		f.Check(err)
		networks, err := f.Front.Networks(t.Context())
		f.Check(err)
		if got := networks[0].Policy.CapsMode; got != want {
			t.Errorf("chosen %q: %s, want %s", chosen, got, want)
		}
		if chosen == "" {
			known.Policy.CapsMode = want
		}
		known.Bridge = networks[0].Bridge
		f.Check(f.Front.CreateNetwork(t.Context(), known)) // it is the network that is asked for again
	}
}
