package testhost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Stream is a TCP connection over which bytes go forth and back all the time, and are compared.
type Stream struct {
	t     testing.TB
	label string
	conn  *net.TCPConn
	stop  chan struct{}
	sent  atomic.Int64
	back  atomic.Int64
	ended chan error
}

const (
	// blockSize is how much a stream sends at a time.
	blockSize = 512
	// blockPause is the time between two blocks.
	blockPause = 2 * time.Millisecond
	// streamTime is how long a stream may need to bring the last bytes back.
	streamTime = 20 * time.Second
)

// OpenStream opens a connection between containers. The other end sends back what it gets.
func OpenStream(t testing.TB, from, to *testnet.NS, at string) *Stream {
	t.Helper()
	return OpenStreamOver(t, from, to, at, at)
}

// OpenStreamOver is OpenStream for a connection whose destination is translated on the way: via is what it is opened to.
func OpenStreamOver(t testing.TB, from, to *testnet.NS, at, via string) *Stream {
	t.Helper()
	address := netip.MustParseAddrPort(at)
	l, err := to.Listen(address)
	check(t, err)
	go func() {
		c, err := l.Accept()
		_ = l.Close()
		if err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	conn, err := from.Dial(t.Context(), "tcp", netip.MustParseAddrPort(via))
	check(t, err)
	s := &Stream{t: t, label: from.Label() + " to " + at, conn: conn.(*net.TCPConn), stop: make(chan struct{}),
		ended: make(chan error, 2)}
	t.Cleanup(func() { conn.Close() })
	go func() { s.ended <- s.send() }()
	go func() { s.ended <- s.receive() }()
	s.Moves(streamTime)
	return s
}

// block is what stands at a place of the stream.
func block(at int64) []byte {
	b := make([]byte, blockSize)
	for i := range b {
		b[i] = byte(at/blockSize*31 + int64(i))
	}
	return b
}

func (s *Stream) send() error {
	for {
		select {
		case <-s.stop:
			return s.conn.CloseWrite()
		case <-time.After(blockPause):
		}
		n, err := s.conn.Write(block(s.sent.Load()))
		if s.sent.Add(int64(n)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

func (s *Stream) receive() error {
	b := make([]byte, blockSize)
	for {
		if _, err := io.ReadFull(s.conn, b); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if !bytes.Equal(b, block(s.back.Load())) {
			return fmt.Errorf("byte %d and what follows are others", s.back.Load())
		}
		s.back.Add(blockSize)
	}
}

// Moves waits until bytes that are sent from now on have come back, and gives the time it took.
func (s *Stream) Moves(limit time.Duration) time.Duration {
	s.t.Helper()
	target := s.sent.Load() + 4*blockSize
	return Within(s.t, limit, "stream "+s.label, func() bool { return s.back.Load() >= target })
}

// Rests wants that nothing comes back for a while.
func (s *Stream) Rests(d time.Duration) {
	s.t.Helper()
	time.Sleep(50 * time.Millisecond) // what is under way
	before := s.back.Load()
	time.Sleep(d)
	if n := s.back.Load() - before; n > 0 {
		s.t.Errorf("stream %s: %d bytes pass", s.label, n)
	}
}

// Ends wants the connection to be refused from now on. The kernel tells one of sender and receiver of the reset, and
// the other one that the connection is over.
func (s *Stream) Ends(limit time.Duration) {
	s.t.Helper()
	deadline, reset := time.After(limit), false
	for range cap(s.ended) {
		select {
		case err := <-s.ended:
			reset = reset || errors.Is(err, syscall.ECONNRESET)
		case <-deadline:
			s.t.Errorf("stream %s: not over within %v", s.label, limit)
			return
		}
	}
	if !reset {
		s.t.Errorf("stream %s: over without a reset", s.label)
	}
}

// Finish ends the stream, and fails if it was broken or a byte is missing.
func (s *Stream) Finish() {
	s.t.Helper()
	close(s.stop)
	for range 2 {
		select {
		case err := <-s.ended:
			if err != nil {
				s.t.Errorf("stream %s: %v", s.label, err)
				return
			}
		case <-time.After(streamTime):
			s.t.Errorf("stream %s: the last bytes do not come back", s.label)
			return
		}
	}
	if s.sent.Load() != s.back.Load() {
		s.t.Errorf("stream %s: %d bytes were sent, %d came back", s.label, s.sent.Load(), s.back.Load())
	}
}
