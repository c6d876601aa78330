package filter

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// pause is how long is waited after a socket's error that may pass.
const pause = 20 * time.Millisecond

// serveUDP answers datagrams until the socket is closed.
func (s *server) serveUDP(ctx context.Context, conn net.PacketConn) error {
	var deciding sync.WaitGroup
	defer deciding.Wait()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			time.Sleep(pause)
			continue
		}
		a := s.receive(addrOf(from), buf[:n])
		if !a.open {
			send(conn, from, a.answer)
			continue
		}
		deciding.Go(func() { send(conn, from, dnsmsg.ForUDP(a.query, s.finish(ctx, a))) })
	}
}

// send writes an answer. Who does not get one asks again.
func send(conn net.PacketConn, to net.Addr, answer []byte) {
	if answer != nil {
		_, _ = conn.WriteTo(answer, to)
	}
}

// addrOf is the address of a client, whichever kind of socket it came through.
func addrOf(a net.Addr) netip.Addr {
	if p, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return p.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
