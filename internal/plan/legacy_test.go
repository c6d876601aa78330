package plan_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestLegacyWiresFirst: what guards wires on the host stays there as long as one is left that no known endpoint takes
// along; the last pass moves them, then removes bridge and rules, then makes the uplink.
func TestLegacyWiresFirst(t *testing.T) {
	n := plan.Network{Network: network(t, nil)}
	e := endpoint(n.Network, "e", "172.20.240.1", topology.RoleServer, true)
	wire := plan.Link{Name: e.LegacyWire(), Type: "veth", Up: true,
		Mark: topology.Mark{Owner: topology.OwnerDocker, ID: "e"}}
	bridge := plan.Link{Name: "mcp-secure", Type: "bridge", Up: true,
		Mark: topology.Mark{Owner: topology.OwnerDocker, ID: n.ID}}
	o := plan.Observed{Host: plan.HostState{Links: map[string]plan.Link{wire.Name: wire, bridge.Name: bridge},
		Chains: map[firewall.Family]map[string][]string{firewall.NetDev: {"in-" + wire.Name: {"mcp-secure/wire"}}}}}
	text := func(steps []plan.Step) string {
		var lines []string
		for _, s := range steps {
			lines = append(lines, s.String())
		}
		return strings.Join(lines, "\n")
	}
	touched := []string{"link mcp-secure: delete", "rules of an earlier mcpnet", "uplink mcp-secure to the host"}

	early := text(plan.Diff(n, firewall.CompileNetwork(n.Network, firewall.Features{DevicePrefix: true}), o))
	for _, step := range touched {
		if strings.Contains(early, step) {
			t.Errorf("before the endpoint is known: %s:\n%s", step, early)
		}
	}
	if orphans := text(plan.Orphans(n, o, func(string) bool { return false })); !strings.Contains(orphans,
		"host: link "+wire.Name+": delete") {
		t.Errorf("a wire of nobody's stays: %s", orphans)
	}
	if orphans := text(plan.Orphans(n, o, func(string) bool { return true })); orphans != "" {
		t.Errorf("a wire that may be somebody's goes: %s", orphans)
	}
	n.Endpoints = []plan.Endpoint{e}
	late, at := text(plan.Diff(n, firewall.CompileNetwork(n.Network, firewall.Features{DevicePrefix: true}), o)), -1
	for _, step := range append([]string{"take " + wire.Name + " of the host"}, touched...) {
		next := strings.Index(late, step)
		if next <= at {
			t.Errorf("once the endpoint is known, %s comes too early, or not:\n%s", step, late)
		}
		at = next
	}
}
