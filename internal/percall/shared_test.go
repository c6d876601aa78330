package percall_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// sharedFixture is a host of a surface whose every call is a process of its own.
type sharedFixture struct {
	*testhost.Docker // without its front
	owner            topology.Owner
	forgotten        []topology.Endpoint
}

func newShared(t *testing.T, world *testnet.World, owner topology.Owner) *sharedFixture {
	t.Helper()
	return &sharedFixture{Docker: &testhost.Docker{T: t, World: world, Dir: t.TempDir()}, owner: owner}
}

// onBothKernels runs a test with one chain for all wires, and with a chain for each.
func onBothKernels(t *testing.T, test func(*testing.T, *sharedFixture)) {
	testhost.EachKernel(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
		f.Features = features
		test(t, f)
	})
}

// open is a process.
func (f *sharedFixture) open() (*percall.Front, error) {
	return percall.Open(f.T.Context(), percall.Config{StoreDir: f.Dir, NetNS: f.World.Host.Path(),
		Pins: ns.HostPins(f.World.Pins), Owner: f.owner,
		OnForget: func(p topology.Endpoint) { f.forgotten = append(f.forgotten, p) }, Log: testhost.Log(f.T),
		Features: f.Features, Inspection: f.Inspection, OnStep: f.OnStep})
}

// space is the namespace of the network of sharedNetwork.
func (f *sharedFixture) space() *testnet.NS { return f.World.Pinned("mcp-secure") }

// call does something in a process of its own.
func (f *sharedFixture) call(do func(*percall.Front) error) error {
	e, err := f.open()
	if err != nil {
		return err
	}
	return errors.Join(do(e), e.Close())
}

// sharedNetwork is the network of the README in another subnet for each owner.
func (f *sharedFixture) sharedNetwork(options map[string]string) topology.Network {
	f.T.Helper()
	second := map[topology.Owner]int{topology.OwnerDocker: 20, topology.OwnerCNI: 21, topology.OwnerNetavark: 22}[f.owner]
	all := map[string]string{"mcpnet.gateway": fmt.Sprintf("172.%d.0.100:8080", second)}
	for k, v := range options {
		all[k] = v
	}
	p, err := policy.Parse(all)
	f.Check(err)
	return topology.Network{ID: "net-" + string(f.owner), Name: "mcp-secure", Bridge: p.Bridge,
		Subnet:     netip.MustParsePrefix(fmt.Sprintf("172.%d.0.0/16", second)),
		BridgeAddr: netip.MustParseAddr(fmt.Sprintf("172.%d.0.1", second)), Policy: p}
}

func (f *sharedFixture) attach(n topology.Network, id, ip string, role topology.Role) (*testnet.NS, error) {
	c := testnet.New(f.T, id)
	return c, f.attachTo(n, c, id, ip, role)
}

func (f *sharedFixture) attachTo(n topology.Network, c *testnet.NS, id, ip string, role topology.Role) error {
	return f.call(func(e *percall.Front) error {
		_, _, err := e.Attach(f.T.Context(), n, f.attachment(id, ip, role, c.Path()))
		return err
	})
}

func (f *sharedFixture) attachment(id, ip string, role topology.Role, sandbox string) plan.Attachment {
	return plan.Attachment{Sandbox: sandbox, Endpoint: topology.Endpoint{ID: id, IP: netip.MustParseAddr(ip), Role: role,
		Container: id, Interface: "eth0"}}
}

func (f *sharedFixture) mustAttach(n topology.Network, id, ip string, role topology.Role) *testnet.NS {
	f.T.Helper()
	c, err := f.attach(n, id, ip, role)
	f.Check(err)
	testhost.WaitForCarrier(f.T, c, "eth0")
	return c
}

func (f *sharedFixture) detach(n topology.Network, id string) {
	f.T.Helper()
	f.Check(f.call(func(e *percall.Front) error {
		_, _, err := e.Detach(f.T.Context(), n.ID, id)
		return err
	}))
}

// wantPlan checks what a repair would do now.
func (f *sharedFixture) wantPlan(parts ...string) {
	f.T.Helper()
	f.Check(f.call(func(e *percall.Front) error {
		steps, err := e.Plan(f.T.Context())
		for _, s := range steps {
			if len(parts) == 0 {
				f.T.Errorf("left to do: %s: %s", s.Namespace, s.Action)
			}
		}
		text := fmt.Sprint(steps)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				f.T.Errorf("plan lacks %q: %s", part, text)
			}
		}
		return err
	}))
}

// TestSharedPath: a network comes with its first endpoint, goes with its last, and holds between.
func TestSharedPath(t *testing.T) { onBothKernels(t, testSharedPath) }

func testSharedPath(t *testing.T, f *sharedFixture) {
	before := f.State()
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	testhost.Hello(g, 9090)
	testhost.Hello(a, 3000)
	testhost.Hello(f.World.Internet, 443)
	f.Reaches(a, "172.21.0.100/8080", true)
	f.Reaches(a, "172.21.0.100/9090", false)
	testhost.Unreachable(t, a, "172.21.240.9/3000")
	testhost.Unreachable(t, a, "198.51.100.2/443")
	f.Reaches(g, "172.21.240.1/3000", true)
	f.Reaches(g, "198.51.100.2/443", true)
	f.wantPlan()
	for _, id := range []string{"a", "a", "unknown", "g"} {
		f.detach(n, id)
	}
	f.Same(before)
}

// TestSharedPolicyChange: an edited configuration holds from the next attachment on, for those that run already, too. A
// process that is killed between document and rules leaves a document that says so.
func TestSharedPolicyChange(t *testing.T) { onBothKernels(t, testSharedPolicyChange) }

func testSharedPolicyChange(t *testing.T, f *sharedFixture) {
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	testhost.Hello(g, 9090)
	changed := f.sharedNetwork(map[string]string{"mcpnet.gateway": "172.21.0.100:9090"})
	f.mustAttach(changed, "b", "172.21.240.2", topology.RoleServer)
	f.Reaches(a, "172.21.0.100/8080", false)
	f.Reaches(a, "172.21.0.100/9090", true)
	f.wantPlan()

	moved := changed
	moved.Subnet, moved.BridgeAddr = netip.MustParsePrefix("172.21.0.0/17"), netip.MustParseAddr("172.21.0.2")
	if _, err := f.attach(moved, "c", "172.21.0.7", topology.RoleServer); !errors.Is(err, percall.ErrMoved) {
		t.Errorf("a subnet moved under living endpoints: %v", err)
	}
	f.Reaches(a, "172.21.0.100/9090", true)
	for _, id := range []string{"a", "b"} {
		f.detach(n, id)
	}
	f.space().Run("ip", "link", "delete", topology.Endpoint{ID: "g", Owner: f.owner}.Wire()) // ended without a word
	f.mustAttach(moved, "c", "172.21.0.7", topology.RoleServer)
	if len(f.forgotten) != 1 || f.forgotten[0].ID != "g" {
		t.Errorf("forgotten: %v", f.forgotten)
	}
	f.wantPlan()
}

// TestSharedRepairsOnAttach: without a resident process, the next attachment finds what is missing of its network.
func TestSharedRepairsOnAttach(t *testing.T) { onBothKernels(t, testSharedRepairsOnAttach) }

func testSharedRepairsOnAttach(t *testing.T, f *sharedFixture) {
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	for i, harm := range []string{
		"nft flush ruleset",
		"nft flush chain netdev mcpnet DOCKER-MCP",
		"nft insert rule netdev mcpnet DOCKER-MCP accept",
		"nft flush set netdev mcpnet permitted-tcp",
		"nft delete table inet mcpnet",
		"ip link set mcp-secure down",
		"ip addr flush dev mcp-router",
		"ip link delete mcp-router",
	} {
		f.space().Run("sh", "-c", harm)
		f.mustAttach(n, fmt.Sprintf("x%d", i), fmt.Sprintf("172.21.240.%d", 10+i), topology.RoleServer)
		f.wantPlan()
		f.Reaches(a, "172.21.0.100/8080", true)
		if t.Failed() {
			t.Fatalf("not repaired after %s", harm)
		}
	}
	// What is gone on the host concerns gateways alone: the next one finds it.
	testhost.Hello(f.World.Internet, 443)
	for i, harm := range []string{"nft flush ruleset", "ip link set mcp-secure down", "ip link delete mcp-secure",
		"iptables -F"} {
		f.World.Host.Run("sh", "-c", harm)
		f.Reaches(a, "172.21.0.100/8080", true)
		f.detach(n, fmt.Sprintf("g%d", i-1))
		f.mustAttach(n, fmt.Sprintf("g%d", i), "172.21.0.101", topology.RoleGateway)
		f.wantPlan()
		f.Reaches(g, "198.51.100.2/443", true)
		if t.Failed() {
			t.Fatalf("not repaired after %s on the host", harm)
		}
	}
}

// TestSharedWatch: with a resident process rules are back by themselves, and it does not disturb attachments.
func TestSharedWatch(t *testing.T) { onBothKernels(t, testSharedWatch) }

func testSharedWatch(t *testing.T, f *sharedFixture) {
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	service, err := f.open()
	f.Check(err)
	defer service.Close()
	go service.Watch(t.Context())
	before := f.State()
	time.Sleep(100 * time.Millisecond)
	host, inside := f.World.Host, f.space()
	for _, harm := range []struct {
		in      *testnet.NS
		command string
	}{
		{inside, "nft flush ruleset"}, {inside, "nft delete table netdev mcpnet"}, {inside,
			"nft flush map netdev mcpnet to-gateway-tcp"},
		{inside, "ip link set mcp-secure down"}, {host, "nft flush ruleset"}, {host, "ip link delete mcp-secure"}, {host,
			"iptables -F"},
	} {
		harm.in.Run("sh", "-c", harm.command)
		for began := time.Now(); f.State() != before && time.Since(began) < 5*time.Second; {
			time.Sleep(10 * time.Millisecond)
		}
		f.Same(before)
		f.Reaches(a, "172.21.0.100/8080", true)
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
	f.Same(before)
}

// refusesUnreadable: nobody is attached to a network whose document cannot be read, and none is said to be.
func (f *sharedFixture) refusesUnreadable(n topology.Network) {
	f.T.Helper()
	found, err := filepath.Glob(filepath.Join(f.Dir, "v2", "*", "network.json"))
	if err != nil || len(found) != 1 {
		f.T.Fatalf("documents of networks: %v, %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	f.Check(err)
	f.Check(os.WriteFile(found[0], []byte("{"), 0o600))
	if err := f.attachTo(n, testnet.New(f.T, "u"), "u", f.at("240.7"), topology.RoleServer); err == nil || !strings.Contains(err.Error(), found[0]) {
		f.T.Errorf("attached to a network that cannot be read: %v", err)
	}
	f.Check(os.WriteFile(found[0], text, 0o600))
	f.wantPlan()
}

// TestSharedRefuses: an attachment that is there, an interface that is there, an address that runs.
func TestSharedRefuses(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	before := f.State()
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
	f.Same(before)
	f.wantPlan()
	f.refusesUnreadable(n)
	// A wire that is gone holds nothing: its container ended without a word.
	f.space().Run("ip", "link", "delete", topology.Endpoint{ID: "a", Owner: f.owner}.Wire())
	f.mustAttach(n, "f", "172.21.240.1", topology.RoleServer)
	f.detach(n, "a") // late, and it takes nothing of its successor
	f.wantPlan()
	f.Check(f.call(func(e *percall.Front) error {
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
	docker := testhost.NewDocker(t)
	docker.Network(testhost.OneGateway)
	cni, netavark := newShared(t, docker.World, topology.OwnerCNI), newShared(t, docker.World, topology.OwnerNetavark)
	type way struct {
		from *testnet.NS
		to   string
	}
	ways := []way{{docker.Container("da", "172.20.240.1", topology.RoleServer), "172.20.0.100/8080"}}
	testhost.Hello(docker.Container("dg", "172.20.0.100", topology.RoleGateway), 8080)
	for second, f := range map[int]*sharedFixture{21: cni, 22: netavark} {
		n := f.sharedNetwork(nil)
		server := f.mustAttach(n, string(f.owner)+"a", fmt.Sprintf("172.%d.240.1", second), topology.RoleServer)
		testhost.Hello(f.mustAttach(n, string(f.owner)+"g", fmt.Sprintf("172.%d.0.100", second), topology.RoleGateway), 8080)
		ways = append(ways, way{server, fmt.Sprintf("172.%d.0.100/8080", second)})
	}
	hold := func(after string, ways ...way) {
		t.Helper()
		for i, w := range ways {
			docker.Reaches(w.from, w.to, true)
			for j, other := range ways {
				if i != j {
					testhost.Unreachable(t, w.from, other.to)
				}
			}
		}
		docker.Settled()
		if t.Failed() {
			t.Fatalf("broken after %s", after)
		}
	}
	hold("the attaches", ways...)
	docker.Check(docker.Front.Collect(t.Context()))
	for _, f := range []*sharedFixture{cni, netavark} {
		f.Check(f.call(func(e *percall.Front) error {
			return errors.Join(e.Sweep(t.Context(), f.sharedNetwork(nil).ID, nil), e.Collect(t.Context()))
		}))
		f.wantPlan()
	}
	hold("the collections", ways...)
	docker.World.Host.Run("nft", "flush", "ruleset")
	for _, name := range []string{"mcp-secure", topology.BridgeName("net-cni"), topology.BridgeName("net-netavark")} {
		docker.World.Pinned(name).Run("nft", "flush", "ruleset")
	}
	for _, f := range []*sharedFixture{cni, netavark} {
		f.Check(f.call(func(e *percall.Front) error {
			_, err := e.Reconcile(t.Context())
			return err
		}))
	}
	_, err := docker.Front.Reconcile(t.Context())
	docker.Check(err)
	hold("a flush", ways...)
	for _, id := range []string{"cnia", "cnig"} {
		cni.detach(cni.sharedNetwork(nil), id)
	}
	docker.Check(docker.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	netavark.wantPlan()
	for _, w := range ways {
		if w.to == "172.22.0.100/8080" {
			docker.Reaches(w.from, w.to, true)
		}
	}
}

// TestEnforceNeedsResident: where nobody would ever look, an attachment is refused rather than held for ever.
func TestEnforceNeedsResident(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(map[string]string{"mcpnet.caps.mode": "enforce"})
	if _, err := f.attach(n, "a", "172.21.240.1", topology.RoleServer); !errors.Is(err, percall.ErrNoResident) {
		t.Fatalf("got %v", err)
	}
	f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway) // a gateway is nobody to look at
	service, err := f.open()
	f.Check(err)
	defer service.Close()
	leave, err := service.Reside()
	f.Check(err)
	if _, err := service.Reside(); err == nil {
		t.Error("there can be two residents")
	}
	f.mustAttach(n, "b", "172.21.240.2", topology.RoleServer)
	examined, err := service.Examined(t.Context())
	if err != nil || len(examined) != 1 || examined[0].Endpoint.NetNS == 0 {
		t.Errorf("examined %+v, %v", examined, err)
	}
	leave()
	if _, err := f.attach(n, "c", "172.21.240.3", topology.RoleServer); !errors.Is(err, percall.ErrNoResident) {
		t.Errorf("after it left: %v", err)
	}
}

// TestAdmittedServerGoesOut: what a server of CNI said while it was held goes out when the service admits it.
func TestAdmittedServerGoesOut(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(map[string]string{"mcpnet.caps.mode": "enforce"})
	service, err := f.open()
	f.Check(err)
	defer service.Close()
	leave, err := service.Reside()
	f.Check(err)
	defer leave()
	testhost.Hello(f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway), 8080)
	testhost.GoesOutAtOnce(t, func(attempt int) testhost.Held {
		id := fmt.Sprint("s", attempt)
		return testhost.Held{Gateway: "172.21.0.100/8080", MAC: topology.MACFor(n.ID, netip.MustParseAddr("172.21.0.100")).String(),
			Server: f.mustAttach(n, id, fmt.Sprint("172.21.240.", attempt+1), topology.RoleServer),
			Decide: func() {
				f.Check(service.Admit(t.Context(), n.ID, id, topology.Admission{State: topology.Conforms, By: "test"}))
			}}
	})
}
