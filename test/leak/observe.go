package leak

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// tapped are the protocols of frames that a packet socket of the host waits
// for. Unlike a sniffer, such a socket sees only what nftables' ingress chains
// let in, so that it shows what of the attacker's wire the host accepts.
var tapped = []uint16{
	typeIPv4, typeIPv6, typeARP, typeVLAN, typeQinQ,
	0x88cc, 0x888e, 0x8863, 0x8864, 0x8847, 0x8137, 0x8035, 0x88b5, 0x88b6, 0x8809, 0x88f7,
	unix.ETH_P_802_2,
}

// observe puts observers everywhere.
func (r *run) observe() {
	wire := r.seat.hostWire()
	host := r.seat.World.Host
	host.Sniff(r.recorder, testnet.Sniff{
		Place: string(AtHost), Skip: func(index int) bool { return index == wire },
	})
	for _, kind := range tapped {
		host.Sniff(r.recorder, testnet.Sniff{Place: string(AtHostTap), Protocol: kind})
	}
	r.observeStack(host)
	for who, place := range map[Who]Place{
		Gateway: AtGateway, Neighbour: AtNeighbour, Victim: AtVictim, Internet: AtInternet, Attacker: AtAttacker,
	} {
		ns, _ := r.seat.namespace(who)
		ns.Sniff(r.recorder, testnet.Sniff{Place: string(place)})
		r.serve(ns, place)
	}
}

// observeStack waits in the host's IP stack, in both families.
func (r *run) observeStack(host *testnet.NS) {
	for _, proto := range protocols {
		host.RecordRaw(r.recorder, string(AtHostSocket), netip.IPv4Unspecified(), int(proto.number))
		number := int(proto.number)
		if proto.name == "icmp" {
			number = unix.IPPROTO_ICMPV6
		}
		host.RecordRaw(r.recorder, string(AtHostSocket), netip.IPv6Unspecified(), number)
	}
	r.serve(host, AtHostSocket)
}

// services are the ports where everybody listens, beside the permitted one.
var services = []uint16{22, 53, 80, 443, 853, serverPort}

// serve listens for connections and datagrams in both families.
func (r *run) serve(ns *testnet.NS, place Place) {
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		for _, port := range append([]uint16{r.seat.Port}, services...) {
			at := netip.AddrPortFrom(any, port)
			// A real container may use the port itself, which is as good.
			if err := ns.RecordTCP(r.recorder, string(place), at); err != nil && !errors.Is(err, unix.EADDRINUSE) {
				r.t.Fatalf("observe %s: %v", place, err)
			}
			if err := ns.RecordUDP(r.recorder, string(place), at); err != nil && !errors.Is(err, unix.EADDRINUSE) {
				r.t.Fatalf("observe %s: %v", place, err)
			}
		}
	}
}
