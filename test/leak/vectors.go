package leak

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Vectors is every vector, in the order of the promises.
var Vectors = sync.OnceValue(func() []Vector {
	all := slices.Concat(
		protocolVectors(),
		egressVectors(), optionVectors(), fragmentVectors(), conntrackVectors(),
		hostVectors(), hostDialVectors(),
		peerVectors(), etherTypeVectors(), vlanVectors(), passiveVectors(), inboundVectors(),
		gatewayVectors(), replyVectors(), scanVectors(),
		spoofVectors(), arpVectors(), discoveryVectors(), controlVectors(),
		poisonVectors(), learnVectors(),
		nameVectors(), metadataVectors(),
	)
	slices.SortStableFunc(all, func(a, b Vector) int {
		return int(a.ID[1]) - int(b.ID[1])
	})
	return all
})

// pick chooses a party of a scene.
type pick func(*Scene) Party

func host(s *Scene) Party         { return s.Host }
func gateway(s *Scene) Party      { return s.Gateway }
func neighbour(s *Scene) Party    { return s.Neighbour }
func uplink(s *Scene) Party       { return s.Uplink }
func victimBridge(s *Scene) Party { return s.VictimBridge }
func victim(s *Scene) Party       { return s.Victim }
func internet(s *Scene) Party     { return s.Net }
func resolver(s *Scene) Party     { return s.Resolver }
func metadata(s *Scene) Party     { return s.Metadata }
func router(s *Scene) Party {
	return Party{MAC: s.Host.MAC, IP: testnet.InternetAddr, IP6: testnet.InternetAddr6}
}

// one sends one packet.
func one(build func(*Scene) packet) Frames {
	return frame(func(s *Scene) []byte { return build(s).frame() })
}

// frame sends one frame.
func frame(build func(*Scene) []byte) Frames {
	return Frames{Build: func(s *Scene) [][]byte { return [][]byte{build(s)} }}
}

// several sends packets in order.
func several(build func(*Scene) []packet) Frames {
	return Frames{Build: func(s *Scene) [][]byte {
		var out [][]byte
		for _, p := range build(s) {
			out = append(out, p.frame())
		}
		return out
	}}
}

// dial connects to a party's IPv4 address.
func dial(network string, to pick, port uint16) Dial {
	return Dial{Network: network, To: func(s *Scene) netip.AddrPort { return netip.AddrPortFrom(to(s).IP, port) }}
}

// dial6 connects to its IPv6 address.
func dial6(network string, to pick, port uint16) Dial {
	return Dial{Network: network, To: func(s *Scene) netip.AddrPort { return netip.AddrPortFrom(to(s).IP6, port) }}
}

// by has somebody else do it.
func (d Dial) by(who Who) Dial {
	d.From = who
	return d
}

func (f Frames) by(who Who) Frames {
	f.From = who
	return f
}
