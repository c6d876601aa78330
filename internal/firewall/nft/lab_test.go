package nft_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// lab is a network of a real front whose containers are a raw socket each: no address, no stack that would answer.
type lab struct {
	t         *testing.T
	world     *testnet.World
	front     *resident.Front
	inside    *testnet.NS // the network's namespace
	nft       *nft.Firewall
	network   topology.Network
	features  firewall.Features
	rules     firewall.Ruleset // as the simulator sees them, after every frame so far
	endpoints []topology.Endpoint
	sockets   map[string]int // raw sockets of containers, by wire
	stack     []int          // what the namespace's own stack is given
	router    int            // index of the link over which ingress hands it frames
}

// Endpoints of a lab: two servers, a gateway, and a candidate at another gateway's address.
const (
	serverA, serverB, gateway, candidate = 0, 1, 2, 3
)

func newLab(t *testing.T, features firewall.Features, options map[string]string) *lab {
	t.Helper()
	l := &lab{t: t, world: testnet.NewWorld(t), features: features, sockets: map[string]int{}}
	needs(t, openNFT(t, l.world.Host), features)
	var err error
	l.front, err = resident.Open(t.Context(), resident.Config{StoreDir: t.TempDir(), NetNS: l.world.Host.Path(),
		Pins:  ns.HostPins(l.world.Pins),
		Owner: topology.OwnerDocker, Log: slog.New(slog.DiscardHandler),
		Features: func(firewall.Features) firewall.Features { return features }})
	check(t, err)
	t.Cleanup(func() { l.front.Close() })
	check(t, l.front.Start(t.Context()))
	p, err := policy.Parse(options)
	check(t, err)
	check(t, l.front.CreateNetwork(t.Context(), topology.Network{ID: "4f2a9c1e",
		Subnet:     netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}))
	networks, err := l.front.Networks(t.Context())
	check(t, err)
	l.network = networks[0]
	l.inside = l.world.Pinned(l.network.Namespace())
	l.nft = openNFT(t, l.inside)
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
	e, err := l.front.CreateEndpoint(l.t.Context(), topology.Endpoint{ID: id, NetworkID: l.network.ID,
		IP: netip.MustParseAddr(ip), Role: role})
	check(l.t, err)
	a, err := l.front.Join(l.t.Context(), l.network.ID, id)
	check(l.t, err)
	container := testnet.New(l.t, id)
	container.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
	container.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	l.world.Host.Give(a.Name, container, "eth0")
	container.Up("eth0")
	l.ready(l.inside, e.Wire())
	l.ready(container, "eth0")
	l.sockets[e.Wire()] = l.socket(container, unix.ETH_P_ALL, container.Link("eth0").Attrs().Index)
	l.endpoints = append(l.endpoints, e)
	l.rules = l.rules.With(firewall.CompileEndpoint(l.network, e, l.features))
}

// ready waits until a link passes frames, which the kernel sees to some time after both ends are up: until then it has
// a queue that loses everything.
func (l *lab) ready(in *testnet.NS, link string) {
	l.t.Helper()
	for range 500 {
		if shown := in.Run("ip", "link", "show", "dev", link); strings.Contains(shown, "state UP") &&
			!strings.Contains(shown, "qdisc noop ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("link %s does not come up", link)
}

// listen opens sockets of one EtherType each in the network's namespace: those see only what ingress let pass, and what
// it handed to the router. The bridge hands everything up.
func (l *lab) listen() {
	l.inside.Run("ip", "link", "set", l.network.Bridge, "promisc", "on")
	l.router = l.inside.Link(topology.Router).Attrs().Index
	for _, t := range etherTypes {
		l.stack = append(l.stack, l.socket(l.inside, t, 0))
	}
}

func (l *lab) socket(in *testnet.NS, protocol uint16, index int) (fd int) {
	l.t.Helper()
	check(l.t, in.Do(func() (err error) {
		big := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC,
			int(big)); err != nil {
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

// collect waits until a last frame has gone the longest way, to the router and back as a reset, and with it everything
// before it, and gives the places where the batch's frames came out.
func (l *lab) collect(last int, batch []shot) map[int][]string {
	l.t.Helper()
	from := l.endpoints[serverA]
	l.send(from, denied(from, l.endpoints[serverB], last))
	places := map[int][]string{}
	known := map[string]int{}
	for _, s := range batch {
		known[identity(s.frame)] = s.number
		places[s.number] = nil
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l.drain(known, places)
		if slices.Contains(places[last], "reset") {
			delete(places, last)
			return places
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("a denied segment (%d) is not answered: %v", last, places[last])
		}
	}
}

// drain notes what has come out. What the router says about frames that it was given is its own affair, but for the
// resets that it owes.
func (l *lab) drain(known map[string]int, places map[int][]string) {
	router := l.network.RouterMAC()
	for _, e := range l.endpoints {
		for frame, _ := range incoming(l.t, l.sockets[e.Wire()]) {
			n, place, ok := recognise(frame, e.Wire(), known)
			if ok && (place != "" || !bytes.Equal(frame[6:12], router)) {
				places[n] = append(places[n], cmp.Or(place, "arrived at "+e.Wire()))
			}
		}
	}
	for _, fd := range l.stack {
		for frame, index := range incoming(l.t, fd) {
			n, ok := numberOf(frame, known)
			switch {
			case ok && index == l.router && bytes.Equal(frame[:6], router):
				places[n] = append(places[n], "router")
			case ok:
				places[n] = append(places[n], fmt.Sprintf("stack, by link %d", index))
			}
		}
	}
}

// incoming yields what a socket has received from others, and the link that it came in by.
func incoming(t *testing.T, fd int) func(yield func([]byte, int) bool) {
	return func(yield func([]byte, int) bool) {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := unix.Recvfrom(fd, buf, 0)
			if err == unix.EAGAIN {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			l, ok := from.(*unix.SockaddrLinklayer)
			if !ok || l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if !yield(bytes.Clone(buf[:size]), l.Ifindex) {
				return
			}
		}
	}
}

// recognise tells which frame one that came out at a container is, or answers, and how. It says no place for one that
// only carries the number.
func recognise(f []byte, wire string, known map[string]int) (number int, place string, ok bool) {
	if n, unchanged := known[identity(f)]; unchanged {
		return n, "arrived at " + wire, true
	}
	if n, isReset := resetFor(f); isReset {
		return n, "reset", true
	}
	n, found := numberOf(f, known)
	if found && isARPReply(f) {
		return n, "answered with " + net.HardwareAddr(f[22:28]).String(), true
	}
	return n, "", found
}

func isARPReply(f []byte) bool {
	return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[20] == 0 && f[21] == 2
}
