package docker_test

import (
	"net/netip"
	"strings"
	"testing"
)

// TestScenario is the scenario of the README.
func TestScenario(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		l.world.Internet.ServeHello(netip.MustParseAddrPort("198.51.100.2:443"))
		l.createNetwork()
		l.run("gateway", serving("8080", "9090"), "--network", "mcp-secure", "--ip", "172.20.0.100")
		l.run("server", serving("3000"), "--network", "mcp-secure")
		l.run("server2", serving("3000"), "--network", "mcp-secure", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")

		l.reaches("server", "172.20.0.100:8080")
		l.reaches("server2", "172.20.0.100:8080")
		l.reaches("server", "gateway:8080")
		l.reaches("gateway", "server:3000")
		l.denied("server", "172.20.0.100:9090")
		l.denied("server", "server2:3000")
		l.denied("server", l.bridgeAddr("mcp-secure"))
		l.denied("server", "198.51.100.2:443")
		l.reaches("gateway", "198.51.100.2:443")

		status := l.MustDocker("network", "ls")
		if !strings.Contains(status, "mcp-secure") {
			t.Error(status)
		}
		l.MustDocker("rm", "-f", "server", "server2", "gateway")
		l.MustDocker("network", "rm", "mcp-secure")
		l.clean()
	})
}
