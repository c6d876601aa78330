package docker_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// beforeSpaces is the last commit whose networks have their wires, bridge and rules in the host's namespace.
const beforeSpaces = "82bb395"

// TestUpgrade replaces the plugin of that commit under a network that is in use: its containers run on, a connection
// that a server has to the gateway goes on, the attack of another server leads nowhere meanwhile, and in the end all
// that there is on the host is what a new network has there.
func TestUpgrade(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		old := testengine.BuildPluginOf(t, beforeSpaces)
		f := newFaultHost(t, version)
		f.InstallPlugin(old, "MCPNET_LOG=debug")
		f.begin("mcpnet")
		f.sound()
		if wires := linksOf(t, f.world.Host, topology.WirePrefix); len(wires) != 3 || len(f.pins()) > 0 {
			t.Fatalf("the old network has wires %v on the host and namespaces %v: this shows nothing", wires, f.pins())
		}
		started, held := f.started(), f.holdServers()
		f.through("upgrade", 60*time.Second, f.installAnew)
		f.held()
		held.move()
		f.comesBack()
		held.finish()
		if now := f.started(); now != started {
			t.Errorf("containers were started anew: %s, before %s", now, started)
		}
		if left := linksOf(t, f.world.Host, topology.WirePrefix); len(left) > 0 {
			t.Errorf("wires on the host: %v", left)
		}
		upgraded := f.bare()
		f.end()
		f.MustDocker("network", "create", "-d", "mcpnet", "--subnet", faultSubnet,
			"--ip-range", "172.20.240.0/20", "--gateway", faultBridge, "-o", "mcpnet.gateway="+faultGateways, "mcp-secure")
		if diff := cmp.Diff(f.bare(), upgraded); diff != "" {
			t.Errorf("the host of a new network, and after the upgrade (-new +upgraded):\n%s", diff)
		}
	})
}

// started tells when the containers were.
func (f *faultLab) started() string {
	f.t.Helper()
	const when = "{{.Name}} {{.State.StartedAt}} {{.RestartCount}}"
	return f.MustDocker("inspect", "--format", when, "gateway", "other", "server")
}

var ownMAC = regexp.MustCompile(`02:[0-9a-f]{2}:`)

// bare is what the host shows of the network, without what differs from one network to the next.
func (f *faultLab) bare() []string {
	f.t.Helper()
	lines := f.hostTraces()
	for i, line := range lines {
		line = ownMAC.ReplaceAllString(peerIndex.ReplaceAllString(line, ""), "")
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	slices.Sort(lines)
	return lines
}
