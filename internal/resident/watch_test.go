package resident_test

import (
	"context"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// noticed is how long a change may take that somebody is told of: well under the interval of inspections, which these
// tests switch off besides.
const noticed = 5 * time.Second

// rest is how long the front goes on with what it was told of before, once nothing is left to do: it looks at iptables
// last, and would find what comes next by that.
const rest = 200 * time.Millisecond

// TestEachWatch: each notification alone has what it tells of put back. Nothing is compared without a reason here.
func TestEachWatch(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	f.Close()
	f.Inspection = time.Hour
	f.Open()
	inside, host := f.Space(), f.World.Host
	faults := []struct {
		what string
		in   *testnet.NS
		do   string
	}{
		{"a bridge that goes down", inside, "ip link set mcp-secure down"},
		{"a router that goes", inside, "ip link delete mcp-router"},
		{"an address that goes", inside, "ip addr flush dev mcp-router"},
		{"an uplink that goes, in the namespace", inside, "ip link delete mcp-uplink"},
		{"an uplink that goes down, on the host", host, "ip link set mcp-secure down"},
		{"an address of the host that comes", host, "ip addr add 192.0.2.77/24 dev uplink0"},
		{"a rule that comes", inside, "nft insert rule netdev mcpnet DOCKER-MCP accept"},
		{"a rule that comes, of the router", inside, "nft insert rule inet mcpnet MCP-INPUT accept"},
		{"an element that comes", inside, "nft add element netdev mcpnet permitted-tcp '{ 172.20.0.100 . 22 }'"},
		{"an element that goes", inside, "nft flush set netdev mcpnet anti-spoof"},
		{"a chain that goes", inside, "nft flush chain netdev mcpnet MCP-GATEWAY"},
		{"a table that goes", inside, "nft delete table inet mcpnet"},
		{"rules of the host that go", host, "nft delete table inet mcpnet"},
		{"a chain of the host that goes", host, "nft delete chain inet mcpnet forward.mcp-secure"},
		{"iptables' jump", host, "iptables -D FORWARD -j DOCKER-MCP"},
		{"iptables' chain", host, "iptables -F DOCKER-MCP"},
		{"iptables' masquerade", host, "iptables -t nat -F POSTROUTING"},
		{"iptables, flushed", host, "iptables -F"},
	}
	for _, fault := range faults { // while nobody watches each is a difference
		fault.in.Run("sh", "-c", fault.do)
		if steps, err := f.Front.Plan(t.Context()); err != nil || len(steps) == 0 {
			t.Errorf("%s: nothing to do (%v)", fault.what, err)
		}
		_, err := f.Front.Reconcile(t.Context())
		f.Check(err)
	}
	host.Run("ip", "addr", "del", "192.0.2.77/24", "dev", "uplink0")
	_, err := f.Front.Reconcile(t.Context())
	f.Check(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Front.Watch(ctx) }()
	defer func() { stop(); <-ended }()
	time.Sleep(200 * time.Millisecond)
	for _, fault := range faults {
		settles(t, f, "before "+fault.what)
		time.Sleep(rest)
		fault.in.Run("sh", "-c", fault.do)
		took := settles(t, f, fault.what)
		t.Logf("%s: %v", fault.what, took)
	}
	time.Sleep(rest)
	f.Unpin("mcp-secure")
	settles(t, f, "a namespace that is unpinned")
}

// settles waits until nothing is left to do, and fails where that takes longer than a notification may.
func settles(t *testing.T, f *testhost.Docker, what string) time.Duration {
	t.Helper()
	return testhost.Within(t, noticed, what, func() bool {
		steps, err := f.Front.Plan(t.Context())
		return err == nil && len(steps) == 0
	})
}
