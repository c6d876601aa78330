package relay_test

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// TestSlowHello: a hello is bounded in all, and from byte to byte.
func TestSlowHello(t *testing.T) {
	const long, short = time.Second, 400 * time.Millisecond
	w := newWorld(t, func(c *relay.Config) {
		c.Limits.Hello, c.Limits.Silence = long, short
	})
	for what, text := range map[string]string{
		"silent": "", "silent after a byte": "G", "silent in a header": "GET / HTTP/1.1\r\nHost: ",
	} {
		start := time.Now()
		conn := w.connect(serverAddr, at(apiAddr, 80))
		w.say(conn, text)
		expectReset(t, what, conn)
		if took := time.Since(start); took < short || took > short+atOnce {
			t.Errorf("%s: %s", what, took)
		}
		w.events.wait(t, relay.Denied, relay.SlowHello)
	}
	start := time.Now()
	conn := w.connect(serverAddr, at(apiAddr, 80))
	go func() {
		for _, err := conn.Write([]byte("GET /")); err == nil; _, err = conn.Write([]byte("x")) {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	expectReset(t, "a byte now and then", conn)
	if took := time.Since(start); took < long || took > long+atOnce {
		t.Errorf("a byte now and then: %s", took)
	}
	w.events.wait(t, relay.Denied, relay.SlowHello)
}

// TestFlood: a server that opens connections and says nothing has its share of them, and takes nothing from another
// one.
func TestFlood(t *testing.T) {
	w := newWorld(t, nil)
	w.serveWeb()
	usual := 128
	for i := range 3 * usual {
		if _, err := w.dialFrom(otherAddr, at(apiAddr, 443)); err != nil && i < usual {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for range 2 * usual {
		if e := w.events.wait(t, relay.Denied, relay.LimitHellos); e.Server != otherAddr {
			t.Fatalf("%+v", e)
		}
	}
	client := w.client(func(*http.Transport) {})
	if got, err := get(client, "http://"+api+"/"); err != nil || got != "HTTP/1.1 for "+api {
		t.Errorf("beside a flood: %q, %v", got, err)
	}
}

// TestLimits: each limit denies, names itself, and gives back what is returned.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		limits relay.Limits
		second netip.Addr // who opens the connection that is too many
		opened bool       // whether the first one is let through
		want   relay.Reason
	}{
		{relay.Limits{HellosPerServer: 1}, serverAddr, false, relay.LimitHellos},
		{relay.Limits{Hellos: 1}, otherAddr, false, relay.LimitHellosAll},
		{relay.Limits{ConnectionsPerServer: 1}, serverAddr, true, relay.LimitConnections},
		{relay.Limits{Connections: 1}, otherAddr, true, relay.LimitConnectionsAll},
	} {
		t.Run(string(c.want), func(t *testing.T) { checkLimit(t, c.limits, c.second, c.opened, c.want) })
	}
}

func checkLimit(t *testing.T, limits relay.Limits, second netip.Addr, opened bool, want relay.Reason) {
	w := newWorld(t, func(c *relay.Config) { c.Limits = limits })
	w.listen(80, func(conn *net.TCPConn) { hold(t, conn) })
	first := w.connect(serverAddr, at(apiAddr, 80))
	if opened {
		w.say(first, request(api))
		w.events.wait(t, relay.Opened, "")
	}
	if conn, err := w.dialFrom(second, at(apiAddr, 80)); err == nil {
		expectReset(t, "one too many", conn)
	}
	if e := w.events.wait(t, relay.Denied, want); e.Server != second {
		t.Errorf("%+v", e)
	}
	_ = first.SetLinger(0)
	first.Close()
	ends := map[bool]relay.EventKind{true: relay.Closed, false: relay.Denied}
	w.events.wait(t, ends[opened], relay.Reset, relay.ClientClosed)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // the seat is free after the event
		conn, err := w.dialFrom(second, at(apiAddr, 80))
		if err == nil {
			_, err = conn.Write([]byte(request(api)))
		}
		if _, ok := w.events.take(relay.Opened, []relay.Reason{""}); ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the seat is not given back: %v", err)
		}
	}
}

// hold keeps a connection open to the end of the test.
func hold(t testing.TB, conn *net.TCPConn) { t.Cleanup(func() { conn.Close() }) }
