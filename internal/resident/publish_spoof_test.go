package resident_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// spoof sends a SYN with any source from a namespace.
func spoof(t *testing.T, from *testnet.NS, src, dst netip.AddrPort, seq uint32) {
	t.Helper()
	err := from.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		p := frame.IPv4{Src: src.Addr(), Dst: dst.Addr()}.TCP(frame.Segment{Src: src.Port(), Dst: dst.Port(), Seq: seq, Flags: frame.SYN})
		return unix.Sendto(fd, p.Bytes(), 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func reuse(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// deaf has a namespace swallow what asks for a port, without an answer: a listener with a filter that takes nothing.
func deaf(t *testing.T, in *testnet.NS, at netip.AddrPort) {
	t.Helper()
	err := in.Do(func() error {
		c := net.ListenConfig{Control: func(n, a string, raw syscall.RawConn) error {
			if err := reuse(n, a, raw); err != nil {
				return err
			}
			var failed error
			err := raw.Control(func(fd uintptr) {
				filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
				failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter[0]})
			})
			if err == nil {
				err = failed
			}
			return err
		}}
		l, err := c.Listen(context.Background(), "tcp4", at.String())
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPublishedInAnothersName: somebody outside asks for the published port in the name of a third. The gateway opens no
// connection to the third as the reply.
func TestPublishedInAnothersName(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	local := netip.MustParseAddrPort("172.20.0.100:8080")
	deaf(t, g, local)
	private := netip.MustParseAddr("10.99.0.1")
	f.World.Internet.AddAddr("lo", "10.99.0.1/32")
	other := otherNet(t, f)
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18080, 8080)}))
	docker := f.World.NewVictim()
	r := testnet.NewRecorder()
	f.World.Internet.Sniff(r, testnet.Sniff{Place: "third"})
	other.Sniff(r, testnet.Sniff{Place: "third"})
	docker.Sniff(r, testnet.Sniff{Place: "third"})
	opens := func(to netip.AddrPort) string {
		token := testnet.NewToken()
		err := g.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			p := frame.IPv4{Src: local.Addr(), Dst: to.Addr()}.TCP(frame.Segment{Src: local.Port(), Dst: to.Port(), Seq: 5, Flags: frame.SYN, Data: []byte(token)})
			return unix.Sendto(fd, p.Bytes(), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, to := range map[string]netip.AddrPort{
		"private":      netip.AddrPortFrom(private, 22),
		"metadata":     netip.AddrPortFrom(testnet.Metadata, 80),
		"public 22":    netip.AddrPortFrom(testnet.InternetHost, 22),
		"othergateway": netip.MustParseAddrPort("172.21.0.100:22"),
		"container":    netip.AddrPortFrom(testnet.VictimAddr, 6379),
	} {
		if r.Wait(opens(to), "third", 300*time.Millisecond) {
			t.Errorf("control: %s: reached without help", name)
		}
		from := f.World.Internet
		if name != "public 22" {
			from = docker // a container on another bridge of the host
		}
		spoof(t, from, to, netip.MustParseAddrPort("198.51.100.1:18080"), 77)
		time.Sleep(100 * time.Millisecond)
		seen := to
		if name == "othergateway" {
			seen = netip.AddrPortFrom(testnet.HostAddr, to.Port()) // its spoofed segment was masqueraded
		}
		if r.Wait(opens(seen), "third", 300*time.Millisecond) {
			t.Errorf("%s: a SYN of the gateway got to %s", name, to)
		}
	}
}

func otherNet(t *testing.T, f *testhost.Docker) *testnet.NS {
	const id = "5555555555554f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a"
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.21.0.100:8080", policy.KeyBridge: "mcp-other"})
	f.Check(err)
	n := topology.Network{ID: id, Bridge: "mcp-other", Subnet: netip.MustParsePrefix("172.21.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.21.0.1"), Policy: p}
	f.Check(f.Front.CreateNetwork(t.Context(), n))
	_, err = f.Front.CreateEndpoint(t.Context(), topology.Endpoint{ID: "other-gateway", NetworkID: id, IP: netip.MustParseAddr("172.21.0.100"),
		Role: topology.RoleGateway})
	f.Check(err)
	a, err := f.Front.Join(t.Context(), id, "other-gateway")
	f.Check(err)
	c := testnet.New(t, "other")
	f.World.Host.Give(a.Name, c, "eth0")
	c.AddAddr("eth0", "172.21.0.100/16")
	c.Up("eth0")
	c.AddRoute(netip.Prefix{}, a.Gateway)
	c.ServeHello(netip.MustParseAddrPort("0.0.0.0:22"))
	return c
}

// TestPublishedAddressMoved: a port was published at one address of the host, which another machine has now. What the
// host forwards to that machine must not end at the gateway.
func TestPublishedAddressMoved(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	vip := netip.MustParseAddr("198.51.100.77")
	f.World.Host.AddAddr(testnet.Uplink, "198.51.100.77/24")
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{
		{HostIP: vip, HostPort: 443, To: netip.AddrPortFrom(netip.Addr{}, 8080)}}))
	f.World.Host.Run("ip", "addr", "del", "198.51.100.77/24", "dev", testnet.Uplink)
	f.World.Internet.AddAddr("eth0", "198.51.100.77/24")
	f.World.Internet.ServeHello(netip.AddrPortFrom(vip, 443))
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	victim := f.World.NewVictim()
	f.World.Internet.AddRoute(netip.MustParsePrefix("10.77.0.0/24"), testnet.HostAddr)
	conn, err := victim.Dial(t.Context(), "tcp4", netip.AddrPortFrom(vip, 443))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	buf := make([]byte, 4096)
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	if !strings.Contains(string(buf[:n]), f.World.Internet.Label()) {
		t.Errorf("a container asked the other machine, and this answered:\n%s", buf[:n])
	}
}

// TestPublishedInAServersName: somebody outside asks for the published port in the name of a server, which gets nothing
// of it.
func TestPublishedInAServersName(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	a := f.Container("a", "172.20.240.1", topology.RoleServer)
	serve(t, g, 8080)
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18080, 8080)}))
	got := make(chan uint32, 8)
	ready := make(chan bool)
	go func() {
		_ = a.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
			close(ready)
			buf := make([]byte, 2048)
			for {
				n, _, err := unix.Recvfrom(fd, buf, 0)
				if err != nil {
					return err
				}
				if n >= 40 {
					got <- uint32(buf[28])<<24 | uint32(buf[29])<<16 | uint32(buf[30])<<8 | uint32(buf[31])
				}
			}
		})
		close(got)
	}()
	<-ready
	spoof(t, f.World.Internet, netip.MustParseAddrPort("172.20.240.1:4444"), netip.MustParseAddrPort("198.51.100.1:18080"), 0xdeadbeee)
	for ack := range got {
		t.Errorf("the server got a segment with ack %x", ack)
	}
}
