package resident_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress"
)

// TestMain lets more tests run at a time than there are processors, and removes the program that the move tests built.
func TestMain(m *testing.M) {
	testnet.AtATime(4)
	code := m.Run()
	testhost.RemoveOld()
	os.Exit(code)
}

// moved is a network that the engine before namespaces has made, with containers that run, one of which attacks.
type moved struct {
	*testhost.Docker
	a, b, g *testnet.NS
	stream  *testhost.Stream
	traffic *stress.Traffic
	empty   string
}

func newMoved(t *testing.T, features func(firewall.Features) firewall.Features) *moved {
	t.Helper()
	m := &moved{Docker: &testhost.Docker{T: t, World: testnet.NewWorld(t), Dir: t.TempDir(), Features: features}}
	m.empty = m.State()
	m.a, m.b, m.g = testnet.New(t, "a"), testnet.New(t, "b"), testnet.New(t, "g")
	testhost.MakeOld(t, m.World, testhost.Old{Owner: topology.OwnerDocker, Store: m.Dir, NetNS: m.World.Host.Path(),
		ID:     testhost.NetworkID,
		Subnet: "172.20.0.0/16", Router: "172.20.0.1", Options: `{"mcpnet.gateway":"172.20.0.100:8080,172.20.0.100:8443"}`,
		Endpoints: []testhost.OldEndpoint{
			{ID: "a", IP: "172.20.240.1", Role: topology.RoleServer, Container: m.a},
			{ID: "b", IP: "172.20.240.2", Role: topology.RoleServer, Container: m.b},
			{ID: "g", IP: "172.20.0.100", Role: topology.RoleGateway, Container: m.g},
		}})
	m.g.AddRoute(netip.Prefix{}, m.RouterAddr())
	serve(t, m.g, 8080)
	serve(t, m.b, 3000)
	serve(t, m.World.Internet, 443)
	for _, sign := range []string{"mcpwd", "mcp-secure"} {
		if links := m.World.Host.Run("ip", "-br", "link"); !strings.Contains(links, sign) {
			t.Fatalf("the old engine made no %s:\n%s", sign, links)
		}
	}
	m.stream = testhost.OpenStream(t, m.a, m.g, "172.20.0.100:8443")
	m.attack()
	return m
}

// attack sends everything that is forbidden from server b until the test ends.
func (m *moved) attack() {
	m.T.Helper()
	party := func(ip string) leak.Party {
		a := netip.MustParseAddr(ip)
		return leak.Party{IP: a, MAC: net.HardwareAddr(topology.MACFor(testhost.NetworkID, a))}
	}
	m.traffic = stress.New(m.T, m.World, topology.WirePrefix)
	for _, c := range []*testnet.NS{m.a, m.b, m.g} {
		m.traffic.Container(c)
	}
	wire := topology.Endpoint{MAC: topology.HardwareAddr(party("172.20.240.2").MAC)}.PortMAC()
	m.traffic.Prepare(stress.Scene(netip.MustParsePrefix("172.20.0.0/16"), 8080, party("172.20.240.2"),
		party("172.20.0.1"), party("172.20.0.100"),
		party("172.20.240.1")), net.HardwareAddr(wire))
	m.traffic.Attack(m.T.Context(), m.b, "eth0")
	if !m.traffic.Passes(30 * time.Second) { // nothing is tested yet: however busy the machine is
		m.T.Fatal("the permitted traffic does not pass before the move")
	}
}

// holds checks that everything is in the network's namespace and nothing of the old on the host, and what the network
// promises.
func (m *moved) holds() {
	m.T.Helper()
	m.Settled()
	inside, host := m.Space().Run("ip", "-br", "link"), m.World.Host.Run("ip", "-br", "link")
	for _, id := range []string{"a", "b", "g"} {
		e := topology.Endpoint{ID: id, Owner: topology.OwnerDocker}
		if !strings.Contains(inside, e.Wire()) || strings.Contains(host, e.LegacyWire()) || strings.Contains(host, e.Wire()) {
			m.T.Errorf("wire of %s: in the namespace\n%s\non the host\n%s", id, inside, host)
		}
	}
	m.wantNothingOld()
	m.stream.Moves(10 * time.Second)
	m.Reaches(m.a, "172.20.0.100/8080", true)
	m.Reaches(m.a, "172.20.0.100/9090", false)
	m.Reaches(m.a, "172.20.240.2/3000", false)
	m.Reaches(m.g, "172.20.240.2/3000", true)
	m.Reaches(m.g, "198.51.100.2/443", true)
	if !m.traffic.Passes(5 * time.Second) {
		m.T.Error("the permitted traffic does not pass")
	}
	m.noLeak()
}

// noLeak fails for everything of the attack that arrived anywhere.
func (m *moved) noLeak() {
	m.T.Helper()
	for _, l := range m.traffic.Leaks() {
		m.T.Errorf("leak: %s", l)
	}
}

// wantNothingOld looks for what the old engine had on the host.
func (m *moved) wantNothingOld() {
	m.T.Helper()
	for command, signs := range map[string][]string{
		"nft list ruleset": {"table netdev", "egress-metadata", "wires/", "mcpw"},
		"iptables-save":    {"MCP-INPUT", "MCP-IN-", "mcpw", "egress-metadata"},
		"ip6tables-save":   {"MCP", "mcp"},
		"ip -d link":       {"bridge_id", topology.WirePrefix},
	} {
		words := strings.Fields(command)
		out := m.World.Host.Run(words[0], words[1:]...)
		for _, sign := range signs {
			if strings.Contains(out, sign) {
				m.T.Errorf("%s: %s is left:\n%s", command, sign, out)
			}
		}
	}
}

// TestMove: the start moves networks of the engine before namespaces, with containers that run: their connections go
// on, nothing
// leaks meanwhile, and nothing of the old is left.
func TestMove(t *testing.T) {
	testhost.EachKernel(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		m := newMoved(t, features)
		m.Open()
		m.holds()
		m.Check(m.Front.Collect(t.Context()))
		m.holds()
		before := m.State()
		m.Close()
		m.Open()
		m.Same(before)
		m.holds()
		m.stream.Finish()
		for _, id := range []string{"a", "b", "g"} {
			m.Check(m.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, id))
		}
		m.Check(m.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
		m.noLeak()
		m.Same(m.empty)
	})
}

// errStopped ends a move in the middle.
var errStopped = errors.New("stopped")

// TestMoveInterrupted: a move that ends after any step leaks nothing, and the next start goes on with it.
func TestMoveInterrupted(t *testing.T) {
	testhost.KernelsInTurn(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		for at, stopped := 1, true; stopped; at++ {
			m := newMoved(t, features)
			stopped = m.stopAt(at)
			time.Sleep(100 * time.Millisecond)
			m.noLeak()
			m.Open()
			m.holds()
			m.stream.Finish()
			if t.Failed() {
				t.Fatalf("after step %d", at)
			}
		}
	})
}

// stopAt starts a front whose context ends before a step, and tells whether there was one.
func (m *moved) stopAt(step int) (stopped bool) {
	m.T.Helper()
	ctx, cancel := context.WithCancelCause(m.T.Context())
	defer cancel(nil)
	steps := 0
	config := m.Config()
	config.OnStep = func(plan.Step) { // before and after each
		if steps++; steps == 2*step {
			stopped = true
			cancel(errStopped)
		}
	}
	front, err := resident.Open(ctx, config)
	m.Check(err)
	_ = front.Start(ctx)
	m.Check(front.Close())
	return stopped
}
