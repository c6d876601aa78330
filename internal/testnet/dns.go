package testnet

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSAnswer is what a DNS server of testnet says to every question.
var DNSAnswer = netip.MustParseAddr("192.0.2.80")

// DNS is a name server that writes down what it is asked.
type DNS struct {
	recorder *Recorder
	place    string

	mu    sync.Mutex
	names []string
}

// ServeDNS answers on UDP and TCP. The recorder gets the tokens in queries; it
// may be nil.
func (n *NS) ServeDNS(r *Recorder, place string, at netip.AddrPort) *DNS {
	n.t.Helper()
	if r == nil {
		r = NewRecorder()
	}
	d := &DNS{recorder: r, place: place}
	l, err := n.Listen(at)
	must(n.t, err, "dns on tcp %s", at)
	c, err := n.ListenPacket(at)
	must(n.t, err, "dns on udp %s", at)
	go d.serveTCP(l)
	go d.serveUDP(c)
	return d
}

// Names lists the questions so far, fully qualified.
func (d *DNS) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.names)
}

func (d *DNS) serveUDP(c net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		size, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := d.reply("udp", buf[:size]); reply != nil {
			_, _ = c.WriteTo(reply, from)
		}
	}
}

func (d *DNS) serveTCP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go d.converse(conn)
	}
}

// converse answers the queries of one TCP connection, each after its length.
func (d *DNS) converse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		query := make([]byte, size)
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := d.reply("tcp", query)
		if reply == nil {
			return
		}
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	}
}

func (d *DNS) reply(network string, query []byte) []byte {
	d.recorder.Note(Sighting{Place: d.place, Detail: "dns " + network}, query)
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) == 0 {
		return nil
	}
	q := m.Questions[0]
	d.mu.Lock()
	d.names = append(d.names, q.Name.String())
	d.mu.Unlock()
	m.Response, m.RecursionAvailable = true, true
	m.Additionals = nil
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: DNSAnswer.As4()},
		}}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}
