package engine_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestTwoOwners: two surfaces on one host share tables and nothing else.
func TestTwoOwners(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	a, g := f.container("a", "172.20.240.1", topology.RoleServer), f.container("g", "172.20.0.100", topology.RoleGateway)
	hello(g, 8080)
	hello(a, 3000)
	works := func(when string) {
		t.Helper()
		f.reaches(a, "172.20.0.100/8080", true)
		f.reaches(a, "172.20.0.100/9090", false)
		f.reaches(g, "172.20.240.1/3000", true)
		if t.Failed() {
			t.Fatalf("broken %s", when)
		}
	}
	before := f.state()
	dir := t.TempDir()
	open := func() *engine.Engine {
		other, err := engine.Open(t.Context(), engine.Config{StoreDir: dir, NetNS: f.world.Host.Path(), Owner: topology.OwnerCNI})
		f.check(err)
		f.check(other.Start(t.Context()))
		return other
	}
	other := open()
	f.check(other.Collect(t.Context()))
	f.same(before)
	works("by the other's start")

	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.30.0.100:8080", policy.KeyEgress: "off"})
	f.check(err)
	n := topology.Network{ID: "theirs", Subnet: netip.MustParsePrefix("172.30.0.0/16"), BridgeAddr: netip.MustParseAddr("172.30.0.1"), Policy: p}
	f.check(other.CreateNetwork(t.Context(), n))
	_, err = other.CreateEndpoint(t.Context(), topology.Endpoint{ID: "a", NetworkID: "theirs", IP: netip.MustParseAddr("172.30.240.1"), Role: topology.RoleServer})
	f.check(err)
	works("by the other's network")
	f.check(f.engine.Collect(t.Context()))
	f.settled()
	f.check(other.Close())
	other = open()
	defer other.Close()
	if steps, err := other.Plan(t.Context()); err != nil || len(steps) > 0 {
		t.Errorf("the other has left to do: %v %v", steps, err)
	}
	f.check(other.DeleteEndpoint(t.Context(), "theirs", "a"))
	f.check(other.DeleteNetwork(t.Context(), "theirs"))
	f.same(before)
	f.settled()
	works("by the other's end")

	// And the other way round: the last network goes, the other's stays.
	f.check(other.CreateNetwork(t.Context(), n))
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	if steps, err := other.Plan(t.Context()); err != nil || len(steps) > 0 {
		t.Errorf("the other has left to do: %v %v", steps, err)
	}
}

// TestOtherOwnersBridge: a bridge of another owner is not taken, by default or by name.
func TestOtherOwnersBridge(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	other, err := engine.Open(t.Context(), engine.Config{StoreDir: t.TempDir(), NetNS: f.world.Host.Path(), Owner: topology.OwnerNetavark})
	f.check(err)
	defer other.Close()
	f.check(other.CreateNetwork(t.Context(), secondNetwork(t, "172.30.0.0/16", "")))
	networks, err := other.Networks(t.Context())
	f.check(err)
	if got, want := networks[0].Bridge, topology.BridgeName("second"); got != want {
		t.Errorf("bridge %s, want %s", got, want)
	}
	third := secondNetwork(t, "172.31.0.0/16", "mcp-secure")
	third.ID = "third"
	if err := other.CreateNetwork(t.Context(), third); err == nil || !strings.Contains(err.Error(), "for another network (docker)") {
		t.Errorf("got %v", err)
	}
}

// TestConcurrent: fifty containers come and go at once, as an engine does it, and nothing is left.
func TestConcurrent(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	before := f.state()
	var wait sync.WaitGroup
	failed := make(chan error, 50)
	for i := range cap(failed) {
		wait.Go(func() { failed <- f.comeAndGo(fmt.Sprintf("c%d", i), fmt.Sprintf("172.20.240.%d", i+1)) })
	}
	wait.Wait()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	f.same(before)
	f.settled()
}

func (f *fixture) comeAndGo(id, ip string) error {
	ctx := f.t.Context()
	if _, err := f.engine.CreateEndpoint(ctx, topology.Endpoint{ID: id, NetworkID: networkID, IP: netip.MustParseAddr(ip), Role: topology.RoleServer}); err != nil {
		return err
	}
	if _, err := f.engine.Join(ctx, networkID, id); err != nil {
		return err
	}
	if err := f.engine.Leave(ctx, networkID, id); err != nil {
		return err
	}
	return f.engine.DeleteEndpoint(ctx, networkID, id)
}

// TestSuccessorBeforeTheEnd: an address that is taken again while its last holder's wire is still being deleted belongs
// to the successor: the end of the first must not take the second's way.
func TestSuccessorBeforeTheEnd(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	make := func(id string) error {
		_, err := f.engine.CreateEndpoint(t.Context(), topology.Endpoint{ID: id, NetworkID: networkID, IP: netip.MustParseAddr("172.20.240.1"), Role: topology.RoleServer})
		return err
	}
	f.check(make("0"))
	for i := range 20 {
		gone := testAsync(func() error { return f.engine.DeleteEndpoint(t.Context(), networkID, fmt.Sprint(i)) })
		next := fmt.Sprint(i + 1)
		for make(next) != nil { // held until the first is on its way out
			time.Sleep(time.Millisecond)
		}
		f.check(<-gone)
		if t.Failed() {
			return
		}
		f.settled()
	}
}

func testAsync(f func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// TestWatchRepairs: what somebody takes away is back at once, in order that existing connections and new ones pass.
func TestWatchRepairs(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	a, g := f.container("a", "172.20.240.1", topology.RoleServer), f.container("g", "172.20.0.100", topology.RoleGateway)
	hello(g, 8080)
	watching := testAsync(func() error { f.engine.Watch(t.Context()); return nil })
	before := f.state()
	time.Sleep(100 * time.Millisecond)
	for _, command := range []string{
		"nft flush ruleset",
		"nft delete table netdev mcpnet",
		"nft flush chain netdev mcpnet DOCKER-MCP.mcp-secure",
		"nft flush map netdev mcpnet mcp-secure.port",
		"nft insert rule netdev mcpnet DOCKER-MCP.mcp-secure accept",
		"iptables -F",
	} {
		f.world.Host.Run("sh", "-c", command)
		began := time.Now()
		for f.state() != before && time.Since(began) < 5*time.Second {
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("%s: whole again, iptables too, %v after (that includes looking)", command, time.Since(began))
		f.same(before)
		f.reaches(a, "172.20.0.100/8080", true)
		f.reaches(a, "172.20.0.100/9090", false)
	}
	select {
	case <-watching:
		t.Error("Watch ended by itself")
	default:
	}
}
