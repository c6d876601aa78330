package percall_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/percall"
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

// moved is a network of the surface that the engine before namespaces has made, with containers that run, one of which
// attacks.
type moved struct {
	*sharedFixture
	n       topology.Network
	a, b, g *testnet.NS
	stream  *testhost.Stream
	traffic *stress.Traffic
	empty   string
}

func newMoved(t *testing.T, f *sharedFixture) *moved {
	t.Helper()
	m := &moved{sharedFixture: f,
		n: f.sharedNetwork(map[string]string{"mcpnet.gateway": "172.21.0.100:8080,172.21.0.100:8443"})}
	m.empty = m.State()
	m.a, m.b, m.g = testnet.New(t, "a"), testnet.New(t, "b"), testnet.New(t, "g")
	testhost.MakeOld(t, m.World, testhost.Old{Owner: f.owner, Store: m.Dir, NetNS: m.World.Host.Path(), ID: m.n.ID,
		Subnet: m.n.Subnet.String(), Router: m.n.BridgeAddr.String(),
		Options: `{"mcpnet.gateway":"172.21.0.100:8080,172.21.0.100:8443"}`,
		Endpoints: []testhost.OldEndpoint{
			{ID: "a", IP: "172.21.240.1", Role: topology.RoleServer, Container: m.a},
			{ID: "b", IP: "172.21.240.2", Role: topology.RoleServer, Container: m.b},
			{ID: "g", IP: "172.21.0.100", Role: topology.RoleGateway, Container: m.g},
		}})
	testhost.WaitForCarrier(t, m.g, "eth0")
	testhost.Hello(m.g, 8080)
	testhost.Hello(m.b, 3000)
	testhost.Hello(m.World.Internet, 443)
	m.stream = testhost.OpenStream(t, m.a, m.g, "172.21.0.100:8443")
	m.attack()
	return m
}

// attack sends everything that is forbidden from server b until the test ends.
func (m *moved) attack() {
	m.T.Helper()
	party := func(ip string) leak.Party {
		a := netip.MustParseAddr(ip)
		return leak.Party{IP: a, MAC: net.HardwareAddr(topology.MACFor(m.n.ID, a))}
	}
	m.traffic = stress.New(m.T, m.World, topology.WirePrefix)
	for _, c := range []*testnet.NS{m.a, m.b, m.g} {
		m.traffic.Container(c)
	}
	wire := topology.Endpoint{MAC: topology.HardwareAddr(party("172.21.240.2").MAC)}.PortMAC()
	m.traffic.Prepare(stress.Scene(m.n.Subnet, 8080, party("172.21.240.2"), party("172.21.0.1"), party("172.21.0.100"),
		party("172.21.240.1")), net.HardwareAddr(wire))
	m.traffic.Attack(m.T.Context(), m.b, "eth0")
	if !m.traffic.Passes(30 * time.Second) { // nothing is tested yet: however busy the machine is
		m.T.Fatal("the permitted traffic does not pass before the move")
	}
}

// holds checks that all wires are in the network's namespace, and what the network promises.
func (m *moved) holds() {
	m.T.Helper()
	m.wantPlan()
	inside, host := m.space().Run("ip", "-br", "link"), m.World.Host.Run("ip", "-d", "link")
	for _, id := range []string{"a", "b", "g"} {
		e := topology.Endpoint{ID: id, Owner: m.owner}
		if !strings.Contains(inside, e.Wire()) || strings.Contains(host, e.LegacyWire()) {
			m.T.Errorf("wire of %s: in the namespace\n%s\non the host\n%s", id, inside, host)
		}
	}
	rules := m.World.Host.Run("nft", "list", "ruleset") + m.World.Host.Run("ip6tables-save")
	for _, sign := range []string{"table netdev", "egress-metadata", "wires/", "MCP-INPUT", topology.WirePrefix} {
		if strings.Contains(rules, sign) || strings.Contains(host, "bridge_id") {
			m.T.Errorf("%s, or the bridge, is left on the host:\n%s%s", sign, rules, host)
		}
	}
	m.stream.Moves(10 * time.Second)
	m.Reaches(m.a, "172.21.0.100/8080", true)
	m.Reaches(m.a, "172.21.0.100/9090", false)
	m.Reaches(m.g, "172.21.240.2/3000", true)
	m.Reaches(m.g, "198.51.100.2/443", true)
	if !m.traffic.Passes(5 * time.Second) {
		m.T.Error("the permitted traffic does not pass")
	}
	for _, l := range m.traffic.Leaks() {
		m.T.Errorf("leak: %s", l)
	}
}

// TestSharedMove: whoever works first on a network of the engine before namespaces moves it, with containers that run:
// the next
// attachment, or the service that looks at everything. A detachment does not wait for that.
func TestSharedMove(t *testing.T) {
	for name, first := range map[string]func(*moved){
		"attach": func(m *moved) { m.mustAttach(m.n, "c", "172.21.240.3", topology.RoleServer) },
		"inspect": func(m *moved) {
			m.Check(m.call(func(f *percall.Front) error { return f.Inspect(m.T.Context()) }))
		},
		"changed": func(m *moved) {
			m.n = m.sharedNetwork(map[string]string{"mcpnet.gateway": "172.21.0.100:8080,172.21.0.100:8443,172.21.0.100:7000"})
			m.mustAttach(m.n, "c", "172.21.240.3", topology.RoleServer)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onBothKernels(t, func(t *testing.T, f *sharedFixture) {
				m := newMoved(t, f)
				first(m)
				m.holds()
				m.mustAttach(m.n, "d", "172.21.240.4", topology.RoleServer)
				m.holds()
				m.stream.Finish()
				for _, id := range []string{"a", "b", "g", "c", "d"} {
					m.detach(m.n, id)
				}
				m.Same(m.empty)
			})
		})
	}
}

// TestSharedMoveDetach: containers that end before the network was moved take everything of theirs with them.
func TestSharedMoveDetach(t *testing.T) {
	onBothKernels(t, func(t *testing.T, f *sharedFixture) {
		m := newMoved(t, f)
		m.stream.Finish()
		for _, id := range []string{"a", "b", "g"} {
			m.detach(m.n, id)
			for _, l := range m.traffic.Leaks() {
				t.Errorf("leak: %s", l)
			}
		}
		m.Same(m.empty)
	})
}

// TestOthersBridge: a network whose containers are all gone loses its name to another surface's. When it is made
// again, it gets
// another name, and what has its old one stays.
func TestOthersBridge(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	f.Unpin("mcp-secure") // as after a restart of the host
	f.World.Host.Run("ip", "link", "delete", "mcp-secure")
	docker := &testhost.Docker{T: t, World: f.World, Dir: t.TempDir()}
	docker.Open()
	docker.Network(testhost.OneGateway)
	server := docker.Container("da", "172.20.240.1", topology.RoleServer)
	testhost.Hello(docker.Container("dg", "172.20.0.100", topology.RoleGateway), 8080)
	for i := range 3 {
		f.Check(f.call(func(e *percall.Front) error { return e.Inspect(t.Context()) }))
		f.mustAttach(n, fmt.Sprint("b", i), "172.21.240.2", topology.RoleServer)
		docker.Reaches(server, "172.20.0.100/8080", true)
		docker.Settled()
		f.wantPlan()
		f.detach(n, fmt.Sprint("b", i))
		docker.Reaches(server, "172.20.0.100/8080", true)
		docker.Settled()
	}
	if len(f.forgotten) != 1 {
		t.Errorf("forgotten: %v", f.forgotten)
	}
}
