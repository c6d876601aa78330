package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// sharedFixture is a host of a surface whose every call is a process of its own.
type sharedFixture struct {
	*fixture
	owner     topology.Owner
	forgotten []topology.Endpoint
}

func newShared(t *testing.T, world *testnet.World, owner topology.Owner) *sharedFixture {
	t.Helper()
	return &sharedFixture{fixture: &fixture{t: t, world: world, dir: t.TempDir()}, owner: owner}
}

// open is a process.
func (f *sharedFixture) open() (*engine.Engine, error) {
	return engine.Open(f.t.Context(), engine.Config{StoreDir: f.dir, NetNS: f.world.Host.Path(), Owner: f.owner, Shared: true,
		OnForget: func(p topology.Endpoint) { f.forgotten = append(f.forgotten, p) },
		Log:      slog.New(slog.NewTextHandler(testWriter{f.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
}

// call does something in a process of its own.
func (f *sharedFixture) call(do func(*engine.Engine) error) error {
	e, err := f.open()
	if err != nil {
		return err
	}
	return errors.Join(do(e), e.Close())
}

// sharedNetwork is the network of the README in another subnet for each owner.
func (f *sharedFixture) sharedNetwork(options map[string]string) topology.Network {
	f.t.Helper()
	second := map[topology.Owner]int{topology.OwnerDocker: 20, topology.OwnerCNI: 21, topology.OwnerNetavark: 22}[f.owner]
	all := map[string]string{"mcpnet.gateway": fmt.Sprintf("172.%d.0.100:8080", second)}
	for k, v := range options {
		all[k] = v
	}
	p, err := policy.Parse(all)
	f.check(err)
	return topology.Network{ID: "net-" + string(f.owner), Name: "mcp-secure", Bridge: p.Bridge, Subnet: netip.MustParsePrefix(fmt.Sprintf("172.%d.0.0/16", second)),
		BridgeAddr: netip.MustParseAddr(fmt.Sprintf("172.%d.0.1", second)), Policy: p}
}

func (f *sharedFixture) attach(n topology.Network, id, ip string, role topology.Role) (*testnet.NS, error) {
	c := testnet.New(f.t, id)
	return c, f.attachTo(n, c, id, ip, role)
}

func (f *sharedFixture) attachTo(n topology.Network, c *testnet.NS, id, ip string, role topology.Role) error {
	p := topology.Endpoint{ID: id, IP: netip.MustParseAddr(ip), Role: role, Container: id, Interface: "eth0"}
	return f.call(func(e *engine.Engine) error {
		_, _, err := e.Attach(f.t.Context(), n, plan.Attachment{Endpoint: p, Sandbox: c.Path()})
		return err
	})
}

func (f *sharedFixture) mustAttach(n topology.Network, id, ip string, role topology.Role) *testnet.NS {
	f.t.Helper()
	c, err := f.attach(n, id, ip, role)
	f.check(err)
	return c
}

func (f *sharedFixture) detach(n topology.Network, id string) {
	f.t.Helper()
	f.check(f.call(func(e *engine.Engine) error {
		_, _, err := e.Detach(f.t.Context(), n.ID, id)
		return err
	}))
}

// wantPlan checks what a repair would do now.
func (f *sharedFixture) wantPlan(parts ...string) {
	f.t.Helper()
	f.check(f.call(func(e *engine.Engine) error {
		steps, err := e.Plan(f.t.Context())
		for _, s := range steps {
			if len(parts) == 0 {
				f.t.Errorf("left to do: %s", s)
			}
		}
		text := fmt.Sprint(steps)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				f.t.Errorf("plan lacks %q: %s", part, text)
			}
		}
		return err
	}))
}

// TestSharedPath: a network comes with its first endpoint, goes with its last, and holds between.
func TestSharedPath(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	before := f.state()
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	hello(g, 8080)
	hello(g, 9090)
	hello(a, 3000)
	hello(f.world.Internet, 443)
	f.reaches(a, "172.21.0.100/8080", true)
	f.reaches(a, "172.21.0.100/9090", false)
	f.reaches(a, "172.21.240.9/3000", false) // no route: at once
	f.reaches(a, "198.51.100.2/443", false)
	f.reaches(g, "172.21.240.1/3000", true)
	f.reaches(g, "198.51.100.2/443", true)
	f.wantPlan()
	for _, id := range []string{"a", "a", "unknown", "g"} {
		f.detach(n, id)
	}
	f.same(before)
}

// TestSharedPolicyChange: an edited configuration holds from the next attachment on, for those that run already, too. A
// process that is killed between document and rules leaves a document that says so.
func TestSharedPolicyChange(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	hello(g, 8080)
	hello(g, 9090)
	changed := f.sharedNetwork(map[string]string{"mcpnet.gateway": "172.21.0.100:9090"})
	f.mustAttach(changed, "b", "172.21.240.2", topology.RoleServer)
	f.reaches(a, "172.21.0.100/8080", false)
	f.reaches(a, "172.21.0.100/9090", true)
	f.wantPlan()

	moved := changed
	moved.Subnet, moved.BridgeAddr = netip.MustParsePrefix("172.21.0.0/17"), netip.MustParseAddr("172.21.0.2")
	if _, err := f.attach(moved, "c", "172.21.0.7", topology.RoleServer); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("a subnet moved under living endpoints: %v", err)
	}
	f.reaches(a, "172.21.0.100/9090", true)
	for _, id := range []string{"a", "b"} {
		f.detach(n, id)
	}
	f.world.Host.Run("ip", "link", "delete", topology.Endpoint{ID: "g", Owner: f.owner}.Wire()) // ended without a word
	f.mustAttach(moved, "c", "172.21.0.7", topology.RoleServer)
	if len(f.forgotten) != 1 || f.forgotten[0].ID != "g" {
		t.Errorf("forgotten: %v", f.forgotten)
	}
	f.wantPlan()
}

// TestSharedRepairsOnAttach: without a resident process, the next attachment finds what is missing of its network.
func TestSharedRepairsOnAttach(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	hello(g, 8080)
	for i, harm := range []string{
		"nft flush ruleset",
		"nft flush chain netdev mcpnet DOCKER-MCP.mcp-secure",
		"nft insert rule netdev mcpnet DOCKER-MCP.mcp-secure accept",
		"nft flush set netdev mcpnet mcp-secure.tcp",
		"nft delete table inet mcpnet",
		"ip link set mcp-secure down",
		"ip addr flush dev mcp-secure",
	} {
		f.world.Host.Run("sh", "-c", harm)
		f.mustAttach(n, fmt.Sprintf("x%d", i), fmt.Sprintf("172.21.240.%d", 10+i), topology.RoleServer)
		f.wantPlan()
		f.reaches(a, "172.21.0.100/8080", true)
		if t.Failed() {
			t.Fatalf("not repaired after %s", harm)
		}
	}
}

// TestSharedWatch: with a resident process rules are back by themselves, and it does not disturb attachments.
func TestSharedWatch(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	hello(g, 8080)
	resident, err := f.open()
	f.check(err)
	defer resident.Close()
	go resident.Watch(t.Context())
	before := f.state()
	time.Sleep(100 * time.Millisecond)
	for _, harm := range []string{"nft flush ruleset", "nft delete table netdev mcpnet", "nft flush map netdev mcpnet mcp-secure.port", "iptables -F"} {
		f.world.Host.Run("sh", "-c", harm)
		for began := time.Now(); f.state() != before && time.Since(began) < 5*time.Second; {
			time.Sleep(10 * time.Millisecond)
		}
		f.same(before)
		f.reaches(a, "172.21.0.100/8080", true)
	}
	var wait sync.WaitGroup
	for i := range 10 {
		wait.Go(func() {
			id := fmt.Sprintf("many%d", i)
			if _, err := f.attach(n, id, fmt.Sprintf("172.21.240.%d", 100+i), topology.RoleServer); err != nil {
				t.Error(err)
				return
			}
			f.detach(n, id)
		})
	}
	wait.Wait()
	f.same(before)
}

// TestSharedRefuses: an attachment that is there, an interface that is there, an address that runs.
func TestSharedRefuses(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	before := f.state()
	for what, err := range map[string]error{
		"the same attachment":  f.attachTo(n, a, "a", "172.21.240.2", topology.RoleServer),
		"the same interface":   f.attachTo(n, a, "b", "172.21.240.2", topology.RoleServer),
		"the same address":     f.attachTo(n, testnet.New(t, "c"), "c", "172.21.240.1", topology.RoleServer),
		"outside the subnet":   f.attachTo(n, testnet.New(t, "d"), "d", "172.99.0.1", topology.RoleServer),
		"the bridge's address": f.attachTo(n, testnet.New(t, "e"), "e", "172.21.0.1", topology.RoleServer),
	} {
		if err == nil {
			t.Errorf("%s was attached", what)
		}
	}
	f.same(before)
	f.wantPlan()
	// A wire that is gone holds nothing: its container ended without a word.
	f.world.Host.Run("ip", "link", "delete", topology.Endpoint{ID: "a", Owner: f.owner}.Wire())
	f.mustAttach(n, "f", "172.21.240.1", topology.RoleServer)
	f.detach(n, "a") // late, and it takes nothing of its successor
	f.wantPlan()
	f.check(f.call(func(e *engine.Engine) error {
		problems, err := e.Check(t.Context(), n.ID, "f", "/proc/self/ns/net")
		for _, p := range problems {
			if !strings.Contains(p, "interface eth0") { // this process is no container
				t.Error(p)
			}
		}
		return err
	}))
}

// TestThreeOwners: Docker, CNI and netavark on one host. None takes anything of another, whatever it does.
func TestThreeOwners(t *testing.T) {
	docker := newFixture(t)
	docker.network(oneGateway)
	cni, netavark := newShared(t, docker.world, topology.OwnerCNI), newShared(t, docker.world, topology.OwnerNetavark)
	type way struct {
		from *testnet.NS
		to   string
	}
	ways := []way{{docker.container("da", "172.20.240.1", topology.RoleServer), "172.20.0.100/8080"}}
	hello(docker.container("dg", "172.20.0.100", topology.RoleGateway), 8080)
	for second, f := range map[int]*sharedFixture{21: cni, 22: netavark} {
		n := f.sharedNetwork(nil)
		server := f.mustAttach(n, string(f.owner)+"a", fmt.Sprintf("172.%d.240.1", second), topology.RoleServer)
		hello(f.mustAttach(n, string(f.owner)+"g", fmt.Sprintf("172.%d.0.100", second), topology.RoleGateway), 8080)
		ways = append(ways, way{server, fmt.Sprintf("172.%d.0.100/8080", second)})
	}
	hold := func(after string, ways ...way) {
		t.Helper()
		for i, w := range ways {
			docker.reaches(w.from, w.to, true)
			for j, other := range ways {
				if i != j {
					docker.reaches(w.from, other.to, false)
				}
			}
		}
		docker.settled()
		if t.Failed() {
			t.Fatalf("broken after %s", after)
		}
	}
	hold("the attaches", ways...)
	docker.check(docker.engine.Collect(t.Context()))
	for _, f := range []*sharedFixture{cni, netavark} {
		f.check(f.call(func(e *engine.Engine) error {
			return errors.Join(e.Sweep(t.Context(), f.sharedNetwork(nil).ID, nil), e.Collect(t.Context()))
		}))
		f.wantPlan()
	}
	hold("the collections", ways...)
	docker.world.Host.Run("nft", "flush", "ruleset")
	for _, f := range []*sharedFixture{cni, netavark} {
		f.check(f.call(func(e *engine.Engine) error {
			_, err := e.Reconcile(t.Context())
			return err
		}))
	}
	_, err := docker.engine.Reconcile(t.Context())
	docker.check(err)
	hold("a flush", ways...)
	for _, id := range []string{"cnia", "cnig"} {
		cni.detach(cni.sharedNetwork(nil), id)
	}
	docker.check(docker.engine.DeleteNetwork(t.Context(), networkID))
	netavark.wantPlan()
	for _, w := range ways {
		if w.to == "172.22.0.100/8080" {
			docker.reaches(w.from, w.to, true)
		}
	}
}
