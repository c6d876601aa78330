package resident_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestFollowsIPTables starts, as a plugin does at boot, before the engine has made its chains, and the engine then
// makes them in iptables-legacy.
func TestFollowsIPTables(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	if rules := f.World.Host.Run("iptables-nft-save"); !strings.Contains(rules, "-A FORWARD -j DOCKER-MCP") {
		t.Fatalf("iptables-nft:\n%s", rules)
	}
	if out, err := f.World.Host.Output("iptables-legacy", "-S"); err != nil {
		testnet.Lacks(t, "iptables-legacy", out)
	}
	for _, args := range [][]string{{"-N", "DOCKER-USER"}, {"-I", "FORWARD", "-j", "DOCKER-USER"}} {
		f.World.Host.Run("iptables-legacy", args...)
		f.World.Host.Run("ip6tables-legacy", args...)
	}
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rules := f.World.Host.Run("iptables-legacy-save"); !strings.Contains(rules, "-A FORWARD -j DOCKER-MCP") {
		t.Errorf("iptables-legacy:\n%s", rules)
	}
	if rules := f.World.Host.Run("iptables-nft-save"); strings.Contains(rules, "MCP") {
		t.Errorf("left in iptables-nft:\n%s", rules)
	}
}
