package relay_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/hello"
	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// atOnce is how long a denial may take on a machine that is busy.
const atOnce = 4 * time.Second

// expectReset waits for the reset of a connection.
func expectReset(t testing.TB, what string, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if data, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: read %q, %v, not a reset", what, data, err)
	}
}

// expectDenied connects, says a text, ends, and waits for the reset, which may come at any moment of it.
func (w *world) expectDenied(what string, to netip.AddrPort, text string) {
	w.t.Helper()
	conn, err := w.dialFrom(serverAddr, to)
	if err == nil {
		_, err = io.WriteString(conn, text)
	}
	if err == nil {
		err = conn.CloseWrite()
	}
	switch {
	case err == nil:
		expectReset(w.t, what, conn)
	case !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.EPIPE):
		w.t.Errorf("%s: %v", what, err)
	}
}

// TestDenied: what may not get through is reset at once, says why, and reaches nobody.
func TestDenied(t *testing.T) {
	w := newWorld(t, nil)
	for _, port := range []uint16{80, 443, 8443} {
		w.listen(port, func(conn *net.TCPConn) {
			t.Errorf("%s was reached", conn.LocalAddr())
			conn.Close()
		})
	}
	for what, c := range map[string]struct {
		to   netip.AddrPort
		text string
		want relay.Reason
	}{
		"an address of nobody": {at(nobodys, 443), "", relay.NoOwner},
		"a port of no kind":    {at(apiAddr, 8443), "", relay.NoOwner},
		"HTTP on 443":          {at(apiAddr, 443), request(api), hello.NoHello},
		"TLS on 80":            {at(apiAddr, 80), "\x16\x03\x01\x02\x00", hello.NoRequest},
		"another host":         {at(apiAddr, 80), request(dock), relay.HostMismatch},
		"a host below it":      {at(apiAddr, 80), request("x." + api), relay.HostMismatch},
		"its literal address":  {at(apiAddr, 80), request(cloudAddr.String()), relay.HostMismatch},
		"no host":              {at(apiAddr, 80), "GET / HTTP/1.0\r\n\r\n", hello.HostMissing},
		"CONNECT":              {at(apiAddr, 80), "CONNECT x:80 HTTP/1.1\r\nHost: " + api + "\r\n\r\n", hello.ProxyRequest},
		"two hosts":            {at(apiAddr, 80), request(api + "\r\nHost: " + dock), hello.BadRequest},
		"half a request":       {at(apiAddr, 80), "GET / HT", relay.ClientClosed},
	} {
		start := time.Now()
		w.expectDenied(what, c.to, c.text)
		if took := time.Since(start); took > atOnce {
			t.Errorf("%s took %s", what, took)
		}
		if e := w.events.wait(t, relay.Denied, c.want); e.Server != serverAddr || e.Original != c.to {
			t.Errorf("%s: %+v", what, e)
		}
	}
}

// TestUnreachable: nobody listens at the name's own address.
func TestUnreachable(t *testing.T) {
	w := newWorld(t, nil)
	conn := w.open()
	expectReset(t, "nobody listens", conn)
	if e := w.events.wait(t, relay.Denied, relay.Unreachable); !errors.Is(e.Err, syscall.ECONNREFUSED) {
		t.Errorf("%+v", e)
	}
}

// TestUnanswered: the name's own address does not answer at all.
func TestUnanswered(t *testing.T) {
	w := newWorld(t, func(c *relay.Config) { c.Limits.Dial = 100 * time.Millisecond })
	w.cloud.RunInput("table ip x { chain y { type filter hook input priority 0; tcp dport 80 drop; }; }", "nft", "-f", "-")
	expectReset(t, "no answer", w.open())
	w.events.wait(t, relay.Denied, relay.Unreachable)
}

// TestOriginalUnknown: what connects to the relay itself is nobody's, and a kernel that does not know denies.
func TestOriginalUnknown(t *testing.T) {
	w := newWorld(t, func(c *relay.Config) {
		c.Original = func(conn *net.TCPConn) (netip.AddrPort, error) {
			if to, err := relay.Redirected(conn); err != nil || to.Port() != 443 {
				return to, err
			}
			return netip.AddrPort{}, syscall.ENOENT
		}
	})
	w.expectDenied("the listener", at(routerAddr, 15001), "")
	w.events.wait(t, relay.Denied, relay.NoOwner, relay.NoOriginal)
	w.expectDenied("unknown", at(apiAddr, 443), "")
	if e := w.events.wait(t, relay.Denied, relay.NoOriginal); !errors.Is(e.Err, syscall.ENOENT) {
		t.Errorf("%+v", e)
	}
}
