package main

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestLocal: networks of CNI and netavark are looked at without a process of mcpnet's, and looking changes nothing.
func TestLocal(t *testing.T) {
	world, root := testnet.NewWorld(t), t.TempDir()
	program := testengine.GoFile(t, "", "cmd/mcpnet").Source
	attachLocal(t, world, surface.CNI.Store(root))
	ask := func(command string, answer any) {
		t.Helper()
		c := world.Host.Command(program, command, "--json", "--socket", root+"/none")
		c.Env = append(os.Environ(), surface.RootVariable+"="+root, surface.NamespacesVariable+"="+world.Pins)
		out, err := c.Output()
		if jsonErr := json.Unmarshal(out, answer); jsonErr != nil {
			t.Fatalf("%s: %v, %v: %s", command, err, jsonErr, out)
		}
	}
	var status report.Status
	if ask("status", &status); len(status.Networks) != 1 || len(status.Networks[0].Endpoints) != 1 ||
		status.Networks[0].Endpoints[0].ID != "a" || status.Networks[0].Endpoints[0].State != report.StateUp {
		t.Errorf("%+v", status)
	}
	var steps report.Plan
	if ask("plan", &steps); steps.Schema != report.PlanSchema || len(steps.Steps) != 0 {
		t.Errorf("with all in force: %+v", steps)
	}
	world.Pinned("mcp-secure").Run("nft", "flush", "ruleset")
	before := testhost.State(t, world, surface.CNI.Store(root))
	for range 2 {
		if ask("plan", &steps); len(steps.Steps) == 0 {
			t.Error("with the rules gone there is nothing to be done")
		}
	}
	if ask("status", &status); len(status.Networks[0].Drift) == 0 {
		t.Errorf("with the rules gone: %+v", status.Networks[0])
	}
	testhost.Same(t, before, testhost.State(t, world, surface.CNI.Store(root)))
}

// attachLocal makes a network with a container, as the CNI plugin does.
func attachLocal(t *testing.T, w *testnet.World, store string) {
	t.Helper()
	f, err := percall.Open(t.Context(), percall.Config{StoreDir: store, NetNS: w.Host.Path(), Pins: ns.HostPins(w.Pins),
		Owner: topology.OwnerCNI, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer f.Close()
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.100:8080"})
	check(t, err)
	n := topology.Network{ID: "n", Name: "mcp-secure", Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	e := topology.Endpoint{ID: "a", IP: netip.MustParseAddr("172.20.240.1"), Role: topology.RoleServer, Container: "a", Interface: "eth0"}
	_, _, err = f.Attach(t.Context(), n, plan.Attachment{Endpoint: e, Sandbox: testnet.New(t, "a").Path()})
	check(t, err)
}
