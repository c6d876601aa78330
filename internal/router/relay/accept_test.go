package relay_test

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// short is a listener for whose first connections the kernel has no descriptor.
type short struct {
	net.Listener
	left atomic.Int32
}

func (s *short) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

// TestAcceptAgain: a relay that could not accept a connection goes on.
func TestAcceptAgain(t *testing.T) {
	w := newWorld(t, func(c *relay.Config) {
		s := &short{Listener: c.Listener}
		s.left.Store(3)
		c.Listener = s
	})
	ends := w.far()
	w.open()
	<-ends
}

// TestListenerLost: a relay without its listener says so.
func TestListenerLost(t *testing.T) {
	l, err := testnet.New(t, "lost").Listen(netip.MustParseAddrPort("127.0.0.1:15001"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := relay.New(relay.Config{Listener: l}).Serve(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}

// TestNothingKept: of connections that ended, the relay keeps nothing.
func TestNothingKept(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	client := w.open()
	(<-ends).Close()
	client.Close()
	w.events.wait(t, relay.Closed, "", relay.Reset)
	w.expectDenied("another host", at(apiAddr, 80), request(dock))
	w.events.wait(t, relay.Denied, relay.HostMismatch)
	kept := 1
	for end := time.Now().Add(20 * time.Second); kept > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		kept = 0
		w.relay.Revoke(func(netip.Addr, relay.Target) bool { kept++; return true })
	}
	if kept > 0 {
		t.Errorf("%d connections are kept", kept)
	}
}
