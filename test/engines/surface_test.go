// Package engines_test runs mcpnet on every engine that it has a plugin for: the same policy, real containers, real
// packets, on hosts made of namespaces.
package engines_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// surface is one way to an mcpnet network.
type surface struct {
	name string
	open func(t *testing.T, world *testnet.World) lab
}

// lab is an engine with a network on it. Containers do nothing but wait; what they would do is done in their network
// namespaces, as root with every capability.
type lab interface {
	// network makes the network mcp-secure, with bridge mcp-secure and the subnet of package leak.
	network(policy map[string]string)
	// gateway and server start a container. An address is asked for where the engine lets users do that.
	gateway(name string) *testnet.NS
	server(name string, ip netip.Addr) *testnet.NS
	// Path is where this machine finds a file of the engine's host.
	Path(inside string) string
	// remove ends containers, and then the network.
	remove(names ...string)
}

var surfaces = []surface{
	{"docker 28.5", openDocker},
	{"containerd 1.6 ctr", func(t *testing.T, w *testnet.World) lab { return openCtr(t, w, "1.6") }},
	{"containerd 2.1 cri", func(t *testing.T, w *testnet.World) lab { return openCRI(t, w, "2.1") }},
	{"podman 4.3 cni", func(t *testing.T, w *testnet.World) lab { return openPodmanCNI(t, w, mainPlugins) }},
	{"podman 4.3 cni chained", func(t *testing.T, w *testnet.World) lab { return openPodmanCNI(t, w, chainedPlugins) }},
	{"podman 5.8 netavark", openNetavark},
}

// onEverySurface runs a test on each, on a host of its own, as many at a time as there are processors: engines wait more
// than they work.
func onEverySurface(t *testing.T, f func(*testing.T, *testnet.World, lab)) {
	for _, s := range surfaces {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			world := testnet.NewWorld(t)
			f(t, world, s.open(t, world))
		})
	}
}

const (
	image       = "mcpnet-test"
	networkName = "mcp-secure"
)

// defaultPolicy is the README's.
func defaultPolicy() map[string]string {
	return map[string]string{"gateway": netip.AddrPortFrom(leak.GatewayIP, leak.GatewayPort).String()}
}

// options are a policy as Docker and Podman have it.
func options(policy map[string]string) (args []string) {
	for key, value := range policy {
		args = append(args, "-o", "mcpnet."+key+"="+value)
	}
	return append(args, "-o", "com.docker.network.bridge.name="+networkName)
}

// mainPlugins and chainedPlugins are the two forms of a conflist. Addresses are given away from the attacker's on:
// engines that let nobody ask for one then give it the one that the leak suite expects.
const (
	ranges      = `"ranges": [[{"subnet": "172.20.0.0/16", "rangeStart": "172.20.240.2", "gateway": "172.20.0.1"}]]`
	mainPlugins = `{"type": "mcpnet", "bridge": "mcp-secure", "policy": %s,
		"capabilities": {"ips": true, "mac": true, "portMappings": true, "io.kubernetes.cri.pod-annotations": true},
		"ipam": {"type": "host-local", ` + ranges + `}}`
	chainedPlugins = `{"type": "bridge", "bridge": "mcp-secure", "isGateway": true, "ipMasq": true, "hairpinMode": true, "capabilities": {"ips": true},
		"ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "172.20.0.0/16", "gateway": "172.20.0.1"}]]}},
		{"type": "mcpnet", "policy": %s, "capabilities": {"ips": true, "portMappings": true}},
		{"type": "firewall"}, {"type": "tuning"}`
)

func conflist(plugins string, policy map[string]string) string {
	text, err := json.Marshal(policy)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [%s]}`, networkName, fmt.Sprintf(plugins, text))
}

// programs are the CNI plugins as an administrator installs them.
func programs(t *testing.T) map[string]string {
	t.Helper()
	out := testengine.ReferencePlugins(t, "bridge", "host-local", "loopback", "firewall", "portmap", "tuning")
	maps.Copy(out, map[string]string{testengine.CNIBin + "/mcpnet": testcni.Plugin(t), "/usr/local/bin/cnitool": testengine.CNITools(t) + "/cnitool",
		servicePath: service(t)})
	return out
}

// servicePath is where mcpnet's service is on an engine's host.
const servicePath = "/usr/local/bin/mcpnet-plugin"

func service(t *testing.T) string { return testengine.GoFile(t, "", "plugin").Source }

// executor runs a program where an engine runs.
type executor interface {
	Exec(name string, args ...string) (string, error)
}

func must(t *testing.T, e executor, name string, args ...string) string {
	t.Helper()
	out, err := e.Exec(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// write puts text into a file of an engine's host.
func write(t *testing.T, e executor, path, text string) {
	t.Helper()
	must(t, e, "sh", "-c", fmt.Sprintf("mkdir -p $(dirname %s) && cat > %s <<'END'\n%s\nEND", path, path, text))
}

// space is the network's namespace.
func space(t *testing.T, l lab) *testnet.NS {
	return testnet.FromPath(t, l.Path("/run/netns/"+networkName))
}

// wantNothing fails for whatever is left of the network: its namespace, and on the host links, rules, documents,
// addresses.
func wantNothing(t *testing.T, w *testnet.World, e executor) {
	t.Helper()
	if out := w.Host.Run("ip", "-br", "link"); strings.Contains(out, "mcpw") || strings.Contains(out, networkName+" ") {
		t.Errorf("left on the host: %s", out)
	}
	if out, _ := e.Exec("sh", "-c", "ls /run/netns; grep netns/ /proc/self/mountinfo"); strings.Contains(out, networkName) {
		t.Errorf("left of namespaces: %s", out)
	}
	if out := w.Host.Run("nft", "list", "tables"); strings.Contains(out, "mcpnet") {
		t.Errorf("left in nftables: %s", out)
	}
	if out := w.Host.Run("sh", "-c", "iptables -S; ip6tables -S; iptables -t nat -S"); strings.Contains(out, "MCP") {
		t.Errorf("left in iptables: %s", out)
	}
	if out, _ := e.Exec("sh", "-c", "find /var/lib/mcpnet/*/v2 -mindepth 1; ls /var/lib/cni/networks/"+networkName+" | grep ^172"); out != "" {
		t.Errorf("left on disk: %s", out)
	}
}
