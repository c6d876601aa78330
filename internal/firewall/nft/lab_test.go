package nft_test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// lab is a network of the real engine whose containers are a raw socket each: no address, no stack that would answer.
type lab struct {
	t         *testing.T
	world     *testnet.World
	engine    *engine.Engine
	nft       *nft.Firewall
	network   topology.Network
	rules     firewall.Ruleset // as the simulator sees them, after every frame so far
	endpoints []topology.Endpoint
	sockets   map[string]int // raw sockets of containers, by wire
	stack     []int          // what ingress let into the host
}

// Endpoints of a lab: two servers, a gateway, and a candidate at another gateway's address.
const (
	serverA, serverB, gateway, candidate = 0, 1, 2, 3
)

func newLab(t *testing.T, options map[string]string) *lab {
	t.Helper()
	l := &lab{t: t, world: testnet.NewWorld(t), sockets: map[string]int{}}
	var err error
	l.engine, err = engine.Open(t.Context(), engine.Config{StoreDir: t.TempDir(), NetNS: l.world.Host.Path(), Owner: topology.OwnerDocker,
		Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	t.Cleanup(func() { l.engine.Close() })
	check(t, l.engine.Start(t.Context()))
	p, err := policy.Parse(options)
	check(t, err)
	check(t, l.engine.CreateNetwork(t.Context(), topology.Network{ID: "4f2a9c1e", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}))
	networks, err := l.engine.Networks(t.Context())
	check(t, err)
	l.network, l.nft = networks[0], openNFT(t, l.world.Host)
	features, err := l.nft.Features(t.Context())
	check(t, err)
	l.rules = firewall.CompileNetwork(l.network, features)
	l.listen()
	l.attach("a", "172.20.240.1", topology.RoleServer)
	l.attach("b", "172.20.240.2", topology.RoleServer)
	l.attach("g", "172.20.0.100", topology.RoleGateway)
	l.attach("c", "172.20.0.101", topology.RoleCandidate)
	return l
}

func openNFT(t *testing.T, in *testnet.NS) *nft.Firewall {
	t.Helper()
	h, err := ns.Open(in.Path())
	check(t, err)
	f, err := nft.Open(h)
	check(t, err)
	t.Cleanup(func() { f.Close(); h.Close() })
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) attach(id, ip string, role topology.Role) {
	l.t.Helper()
	e, err := l.engine.CreateEndpoint(l.t.Context(), topology.Endpoint{ID: id, NetworkID: l.network.ID, IP: netip.MustParseAddr(ip), Role: role})
	check(l.t, err)
	a, err := l.engine.Join(l.t.Context(), l.network.ID, id)
	check(l.t, err)
	container := testnet.New(l.t, id)
	container.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
	container.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	l.world.Host.Give(a.Interface, container, "eth0")
	container.Up("eth0")
	l.sockets[e.Wire()] = l.socket(container, unix.ETH_P_ALL, container.Link("eth0").Attrs().Index)
	l.endpoints = append(l.endpoints, e)
	l.rules = l.rules.With(firewall.CompileEndpoint(l.network, e))
}

// listen opens sockets of one EtherType each: those see only what ingress let pass. The bridge hands everything up.
func (l *lab) listen() {
	l.world.Host.Run("ip", "link", "set", l.network.Bridge, "promisc", "on")
	for _, t := range etherTypes {
		l.stack = append(l.stack, l.socket(l.world.Host, t, 0))
	}
}

func (l *lab) socket(in *testnet.NS, protocol uint16, index int) (fd int) {
	l.t.Helper()
	check(l.t, in.Do(func() (err error) {
		big := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(big)); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: big, Ifindex: index})
	}))
	l.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func (l *lab) send(from topology.Endpoint, frame []byte) {
	l.t.Helper()
	if _, err := unix.Write(l.sockets[from.Wire()], frame); err != nil {
		l.t.Fatalf("send %x: %v", frame, err)
	}
}

// collect waits until a last frame has gone the long way, and with it everything before it, and gives the places where
// the batch's frames came out.
func (l *lab) collect(last int, batch []shot) map[int][]string {
	l.t.Helper()
	l.send(l.endpoints[serverA], permitted(l.endpoints[serverA], l.endpoints[gateway], last))
	places := map[int][]string{}
	known := map[string]int{}
	for _, s := range batch {
		known[string(s.frame)] = s.number
		places[s.number] = nil
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l.drain(known, places)
		if _, done := places[last]; done {
			delete(places, last)
			return places
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("a permitted frame (%d) does not arrive", last)
		}
	}
}

// drain notes what has come out. What the host's stack says to the gateway about frames it was given, some of it late, is
// its own affair.
func (l *lab) drain(known map[string]int, places map[int][]string) {
	bridge := l.network.BridgeMAC()
	for i, e := range l.endpoints {
		for frame := range incoming(l.t, l.sockets[e.Wire()]) {
			if i == gateway && bytes.Equal(frame[6:12], bridge) {
				continue
			}
			if n, place, ok := recognise(frame, e.Wire(), known); ok {
				places[n] = append(places[n], place)
			}
		}
	}
	for _, fd := range l.stack {
		for frame := range incoming(l.t, fd) {
			if n, ok := numberOf(frame, known); ok && !bytes.Equal(frame[6:12], bridge) {
				places[n] = append(places[n], "host")
			}
		}
	}
}

// incoming yields what a socket has received from others.
func incoming(t *testing.T, fd int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := unix.Recvfrom(fd, buf, 0)
			if err == unix.EAGAIN {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if !yield(bytes.Clone(buf[:size])) {
				return
			}
		}
	}
}

// recognise tells which frame one that came out at a container is, or answers, and how.
func recognise(f []byte, wire string, known map[string]int) (number int, place string, ok bool) {
	if n, unchanged := known[string(f)]; unchanged {
		return n, "arrived at " + wire, true
	}
	if n, isReset := resetFor(f); isReset {
		return n, "reset", true
	}
	n, found := numberOf(f, known)
	if found && isARPReply(f) {
		return n, "answered with " + net.HardwareAddr(f[22:28]).String(), true
	}
	return n, "arrived at " + wire, found
}

func isARPReply(f []byte) bool {
	return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[20] == 0 && f[21] == 2
}
