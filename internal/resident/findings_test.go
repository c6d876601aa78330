package resident_test

import (
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestDeadEgress: whatever a gateway's way beyond its network lacks is a failure that names it, and nothing is said
// where it is whole.
func TestDeadEgress(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	dead := func() (found []report.Finding) {
		t.Helper()
		s, err := f.Front.Status(t.Context())
		f.Check(err)
		return slices.DeleteFunc(s.Findings, func(f report.Finding) bool { return f.Code != report.CodeEgress })
	}
	if got := dead(); len(got) > 0 {
		t.Errorf("a way that is whole: %+v", got)
	}
	for what, harm := range map[string]func(){
		"rules":      func() { f.World.Host.Run("nft", "flush", "ruleset") },
		"uplink":     func() { f.World.Host.Run("ip", "link", "set", "mcp-secure", "down") },
		"forwarding": func() { f.World.Host.Sysctl("net.ipv4.ip_forward", "0") },
	} {
		harm()
		if got := dead(); len(got) != 1 || got[0].Severity != report.Failure {
			t.Errorf("without %s: %+v", what, got)
		}
		if _, err := f.Front.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := dead(); len(got) > 0 {
			t.Errorf("%s are back: %+v", what, got)
		}
	}
}
