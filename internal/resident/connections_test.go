package resident_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// opened is a connection that a gateway opened to a server: its two ends.
func opened(t *testing.T, f *testhost.Docker, g, server *testnet.NS, at string) (ofGateway, ofServer *net.TCPConn) {
	t.Helper()
	l, err := server.Listen(netip.MustParseAddrPort(at))
	f.Check(err)
	defer l.Close()
	conn, err := g.Dial(t.Context(), "tcp", netip.MustParseAddrPort(at))
	f.Check(err)
	accepted, err := l.Accept()
	f.Check(err)
	t.Cleanup(func() { conn.Close(); accepted.Close() })
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

// passes sends a word over the connection and tells whether it arrives.
func passes(from, to net.Conn, within time.Duration) error {
	word := []byte("event: ping\n\n")
	if _, err := from.Write(word); err != nil {
		return err
	}
	if err := to.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.ReadFull(to, make([]byte, len(word)))
	return err
}

// TestFlushKeepsConnections: after a flush in the network's namespace a connection that the gateway opened goes on,
// also where the server is the first to say something: the rules are back together with what they knew. Without
// somebody who remembers, the connection is refused.
func TestFlushKeepsConnections(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
		ctx, stop := context.WithCancel(t.Context())
		watching := make(chan struct{})
		go func() { defer close(watching); f.Front.Watch(ctx) }()
		ofGateway, ofServer := opened(t, f, g, a, "172.20.240.1:3000")
		before := f.State()
		time.Sleep(1500 * time.Millisecond)
		for range 3 {
			f.Space().Run("nft", "flush", "ruleset")
			becomes(f, before)
			if err := passes(ofServer, ofGateway, 5*time.Second); err != nil {
				t.Fatalf("the server's event does not arrive: %v", err)
			}
		}
		f.Check(passes(ofGateway, ofServer, 5*time.Second))
		stop()
		<-watching
	})
	t.Run("control", func(t *testing.T) {
		f := testhost.NewDocker(t)
		f.Network(testhost.OneGateway)
		a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
		ofGateway, ofServer := opened(t, f, g, a, "172.20.240.1:3000")
		f.Space().Run("nft", "flush", "ruleset")
		_, err := f.Front.Reconcile(t.Context())
		f.Check(err)
		if err := passes(ofServer, ofGateway, time.Second); err == nil {
			t.Error("control: nobody remembers the connection, and it goes on")
		}
	})
}

// TestHalfClosed: a connection on which the gateway will send no more lives as long as the server uses it.
func TestHalfClosed(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
		ofGateway, ofServer := opened(t, f, g, a, "172.20.240.1:3000")
		f.Check(passes(ofGateway, ofServer, time.Second))
		f.Check(ofGateway.CloseWrite())
		time.Sleep(3 * time.Second)
		old := closing(t, f)
		f.Check(passes(ofServer, ofGateway, time.Second))
		time.Sleep(100 * time.Millisecond)
		if now := closing(t, f); len(old) != 1 || len(now) != 1 || now[0] <= old[0] {
			t.Errorf("seconds left before the server sends %v, and after %v", old, now)
		}
	})
}

// closing gives the seconds that are left to connections on which the gateway will send no more.
func closing(t *testing.T, f *testhost.Docker) (left []int) {
	t.Helper()
	var listed struct {
		Nftables []struct {
			Set struct {
				Elem []struct {
					Elem struct{ Expires int }
				}
			}
		}
	}
	f.Check(json.Unmarshal([]byte(f.Space().Run("nft", "-j", "list", "set", "netdev", "mcpnet", "closing")), &listed))
	for _, o := range listed.Nftables {
		for _, e := range o.Set.Elem {
			left = append(left, e.Elem.Expires)
		}
	}
	return left
}

// TestClosedUDP: a datagram to a permitted port that nobody listens on is answered by the gateway at once. A port that
// is not permitted is answered by the network.
func TestClosedUDP(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080,172.20.0.100:5353/udp"})
		a := f.Container("a", "172.20.240.1", topology.RoleServer)
		f.Container("g", "172.20.0.100", topology.RoleGateway)
		for port, want := range map[uint16]error{5353: unix.ECONNREFUSED, 5354: unix.EHOSTUNREACH} {
			conn, err := a.Dial(t.Context(), "udp", netip.AddrPortFrom(netip.MustParseAddr("172.20.0.100"), port))
			f.Check(err)
			began := time.Now()
			_, err = conn.Write([]byte("anybody?"))
			f.Check(err)
			f.Check(conn.SetReadDeadline(began.Add(2 * time.Second)))
			_, err = conn.Read(make([]byte, 1))
			if !errors.Is(err, want) || time.Since(began) > time.Second {
				t.Errorf("port %d: %v after %v, want %v", port, err, time.Since(began), want)
			}
			conn.Close()
		}
	})
}
