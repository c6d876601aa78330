package filter_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

// TestPipelined: questions of one connection are answered as answers come, a denied one before one that waits.
func TestPipelined(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.kernel.set(time.Second, nil)
		conn := w.tcp.dial(alice)
		defer conn.Close()
		for _, name := range []string{api, "evil.example.com", "a.slack.com"} {
			if err := put(conn, question(t, name, dnsmessage.TypeA)); err != nil {
				t.Fatal(err)
			}
		}
		var order []string
		for range 3 {
			msg, err := get(conn)
			if err != nil {
				t.Fatal(err)
			}
			m := unpack(t, msg)
			order = append(order, fmt.Sprint(m.RCode, len(m.Answers)))
		}
		if got := fmt.Sprint(order); got != "[RCodeNameError 0 RCodeSuccess 1 RCodeSuccess 1]" {
			t.Error(got)
		}
	})
}

// TestPipeliningIsBounded: a client that sends and does not read is not read from any more, and loses its connection.
func TestPipeliningIsBounded(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.Rate, c.Limits.Burst = 1e6, 1e6 }, func(t *testing.T, w *world) {
		conn := w.tcp.dial(alice)
		defer conn.Close()
		sent := 0
		for ; sent < 1000; sent++ {
			if put(conn, question(t, "evil.example.com", dnsmessage.TypeA)) != nil {
				break
			}
		}
		if sent > 20 {
			t.Errorf("%d questions were read before any answer was", sent)
		}
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("%+v", m)
		}
	})
}

// ended reports how long it takes until the other side closes a connection.
func ended(conn net.Conn) time.Duration {
	start := time.Now()
	_, _ = io.Copy(io.Discard, conn)
	return time.Since(start)
}

func TestConnectionsEnd(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		for name, test := range map[string]struct {
			send []byte
			in   time.Duration
		}{
			"silent":    {nil, 10 * time.Second},
			"a byte":    {[]byte{0}, 5 * time.Second},
			"half":      {[]byte{0, 40, 1, 2, 3}, 5 * time.Second},
			"too long":  {[]byte{0xff, 0xff}, 0},
			"no header": {[]byte{0, 0}, 10 * time.Second},
		} {
			conn := w.tcp.dial(alice)
			if _, err := conn.Write(test.send); err != nil {
				t.Fatal(err)
			}
			if took := ended(conn); took != test.in {
				t.Errorf("%s: closed after %s", name, took)
			}
		}
	})
}

// TestConnectionsAreBounded: of one client and in all. What is over is closed at once, and what ended is free again.
func TestConnectionsAreBounded(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.ConnectionsAll = 10 }, func(t *testing.T, w *world) {
		for range 8 {
			w.tcp.dial(alice)
		}
		if took := ended(w.tcp.dial(alice)); took != 0 {
			t.Errorf("a ninth connection of a client ended after %s", took)
		}
		for range 2 {
			w.tcp.dial(bob)
		}
		if took := ended(w.tcp.dial(bob)); took != 0 {
			t.Errorf("an eleventh connection ended after %s", took)
		}
		if w.count(filter.Dropped, filter.TooManyConns) != 2 {
			t.Errorf("%+v", w.events)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		conn := w.tcp.dial(alice)
		defer conn.Close()
		if err := put(conn, question(t, api, dnsmessage.TypeA)); err != nil {
			t.Fatal(err)
		}
		if msg, err := get(conn); err != nil || len(told(unpack(t, msg))) != 1 {
			t.Errorf("when the others ended: %v", err)
		}
	})
}
