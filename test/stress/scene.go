package stress

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// Scene is what an attacker on a network of the world knows. The parties need hardware and IPv4 addresses.
func Scene(subnet netip.Prefix, port uint16, me, host, gateway, neighbour leak.Party) leak.Scene {
	behind := func(v4, v6 netip.Addr) leak.Party { return leak.Party{MAC: host.MAC, IP: v4, IP6: v6} }
	for _, p := range []*leak.Party{&me, &host, &gateway, &neighbour} {
		p.IP6 = mapped(p.IP)
	}
	return leak.Scene{
		Me: me, Host: host, Gateway: gateway, Neighbour: neighbour,
		Uplink:       behind(testnet.HostAddr, testnet.HostAddr6),
		VictimBridge: behind(testnet.VictimBridge, testnet.VictimBridge6),
		Victim:       behind(testnet.VictimAddr, testnet.VictimAddr6),
		Net:          behind(testnet.InternetHost, testnet.InternetHost6),
		Resolver:     behind(testnet.Resolver, testnet.Resolver6),
		Metadata:     behind(testnet.Metadata, testnet.Metadata6),
		Subnet:       subnet, Port: port, ReplyPort: 40404,
	}
}

// mapped is an IPv6 address that goes with an IPv4 address.
func mapped(a netip.Addr) netip.Addr {
	b, v4 := netip.MustParseAddr("fd00:20::").As16(), a.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}

// permitted is a segment that opens a connection to the gateway, with the token of the probes as data.
func (s *Traffic) permitted(scene leak.Scene) []byte {
	segment := binary.BigEndian.AppendUint16(nil, 33333)
	segment = binary.BigEndian.AppendUint16(segment, scene.Port)
	segment = append(segment, 0, 0, 0x10, 0, 0, 0, 0, 0, 5<<4, 0x02, 0xff, 0xf0, 0, 0, 0, 0)
	segment = append(segment, s.probe...)
	pseudo := append(append(scene.Me.IP.AsSlice(), scene.Gateway.IP.AsSlice()...), 0, 6, 0, byte(len(segment)))
	binary.BigEndian.PutUint16(segment[16:], checksum(pseudo, segment))

	header := []byte{0x45, 0, 0, byte(20 + len(segment)), 0, 1, 0, 0, 64, 6, 0, 0}
	header = append(append(header, scene.Me.IP.AsSlice()...), scene.Gateway.IP.AsSlice()...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(append(ethernet(scene.Gateway.MAC, scene.Me.MAC), header...), segment...)
}

func ethernet(to, from net.HardwareAddr) []byte {
	return append(append(append([]byte{}, to...), from...), 0x08, 0x00)
}

// checksum is the internet checksum of parts, each of even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for ; len(p) > 1; p = p[2:] {
			sum += uint32(binary.BigEndian.Uint16(p))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
