package nft_test

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/testtopology"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestHostRules: what goes to the kernel without the nft command is what the command makes of the text.
func TestHostRules(t *testing.T) {
	rules := map[string]firewall.Ruleset{"published": firewall.CompileHost(published(t))}
	for _, name := range []string{"default", "gateways", "egress-off", "egress-udp", "log-all", "log-off", "allow", "allow-names"} {
		rules[name] = firewall.CompileHost(testtopology.Network(t, testtopology.Policies[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		host, text := testnet.New(t, "host"), testnet.New(t, "text")
		check(t, openNFT(t, host).LoadHost(rules[name]))
		text.RunInput(rules[name].LoadText(), "nft", "-f", "-")
		if diff := cmp.Diff(listed(text), listed(host)); diff != "" {
			t.Errorf("%s: the text's and the kernel's:\n%s", name, diff)
		}
	}
}

// listed is what the nft command shows of mcpnet. It has two ways to say the states of a connection.
func listed(in *testnet.NS) string {
	return states.ReplaceAllString(in.Run("nft", "-n", "list", "ruleset"), "ct state $1,$2")
}

var states = regexp.MustCompile(`ct state \{ (\w+), (\w+) \}`)

func published(t *testing.T) topology.Network {
	n := testtopology.Network(t, nil)
	to := netip.MustParseAddrPort("172.20.0.100:8080")
	n.Published = []topology.Publication{{HostPort: 18080, To: to},
		{HostPort: 18081, HostIP: netip.MustParseAddr("192.0.2.1"), To: to}}
	return n
}

// TestHostBesideNewer: an nft command crashes in a namespace where a newer one has made a set, as it does for Docker's
// nftables backend. On the host that is no trouble of mcpnet's, which asks it elsewhere.
func TestHostBesideNewer(t *testing.T) {
	host := testnet.NewWorld(t).Host
	bin := t.TempDir()
	script := "#!/bin/bash\n[ \"$1\" = --version ] || ! ip link show dev " + testnet.Uplink +
		" >/dev/null 2>&1 || kill -SEGV $$\n"
	check(t, os.WriteFile(filepath.Join(bin, "nft"), []byte(script), 0o755))
	f, path := openNFT(t, host), os.Getenv("PATH")
	t.Setenv("PATH", bin+":"+path)
	if _, err := host.Output("nft", "list", "ruleset"); err == nil {
		t.Error("control: the command does not crash on the host")
	}
	rules := hostRules(t, "mcp-secure")
	_, err := f.Features(t.Context())
	check(t, err)
	check(t, f.LoadHost(rules))
	state, err := f.Observe(nil, nil)
	check(t, err)
	if got := state.Chains[firewall.Inet]["forward.mcp-secure"]; len(got) == 0 {
		t.Error("no rules on the host")
	}
	check(t, f.UnloadHost(rules))
}
