package engine_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress"
)

// ground is a host on which engines die and are started again.
type ground struct {
	t     *testing.T
	world *testnet.World
	store string
	boxes map[string]*testnet.NS // containers, by endpoint

	sieges  []*stress.Traffic
	flushed bool // nftables' rules were gone for a moment
}

func newGround(t *testing.T) *ground {
	t.Helper()
	return &ground{t: t, world: testnet.NewWorld(t), store: t.TempDir(), boxes: map[string]*testnet.NS{}}
}

func (g *ground) check(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// open starts an engine over the store and collects, as a plugin does.
func (g *ground) open() *engine.Engine {
	g.t.Helper()
	e, err := openEngine(g.t, g.store, g.world.Host.Path(), nil)
	g.check(err)
	g.check(e.Start(g.t.Context()))
	g.check(e.Collect(g.t.Context()))
	return e
}

func openEngine(t *testing.T, store, netns string, onStep func(plan.Step)) (*engine.Engine, error) {
	return engine.Open(t.Context(), engine.Config{StoreDir: store, NetNS: netns, Owner: topology.OwnerDocker,
		Log: slog.New(slog.DiscardHandler), OnStep: onStep})
}

// The network and the endpoints of the faults' ground.
var (
	groundNetwork = func() topology.Network {
		p, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
		if err != nil {
			panic(err)
		}
		return topology.Network{ID: "ground", Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
			BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	}()
	groundGateway   = groundEndpoint("gateway", "172.20.0.100", topology.RoleGateway)
	groundCandidate = groundEndpoint("gateway", "172.20.0.100", topology.RoleCandidate)
	groundServer    = groundEndpoint("server", "172.20.240.2", topology.RoleServer)
	groundOther     = groundEndpoint("other", "172.20.240.3", topology.RoleServer)
)

func groundEndpoint(id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, NetworkID: "ground", Owner: topology.OwnerDocker, Role: role, IP: a, MAC: topology.MACFor("ground", a)}
}

// attach makes an endpoint with a container.
func (g *ground) attach(e *engine.Engine, p topology.Endpoint) {
	g.t.Helper()
	_, err := e.CreateEndpoint(g.t.Context(), p)
	g.check(err)
	_, err = e.Join(g.t.Context(), p.NetworkID, p.ID)
	g.check(err)
	g.give(p)
}

// give hands the container end of an endpoint's wire to a container, if there is one; it does not ask the engine.
func (g *ground) give(p topology.Endpoint) {
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
		for _, s := range g.sieges {
			s.Container(box)
		}
	}
	g.world.Host.Give(p.Peer(), box, "eth0")
	box.AddAddr("eth0", p.IP.String()+"/16")
	box.Up("eth0")
}

// besiege attacks from an endpoint's container until it is stopped, or the test ends.
func (g *ground) besiege(p topology.Endpoint) (s *stress.Traffic, stop func()) {
	g.t.Helper()
	party := func(p topology.Endpoint) leak.Party { return leak.Party{MAC: net.HardwareAddr(p.MAC), IP: p.IP} }
	neighbour := groundOther
	if p.ID == groundOther.ID {
		neighbour = groundServer
	}
	s = stress.New(g.t, g.world, topology.WirePrefix)
	host := leak.Party{MAC: net.HardwareAddr(groundNetwork.BridgeMAC()), IP: groundNetwork.BridgeAddr}
	s.Prepare(stress.Scene(groundNetwork.Subnet, 8080, party(p), host, party(groundGateway), party(neighbour)), net.HardwareAddr(p.PortMAC()))
	for _, box := range g.boxes {
		s.Container(box)
	}
	g.sieges = append(g.sieges, s)
	return s, s.Attack(g.t.Context(), g.boxes[p.ID], "eth0")
}

// settled fails for an engine that would still change something.
func (g *ground) settled(e *engine.Engine) {
	g.t.Helper()
	steps, err := e.Plan(g.t.Context())
	g.check(err)
	for _, s := range steps {
		g.t.Errorf("not settled: %s", s)
	}
}

// clean fails for anything that is left of mcpnet on the host and in the store.
func (g *ground) clean() {
	g.t.Helper()
	for what, command := range map[string]string{
		"links": "ip -br link", "tables": "nft list tables", "iptables": "iptables-save", "ip6tables": "ip6tables-save",
	} {
		words := strings.Fields(command)
		out := g.world.Host.Run(words[0], words[1:]...)
		if strings.Contains(strings.ToLower(out), "mcp") {
			g.t.Errorf("%s are left:\n%s", what, out)
		}
	}
	documents, _ := filepath.Glob(filepath.Join(g.store, "v2", "*"))
	for _, d := range documents {
		entries, _ := os.ReadDir(d)
		g.t.Errorf("the store still holds %s: %v", d, entries)
	}
}

// holds fails for leaks, and for permitted traffic that does not pass if it should.
func (g *ground) holds(s *stress.Traffic, passes bool) {
	g.t.Helper()
	if passes && !s.Passes(3*time.Second) {
		g.t.Error("the permitted traffic does not pass")
	}
	for _, l := range s.Leaks() {
		if !g.flushed || !strings.HasPrefix(l, stress.OpenWhenFlushed) {
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
