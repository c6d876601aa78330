package relay_test

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestKernelCarries: what is carried does not pass through the process.
func TestKernelCarries(t *testing.T) {
	const size = 64 << 20
	w, p := newProcess(t)
	ends := w.far()
	before := p.state()
	client := w.open()
	far := <-ends
	go func() {
		_, _ = io.CopyN(client, zeros{}, size)
		_ = client.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, far); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if copied := p.state().Copied - before.Copied; copied > size/100 {
		t.Errorf("%d bytes of %d passed through the process", copied, size)
	}
}

// zeros are bytes to send.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestIdle: a thousand connections that were used and are idle cost two sockets and little memory each, and still work.
func TestIdle(t *testing.T) {
	const many = 1000
	w, p := newProcess(t)
	w.listen(80, func(conn *net.TCPConn) {
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	})
	before := p.state()
	conns := w.openMany(many)
	after := idle(t, p)
	if sockets := after.Sockets - before.Sockets; sockets != 2*many {
		t.Errorf("%d sockets", sockets)
	}
	memory := int(after.Memory-before.Memory) / many
	t.Logf("%d bytes and %d goroutines for each connection", memory, (after.Goroutines-before.Goroutines)/many)
	if memory > 24<<10 {
		t.Errorf("%d bytes for each connection", memory)
	}
	for _, conn := range conns {
		w.say(conn, "still there")
		w.hear(conn, "still there")
	}
}

// idle waits until no direction has a pipe any more, and gives the state then.
func idle(t *testing.T, p *process) state {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s := p.state()
		if s.Pipes <= 4 { // its own input and output
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("%d ends of pipes", s.Pipes)
		}
	}
}

// openMany makes connections one after the other, each of which is let through and hears an echo.
func (w *world) openMany(many int) []*net.TCPConn {
	w.t.Helper()
	var conns []*net.TCPConn
	w.do(w.server, func() error {
		for range many {
			conn, err := net.Dial("tcp4", at(apiAddr, 80).String())
			if err != nil {
				return err
			}
			w.t.Cleanup(func() { conn.Close() })
			conns = append(conns, conn.(*net.TCPConn))
			w.say(conn, request(api))
			w.hear(conn, request(api))
		}
		return nil
	})
	return conns
}
