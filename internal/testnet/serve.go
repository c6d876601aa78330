package testnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects from the namespace.
func (n *NS) Dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, to.String())
		return err
	})
	return conn, err
}

// Listen opens a TCP listener in the namespace; it closes with the test.
func (n *NS) Listen(at netip.AddrPort) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen(family("tcp", at), at.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	n.t.Cleanup(func() { l.Close() })
	return l, nil
}

// ListenPacket opens a UDP socket in the namespace; it closes with the test.
func (n *NS) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	var c net.PacketConn
	err := n.Do(func() (err error) {
		c, err = net.ListenPacket(family("udp", at), at.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	n.t.Cleanup(func() { c.Close() })
	return c, nil
}

// family keeps Go from opening a socket for both families at once.
func family(network string, at netip.AddrPort) string {
	if at.Addr().Is4() {
		return network + "4"
	}
	return network + "6"
}

// ServeHello answers HTTP requests with the label of the namespace.
func (n *NS) ServeHello(at netip.AddrPort) {
	n.t.Helper()
	l, err := n.Listen(at)
	must(n.t, err, "listen on %s", at)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from %s\n", n.label)
	})
	server := &http.Server{Handler: hello, ReadHeaderTimeout: 5 * time.Second}
	n.t.Cleanup(func() { server.Close() })
	go server.Serve(l)
}

// RecordTCP accepts connections, answers each with a line and records the
// tokens that come in.
func (n *NS) RecordTCP(r *Recorder, place string, at netip.AddrPort) error {
	l, err := n.Listen(at)
	if err != nil {
		return err
	}
	seen := Sighting{Place: place, Detail: "tcp " + at.String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answer(conn, func(data []byte) { r.Note(seen, data) })
		}
	}()
	return nil
}

// answer greets and reads a connection until the other side is done with it.
func answer(conn net.Conn, note func([]byte)) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "hello\n")
	buf := make([]byte, 4096)
	for {
		size, err := conn.Read(buf)
		note(buf[:size])
		if err != nil {
			return
		}
	}
}

// RecordUDP records the tokens of datagrams and sends each one back.
func (n *NS) RecordUDP(r *Recorder, place string, at netip.AddrPort) error {
	c, err := n.ListenPacket(at)
	if err != nil {
		return err
	}
	seen := Sighting{Place: place, Detail: "udp " + at.String()}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			r.Note(seen, buf[:size])
			_, _ = c.WriteTo(buf[:size], from)
		}
	}()
	return nil
}

// RecordRaw records the tokens of IP packets of one protocol that are
// delivered to an address of the namespace; an unspecified one means all.
func (n *NS) RecordRaw(r *Recorder, place string, at netip.Addr, proto int) {
	n.t.Helper()
	fam := unix.AF_INET
	if at.Is6() {
		fam = unix.AF_INET6
	}
	file, err := n.openSocket(fam, proto, rawAddr(at))
	must(n.t, err, "raw socket for protocol %d in %s", proto, n.label)
	seen := Sighting{Place: place, Detail: fmt.Sprintf("ip %s protocol %d", at, proto)}
	n.readAll(file, func(_ unix.Sockaddr, data []byte) { r.Note(seen, data) })
}

// rawAddr is what a raw socket binds to, nil for every address.
func rawAddr(at netip.Addr) unix.Sockaddr {
	switch {
	case at.IsUnspecified():
		return nil
	case at.Is4():
		return &unix.SockaddrInet4{Addr: at.As4()}
	}
	return &unix.SockaddrInet6{Addr: at.As16()}
}
