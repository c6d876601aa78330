package engines_test

import (
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// podmanLab is Podman, with the network made in either of its two ways.
type podmanLab struct {
	t *testing.T
	*testengine.Podman
	create func(l *podmanLab, policy map[string]string)
	end    func(l *podmanLab)
}

func openPodmanCNI(t *testing.T, w *testnet.World, plugins string) lab {
	p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "4.3", Host: testengine.Host{NetNS: w.Host.Path(), Programs: programs(t)}})
	p.Import(image)
	return &podmanLab{t, p, func(l *podmanLab, policy map[string]string) {
		write(t, l, "/etc/cni/net.d/20-mcp-secure.conflist", conflist(plugins, policy))
	}, func(l *podmanLab) {
		must(t, l, "rm", "/etc/cni/net.d/20-mcp-secure.conflist")
		_, _ = l.Exec("ip", "link", "delete", networkName) // the bridge plugin leaves its bridge
	}}
}

// netavarkDir is one of the directories in which netavark looks by itself.
const netavarkDir = "/usr/libexec/netavark"

func openNetavark(t *testing.T, w *testnet.World) lab {
	p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "5.8", Host: testengine.Host{NetNS: w.Host.Path(),
		Programs: map[string]string{netavarkDir + "/mcpnet": testcni.Plugin(t), servicePath: service(t)}}})
	p.Import(image)
	return &podmanLab{t, p, func(l *podmanLab, policy map[string]string) {
		l.MustPodman(append(append([]string{"network", "create", "-d", "mcpnet", "--subnet", leak.Subnet.String(), "--gateway", leak.BridgeAddr.String()},
			options(policy)...), networkName)...)
	}, func(l *podmanLab) { l.MustPodman("network", "rm", networkName) }}
}

func (l *podmanLab) network(policy map[string]string) { l.create(l, policy) }

func (l *podmanLab) gateway(name string) *testnet.NS { return l.server(name, leak.GatewayIP) }

func (l *podmanLab) server(name string, ip netip.Addr) *testnet.NS {
	l.t.Helper()
	l.MustPodman("run", "-d", "--name", name, "--network", networkName, "--ip", ip.String(), image, "sleep", "1000")
	return testnet.FromPath(l.t, l.ContainerNetNS(name))
}

func (l *podmanLab) remove(names ...string) {
	l.t.Helper()
	l.MustPodman(append([]string{"rm", "-f", "-t", "0"}, names...)...)
	l.end(l)
}
