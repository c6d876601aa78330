package filter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

const (
	// pause is how long is waited after a socket's error that may pass.
	pause = 20 * time.Millisecond
	// maxErrors is how many errors in a row do not pass.
	maxErrors = 50
)

// serveUDP answers datagrams until the socket is closed, or gives nothing but errors.
func (s *server) serveUDP(ctx context.Context, conn net.PacketConn) error {
	var deciding sync.WaitGroup
	defer deciding.Wait()
	buf := make([]byte, maxDatagram)
	for failures := 0; ; {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if failures++; failures > maxErrors || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("read questions: %w", err)
			}
			time.Sleep(pause)
			continue
		}
		failures = 0
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
