package nft_test

import (
	"encoding/binary"

	"github.com/mcpnet/mcpnet/internal/frame"
)

// mutation changes one thing of a frame and names it. Some are for one kind of frame only: elsewhere they would hit the
// number by which a frame is known.
type mutation struct {
	what   string
	only   string
	change func(g generator, f []byte) []byte
}

// put writes bytes at an offset, as far as the frame goes.
func put(f []byte, offset int, b ...byte) []byte {
	if offset < len(f) {
		copy(f[offset:], b)
	}
	return f
}

func put16(f []byte, offset int, v uint16) []byte {
	return put(f, offset, binary.BigEndian.AppendUint16(nil, v)...)
}

// Offsets of headers in a frame without a tag.
const (
	network   = 14
	transport = network + 20
)

var mutations = []mutation{
	{"destination MAC", "", func(g generator, f []byte) []byte { return put(f, 0, g.mac()...) }},
	{"source MAC", "", func(g generator, f []byte) []byte { return put(f, 6, g.mac()...) }},
	{"EtherType", "", func(g generator, f []byte) []byte { return put16(f, 12, pick(g, etherTypes...)) }},
	{"tag", "", func(g generator, f []byte) []byte {
		return frame.Tagged(f, pick[uint16](g, frame.TypeVLAN, frame.TypeQinQ), pick[uint16](g, 0, 1, 100, 0x2000))
	}},
	{"version and length", "", func(g generator, f []byte) []byte {
		return put(f, network, pick(g, 0x46, 0x44, 0x40, 0x55, 0x65, 0x4f, 0x05, byte(g.IntN(256))))
	}},
	{"total length", "", func(g generator, f []byte) []byte {
		size := len(f) - network
		return put16(f, network+2, uint16(pick(g, 0, 19, 20, 21, 24, size-1, size+1, size+100, 0xffff)))
	}},
	{"fragment", "", func(g generator, f []byte) []byte {
		return put16(f, network+6, pick(g, 0x4000, 0x2000, 0x0001, 0x8000, 0x1fff, 0x3fff, uint16(g.IntN(1<<16))))
	}},
	{"protocol", "", func(g generator, f []byte) []byte {
		return put(f, network+9, pick[byte](g, 0, 1, 2, 6, 17, 47, 50, 58, 132, 255))
	}},
	{"checksum", "", func(g generator, f []byte) []byte { return put16(f, network+10, uint16(g.IntN(1<<16))) }},
	{"source address", "", func(g generator, f []byte) []byte { return put(f, network+12, g.addr().AsSlice()...) }},
	{"destination address", "", func(g generator, f []byte) []byte {
		return put(f, network+16,
			g.addr().AsSlice()...)
	}},
	{"source port", "", func(g generator, f []byte) []byte { return put16(f, transport, g.port()) }},
	{"destination port", "", func(g generator, f []byte) []byte { return put16(f, transport+2, g.port()) }},
	{"TCP offset", "tcp", func(g generator, f []byte) []byte { return put(f, transport+12, byte(g.IntN(16))<<4) }},
	{"TCP flags", "tcp", func(g generator, f []byte) []byte { return put(f, transport+13, byte(g.IntN(256))) }},
	{"IP options", "", withOptions},
	{"cut", "", cut},
	{"cut, lengths right", "", func(g generator, f []byte) []byte {
		f = cut(g, f)
		return put16(f, network+2, uint16(len(f)-network))
	}},
	{"ARP form", "arp", func(g generator, f []byte) []byte { return put(f, network+g.IntN(6), byte(g.IntN(9))) }},
	{"ARP operation", "arp", func(g generator, f []byte) []byte {
		return put16(f, network+6, pick[uint16](g, 0, 1, 2, 3, 8, 9, 0x0100))
	}},
	{"ARP sender MAC", "arp", func(g generator, f []byte) []byte { return put(f, network+8, g.mac()...) }},
	{"ARP sender", "arp", func(g generator, f []byte) []byte { return put(f, network+14, g.addr().AsSlice()...) }},
	{"ARP target MAC", "arp", func(g generator, f []byte) []byte { return put(f, network+18, g.mac()...) }},
	{"ARP target", "arp", func(g generator, f []byte) []byte { return put(f, network+24, g.addr().AsSlice()...) }},
	{"a bit", "", func(g generator, f []byte) []byte {
		i := g.IntN(min(len(f), transport+4))
		if i < 12 || i >= network { // the EtherTypes are those that are watched
			f[i] ^= 1 << g.IntN(8)
		}
		return f
	}},
}

func (g generator) mutate(s *shot) string {
	m := pick(g, mutations...)
	for m.only != "" && m.only != s.kind {
		m = pick(g, mutations...)
	}
	s.frame = m.change(g, append([]byte(nil), s.frame...))
	return m.what
}

// cut shortens a frame. One whose answer would carry its number back loses the part that is answered too.
func cut(g generator, f []byte) []byte {
	if size := network + 4 + g.IntN(40); size < len(f) {
		f = f[:size]
	}
	if whole := network + 28; f[13] == frame.TypeARP&0xff && len(f) >= whole && len(f) < whole+len(token(0)) {
		f = f[:whole-1]
	}
	return f
}

// withOptions puts words between an IP header and what follows it, with all lengths right.
func withOptions(g generator, f []byte) []byte {
	if len(f) < transport {
		return f
	}
	words := 1 + g.IntN(10)
	out := append([]byte(nil), f[:transport]...)
	for range words {
		out = append(out, pick(g, []byte{1, 1, 1, 0}, []byte{0x83, 3, 4, 0}, []byte{0x94, 4, 0, 0})...)
	}
	out[network] = 0x40 | byte(5+words)
	out = append(out, f[transport:]...)
	return put16(out, network+2, uint16(len(out)-network))
}
