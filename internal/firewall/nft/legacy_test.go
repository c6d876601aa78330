package nft_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// legacy gives the text of rules as commit 82bb395 loaded them on the host, for a bridge.
func legacy(t *testing.T, bridge string, files ...string) string {
	t.Helper()
	var text strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join("testdata", "82bb395", name+".nft"))
		check(t, err)
		text.Write(b)
	}
	wire := "mcpwd-" + bridge[len(bridge)-5:]
	return strings.NewReplacer("mcp-secure", bridge, "mcpwdca978112ca", wire).Replace(text.String())
}

// loadLegacy loads such text. No kernel of Debian's resets connections at ingress: 82bb395 left those rules out there.
func loadLegacy(host *testnet.NS, text string) {
	const reset = "reject with tcp reset"
	probe := "add table netdev p; add chain netdev p c; add rule netdev p c ip protocol tcp " + reset
	if _, err := host.Output("nft", "-c", probe); err != nil {
		text = regexp.MustCompile(`(?m)^add rule netdev .*`+reset+`.*$`).ReplaceAllString(text, "")
	}
	host.RunInput(text, "nft", "-f", "-")
}

// legacyHost is a host with the rules for all wires and those of some bridges, each with one wire.
func legacyHost(t *testing.T, networks map[string]string) *testnet.NS {
	t.Helper()
	host := testnet.New(t, "host")
	loadLegacy(host, legacy(t, "mcp-secure", "wires"))
	for bridge, policy := range networks {
		host.Run("ip", "link", "add", "mcpwd-"+bridge[len(bridge)-5:], "type", "bridge")
		loadLegacy(host, legacy(t, bridge, policy, "guard-server"))
	}
	return host
}

// TestRemoveLegacy: what stood on the host for the last bridge goes, with what stood there for all.
func TestRemoveLegacy(t *testing.T) {
	for _, policy := range []string{"network-default", "network-egress-off"} {
		host := legacyHost(t, map[string]string{"mcp-secure": policy})
		f := openNFT(t, host)
		check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
		if got := host.Run("nft", "list", "ruleset"); got != "" {
			t.Errorf("%s: left:\n%s", policy, got)
		}
		check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
		if got := host.Run("nft", "list", "ruleset"); got != "" {
			t.Errorf("%s: made for nothing:\n%s", policy, got)
		}
	}
}

// TestRemoveLegacyOneOfTwo: a network that has not moved yet keeps everything, and goes as the last.
func TestRemoveLegacyOneOfTwo(t *testing.T) {
	host := legacyHost(t, map[string]string{"mcp-other": "network-default"})
	before := host.Run("nft", "-s", "list", "ruleset")
	host.Run("ip", "link", "add", "mcpwd-ecure", "type", "bridge")
	loadLegacy(host, legacy(t, "mcp-secure", "network-egress-off", "guard-server"))
	f := openNFT(t, host)
	check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
	if diff := cmp.Diff(before, host.Run("nft", "-s", "list", "ruleset")); diff != "" {
		t.Errorf("the other network suffers:\n%s", diff)
	}
	check(t, f.RemoveLegacy(t.Context(), "mcp-other"))
	if got := host.Run("nft", "list", "ruleset"); got != "" {
		t.Errorf("left:\n%s", got)
	}
}

// TestRemoveLegacyBesideUplinks: the uplink's chains have the names of earlier ones, and stay.
func TestRemoveLegacyBesideUplinks(t *testing.T) {
	host := legacyHost(t, map[string]string{"mcp-secure": "network-default"})
	f := openNFT(t, host)
	check(t, f.Load(t.Context(), hostRules(t, "mcp-secure")))
	check(t, f.Load(t.Context(), hostRules(t, "mcp-moved")))
	alone := testnet.New(t, "alone")
	want := openNFT(t, alone)
	check(t, want.Load(t.Context(), hostRules(t, "mcp-secure")))
	check(t, want.Load(t.Context(), hostRules(t, "mcp-moved")))
	check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
	if diff := cmp.Diff(alone.Run("nft", "-s", "list", "ruleset"),
		host.Run("nft", "-s", "list", "ruleset")); diff != "" {
		t.Errorf("not the uplinks' rules alone:\n%s", diff)
	}
}

// TestRemoveLegacyKeepsOthers: a foreign chain in the table keeps the table, and itself.
func TestRemoveLegacyKeepsOthers(t *testing.T) {
	host := legacyHost(t, map[string]string{"mcp-secure": "network-default"})
	host.Run("nft", "add", "chain", "netdev", "mcpnet", "theirs")
	f := openNFT(t, host)
	check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
	if got := host.Run("nft", "list", "ruleset"); !strings.Contains(got, "theirs") ||
		strings.Contains(got, "mcp-secure") {
		t.Errorf("left:\n%s", got)
	}
}
