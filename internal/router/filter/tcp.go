package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// longestQuery is how long a query over TCP may be. A name, and EDNS with padding, are much shorter.
const longestQuery = 2048

// serveTCP answers connections until the listener is closed. Any other error passes: there may be too many files open.
func (s *server) serveTCP(ctx context.Context, l net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept connections: %w", err)
		}
		if err != nil {
			time.Sleep(pause)
			continue
		}
		from := addrOf(conn.RemoteAddr())
		c := s.clients.connect(from, time.Now())
		if c == nil {
			s.cfg.Observe(Event{Client: from, Verdict: Dropped, Reason: TooManyConns})
			conn.Close()
			continue
		}
		serving.Go(func() {
			defer s.clients.disconnect(c)
			s.converse(ctx, conn, from)
		})
	}
}

// stream is one connection. Answers leave in the order in which they are found (RFC 7766).
type stream struct {
	conn    net.Conn
	slots   chan struct{} // one for each question that is not answered yet
	writing chan struct{} // one while an answer is written
	slow    time.Duration
}

// converse answers the questions of a connection until the client has no more.
func (s *server) converse(ctx context.Context, conn net.Conn, from netip.Addr) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	t := &stream{conn: conn, slots: make(chan struct{}, s.cfg.Limits.Pipelined), writing: make(chan struct{}, 1),
		slow: s.cfg.Limits.Slow}
	var deciding sync.WaitGroup
	defer deciding.Wait()
	for {
		t.slots <- struct{}{}
		msg, err := t.read(s.cfg.Limits.Idle)
		if err != nil {
			return
		}
		a := s.receive(from, msg)
		deciding.Go(func() {
			if a.open {
				a.answer = s.finish(ctx, a)
			}
			t.write(a.answer)
			<-t.slots
		})
	}
}

// read waits for the first byte of a question while the client may be idle, and not as long for the others.
func (t *stream) read(idle time.Duration) ([]byte, error) {
	_ = t.conn.SetReadDeadline(time.Now().Add(idle))
	var first [1]byte
	if _, err := io.ReadFull(t.conn, first[:]); err != nil {
		return nil, err
	}
	_ = t.conn.SetReadDeadline(time.Now().Add(t.slow))
	return dnsmsg.ReadMessage(io.MultiReader(bytes.NewReader(first[:]), t.conn), longestQuery)
}

// write sends an answer. A client that does not take it loses the connection.
func (t *stream) write(answer []byte) {
	if answer == nil {
		return
	}
	t.writing <- struct{}{}
	defer func() { <-t.writing }()
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.slow))
	if dnsmsg.WriteMessage(t.conn, answer) != nil {
		t.conn.Close()
	}
}
