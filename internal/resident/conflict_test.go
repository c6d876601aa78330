package resident_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func secondNetwork(t *testing.T, subnet, bridge string) topology.Network {
	t.Helper()
	prefix := netip.MustParsePrefix(subnet)
	gateway := prefix.Addr().Next().Next()
	options := map[string]string{policy.KeyGateway: gateway.String() + ":8080"}
	if bridge != "" {
		options[policy.KeyBridge] = bridge
	}
	p, err := policy.Parse(options)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Network{ID: "second", Bridge: p.Bridge, Subnet: prefix, BridgeAddr: prefix.Addr().Next(), Policy: p}
}

// TestNetworkConflicts: everything that stands in the way is named at once, and nothing of the network is left.
func TestNetworkConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		subnet, bridge string
		want           []string
	}{
		"foreign interface": {"172.30.0.0/16", "uplink0", []string{"uplink0", "that mcpnet did not make"}},
		"subnet of an interface": {"198.51.100.0/25", "", []string{"198.51.100.0/25",
			"overlaps the network of interface uplink0"}},
		"wider than an interface's": {"198.51.0.0/16", "", []string{"overlaps the network of interface uplink0"}},
		"another network's bridge":  {"172.30.0.0/16", "mcp-secure", []string{"is the bridge of mcpnet network"}},
		"another network's subnet":  {"172.20.128.0/17", "", []string{"overlaps the network of interface mcp-secure"}},
		"both": {"198.51.100.0/24", "uplink0", []string{"2 problems", "that mcpnet did not make",
			"overlaps the network"}},
		"both, of the other network's": {"172.20.0.0/16", "mcp-secure", []string{"2 problems", "is the bridge of",
			"overlaps the network"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := testhost.NewDocker(t)
			f.Network(testhost.OneGateway)
			before := f.State()
			err := f.Front.CreateNetwork(t.Context(), secondNetwork(t, c.subnet, c.bridge))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
			f.Same(before)
		})
	}
}

func TestNetworkTwice(t *testing.T) {
	f := testhost.NewDocker(t)
	n := f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	before := f.State()
	f.Check(f.Front.CreateNetwork(t.Context(), n))
	n.Policy.MTU = 1400
	if err := f.Front.CreateNetwork(t.Context(), n); err == nil || !strings.Contains(err.Error(),
		"another configuration") {
		t.Errorf("got %v", err)
	}
	f.Same(before)
}

// TestNetworkFails: a network whose link cannot be made leaves nothing, and one that exists does not suffer from a call
// that comes again and fails.
func TestNetworkFails(t *testing.T) {
	f := testhost.NewDocker(t)
	before := f.State()
	n := secondNetwork(t, "172.30.0.0/16", "mcp-x")
	n.Policy.MTU = 1 << 20 // the kernel refuses it, after the rules stand
	if err := f.Front.CreateNetwork(t.Context(), n); err == nil {
		t.Fatal("no error")
	}
	f.Same(before)
	n = f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	before = f.State()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // the lock is there and the context over: it is by chance which one counts
		_ = f.Front.CreateNetwork(ctx, n)
	}
	f.World.Host.Run("nft", "flush", "ruleset")
	f.Space().Run("nft", "flush", "ruleset")
	for range 20 {
		_ = f.Front.CreateNetwork(ctx, n)
	}
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Same(before)
}

func TestAttachFails(t *testing.T) {
	at := func(id, network, ip string) topology.Endpoint {
		return topology.Endpoint{ID: id, NetworkID: network, IP: netip.MustParseAddr(ip), Role: topology.RoleServer}
	}
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	taken := topology.Endpoint{ID: "taken", Owner: topology.OwnerDocker}
	f.World.Host.Run("ip", "link", "add", taken.Peer(), "type", "bridge")
	before := f.State()
	for name, c := range map[string]struct {
		endpoint topology.Endpoint
		want     string
	}{
		"outside the subnet":  {at("x", testhost.NetworkID, "10.0.0.1"), "not in subnet 172.20.0.0/16"},
		"no such network":     {at("x", "other", "172.20.240.9"), resident.ErrNoNetwork.Error()},
		"interface is there":  {at("taken", testhost.NetworkID, "172.20.240.9"), "172.20.240.9"},
		"id is none":          {at("../x", testhost.NetworkID, "172.20.240.9"), "is not an id"},
		"id of another shape": {at("", testhost.NetworkID, "172.20.240.9"), "is not an id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Front.CreateEndpoint(t.Context(), c.endpoint)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			f.Same(before)
		})
	}
	if _, err := f.Front.Join(t.Context(), testhost.NetworkID, "x"); !errors.Is(err, resident.ErrNoEndpoint) {
		t.Errorf("join what was refused: %v", err)
	}
}

// TestLockDeadline: a call that waits for another one gives up in its own time.
func TestLockDeadline(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Close()
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.OnStep = func(s plan.Step) {
		if _, ok := s.Action.(plan.AddWire); ok {
			once.Do(func() { close(held); <-release })
		}
	}
	f.Open()
	e := f.Front
	done := make(chan error, 1)
	go func() {
		_, err := e.CreateEndpoint(context.WithoutCancel(t.Context()), topology.Endpoint{ID: "a",
			NetworkID: testhost.NetworkID,
			IP:        netip.MustParseAddr("172.20.240.1"), Role: topology.RoleServer})
		done <- err
	}()
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := e.Status(ctx)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > time.Second ||
		!strings.Contains(err.Error(), "another operation") {
		t.Errorf("after %v: %v", took, err)
	}
	if err := e.DeleteEndpoint(ctx, testhost.NetworkID, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an endpoint that could not be deleted: %v", err)
	}
	close(release)
	f.Check(<-done)
	f.Settled()
}
