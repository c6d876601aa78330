package relay

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
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
	p := peek{client: c.client, kind: kind, limits: c.relay.config.Limits, said: &said{}}
	name, err := p.name()
	if err != nil {
		return p.said, &denial{reason: whyNoName(err), err: err}
	}
	if name != c.target.Name {
		return p.said, &denial{reason: mismatch(kind), asked: name}
	}
	return p.said, nil
}

// peek is the reading of one hello.
type peek struct {
	client  *net.TCPConn
	raw     syscall.RawConn
	kind    hello.Kind
	limits  Limits
	end     time.Time // of the hello
	said    *said
	greeted bool // the client was sent hello.Settings, whose acknowledgement is not to reach the server
}

// name reads until the name shows.
func (p *peek) name() (name string, err error) {
	p.end = time.Now().Add(p.limits.Hello)
	if p.raw, err = p.client.SyscallConn(); err != nil {
		return "", err
	}
	for {
		if err := p.more(); err != nil {
			return "", err
		}
		name, err := hello.Name(p.kind, p.said.bytes())
		if err == nil && !p.acknowledged() {
			err = hello.ErrMore
		}
		if !errors.Is(err, hello.ErrMore) {
			return name, errors.Join(err, p.client.SetReadDeadline(time.Time{}))
		}
	}
}

// more waits for bytes, and reads them. Only then it takes a buffer.
func (p *peek) more() error {
	if err := p.await(); err != nil {
		return err
	}
	if p.said.buffer == nil {
		p.said.buffer = buffers.Get().(*[hello.Max]byte)
	}
	if p.said.size == hello.Max {
		return &hello.Refusal{Reason: hello.TooLarge, What: "no acknowledgement of SETTINGS"}
	}
	size, err := p.client.Read(p.said.buffer[p.said.size:])
	p.said.size += size
	return err
}

func (p *peek) await() error {
	if p.kind == hello.HTTP && !p.greeted && p.said.size > 0 && hello.AwaitsSettings(p.said.bytes()) {
		if err := p.awaitUntil(time.Now().Add(greetAfter)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		p.greeted = true
		if _, err := p.client.Write(hello.Settings); err != nil {
			return err
		}
	}
	return p.awaitUntil(time.Now().Add(p.limits.Silence))
}

func (p *peek) awaitUntil(t time.Time) error {
	if err := p.client.SetReadDeadline(earlier(p.end, t)); err != nil {
		return err
	}
	return waitReadable(p.raw)
}

// greetAfter is how long a client of HTTP/2 has to ask before the relay takes it for one that waits for SETTINGS.
const greetAfter = 100 * time.Millisecond

// acknowledged takes the acknowledgement of the relay's SETTINGS out of what was said. It is false while that is
// awaited.
func (p *peek) acknowledged() bool {
	if !p.greeted {
		return true
	}
	rest, there := hello.WithoutAck(p.said.bytes())
	p.said.size = len(rest)
	return there
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
