package relay_test

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ways are the ways that a benchmark compares: over the relay, and routed by the same kernel to the same server.
func ways() map[string]netip.AddrPort {
	return map[string]netip.AddrPort{"relay": at(apiAddr, 80), "direct": at(cloudAddr, 80)}
}

// BenchmarkThroughput: a gibibyte to the server, and one from it.
func BenchmarkThroughput(b *testing.B) {
	const size = 1 << 30
	w, _ := newProcess(b)
	w.listen(80, func(conn *net.TCPConn) {
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, len(request(api))))
		_, _ = io.Copy(io.Discard, conn)
		_, _ = io.CopyN(conn, zeros{}, size)
	})
	for _, way := range []string{"direct", "relay"} {
		b.Run(way, func(b *testing.B) {
			b.SetBytes(2 * size)
			for b.Loop() {
				conn := w.connect(serverAddr, ways()[way])
				w.say(conn, request(api))
				_, _ = io.CopyN(conn, zeros{}, size)
				_ = conn.CloseWrite()
				if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
	}
}

// BenchmarkConnections: connections that ask once, eight at a time. On a machine that has other things to do, what the
// relay itself takes of the processor tells most.
func BenchmarkConnections(b *testing.B) {
	w, p := newProcess(b)
	w.listen(80, func(conn *net.TCPConn) {
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, len(request(api))))
		_, _ = io.WriteString(conn, "answer")
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
	for _, way := range []string{"direct", "relay"} {
		b.Run(way, func(b *testing.B) {
			start, before := time.Now(), p.state().CPU
			w.ask(b, ways()[way], b.N)
			b.ReportMetric(float64((p.state().CPU-before).Microseconds())/float64(b.N), "µs-of-relay/op")
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "connections/s")
		})
	}
}

// ask makes connections from eight goroutines.
func (w *world) ask(b *testing.B, to netip.AddrPort, times int) {
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(times))
	for range 8 {
		all.Go(func() {
			err := w.server.Do(func() error {
				for left.Add(-1) >= 0 {
					if err := askOnce(to); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
}

func askOnce(to netip.AddrPort) error {
	conn, err := net.Dial("tcp4", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request(api)); err != nil {
		return err
	}
	_, err = io.ReadAll(conn)
	return err
}
