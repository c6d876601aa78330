package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
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

func serve(t *testing.T, in *testnet.NS, port string) {
	t.Helper()
	cmd := in.Command("python3", "-m", "http.server", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 100 {
		if _, err := dial(in, "127.0.0.1/"+port); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("server does not listen")
}

func TestPath(t *testing.T) {
	f := newFixture(t)
	f.network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	a := f.container("a", "172.20.240.1", topology.RoleServer)
	d, err := dial(a, "172.20.0.100/8080")
	t.Log("no gateway", d, err)
	g := f.container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, "8080")
	serve(t, g, "9090")
	serve(t, a, "3000")
	serve(t, f.world.Internet, "443")
	for _, x := range []struct {
		ns   *testnet.NS
		addr string
	}{{a, "172.20.0.100/8080"}, {a, "172.20.0.100/9090"}, {a, "172.20.0.1/22"}, {a, "198.51.100.2/443"}, {g, "172.20.240.1/3000"}, {g, "198.51.100.2/443"}, {g, "198.51.100.2/444"}, {g, "172.20.0.1/22"}, {f.world.Host, "172.20.0.100/8080"}} {
		d, err := dial(x.ns, x.addr)
		t.Log(x.ns.Label(), x.addr, d, err)
	}
	t.Log(f.world.Host.Run("nft", "list", "ruleset"))
	t.Log(f.world.Host.Run("iptables-save"))
	steps, err := f.engine.Plan(context.Background())
	t.Log(steps, err)
	f.check(f.engine.DeleteEndpoint(t.Context(), networkID, "a"))
	f.check(f.engine.DeleteEndpoint(t.Context(), networkID, "g"))
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	t.Log(f.world.Host.Run("nft", "list", "ruleset"))
	t.Log(f.world.Host.Run("ip", "link"))
	t.Log(f.world.Host.Run("find", f.dir))
}
