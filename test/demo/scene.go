package main

import (
	"context"
	"net/netip"
	"strings"
	"sync"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// What the scene is made of. The network is that of the README.
const (
	secureNet   = "mcp-secure"
	plainNet    = "mcp-demo-plain"
	image       = "mcpnet/demo"
	gatewayAddr = "172.20.0.100"
	bridgeAddr  = "172.20.0.1"
	plainSubnet = "10.99.0.0/24"
	plainBridge = "10.99.0.1"
	plainV6     = "fd00:99::/64"
	hostPort    = ":9000"
	serverPort  = ":3000"
	// hiddenName is a name only the internet's name server knows.
	hiddenName = "secret.attacker.example"
)

// scene is an engine with the demo's networks and containers in it.
type scene struct {
	ctx    context.Context
	p      *testnet.Program
	engine *testengine.Engine
	// mu is held while something is made or removed: an interrupted demo
	// removes what is just being made only when that is there.
	mu sync.Mutex
	// world and names are missing when the engine is somebody else's.
	world *testnet.World
	names *testnet.DNS
}

// serveInternet makes every address of the internet answer.
func serveInternet(world *testnet.World) *testnet.DNS {
	for _, addr := range []netip.Addr{
		testnet.InternetHost, testnet.InternetHost6, testnet.Metadata,
	} {
		world.Internet.ServeHello(netip.AddrPortFrom(addr, 80))
	}
	// The way back to containers that nobody translates.
	world.Internet.AddRoute(netip.MustParsePrefix(plainV6), testnet.HostAddr6)
	return world.Internet.ServeDNS(nil, "dns", netip.AddrPortFrom(testnet.Resolver, 53))
}

// populate makes the networks and starts the containers. An engine of somebody
// else is left as it was.
func (s *scene) populate() {
	s.discard("image", "rm", image)
	s.engine.Import(image,
		testengine.GoFile(s.p, "/gateway", "test/demo/gateway"),
		testengine.GoFile(s.p, "/probe", "test/demo/probe"))
	s.network(secureNet, "-d", "mcpnet", "--subnet", "172.20.0.0/16", "--ip-range", "172.20.240.0/20", "--gateway", bridgeAddr,
		"-o", "mcpnet.gateway="+gatewayAddr+":8080")
	s.network(plainNet, "--subnet", plainSubnet, "--ipv6", "--subnet", plainV6)
	s.container("mcp-demo-gateway", ":8080,:9090", "--network", secureNet, "--ip", gatewayAddr, "--network-alias", "gateway")
	s.create("network", "connect", plainNet, "mcp-demo-gateway")
	s.container("mcp-demo-server-a", serverPort, "--network", secureNet)
	s.container("mcp-demo-server-b", serverPort, "--network", secureNet)
	s.container("mcp-demo-plain-a", serverPort, "--network", plainNet)
	s.container("mcp-demo-plain-b", serverPort, "--network", plainNet)
	s.container("mcp-demo-host", hostPort, "--network", "host")
}

func (s *scene) network(name string, args ...string) {
	s.refuse("network", name)
	s.discard("network", "rm", name)
	s.create(append([]string{"network", "create"}, append(args, name)...)...)
}

func (s *scene) container(name, listen string, args ...string) {
	s.refuse("container", name)
	s.discard("rm", "-f", name)
	args = append([]string{"run", "-d", "--name", name, "--hostname", name}, args...)
	s.create(append(args, image, "/gateway", "-name", name, "-listen", listen)...)
}

// create runs a docker command that makes something, unless the demo has been
// interrupted.
func (s *scene) create(args ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ctx.Err(); err != nil {
		s.p.Fatalf("%v", err)
	}
	s.p.Logf("docker %s", strings.Join(args, " "))
	s.engine.MustDocker(args...)
}

// refuse ends the demo when something of that name is there already: it is not
// ours, and would be removed at the end.
func (s *scene) refuse(kind, name string) {
	if _, err := s.engine.Docker(kind, "inspect", name); err == nil {
		s.p.Fatalf("a %s called %s exists: remove it first", kind, name)
	}
}

// discard removes something at the end, last made first. An engine of our own
// takes everything with it.
func (s *scene) discard(args ...string) {
	if s.world != nil {
		return
	}
	s.p.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, err := s.engine.Docker(args...); err != nil {
			s.p.Logf("%v", err)
		}
	})
}

// address is a container's IPv4 address on a network.
func (s *scene) address(container, network string) string {
	return s.engine.MustDocker("inspect", "--format",
		`{{(index .NetworkSettings.Networks "`+network+`").IPAddress}}`, container)
}

// leakedNames lists what servers got the internet's name server to hear.
func (s *scene) leakedNames() []string {
	if s.names == nil {
		return nil
	}
	var leaked []string
	for _, name := range s.names.Names() {
		if strings.HasPrefix(name, "from-server.") {
			leaked = append(leaked, name)
		}
	}
	return leaked
}
