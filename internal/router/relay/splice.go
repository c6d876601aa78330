package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pair is the two connections of one that was let through.
type pair struct {
	client, upstream *net.TCPConn
	sent, received   int64 // bytes from the client and to it

	done atomic.Int32 // directions that ended
	once sync.Once
	err  error // why the pair ended before both directions did
}

// carry passes bytes both ways until both sides are done: nil, or one of them resets the connection.
func (p *pair) carry() error {
	var up sync.WaitGroup
	up.Go(func() { p.direction(p.client, p.upstream, &p.sent) })
	p.direction(p.upstream, p.client, &p.received)
	up.Wait()
	return p.err
}

// direction passes on all that comes, then the end, and afterwards a reset.
func (p *pair) direction(from, to *net.TCPConn, count *int64) {
	raw, err := from.SyscallConn()
	if err == nil {
		err = passOn(raw, from, to, count)
	}
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		p.fail(err)
		return
	}
	if p.done.Add(1) == 2 {
		p.client.Close()
		p.upstream.Close()
		return
	}
	if err := waitReset(raw); err != nil && p.done.Load() < 2 {
		p.fail(err)
	}
}

// fail resets both sides.
func (p *pair) fail(err error) {
	p.once.Do(func() {
		p.err = err
		reset(p.client)
		reset(p.upstream)
	})
}

// burst is how long a direction keeps its pipe without looking whether it is needed: connections that are idle have
// none.
const burst = 100 * time.Millisecond

// passOn passes on bytes until the end: nil, or an error. The kernel moves them (splice).
func passOn(raw syscall.RawConn, from, to *net.TCPConn, count *int64) error {
	for {
		if err := waitReadable(raw); err != nil {
			return err
		}
		if err := from.SetReadDeadline(time.Now().Add(burst)); err != nil {
			return err
		}
		size, err := io.Copy(to, from)
		*count += size
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := from.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
}
