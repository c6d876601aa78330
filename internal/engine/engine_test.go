package engine_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// fixture is an engine on a host of its own.
type fixture struct {
	t      *testing.T
	world  *testnet.World
	engine *engine.Engine
	dir    string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, world: testnet.NewWorld(t), dir: t.TempDir()}
	f.open()
	t.Cleanup(func() { f.close() })
	return f
}

// open starts an engine over the store, as a restarted plugin does.
func (f *fixture) open() {
	f.t.Helper()
	e, err := engine.Open(f.t.Context(), engine.Config{StoreDir: f.dir, NetNS: f.world.Host.Path(), Owner: topology.OwnerDocker,
		Log: slog.New(slog.NewTextHandler(testWriter{f.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		f.t.Fatal(err)
	}
	f.engine = e
	f.check(e.Start(f.t.Context()))
}

func (f *fixture) close() {
	if f.engine != nil {
		_ = f.engine.Close()
		f.engine = nil
	}
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(b))
	return len(b), nil
}

const networkID = "4f2a9c1e"

func (f *fixture) network(options map[string]string) topology.Network {
	f.t.Helper()
	p, err := policy.Parse(options)
	f.check(err)
	n := topology.Network{ID: networkID, Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	f.check(f.engine.CreateNetwork(f.t.Context(), n))
	return n
}

// container attaches an endpoint and gives its interface to a namespace, as an engine does.
func (f *fixture) container(id, ip string, role topology.Role) *testnet.NS {
	f.t.Helper()
	ctx := f.t.Context()
	_, err := f.engine.CreateEndpoint(ctx, topology.Endpoint{ID: id, NetworkID: networkID, IP: netip.MustParseAddr(ip), Role: role})
	f.check(err)
	a, err := f.engine.Join(ctx, networkID, id)
	f.check(err)
	c := testnet.New(f.t, id)
	f.world.Host.Run("ip", "link", "set", a.Interface, "netns", c.Path())
	c.Run("ip", "link", "set", a.Interface, "name", "eth0")
	c.Run("ip", "addr", "add", ip+"/16", "dev", "eth0")
	c.Run("ip", "link", "set", "eth0", "up")
	if a.Gateway.IsValid() {
		c.Run("ip", "route", "add", "default", "via", a.Gateway.String())
	}
	return c
}

// dial tries a TCP connection and gives the time it took.
func dial(from *testnet.NS, addr string) (time.Duration, error) {
	began := time.Now()
	_, err := from.Output("timeout", "5", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s", addr))
	return time.Since(began), err
}

// carrier is what links show of the other end, each in its own time.
var carrier = regexp.MustCompile(` +(UP|DOWN|UNKNOWN|LOWERLAYERDOWN) +`)

// state is everything of mcpnet on the host: links, rules of both kinds, documents.
func (f *fixture) state() string {
	f.t.Helper()
	var out []string
	for _, command := range [][]string{{"nft", "-s", "list", "ruleset"}, {"iptables-save"}, {"ip6tables-save"}, {"ip", "-br", "addr"}, {"find", f.dir, "-mindepth", "2"}} {
		for _, line := range strings.Split(f.world.Host.Run(command[0], command[1:]...), "\n") {
			if strings.Contains(strings.ToLower(line), "mcp") && !strings.HasPrefix(line, "#") {
				out = append(out, carrier.ReplaceAllString(line, " "))
			}
		}
	}
	slices.Sort(out) // tables come in the order they were made
	return strings.ReplaceAll(strings.Join(out, "\n"), f.dir, "DIR")
}

// same fails the test when the host's state is another one.
func (f *fixture) same(before string) {
	f.t.Helper()
	old, now := strings.Split(before, "\n"), strings.Split(f.state(), "\n")
	lacks := func(in []string) func(string) bool {
		return func(line string) bool { return slices.Contains(in, line) }
	}
	gone, come := slices.DeleteFunc(slices.Clone(old), lacks(now)), slices.DeleteFunc(slices.Clone(now), lacks(old))
	if len(gone)+len(come) > 0 || len(old) != len(now) {
		f.t.Errorf("%d lines are gone, %d have come; the first:\n- %s\n+ %s", len(gone), len(come),
			strings.Join(gone[:min(5, len(gone))], "\n- "), strings.Join(come[:min(5, len(come))], "\n+ "))
	}
}

// settled fails the test when the engine would still change something.
func (f *fixture) settled() {
	f.t.Helper()
	steps, err := f.engine.Plan(f.t.Context())
	f.check(err)
	for _, s := range steps {
		f.t.Errorf("left to do: %s", s)
	}
}

// reaches tells whether a connection comes about; a refused one has to be refused at once.
func (f *fixture) reaches(from *testnet.NS, addr string, want bool) {
	f.t.Helper()
	took, err := dial(from, addr)
	if (err == nil) != want {
		f.t.Errorf("%s to %s: reached %v, want %v (%v)", from.Label(), addr, err == nil, want, err)
	}
	if took > time.Second {
		f.t.Errorf("%s to %s: took %v", from.Label(), addr, took)
	}
}

func hello(in *testnet.NS, port uint16) {
	in.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}
