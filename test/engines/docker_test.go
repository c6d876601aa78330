package engines_test

import (
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

type dockerLab struct {
	t *testing.T
	*testengine.Engine
}

func openDocker(t *testing.T, w *testnet.World) lab {
	e := testengine.Start(t, testengine.Options{Version: "28.5", NetNS: w.Host.Path()})
	e.InstallPlugin(testengine.BuildPlugin(t))
	e.Import(image)
	return &dockerLab{t, e}
}

func (l *dockerLab) network(policy map[string]string) {
	l.MustDocker(append(append([]string{"network", "create", "-d", "mcpnet", "--subnet", leak.Subnet.String(), "--gateway", leak.BridgeAddr.String(),
		"--ip-range", "172.20.240.0/20"}, options(policy)...), networkName)...)
}

func (l *dockerLab) gateway(name string) *testnet.NS { return l.server(name, leak.GatewayIP) }

func (l *dockerLab) server(name string, ip netip.Addr) *testnet.NS {
	l.t.Helper()
	l.MustDocker("run", "-d", "--name", name, "--network", networkName, "--ip", ip.String(), image, "sleep", "1000")
	return testnet.FromPath(l.t, l.ContainerNetNS(name))
}

func (l *dockerLab) remove(names ...string) {
	l.t.Helper()
	l.MustDocker(append([]string{"rm", "-f"}, names...)...)
	l.MustDocker("network", "rm", networkName)
}
