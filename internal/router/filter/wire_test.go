package filter_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// datagram is what a packet socket carries.
type datagram struct {
	peer net.Addr
	data []byte
}

// packets is a packet socket in memory, so that tests have a clock of their own.
type packets struct {
	in     chan datagram
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	waiting map[string]chan []byte
	port    int
}

func newPackets() *packets {
	return &packets{in: make(chan datagram), closed: make(chan struct{}), waiting: map[string]chan []byte{}}
}

func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(b, d.data), d.peer, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *packets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.waiting[to.String()]; c != nil {
		c <- append([]byte(nil), b...)
		delete(p.waiting, to.String())
	}
	return len(b), nil
}

func (p *packets) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *packets) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (p *packets) SetDeadline(time.Time) error      { return nil }
func (p *packets) SetReadDeadline(time.Time) error  { return nil }
func (p *packets) SetWriteDeadline(time.Time) error { return nil }

// send sends a message from a client, and gives what comes back, which may never come.
func (p *packets) send(client netip.Addr, msg []byte) <-chan []byte {
	p.mu.Lock()
	p.port++
	from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(client, uint16(p.port%60000+1)))
	back := make(chan []byte, 1)
	p.waiting[from.String()] = back
	p.mu.Unlock()
	p.in <- datagram{from, msg}
	return back
}

// ask asks for a name, and waits.
func (p *packets) ask(t testing.TB, client netip.Addr, name string, typ dnsmessage.Type) dnsmessage.Message {
	t.Helper()
	return p.wait(t, p.send(client, question(t, name, typ)))
}

func (p *packets) wait(t testing.TB, back <-chan []byte) dnsmessage.Message {
	t.Helper()
	select {
	case msg := <-back:
		return unpack(t, msg)
	case <-time.After(time.Minute):
		t.Error("no answer within a minute")
		return dnsmessage.Message{}
	}
}

// question asks as a stub resolver does that knows EDNS.
func question(t testing.TB, name string, typ dnsmessage.Type) []byte {
	t.Helper()
	opt := dnsmessage.Resource{Body: &dnsmessage.OPTResource{}}
	_ = opt.Header.SetEDNS0(1232, 0, false)
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 77, RecursionDesired: true}, Additionals: []dnsmessage.Resource{opt},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name + "."), Type: typ, Class: dnsmessage.ClassINET}}}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func unpack(t testing.TB, msg []byte) (m dnsmessage.Message) {
	t.Helper()
	if err := m.Unpack(msg); err != nil {
		t.Errorf("% x: %v", msg, err)
	}
	return m
}

// told are the addresses in an answer.
func told(m dnsmessage.Message) (addrs []netip.Addr) {
	for _, r := range m.Answers {
		addrs = append(addrs, netip.AddrFrom4(r.Body.(*dnsmessage.AResource).A))
	}
	return addrs
}

// extended is the extended error of an answer.
func extended(m dnsmessage.Message) (code int, text string) {
	for _, r := range m.Additionals {
		for _, o := range r.Body.(*dnsmessage.OPTResource).Options {
			return int(binary.BigEndian.Uint16(o.Data)), string(o.Data[2:])
		}
	}
	return -1, ""
}

// streams is a listener in memory.
type streams struct {
	in     chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newStreams() *streams { return &streams{in: make(chan net.Conn), closed: make(chan struct{})} }

func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.in:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *streams) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *streams) Addr() net.Addr { return &net.TCPAddr{} }

// peer is an end of a pipe with an address at the other one.
type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }

// dial connects a client.
func (s *streams) dial(client netip.Addr) net.Conn {
	near, far := net.Pipe()
	s.in <- peer{far, net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 1))}
	return near
}

// put writes a message with its length.
func put(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	return err
}

// get reads a message with its length.
func get(r io.Reader) ([]byte, error) {
	var size uint16
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	msg := make([]byte, size)
	_, err := io.ReadFull(r, msg)
	return msg, err
}

// resolverFunc is a resolver: what it says to a query, in so many messages. None means that it is silent.
type resolverFunc func(network string, query dnsmessage.Message) [][]byte

// upstream opens pipes to a resolver.
type upstream struct {
	mu      sync.Mutex
	answer  resolverFunc
	queries []string // "udp api.example.com."
	refuse  error    // what Open says
}

func (u *upstream) Open(_ context.Context, network string) (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refuse != nil {
		return nil, u.refuse
	}
	near, far := net.Pipe()
	go u.serve(network, far)
	return near, nil
}

func (u *upstream) serve(network string, conn net.Conn) {
	query, err := receive(network, conn)
	var m dnsmessage.Message
	if err != nil || m.Unpack(query) != nil {
		conn.Close()
		return
	}
	u.mu.Lock()
	if len(u.queries) < 1000 {
		u.queries = append(u.queries, network+" "+m.Questions[0].Name.String())
	}
	answers := u.answer(network, m)
	u.mu.Unlock()
	for _, msg := range answers {
		if network == "tcp" {
			_ = put(conn, msg)
			continue
		}
		_, _ = conn.Write(msg)
	}
	_, _ = conn.Read(make([]byte, 1)) // The other side closes.
	conn.Close()
}

func receive(network string, conn net.Conn) ([]byte, error) {
	if network == "tcp" {
		return get(conn)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// set changes what the resolver says.
func (u *upstream) set(f resolverFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = f
}

// asked counts the queries so far.
func (u *upstream) asked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.queries)
}
