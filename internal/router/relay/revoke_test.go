package relay_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// TestRevoke: connections that are not permitted any more are reset on both sides, at every stage, and no others.
func TestRevoke(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	open := w.open()
	far := <-ends
	waiting := w.connect(serverAddr, at(apiAddr, 443)) // its hello is awaited
	other := w.connect(serverAddr, at(dockAddr, 80))
	w.say(other, "GET / HTTP/1.1\r\nHost: "+dock+"\r\n\r\n")
	otherFar := <-ends
	w.waitForHellos()
	revoked := w.relay.Revoke(func(server netip.Addr, to relay.Target) bool {
		return server == serverAddr && to.Name != api
	})
	if revoked != 2 {
		t.Errorf("%d revoked", revoked)
	}
	expectReset(t, "open", open)
	expectReset(t, "open, far end", far)
	expectReset(t, "waiting", waiting)
	w.events.wait(t, relay.Closed, relay.Revoked)
	w.events.wait(t, relay.Denied, relay.Revoked)
	w.say(other, "still")
	buf := make([]byte, 64)
	_ = otherFar.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := otherFar.Read(buf); err != nil || n == 0 {
		t.Errorf("another name: %q, %v", buf[:n], err)
	}
}

// waitForHellos waits until the relay has asked who owns every connection so far.
func (w *world) waitForHellos() {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		seen := 0
		w.relay.Revoke(func(netip.Addr, relay.Target) bool { seen++; return true })
		if seen == 3 {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%d connections", seen)
		}
	}
}

// TestRevokeWhileDialing: a connection whose address does not answer yet is revoked too.
func TestRevokeWhileDialing(t *testing.T) {
	dialing := make(chan struct{})
	w := newWorld(t, func(c *relay.Config) {
		c.Dial = func(ctx context.Context, _ netip.Addr, _ relay.Target) (*net.TCPConn, error) {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	conn := w.open()
	<-dialing
	if n := w.relay.Revoke(func(netip.Addr, relay.Target) bool { return false }); n != 1 {
		t.Errorf("%d revoked", n)
	}
	expectReset(t, "dialing", conn)
	if e := w.events.wait(t, relay.Denied, relay.Revoked); !errors.Is(e.Err, context.Canceled) {
		t.Errorf("%+v", e)
	}
}

// TestRevokeWhileAsking: a policy that changes between the question and the table is asked again.
func TestRevokeWhileAsking(t *testing.T) {
	var w *world
	asked, made := 0, make(chan struct{})
	w = newWorld(t, func(c *relay.Config) {
		c.Owner = func(server netip.Addr, original netip.AddrPort) (relay.Target, bool) {
			<-made
			target, ok := w.owner(server, original)
			if asked++; asked == 1 {
				w.mu.Lock()
				delete(w.owners, apiAddr)
				w.mu.Unlock()
				w.relay.Revoke(func(netip.Addr, relay.Target) bool { return false })
			}
			return target, ok
		}
	})
	close(made)
	w.expectDenied("asked twice", at(apiAddr, 80), request(api))
	w.events.wait(t, relay.Denied, relay.NoOwner)
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// TestShutdown: the relay's end resets what it carries, and is waited for.
func TestShutdown(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	conn := w.open()
	far := <-ends
	waiting := w.connect(serverAddr, at(apiAddr, 80))
	w.say(waiting, "GET")
	w.stop()
	expectReset(t, "open", conn)
	expectReset(t, "far", far)
	expectReset(t, "waiting", waiting)
	if _, ok := w.events.take(relay.Closed, []relay.Reason{relay.Shutdown}); !ok {
		t.Error("no event when the relay has ended")
	}
	if _, err := w.dialFrom(serverAddr, at(apiAddr, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("behind the end: %v", err)
	}
}
