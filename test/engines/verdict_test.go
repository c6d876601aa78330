package engines_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// attempt is something that a container tries, with who does it and whether it gets through.
type attempt struct {
	who, network string
	to           netip.AddrPort
}

func (a attempt) String() string { return fmt.Sprintf("%s %s/%s", a.who, a.network, a.to) }

// port is where everybody listens besides the gateway's own.
const port = 9000

// attempts are the rows of the table.
var attempts = []attempt{
	{"server", "tcp", netip.AddrPortFrom(leak.GatewayIP, leak.GatewayPort)},
	{"server", "tcp", netip.AddrPortFrom(leak.GatewayIP, port)},
	{"server", "udp", netip.AddrPortFrom(leak.GatewayIP, port)},
	{"server", "udp", netip.AddrPortFrom(leak.GatewayIP, 53)},
	{"server", "tcp", netip.AddrPortFrom(leak.BridgeAddr, port)},
	{"server", "tcp", netip.AddrPortFrom(testnet.HostAddr, port)},
	{"server", "udp", netip.AddrPortFrom(leak.BridgeAddr, port)},
	{"server", "tcp", netip.AddrPortFrom(leak.PeerIP, port)},
	{"server", "tcp", netip.AddrPortFrom(testnet.VictimAddr, port)},
	{"server", "tcp", netip.AddrPortFrom(testnet.InternetHost, 443)},
	{"server", "udp", netip.AddrPortFrom(testnet.Resolver, 53)},
	{"server", "tcp", netip.AddrPortFrom(testnet.Metadata, 80)},
	{"gateway", "tcp", netip.AddrPortFrom(leak.AttackerIP, port)},
	{"gateway", "tcp", netip.AddrPortFrom(leak.PeerIP, port)},
	{"gateway", "tcp", netip.AddrPortFrom(leak.BridgeAddr, port)},
	{"gateway", "tcp", netip.AddrPortFrom(testnet.HostAddr, port)},
	{"gateway", "tcp", netip.AddrPortFrom(testnet.VictimAddr, port)},
	{"gateway", "tcp", netip.AddrPortFrom(testnet.InternetHost, 443)},
	{"gateway", "tcp", netip.AddrPortFrom(testnet.InternetHost, port)},
	{"gateway", "udp", netip.AddrPortFrom(testnet.Resolver, 53)},
	{"gateway", "tcp", netip.AddrPortFrom(testnet.Metadata, 80)},
}

// policies are the tables: a policy, and what gets through with it. Everything else is denied.
var policies = []struct {
	name    string
	policy  map[string]string
	through []string
}{
	{"default", nil, []string{
		"server tcp/172.20.0.100:8080", "gateway tcp/172.20.240.2:9000", "gateway tcp/172.20.240.3:9000",
		"gateway tcp/203.0.113.10:443", "gateway udp/203.0.113.53:53"}},
	{"closed", map[string]string{"gateway.connect": "off", "gateway.egress": "off"}, []string{"server tcp/172.20.0.100:8080"}},
	{"audit", map[string]string{"mode": "audit"}, []string{ // the gateway's other ports are open, and nothing else is
		"server tcp/172.20.0.100:8080", "server tcp/172.20.0.100:9000", "server udp/172.20.0.100:9000", "server udp/172.20.0.100:53",
		"gateway tcp/172.20.240.2:9000", "gateway tcp/172.20.240.3:9000", "gateway tcp/203.0.113.10:443", "gateway udp/203.0.113.53:53"}},
	{"wide", map[string]string{"gateway": "172.20.0.100:8080,172.20.0.100:9000/udp", "gateway.egress": "tcp/9000",
		"gateway.egress.to": "any", "dns": "gateway", "gateway.connect": "tcp/3000"}, []string{
		"server tcp/172.20.0.100:8080", "server udp/172.20.0.100:9000", "server udp/172.20.0.100:53",
		// The egress is to everywhere outside the network but the host.
		"gateway tcp/203.0.113.10:9000", "gateway tcp/10.77.0.2:9000"}},
}

// verdictSurfaces are the engines of the table: a driver, a CNI plugin, a netavark plugin.
var verdictSurfaces = []string{"docker 28.5", "containerd 2.1 cri", "podman 5.8 netavark"}

// TestVerdicts: the same policy gives the same verdicts on Docker, CNI and netavark.
func TestVerdicts(t *testing.T) {
	for _, s := range surfaces {
		if !slices.Contains(verdictSurfaces, s.name) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			world := testnet.NewWorld(t)
			l := s.open(t, world)
			scenery(t, world)
			for _, p := range policies {
				t.Run(p.name, func(t *testing.T) { checkVerdicts(t, world, l, p.policy, p.through) })
			}
		})
	}
}

// scenery has everybody that an attempt could reach listen.
func scenery(t *testing.T, w *testnet.World) {
	t.Helper()
	listen(t, w.Internet, "tcp", 443, port, 80)
	// An answer has to come from the address that was asked.
	if err := w.Internet.Do(func() error { return echo(t, "udp", netip.AddrPortFrom(testnet.Resolver, 53).String()) }); err != nil {
		t.Fatal(err)
	}
	listen(t, w.Host, "tcp", port)
	listen(t, w.Host, "udp", port)
	listen(t, w.NewVictim(), "tcp", port)
}

func checkVerdicts(t *testing.T, w *testnet.World, l lab, changed map[string]string, through []string) {
	policy := defaultPolicy()
	maps.Copy(policy, changed)
	l.network(policy)
	defer l.remove("gateway", "server", "neighbour")
	seats := map[string]*testnet.NS{"gateway": l.gateway("gateway").With(t), "server": l.server("server", leak.AttackerIP).With(t)}
	neighbour := l.server("neighbour", leak.PeerIP).With(t)
	listen(t, seats["gateway"], "tcp", leak.GatewayPort, port)
	listen(t, seats["gateway"], "udp", port, 53)
	listen(t, seats["server"], "tcp", port)
	listen(t, neighbour, "tcp", port)
	var wait sync.WaitGroup
	got := make([]bool, len(attempts))
	took := make([]time.Duration, len(attempts))
	for i, a := range attempts {
		wait.Go(func() {
			got[i], took[i] = a.ask(seats[a.who])
		})
	}
	wait.Wait()
	for i, a := range attempts {
		if want := slices.Contains(through, a.String()); got[i] != want {
			t.Errorf("%s: gets through: %v, want %v", a, got[i], want)
		}
		if took[i] > leak.AnswerLimit {
			t.Errorf("%s: answered after %v (P11)", a, took[i])
		}
	}
}

func (a attempt) ask(from *testnet.NS) (through bool, took time.Duration) {
	took = testhost.Spent(func() { through = a.getsThrough(from) })
	return through, took
}

// getsThrough reports whether an answer comes.
func (a attempt) getsThrough(from *testnet.NS) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, a.network, a.to)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return false
	}
	answer := make([]byte, 16)
	n, err := conn.Read(answer)
	return err == nil && strings.HasPrefix(string(answer[:n]), "hello")
}

// listen echoes on ports of a namespace until the test ends.
func listen(t *testing.T, ns *testnet.NS, network string, ports ...uint16) {
	t.Helper()
	for _, p := range ports {
		err := ns.Do(func() error { return echo(t, network, fmt.Sprintf(":%d", p)) })
		if err != nil {
			t.Fatalf("%s: listen %s %d: %v", ns.Label(), network, p, err)
		}
	}
}

func echo(t *testing.T, network, address string) error {
	if network == "udp" {
		conn, err := net.ListenPacket("udp4", address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		go echoDatagrams(conn)
		return nil
	}
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	t.Cleanup(func() { l.Close() })
	go echoConnections(l)
	return nil
}

func echoDatagrams(conn net.PacketConn) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}

func echoConnections(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 64)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if n, err := conn.Read(buffer); err == nil {
				_, _ = conn.Write(buffer[:n])
			}
		}()
	}
}
