package docker_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestInstallOverAnOlderPlugin runs the script of `make install` twice, with a
// network and running containers in between. Docker throws away what the first
// plugin stored; the second has to find it again.
func TestInstallOverAnOlderPlugin(t *testing.T) {
	onEveryVersion(t, installTwice)
}

func installTwice(t *testing.T, version string) {
	root, plugin := testengine.ModuleRoot(t), testengine.BuildPlugin(t)
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, Engine: testengine.Start(t, testengine.Options{
		Version: version, NetNS: world.Host.Path(), Binds: []string{root, plugin},
	})}
	install := func() {
		t.Helper()
		if _, err := l.Exec(filepath.Join(root, "scripts/plugin-install.sh"), plugin); err != nil {
			t.Fatal(err, tail(l.Logs(), 30))
		}
	}
	install()
	l.MustDocker("plugin", "disable", testengine.PluginName)
	l.MustDocker("plugin", "set", testengine.PluginName, "MCPNET_LOG=debug")
	l.MustDocker("plugin", "enable", testengine.PluginName)
	l.Import(image, testengine.GoFile(t, "/bin/probe", "test/demo/probe"))
	world.Internet.ServeHello(netip.MustParseAddrPort("198.51.100.2:443"))
	l.createNetwork()
	l.run("gateway", serving("8080", "9090"), "--network", "mcp-secure", "--ip", "172.20.0.100")
	l.run("server", serving("3000"), "--network", "mcp-secure")
	l.reaches("server", "172.20.0.100:8080")
	install()

	if env := l.MustDocker("plugin", "inspect", "--format", "{{.Settings.Env}}", testengine.PluginName); !strings.Contains(env, "MCPNET_LOG=debug") {
		t.Errorf("the setting was lost: %s", env)
	}
	l.reaches("server", "172.20.0.100:8080")
	l.reaches("gateway", "server:3000")
	l.denied("server", "172.20.0.100:9090")
	l.MustDocker("restart", "-t", "1", "gateway")
	l.reaches("gateway", "198.51.100.2:443")
	l.denied("server", l.bridgeAddr("mcp-secure"))
	l.run("server2", serving("3000"), "--network", "mcp-secure")
	l.reaches("server2", "172.20.0.100:8080")
	l.denied("server2", "server:3000")
	l.denied("server", "server2:3000")
	l.MustDocker("rm", "-f", "server", "server2", "gateway")
	l.MustDocker("network", "rm", "mcp-secure")
	l.clean()
}
