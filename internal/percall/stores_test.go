package percall_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// numbered is a network of an id in the subnet 172.N.0.0/16.
func (f *sharedFixture) numbered(id string, second int, options map[string]string) topology.Network {
	f.T.Helper()
	all := map[string]string{policy.KeyGateway: fmt.Sprintf("172.%d.0.100:8080", second)}
	for k, v := range options {
		all[k] = v
	}
	p, err := policy.Parse(all)
	f.Check(err)
	return topology.Network{ID: id, Name: id, Bridge: p.Bridge, Subnet: netip.MustParsePrefix(fmt.Sprintf("172.%d.0.0/16", second)),
		BridgeAddr: netip.MustParseAddr(fmt.Sprintf("172.%d.0.1", second)), Policy: p}
}

// everything is what a service and its calls do without being asked for anything.
func (f *sharedFixture) everything(ids ...string) {
	f.T.Helper()
	f.Check(f.call(func(e *percall.Front) error {
		ctx := f.T.Context()
		if err := e.Inspect(ctx); err != nil {
			return err
		}
		if _, err := e.Reconcile(ctx); err != nil {
			return err
		}
		for _, id := range ids {
			if err := e.Sweep(ctx, id, nil); err != nil {
				return err
			}
		}
		return e.Collect(ctx)
	}))
}

// TestSharedTwoStores: two stores of one surface on one host (MCPNET_STORE), with networks and containers of the same
// ids. Neither collects, sweeps or repairs what is the other's, also where its documents are gone.
func TestSharedTwoStores(t *testing.T) { onBothKernels(t, testSharedTwoStores) }

func testSharedTwoStores(t *testing.T, f *sharedFixture) {
	other := newShared(t, f.World, topology.OwnerCNI)
	other.Features = f.Features
	n, theirs := f.numbered("net", 21, nil), other.numbered("net", 31, nil)
	a, g := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer), f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	before := unswept(f.State())
	other.everything("net")
	testhost.Same(t, before, unswept(f.State()))
	other.mustAttach(theirs, "a", "172.31.240.1", topology.RoleServer)
	other.mustAttach(theirs, "g", "172.31.0.100", topology.RoleGateway)
	both := testhost.State(t, f.World, f.Dir, other.Dir)
	for _, each := range []*sharedFixture{f, other} {
		each.everything("net")
		each.wantPlan()
		testhost.Same(t, unswept(both), unswept(testhost.State(t, f.World, f.Dir, other.Dir)))
	}
	f.Check(os.RemoveAll(filepath.Join(other.Dir, "v2", "net")))
	f.everything("net")
	f.Reaches(a, "172.21.0.100/8080", true)
	other.everything("net")
	for began := time.Now(); unswept(f.State()) != before && time.Since(began) < 5*time.Second; {
		time.Sleep(10 * time.Millisecond) // the kernel takes the links of a namespace away in its own time
	}
	testhost.Same(t, before, unswept(f.State()))
	f.Reaches(a, "172.21.0.100/8080", true)
}

// unswept leaves out when a network was looked through.
func unswept(state string) string {
	var lines []string
	for line := range strings.Lines(state) {
		if !strings.Contains(line, "/swept:") {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

// TestSharedUnknownDocuments: a document that this version cannot read, of a later one or broken, costs no wire that
// lives, whatever calls come.
func TestSharedUnknownDocuments(t *testing.T) {
	newer := func(data []byte) []byte { return []byte(strings.Replace(string(data), `"schema":`, `"schema":9`, 1)) }
	half := func(data []byte) []byte { return data[:len(data)/2] }
	for name, c := range map[string]struct {
		document string
		change   func([]byte) []byte
	}{
		"newer endpoint": {"endpoints/a.json", newer}, "broken endpoint": {"endpoints/a.json", half},
		"empty endpoint": {"endpoints/a.json", func([]byte) []byte { return nil }}, "broken gateway": {"endpoints/g.json", half},
		"newer network": {"network.json", newer}, "broken network": {"network.json", half},
	} {
		t.Run(name, func(t *testing.T) {
			f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
			n := f.sharedNetwork(nil)
			a, g := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer), f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
			testhost.Hello(g, 8080)
			path := filepath.Join(f.Dir, "v2", n.ID, c.document)
			data, err := os.ReadFile(path)
			f.Check(err)
			f.Check(os.WriteFile(path, c.change(data), 0o600))
			before := unswept(f.State())
			f.everything(n.ID)
			testhost.Same(t, before, unswept(f.State()))
			f.Reaches(a, "172.21.0.100/8080", true)
			// Calls of others come and go, and end or fail without harm. The address is not given to another.
			_, _ = f.attach(n, "b", "172.21.240.2", topology.RoleServer)
			_, err = f.attach(n, "c", "172.21.240.1", topology.RoleServer)
			if err == nil {
				t.Error("the address of one that lives is given away")
			}
			_ = f.call(func(e *percall.Front) error { _, _, err := e.Detach(t.Context(), n.ID, "b"); return err })
			f.Reaches(a, "172.21.0.100/8080", true)
		})
	}
}

// TestSharedDetachByName: what an endpoint has is found by its name where its document is gone or broken.
func TestSharedDetachByName(t *testing.T) {
	onBothKernels(t, func(t *testing.T, f *sharedFixture) {
		n := f.sharedNetwork(nil)
		f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
		for name, harm := range map[string]func(path string) error{
			"gone": os.Remove, "broken": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		} {
			f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
			f.Check(harm(filepath.Join(f.Dir, "v2", n.ID, "endpoints/a.json")))
			f.detach(n, "a")
			if wire := (topology.Endpoint{ID: "a", Owner: f.owner}).Wire(); strings.Contains(f.space().Run("ip", "-br", "link"), wire) {
				t.Errorf("%s: its wire stays", name)
			}
			f.mustAttach(n, "b", "172.21.240.1", topology.RoleServer) // the address is free
			f.detach(n, "b")
		}
	})
}

// TestSharedOneBad: one network of ten whose name somebody else has, or whose document is broken, keeps nobody from the
// other nine: they are repaired, shown, collected, and attached to.
func TestSharedOneBad(t *testing.T) {
	for name, spoil := range map[string]func(*sharedFixture){
		"a namespace of another": func(f *sharedFixture) {
			theirs := testnet.New(f.T, "theirs")
			f.Check(os.WriteFile(f.World.Pinned("mcp-4").Path(), nil, 0o600))
			f.World.Host.Run("mount", "--bind", theirs.Path(), f.World.Pinned("mcp-4").Path())
		},
		"a namespace of another kind": func(f *sharedFixture) {
			path := f.World.Pinned("mcp-4").Path()
			f.Check(os.WriteFile(path, nil, 0o600))
			f.Check(unix.Mount("/proc/self/ns/uts", path, "none", unix.MS_BIND, ""))
			f.T.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
		},
		"a link that leads to itself": func(f *sharedFixture) {
			path := f.World.Pinned("mcp-4").Path()
			f.Check(os.Symlink("mcp-4", path))
			f.T.Cleanup(func() { _ = os.Remove(path) })
		},
		"an interface of the host": func(f *sharedFixture) {
			f.World.Host.Run("ip", "link", "add", "mcp-4", "type", "bridge")
		},
	} {
		t.Run(name, func(t *testing.T) { oneBad(t, spoil) })
	}
}

func oneBad(t *testing.T, spoil func(*sharedFixture)) {
	const networks = 10
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	at := func(i int) topology.Network {
		return f.numbered(fmt.Sprint("net", i), 30+i, map[string]string{policy.KeyBridge: fmt.Sprint("mcp-", i), policy.KeyEgress: "off"})
	}
	for i := range networks {
		f.mustAttach(at(i), fmt.Sprint("s", i), fmt.Sprintf("172.%d.240.1", 30+i), topology.RoleServer)
	}
	f.Unpin("mcp-4")
	spoil(f)
	for i := range networks {
		if i != 4 {
			f.World.Pinned(fmt.Sprint("mcp-", i)).Run("nft", "flush", "ruleset")
		}
	}
	_ = f.call(func(e *percall.Front) error { return e.Inspect(t.Context()) }) // may tell of the bad one
	f.Check(f.call(func(e *percall.Front) error {
		s, err := e.Status(t.Context())
		for _, n := range s.Networks {
			if n.ID != "net4" && len(n.Drift) > 0 {
				t.Errorf("network %s is not repaired: %v", n.ID, n.Drift)
			}
		}
		if len(s.Networks) < networks-1 {
			t.Errorf("%d networks are shown", len(s.Networks))
		}
		return err
	}))
	f.Check(f.call(func(e *percall.Front) error {
		steps, err := e.Plan(t.Context())
		for _, step := range steps {
			if step.Network != at(4).DisplayName() {
				t.Errorf("left to do: %+v", step)
			}
		}
		return err
	}))
	f.mustAttach(at(5), "later", "172.35.240.2", topology.RoleServer)
	f.detach(at(5), "later")
}

// TestSharedSlowIPAM: who gives the address of a container back that ended without a word may wait for another program
// for long. Nobody waits for him with the store's lock: neither attachments nor the service.
func TestSharedSlowIPAM(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	f.mustAttach(n, "b", "172.21.240.2", topology.RoleServer)
	f.space().Run("ip", "link", "delete", topology.Endpoint{ID: "a", Owner: f.owner}.Wire())
	asked, answer := make(chan struct{}), make(chan struct{})
	slow, err := percall.Open(t.Context(), percall.Config{StoreDir: f.Dir, NetNS: f.World.Host.Path(),
		Pins: ns.HostPins(f.World.Pins), Owner: f.owner, Log: testhost.Log(t),
		OnForget: func(topology.Endpoint) { close(asked); <-answer }})
	f.Check(err)
	defer slow.Close()
	swept := make(chan error, 1)
	go func() { swept <- slow.Sweep(t.Context(), n.ID, nil) }()
	<-asked
	done := make(chan error, 1)
	go func() {
		_, err := f.attach(n, "c", "172.21.240.3", topology.RoleServer)
		if err == nil {
			err = f.call(func(e *percall.Front) error { _, err := e.Reconcile(t.Context()); return err })
		}
		done <- err
	}()
	select {
	case err := <-done:
		f.Check(err)
	case <-time.After(10 * time.Second):
		t.Error("an attachment and a repair wait for IPAM")
	}
	close(answer)
	f.Check(<-swept)
}

// TestServiceForgets: networks that come and go by other processes leave nothing in a service that watches, and no
// namespace that lives on because the service has it open.
func TestServiceForgets(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	f.Inspection = 200 * time.Millisecond
	service, err := f.open()
	f.Check(err)
	defer service.Close()
	go service.Watch(t.Context())
	const networks = 10
	time.Sleep(100 * time.Millisecond)
	before := descriptors(t)
	for i := range networks {
		n := f.numbered(fmt.Sprint("net", i), 21, map[string]string{policy.KeyEgress: "off", policy.KeyBridge: fmt.Sprint("mcp-n", i)})
		c, err := f.attach(n, fmt.Sprint("c", i), "172.21.240.1", topology.RoleServer)
		f.Check(err)
		time.Sleep(20 * time.Millisecond)
		f.detach(n, fmt.Sprint("c", i))
		c.Idle()
	}
	testhost.Within(t, 10*time.Second, "fewer descriptors than networks are left",
		func() bool { return descriptors(t) < before+networks })
}

// descriptors counts what this process has open: namespaces, and sockets in them.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// TestSharedOrder: rules stand before a wire comes up: at an attachment, and where both are gone and are put back.
func TestSharedOrder(t *testing.T) { onBothKernels(t, testSharedOrder) }

func testSharedOrder(t *testing.T, f *sharedFixture) {
	n := f.sharedNetwork(nil)
	wires := map[string]netip.Addr{}
	for id, ip := range map[string]string{"a": "172.21.240.1", "b": "172.21.240.2", "g": "172.21.0.100"} {
		wires[topology.Endpoint{ID: id, Owner: f.owner}.Wire()] = netip.MustParseAddr(ip)
	}
	f.OnStep = testhost.RulesFirst(t, f.World, "mcp-secure", wires)
	f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	f.mustAttach(n, "b", "172.21.240.2", topology.RoleServer)
	f.OnStep = nil
	for wire := range wires {
		f.space().Run("ip", "link", "set", wire, "down")
	}
	f.space().Run("nft", "flush", "ruleset")
	f.OnStep = testhost.RulesFirst(t, f.World, "mcp-secure", wires)
	f.Check(f.call(func(e *percall.Front) error { _, err := e.Reconcile(t.Context()); return err }))
	f.wantPlan()
}

// TestSharedPending: a change of the policy that ends between document and rules is not in force, and the next
// attachment knows: the rules bear the same ids under both policies.
func TestSharedPending(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(map[string]string{policy.KeyEgress: "tcp/443"})
	g := f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	testhost.Hello(f.World.Internet, 443)
	testhost.Hello(f.World.Internet, 80)
	f.Reaches(g, "198.51.100.2/443", true)
	changed := f.sharedNetwork(map[string]string{policy.KeyEgress: "tcp/80"})
	ctx, cancel := context.WithCancel(t.Context())
	f.OnStep = func(s plan.Step) {
		if _, loads := s.Action.(plan.LoadRules); loads {
			cancel()
		}
	}
	err := f.call(func(e *percall.Front) error {
		_, _, err := e.Attach(ctx, changed, plan.Attachment{Sandbox: testnet.New(t, "a").Path(), Endpoint: topology.Endpoint{ID: "a",
			IP: netip.MustParseAddr("172.21.240.1"), Role: topology.RoleServer, Container: "a", Interface: "eth0"}})
		return err
	})
	if err == nil || ctx.Err() == nil {
		t.Fatalf("it went through: %v", err)
	}
	f.OnStep = nil
	f.mustAttach(changed, "b", "172.21.240.2", topology.RoleServer)
	f.Reaches(g, "198.51.100.2/80", true)
	f.Reaches(g, "198.51.100.2/443", false)
}

// TestSharedGatewayRoutes: a gateway has a default route where its network has egress, and the host forwards for it; it
// has none where the network has none.
func TestSharedGatewayRoutes(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	f.World.Host.Sysctl("net.ipv4.ip_forward", "0")
	testhost.Hello(f.World.Internet, 443)
	inner := f.mustAttach(f.numbered("inner", 31, map[string]string{policy.KeyEgress: "off", policy.KeyBridge: "mcp-inner"}), "i", "172.31.0.100", topology.RoleGateway)
	testhost.Unreachable(t, inner, "198.51.100.2/443")
	if routes := inner.Run("ip", "route"); strings.Contains(routes, "default") {
		t.Errorf("a gateway without egress has a default route: %s", routes)
	}
	f.Reaches(f.mustAttach(f.sharedNetwork(nil), "g", "172.21.0.100", topology.RoleGateway), "198.51.100.2/443", true)
}
