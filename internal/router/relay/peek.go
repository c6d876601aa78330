package relay

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/hello"
)

// buffers are for hellos. One is taken from the first byte of a hello until all of it is passed on.
var buffers = sync.Pool{New: func() any { return new([hello.Max]byte) }}

// said is what a client has said so far.
type said struct {
	buffer *[hello.Max]byte
	size   int
}

func (s *said) bytes() []byte { return s.buffer[:s.size] }

func (s *said) release() {
	if s.buffer != nil {
		buffers.Put(s.buffer)
		s.buffer = nil
	}
}

// read reads the client's hello, and denies what does not ask for the target's name.
func (c *connection) read(kind hello.Kind) (*said, *denial) {
	s := &said{}
	name, err := c.readName(kind, s)
	if err != nil {
		return s, &denial{reason: whyNoName(err), err: err}
	}
	if name != c.target.Name {
		return s, &denial{reason: mismatch(kind), asked: name}
	}
	return s, nil
}

func (c *connection) readName(kind hello.Kind, s *said) (string, error) {
	limits := c.relay.config.Limits
	end := time.Now().Add(limits.Hello)
	raw, err := c.client.SyscallConn()
	if err != nil {
		return "", err
	}
	for {
		if err := c.client.SetReadDeadline(earlier(end, time.Now().Add(limits.Silence))); err != nil {
			return "", err
		}
		if err := waitReadable(raw); err != nil {
			return "", err
		}
		if s.buffer == nil {
			s.buffer = buffers.Get().(*[hello.Max]byte)
		}
		size, err := c.client.Read(s.buffer[s.size:])
		if err != nil {
			return "", err
		}
		s.size += size
		if name, err := hello.Name(kind, s.bytes()); !errors.Is(err, hello.ErrMore) {
			return name, errors.Join(err, c.client.SetReadDeadline(time.Time{}))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func whyNoName(err error) Reason {
	var refused *hello.Refusal
	switch {
	case errors.As(err, &refused):
		return refused.Reason
	case errors.Is(err, os.ErrDeadlineExceeded):
		return SlowHello
	}
	return ClientClosed
}
