// Package testhost is what the tests of both fronts share: hosts made of namespaces, the containers on them, and
// everything of mcpnet's there as text.
package testhost

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Docker is the resident front on a host, as the Docker plugin uses it.
type Docker struct {
	T     *testing.T
	World *testnet.World
	Front *resident.Front
	Dir   string // of the store
	// Features, if set, changes what is found of the kernel.
	Features func(firewall.Features) firewall.Features
	// OnStep, if set, is called before and after every step.
	OnStep func(plan.Step)
	// Inspection, if set, is how often Watch compares everything without a reason.
	Inspection time.Duration
	// Names is how servers' names are answered.
	Names resident.Names
	// Bus is the address of the host's system bus; empty: there is none.
	Bus string
}

// NetworkID is the id of the network that Docker.Network makes.
const NetworkID = "4f2a9c1e"

// OneGateway is the policy of the README's network.
var OneGateway = map[string]string{"mcpnet.gateway": "172.20.0.100:8080"}

// NewDocker makes a host with a front that has started.
func NewDocker(t *testing.T) *Docker { return newDocker(t, nil) }

func newDocker(t *testing.T, features func(firewall.Features) firewall.Features) *Docker {
	t.Helper()
	f := &Docker{T: t, World: testnet.NewWorld(t), Dir: t.TempDir(), Features: features}
	f.Open()
	return f
}

// OnBothKernels runs a test with one chain for all wires, and with a chain for each, as kernels before Linux 6.16 need
// it.
func OnBothKernels(t *testing.T, test func(*testing.T, *Docker)) {
	EachKernel(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		test(t, newDocker(t, features))
	})
}

// EachKernel runs a test for both kinds of kernel at the same time: hosts wait more than they work. It returns before
// the tests have run, which are over when its caller's test is.
func EachKernel(t *testing.T, test func(*testing.T, func(firewall.Features) firewall.Features)) {
	t.Helper()
	KernelsInTurn(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		t.Parallel()
		test(t, features)
	})
}

// OneKernelAtATime is OnBothKernels for a test that measures time.
func OneKernelAtATime(t *testing.T, test func(*testing.T, *Docker)) {
	t.Helper()
	KernelsInTurn(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		test(t, newDocker(t, features))
	})
}

// KernelsInTurn runs a test for both kinds of kernel, one after the other, which sends all that it can. This kernel has
// to take the chain for a prefix of devices, whatever the nft command makes of it.
func KernelsInTurn(t *testing.T, test func(*testing.T, func(firewall.Features) firewall.Features)) {
	t.Helper()
	for _, prefix := range []bool{true, false} {
		t.Run(map[bool]string{true: "prefix", false: "wires"}[prefix], func(t *testing.T) {
			if prefix && !takesPrefix(t) {
				testnet.Lacks(t, "ingress-by-prefix", "the kernel takes no chain for devices of a prefix")
			}
			test(t, WithPrefix(prefix))
		})
	}
}

// WithPrefix is a kernel that takes the chain, or does not.
func WithPrefix(prefix bool) func(firewall.Features) firewall.Features {
	return func(f firewall.Features) firewall.Features {
		f.DevicePrefix = prefix
		return f
	}
}

func takesPrefix(t *testing.T) bool {
	t.Helper()
	h, err := ns.Open(testnet.New(t, "probe").Path())
	check(t, err)
	defer h.Close()
	rules, err := nft.Open(h)
	check(t, err)
	defer rules.Close()
	takes, err := rules.TakesPrefix()
	check(t, err)
	return takes
}

// Config is how the front of the host is opened.
func (f *Docker) Config() resident.Config {
	return resident.Config{StoreDir: f.Dir, NetNS: f.World.Host.Path(), Pins: ns.HostPins(f.World.Pins),
		Owner: topology.OwnerDocker,
		Bus:   f.Bus, Names: f.Names,
		Log: Log(f.T), Features: f.Features, OnStep: f.OnStep, Inspection: f.Inspection}
}

// Log writes into the log of the test.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

// Open opens and starts a front over the store, as a restarted plugin does. It is closed with the test.
func (f *Docker) Open() {
	f.T.Helper()
	front, err := resident.Open(f.T.Context(), f.Config())
	f.Check(err)
	f.Front = front
	f.T.Cleanup(func() { front.Close() })
	f.Check(front.Start(f.T.Context()))
}

// Close ends the front, and leaves everything as it is.
func (f *Docker) Close() {
	f.T.Helper()
	if f.Front != nil {
		f.Check(f.Front.Close())
		f.Front = nil
	}
}

// Check ends the test on an error.
func (f *Docker) Check(err error) {
	f.T.Helper()
	check(f.T, err)
}

// Network makes the network of the README with a policy.
func (f *Docker) Network(options map[string]string) topology.Network {
	f.T.Helper()
	p, err := policy.Parse(options)
	f.Check(err)
	n := topology.Network{ID: NetworkID, Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	f.Check(f.Front.CreateNetwork(f.T.Context(), n))
	return n
}

// Space is the namespace of that network.
func (f *Docker) Space() *testnet.NS { return f.World.Pinned("mcp-secure") }

// Container attaches an endpoint and gives its interface to a namespace, as an engine does.
func (f *Docker) Container(id, ip string, role topology.Role) *testnet.NS {
	f.T.Helper()
	return f.Attach(topology.Endpoint{ID: id, NetworkID: NetworkID, IP: netip.MustParseAddr(ip), Role: role})
}

// Narrowed is a server that reaches a part of the network's list only.
func (f *Docker) Narrowed(id, ip, allow string) *testnet.NS {
	f.T.Helper()
	said, err := policy.ParseEndpoint(map[string]string{policy.KeyAllow: allow})
	f.Check(err)
	return f.Attach(topology.Endpoint{ID: id, NetworkID: NetworkID, IP: netip.MustParseAddr(ip), Role: topology.RoleServer,
		Allow: said.Allow})
}

// Attach is Container for an endpoint that says more.
func (f *Docker) Attach(e topology.Endpoint) *testnet.NS {
	f.T.Helper()
	ctx, id, ip := f.T.Context(), e.ID, e.IP.String()
	_, err := f.Front.CreateEndpoint(ctx, e)
	f.Check(err)
	i, err := f.Front.Join(ctx, NetworkID, id)
	f.Check(err)
	c := testnet.New(f.T, id)
	f.World.Host.Give(i.Name, c, "eth0")
	c.AddAddr("eth0", ip+"/16")
	c.Up("eth0")
	if i.Gateway.IsValid() {
		c.AddRoute(netip.Prefix{}, i.Gateway)
	}
	for _, r := range i.Routes {
		c.AddRoute(r.Dst, r.Via)
	}
	WaitForCarrier(f.T, c, "eth0")
	WaitForCarrier(f.T, f.Space(), topology.Endpoint{ID: id, Owner: topology.OwnerDocker}.Wire())
	return c
}

// WaitForCarrier waits until a link knows of its other end: the kernel drops what is sent before, and a segment that
// is lost is a second.
func WaitForCarrier(t testing.TB, in *testnet.NS, link string) {
	t.Helper()
	defer in.Idle()
	Within(t, 5*time.Second, link+" has a carrier",
		func() bool { return in.Link(link).Attrs().OperState == netlink.OperUp })
}

// State is everything of mcpnet's on the host, documents included.
func (f *Docker) State() string {
	f.T.Helper()
	return State(f.T, f.World, f.Dir)
}

// Same fails the test when the host's state is another one.
func (f *Docker) Same(before string) {
	f.T.Helper()
	Same(f.T, before, f.State())
}

// Settled fails the test when the front would still change something.
func (f *Docker) Settled() {
	f.T.Helper()
	steps, err := f.Front.Plan(f.T.Context())
	f.Check(err)
	for _, s := range steps {
		f.T.Errorf("left to do: %s: %s", s.Namespace, s.Action)
	}
}

// Reaches tells whether a connection comes about; one that does not has to be refused at once.
func (f *Docker) Reaches(from *testnet.NS, address string, want bool) {
	f.T.Helper()
	Reaches(f.T, from, address, want)
}

// Endpoint is an endpoint's part of the status.
func (f *Docker) Endpoint(id string) report.Endpoint {
	f.T.Helper()
	s, err := f.Front.Status(f.T.Context())
	f.Check(err)
	for _, n := range s.Networks {
		for _, e := range n.Endpoints {
			if e.ID == id {
				return e
			}
		}
	}
	f.T.Fatalf("no endpoint %s in %+v", id, s)
	return report.Endpoint{}
}

// RouterAddr is the address of the network's router.
func (f *Docker) RouterAddr() netip.Addr { return netip.MustParseAddr("172.20.0.1") }

// Unpin takes away the pin of a namespace, as `ip netns delete` does.
func (f *Docker) Unpin(name string) {
	f.T.Helper()
	f.Check(ns.HostPins(f.World.Pins).Remove(name, nil))
}
