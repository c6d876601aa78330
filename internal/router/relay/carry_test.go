package relay_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// far hands the cloud's end of each connection to the test, with the request read.
func (w *world) far() <-chan *net.TCPConn {
	w.t.Helper()
	ends := make(chan *net.TCPConn, 16)
	w.listen(80, func(conn *net.TCPConn) {
		w.t.Cleanup(func() { conn.Close() })
		_, _ = io.ReadFull(conn, make([]byte, len(request(api))))
		ends <- conn
	})
	return ends
}

// TestHalfClose: each side may end first, and hears the other to its end.
func TestHalfClose(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	for _, clientFirst := range []bool{true, false} {
		client := w.open()
		far := <-ends
		first, second := far, client
		if clientFirst {
			first, second = client, far
		}
		w.say(first, "the last word")
		if err := first.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		hearAll(t, second, "the last word")
		time.Sleep(250 * time.Millisecond) // longer than a burst
		w.say(second, "an answer")
		w.hear(first, "an answer")
		w.say(second, " to the end")
		if err := second.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		hearAll(t, first, " to the end")
		e := w.events.wait(t, relay.Closed, "")
		all := request(api) + "the last word" + "an answer" + " to the end"
		if e.Sent+e.Received != int64(len(all)) || e.Lasted < 250*time.Millisecond {
			t.Errorf("closed %+v", e)
		}
	}
}

// hearAll reads to the end of a connection.
func hearAll(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(conn); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, not %q", got, err, want)
	}
}

// TestResetPassedOn: a reset of either side resets the other, idle or not, also of a side that had sent its end.
func TestResetPassedOn(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	for what, prepare := range map[string]func(from, to *net.TCPConn){
		"idle": func(_, _ *net.TCPConn) {},
		"talking": func(from, to *net.TCPConn) {
			w.say(from, "x")
			w.hear(to, "x")
		},
		"half closed": func(from, to *net.TCPConn) {
			_ = from.CloseWrite()
			hearAll(t, to, "")
		},
	} {
		for _, clientFirst := range []bool{true, false} {
			client := w.open()
			far := <-ends
			from, to := far, client
			if clientFirst {
				from, to = client, far
			}
			prepare(from, to)
			_ = from.SetLinger(0)
			from.Close()
			if what != "half closed" {
				expectReset(t, what, to)
			}
			w.events.wait(t, relay.Closed, relay.Reset)
			if what == "half closed" { // the other end has nothing to read any more
				expectBroken(t, what, to)
			}
		}
	}
}

// expectBroken waits until a connection whose end was read cannot be written to any more.
func expectBroken(t *testing.T, what string, conn *net.TCPConn) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		_, err := conn.Write([]byte("x"))
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("%s: write %v", what, err)
		}
	}
}

// TestLargeBothWays: what passes is what was sent, in both directions at once.
func TestLargeBothWays(t *testing.T) {
	const size = 64 << 20
	w := newWorld(t, nil)
	ends := w.far()
	client := w.open()
	far := <-ends
	var all sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{client, far}, {far, client}} {
		block := make([]byte, 1<<20)
		_, _ = rand.Read(block)
		sent, got := sha256.New(), sha256.New()
		all.Go(func() {
			for range size / len(block) {
				sent.Write(block)
				if _, err := way[0].Write(block); err != nil {
					t.Error(err)
				}
			}
			_ = way[0].CloseWrite()
		})
		all.Go(func() {
			if n, err := io.Copy(got, way[1]); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
		t.Cleanup(func() {
			if string(sent.Sum(nil)) != string(got.Sum(nil)) {
				t.Error("other bytes than those that were sent")
			}
		})
	}
	all.Wait()
	if e := w.events.wait(t, relay.Closed, ""); e.Received != size || e.Sent != size+int64(len(request(api))) {
		t.Errorf("closed %+v", e)
	}
}

// TestBackpressure: who does not read makes the other side wait, and the relay keeps nothing that grows.
func TestBackpressure(t *testing.T) {
	w := newWorld(t, nil)
	ends := w.far()
	client := w.open()
	far := <-ends
	_ = client.SetWriteDeadline(time.Now().Add(2 * time.Second))
	block := make([]byte, 1<<20)
	sent := 0
	for sent < 1<<30 {
		n, err := client.Write(block)
		sent += n
		if err != nil {
			break
		}
	}
	if sent >= 1<<28 {
		t.Errorf("%d MiB were taken that nobody reads", sent>>20)
	}
	_ = client.SetWriteDeadline(time.Time{})
	_ = client.CloseWrite()
	if got, err := io.Copy(io.Discard, far); err != nil || got != int64(sent) {
		t.Errorf("%d bytes of %d, %v", got, sent, err)
	}
}
