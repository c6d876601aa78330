package resident_test

import (
	"context"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// connected is a network with a gateway and two servers, and connections that stand: one that a server has opened to
// the gateway, and one that the gateway has opened to a server.
type connected struct {
	*testhost.Docker
	a, b, g             *testnet.NS
	toGateway, toServer *testhost.Stream
}

func connect(t *testing.T, f *testhost.Docker) *connected {
	t.Helper()
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080,172.20.0.100:8443"})
	c := &connected{Docker: f, a: f.Container("a", "172.20.240.1", topology.RoleServer), b: f.Container("b",
		"172.20.240.2", topology.RoleServer),
		g: f.Container("g", "172.20.0.100", topology.RoleGateway)}
	serve(t, c.g, 8080, 9090)
	serve(t, c.b, 3000)
	serve(t, f.World.Internet, 443)
	c.toGateway = testhost.OpenStream(t, c.a, c.g, "172.20.0.100:8443")
	c.toServer = testhost.OpenStream(t, c.g, c.a, "172.20.240.1:3000")
	return c
}

// holds checks what the network promises, and that the server's connection goes on.
func (c *connected) holds() {
	c.T.Helper()
	c.toGateway.Moves(10 * time.Second)
	c.Reaches(c.a, "172.20.0.100/8080", true)
	c.Reaches(c.g, "172.20.240.2/3000", true)
	c.Reaches(c.a, "172.20.0.100/9090", false)
	c.Reaches(c.a, "172.20.240.2/3000", false)
	c.Reaches(c.a, "172.20.0.1/22", false)
}

// dead checks that nothing passes, nor is answered.
func (c *connected) dead() {
	c.T.Helper()
	c.toGateway.Rests(200 * time.Millisecond)
	c.toServer.Rests(200 * time.Millisecond)
	for _, to := range []string{"172.20.0.100/8080", "172.20.240.1/3000", "172.20.0.1/22"} {
		if _, err := testhost.DialFor(c.b, to, 400*time.Millisecond); err == nil {
			c.T.Errorf("%s is reached without rules", to)
		}
	}
}

// TestHostFlush: without any rules on the host nothing changes for servers and for connections with gateways, and none
// ends.
// Nobody repairs anything here.
func TestHostFlush(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		c := connect(t, f)
		for _, fault := range []string{"nft flush ruleset", "iptables -F; iptables -t nat -F", "ip link set mcp-secure down",
			"ip link delete mcp-secure"} {
			f.World.Host.Run("sh", "-c", fault)
			c.holds()
			c.toServer.Moves(10 * time.Second)
		}
		_, err := f.Front.Reconcile(t.Context())
		f.Check(err)
		f.Settled()
		c.holds()
		f.Reaches(c.g, "198.51.100.2/443", true)
		c.toGateway.Finish()
		c.toServer.Finish()
	})
}

// TestNamespaceFlush: without rules in a network's namespace it is dead, not open, until it is repaired. What servers
// have opened
// outlives that; what a gateway has opened is not known any more, and refused.
func TestNamespaceFlush(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		c := connect(t, f)
		before := f.State()
		f.Space().Run("nft", "flush", "ruleset")
		c.dead()
		_, err := f.Front.Reconcile(t.Context())
		f.Check(err)
		c.holds()
		f.Same(before)
		c.toGateway.Finish()
		c.toServer.Ends(10 * time.Second)
	})
}

// TestWatchRepairs: what somebody takes away is back at once, in order that existing connections and new ones pass.
func TestWatchRepairs(t *testing.T) { testhost.OnBothKernels(t, watchRepairs) }

func watchRepairs(t *testing.T, f *testhost.Docker) {
	c := connect(t, f)
	before := f.State()
	ctx, stop := context.WithCancel(t.Context())
	watching := make(chan struct{})
	go func() { defer close(watching); f.Front.Watch(ctx) }()
	time.Sleep(100 * time.Millisecond)
	inside, host := f.Space(), f.World.Host
	for _, fault := range []struct {
		in      *testnet.NS
		command string
	}{
		{inside, "nft flush ruleset"},
		{inside, "nft delete table netdev mcpnet"},
		{inside, "nft delete table inet mcpnet"},
		{inside, "nft flush chain netdev mcpnet DOCKER-MCP"},
		{inside, "nft flush set netdev mcpnet anti-spoof"},
		{inside, "nft insert rule netdev mcpnet DOCKER-MCP accept"},
		{inside, "nft add element netdev mcpnet permitted-tcp { 172.20.0.100 . 9090 }"},
		{inside, "ip link set mcp-secure down"},
		{inside, "ip link set mcp-router down"},
		{inside, "ip link delete mcp-uplink"},
		{host, "nft flush ruleset"},
		{host, "nft delete chain inet mcpnet forward.mcp-secure"},
		{host, "ip link set mcp-secure down"},
		{host, "ip link delete mcp-secure"},
		{host, "iptables -F"},
	} {
		fault.in.Run("sh", "-c", fault.command)
		took := becomes(f, before)
		t.Logf("%s: %s: whole again %v after (that includes looking)", fault.in.Label(), fault.command, took)
		c.holds()
		f.Reaches(c.g, "198.51.100.2/443", true)
		if t.Failed() {
			t.Fatalf("after %s", fault.command)
		}
	}
	remade(t, c)
	select {
	case <-watching:
		t.Error("Watch ended by itself")
	default:
	}
	stop()
	<-watching
}

// remade takes away what is not the same as before once it is made anew, or what has connections refused meanwhile.
func remade(t *testing.T, c *connected) {
	c.toGateway.Finish()
	for _, command := range []string{"ip link delete mcp-router", "nft flush map netdev mcpnet to-gateway-tcp"} {
		c.Space().Run("sh", "-c", command)
		took := testhost.Within(t, 5*time.Second, command, func() bool {
			steps, err := c.Front.Plan(t.Context())
			return err == nil && len(steps) == 0
		})
		t.Logf("%s: whole again %v after (that includes looking)", command, took)
		c.toGateway = testhost.OpenStream(t, c.a, c.g, "172.20.0.100:8443")
		c.holds()
		c.Reaches(c.g, "198.51.100.2/443", true)
		c.toGateway.Finish()
	}
}

// becomes waits until the host's state is that of before.
func becomes(f *testhost.Docker, before string) time.Duration {
	f.T.Helper()
	began := time.Now()
	for f.State() != before && time.Since(began) < 5*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	f.Same(before)
	return took
}

// TestWatchMakesAnew: a namespace that somebody unpinned is made anew, empty: its containers are cut off, and
// everybody who comes
// finds a network.
func TestWatchMakesAnew(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		before := f.State()
		a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
		serve(t, g, 8080)
		f.Reaches(a, "172.20.0.100/8080", true)
		ctx, stop := context.WithCancel(t.Context())
		watching := make(chan struct{})
		go func() { defer close(watching); f.Front.Watch(ctx) }()
		time.Sleep(100 * time.Millisecond)
		f.Unpin("mcp-secure")
		testhost.Within(t, 5*time.Second, "the namespace is back", func() bool {
			steps, err := f.Front.Plan(t.Context())
			return err == nil && len(steps) == 0
		})
		stop()
		<-watching
		for _, id := range []string{"a", "g"} {
			f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, id))
		}
		f.Same(before)
		b, h := f.Container("b", "172.20.240.1", topology.RoleServer), f.Container("h", "172.20.0.100", topology.RoleGateway)
		serve(t, h, 8080)
		serve(t, f.World.Internet, 443)
		f.Reaches(b, "172.20.0.100/8080", true)
		f.Reaches(h, "198.51.100.2/443", true)
		f.Settled()
	})
}

// TestNamespaceHeld: a namespace that somebody unpinned lives on while a process is in it, with its uplink and its
// wires. The next
// one is made beside it, with an uplink of its own.
func TestNamespaceHeld(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	before := f.State()
	holder := f.Space().Command("sleep", "60")
	f.Check(holder.Start())
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	time.Sleep(100 * time.Millisecond)
	f.Unpin("mcp-secure")
	_, err := f.Front.Reconcile(t.Context())
	f.Check(err)
	f.Same(before)
	f.Settled()
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, f.World.Internet, 443)
	f.Reaches(g, "198.51.100.2/443", true)
	f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "g"))
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
}
