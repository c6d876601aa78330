package testnet

import (
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// ServeZone answers questions for addresses on UDP with what the function says of a name, which is in lower case without
// its last dot. Names of which it says nothing do not exist.
func (n *NS) ServeZone(at netip.AddrPort, addrs func(name string) []netip.Addr) {
	n.t.Helper()
	c, err := n.ListenPacket(at)
	must(n.t, err, "dns on udp %s", at)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			answerZone(c, from, buf[:size], addrs)
		}
	}()
}

func answerZone(c net.PacketConn, from net.Addr, query []byte, addrs func(string) []netip.Addr) {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return
	}
	q := m.Questions[0]
	found := addrs(strings.TrimSuffix(strings.ToLower(q.Name.String()), "."))
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	if len(found) == 0 {
		answer.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range found {
		if q.Type == dnsmessage.TypeA && a.Is4() {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type,
				Class: dnsmessage.ClassINET, TTL: 60}, Body: &dnsmessage.AResource{A: a.As4()}})
		}
	}
	if text, err := answer.Pack(); err == nil {
		_, _ = c.WriteTo(text, from)
	}
}
