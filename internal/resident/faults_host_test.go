package resident_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress"
)

// faultHost is a host on which engines are killed and started again.
type faultHost struct {
	t      *testing.T
	world  *testnet.World
	store  string
	boxes  map[string]*testnet.NS // containers, by endpoint
	prefix bool                   // one chain takes the frames of all wires
	empty  string                 // the host's state before anything was made

	attacks []*stress.Traffic
	flushed bool // the network's rules were gone for a moment
}

func newFaultHost(t *testing.T) *faultHost {
	t.Helper()
	g := &faultHost{t: t, world: testnet.NewWorld(t), store: t.TempDir(), boxes: map[string]*testnet.NS{}}
	g.empty = g.state()
	return g
}

func (g *faultHost) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// open starts an engine over the store and collects, as a plugin does.
func (g *faultHost) open() *resident.Front {
	g.t.Helper()
	e := g.reopen()
	g.check(e.Start(g.t.Context()))
	g.check(e.Collect(g.t.Context()))
	return e
}

// reopen opens an engine over the store, and leaves the start to the test.
func (g *faultHost) reopen() *resident.Front {
	g.t.Helper()
	e, err := resident.Open(g.t.Context(), faultConfig(g.store, g.world.Host.Path(), g.world.Pins, g.prefix))
	g.check(err)
	return e
}

func faultConfig(store, netns, pins string, prefix bool) resident.Config {
	return resident.Config{StoreDir: store, NetNS: netns, Pins: ns.HostPins(pins), Owner: topology.OwnerDocker,
		Log: slog.New(slog.DiscardHandler), Features: testhost.WithPrefix(prefix)}
}

// state is everything of mcpnet's on the host and in the store.
func (g *faultHost) state() string {
	g.t.Helper()
	return testhost.State(g.t, g.world, g.store)
}

// space is the network's namespace, or nil where it is not there.
func (g *faultHost) space() *testnet.NS {
	if _, err := os.Stat(g.world.Pinned("mcp-secure").Path()); err != nil {
		return nil
	}
	return g.world.Pinned("mcp-secure")
}

// The network and the endpoints of the faults' host.
var (
	faultNetwork = func() topology.Network {
		p, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
		if err != nil {
			panic(err)
		}
		return topology.Network{ID: "faults", Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
			BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	}()
	faultGateway   = faultEndpoint("gateway", "172.20.0.100", topology.RoleGateway)
	faultCandidate = faultEndpoint("gateway", "172.20.0.100", topology.RoleCandidate)
	faultServer    = faultEndpoint("server", "172.20.240.2", topology.RoleServer)
	faultOther     = faultEndpoint("other", "172.20.240.3", topology.RoleServer)
)

func faultEndpoint(id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: "faults", Owner: topology.OwnerDocker, Role: role, IP: a,
		MAC: topology.MACFor("faults", a)}
}

// attach makes an endpoint with a container.
func (g *faultHost) attach(e *resident.Front, p topology.Endpoint) {
	g.t.Helper()
	_, err := e.CreateEndpoint(g.t.Context(), p)
	g.check(err)
	_, err = e.Join(g.t.Context(), p.NetworkID, p.ID)
	g.check(err)
	g.give(p)
}

// give hands the container end of an endpoint's wire to a container, if there is one; it does not ask the engine.
func (g *faultHost) give(p topology.Endpoint) {
	g.t.Helper()
	if p.ID == "" {
		return
	}
	if _, err := g.world.Host.Handle().LinkByName(p.Peer()); err != nil {
		return
	}
	box := g.boxes[p.ID]
	if box == nil {
		box = testnet.New(g.t, p.ID)
		g.boxes[p.ID] = box
		for _, s := range g.attacks {
			s.Container(box)
		}
	}
	g.world.Host.Give(p.Peer(), box, "eth0")
	box.AddAddr("eth0", p.IP.String()+"/16")
	box.Up("eth0")
}

// attack sends from an endpoint's container until it is stopped, or the test ends.
func (g *faultHost) attack(p topology.Endpoint) (s *stress.Traffic, stop func()) {
	g.t.Helper()
	party := func(p topology.Endpoint) leak.Party { return leak.Party{MAC: net.HardwareAddr(p.MAC), IP: p.IP} }
	neighbour := faultOther
	if p.ID == faultOther.ID {
		neighbour = faultServer
	}
	s = stress.New(g.t, g.world, topology.WirePrefix)
	s.Network(g.space())
	host := leak.Party{MAC: net.HardwareAddr(faultNetwork.RouterMAC()), IP: faultNetwork.BridgeAddr}
	s.Prepare(stress.Scene(faultNetwork.Subnet, 8080, party(p), host, party(faultGateway), party(neighbour)),
		net.HardwareAddr(p.PortMAC()))
	for _, box := range g.boxes {
		s.Container(box)
	}
	g.attacks = append(g.attacks, s)
	return s, s.Attack(g.t.Context(), g.boxes[p.ID], "eth0")
}

// settled fails for an engine that would still change something.
func (g *faultHost) settled(e *resident.Front) {
	g.t.Helper()
	steps, err := e.Plan(g.t.Context())
	g.check(err)
	for _, s := range steps {
		g.t.Errorf("not settled: %s: %s", s.Namespace, s.Action)
	}
}

// clean fails for anything that is left of mcpnet on the host and in the store.
func (g *faultHost) clean() {
	g.t.Helper()
	testhost.Same(g.t, g.empty, g.state())
}

// holds fails for leaks, and for permitted traffic that does not pass if it should.
func (g *faultHost) holds(s *stress.Traffic, passes bool) {
	g.t.Helper()
	if passes && !s.Passes(3*time.Second) {
		g.t.Error("the permitted traffic does not pass")
	}
	for _, l := range s.Leaks() {
		if !g.flushed || !stress.IsOpenWhenFlushed(l) {
			g.t.Errorf("leak: %s", l)
		}
	}
}

func within(limit time.Duration, done func() bool) (time.Duration, error) {
	began := time.Now()
	for !done() {
		if time.Since(began) > limit {
			return 0, fmt.Errorf("not within %v", limit)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began), nil
}
