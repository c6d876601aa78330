package main

import (
	"fmt"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/bench/load"
)

// The addresses of every network here.
var (
	subnet     = netip.MustParsePrefix("172.20.0.0/16")
	bridgeAddr = netip.MustParseAddr("172.20.0.1")
	service    = netip.MustParseAddrPort("172.20.0.100:8080")
)

const (
	// closedPort is one that the policy does not permit.
	closedPort = 9090
	// perBlock is how many endpoints have the third byte of their address in common.
	perBlock, firstBlock = 200, 16
)

// address is that of the endpoint with a number, from 0.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{172, 20, byte(firstBlock + i/perBlock), byte(1 + i%perBlock)})
}

// prefixed is an address with the subnet's prefix length.
func prefixed(a netip.Addr) string { return netip.PrefixFrom(a, subnet.Bits()).String() }

// path leads from a server to the gateway of a network.
type path struct {
	fabric          string // mcpnet, bridge or classic
	size            int    // endpoints beside the gateway
	host            *testnet.NS
	server, gateway *testnet.NS
}

func (p *path) String() string { return fmt.Sprintf("%s-%d", p.fabric, p.size) }

// measured is the number of the endpoint that is measured: the one in the middle.
func measured(size int) int { return size / 2 }

// open lets the gateway serve, and the server connect as often as a benchmark does.
func (p *path) open(t *testnet.Program) {
	// A port that a closed connection still holds can be used again after a second.
	p.server.Sysctl("net.ipv4.ip_local_port_range", "1024 65535")
	p.server.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	must(t, load.Start(t, p.gateway, 1, service), "%s: serve", p)
	// Without a socket the gateway of a plain bridge would answer denied datagrams with ICMP.
	_, err := p.gateway.ListenPacket(netip.AddrPortFrom(service.Addr(), closedPort))
	must(t, err, "%s: listen", p)
}

// packet starts a packet from the server to the gateway.
func (p *path) packet() frame.IPv4 {
	return frame.IPv4{Src: address(measured(p.size)), Dst: service.Addr(), ID: 1}
}

// shortest is the length of the shortest frame, without its check sequence.
const shortest = 60

// ethernet is a packet as the server sends it.
func (p *path) ethernet(packet frame.IPv4) []byte {
	f := frame.Ethernet(p.gateway.MAC("eth0"), p.server.MAC("eth0"), frame.TypeIPv4, packet.Bytes())
	return append(f, make([]byte, max(0, shortest-len(f)))...)
}

// permitted is a reset: the receiver answers nothing, so that only the way there is measured.
func (p *path) permitted() []byte {
	return p.ethernet(p.packet().TCP(frame.Segment{Src: 40404, Dst: service.Port(), Flags: frame.RST}))
}

func (p *path) denied() []byte { return p.ethernet(p.packet().UDP(40404, closedPort, nil)) }

func (p *path) refused() []byte {
	return p.ethernet(p.packet().TCP(frame.Segment{Src: 40404, Dst: closedPort, Flags: frame.SYN}))
}

// received counts what came in at the gateway.
func (p *path) received() uint64 { return p.gateway.Link("eth0").Attrs().Statistics.RxPackets }

// newHost is a host on which new links make themselves no IPv6 addresses: a thousand of them would announce themselves.
func newHost(t *testnet.Program) *testnet.World {
	w := testnet.NewWorld(t)
	w.Host.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	return w
}

// parking is where the container ends of servers are that only fill a network: in the field none stays in the host.
func parking(t *testnet.Program, host *testnet.NS) (park func(link string)) {
	lot := testnet.New(t, "parking")
	return func(link string) { host.Give(link, lot, link) }
}

// seat gives the container end of a wire to a namespace of its own.
func seat(t *testnet.Program, host *testnet.NS, link, label string, at netip.Addr) *testnet.NS {
	c := testnet.New(t, label)
	c.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	host.Give(link, c, "eth0")
	c.AddAddr("eth0", prefixed(at))
	c.Up("eth0")
	return c
}
