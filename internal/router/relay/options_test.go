package relay_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// TestKeepAlive: on both sides the relay finds out that the other one is gone.
func TestKeepAlive(t *testing.T) {
	sides := make(chan *net.TCPConn, 2)
	var w *world
	w = newWorld(t, func(c *relay.Config) {
		c.Original = func(conn *net.TCPConn) (netip.AddrPort, error) {
			sides <- conn
			return relay.Redirected(conn)
		}
		c.Dial = func(ctx context.Context, _ netip.Addr, to relay.Target) (conn *net.TCPConn, err error) {
			err = w.router.Do(func() error {
				c, err := relay.Dialer().DialContext(ctx, "tcp4", to.Addr.String())
				if err == nil {
					conn = c.(*net.TCPConn)
					sides <- conn
				}
				return err
			})
			return conn, err
		}
	})
	ends := w.far()
	w.open()
	<-ends
	for range 2 {
		conn := <-sides
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			on, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			after, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			if on != 1 || after != 60 || err != nil {
				t.Errorf("%s to %s: keep-alive %d after %d s, %v", conn.LocalAddr(), conn.RemoteAddr(), on, after, err)
			}
		})
	}
}
