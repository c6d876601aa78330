package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/hello"
)

// connection is a connection from when it is accepted.
type connection struct {
	relay    *Relay
	ctx      context.Context // its end resets the connection
	end      context.CancelCauseFunc
	client   *net.TCPConn
	server   netip.Addr
	original netip.AddrPort
	target   Target // does not change once the connection is in the table
	said     int64  // bytes of the hello that were passed on
}

func newConnection(ctx context.Context, r *Relay, client *net.TCPConn, server netip.Addr) *connection {
	c := &connection{relay: r, client: client, server: server}
	c.ctx, c.end = context.WithCancelCause(ctx)
	return c
}

// run is the whole life of a connection.
func (c *connection) run() {
	defer c.end(nil)
	defer context.AfterFunc(c.ctx, func() { reset(c.client) })()
	upstream, denial := c.letThrough()
	c.relay.seats.settle(c.server)
	defer c.relay.forget(c)
	if denial != nil {
		reset(c.client)
		c.relay.config.Observe(c.denied(denial))
		return
	}
	defer context.AfterFunc(c.ctx, func() { reset(upstream) })()
	c.carry(upstream)
}

// letThrough makes the connection to the target, once the client has asked for it.
func (c *connection) letThrough() (*net.TCPConn, *denial) {
	var err error
	if c.original, err = c.relay.config.Original(c.client); err != nil {
		return nil, &denial{reason: NoOriginal, err: err}
	}
	if !c.relay.admit(c) {
		return nil, &denial{reason: NoOwner}
	}
	kind := c.target.kindOf(c.original)
	if kind == 0 {
		return nil, &denial{reason: NoOwner}
	}
	said, denied := c.read(kind)
	defer said.release()
	if denied != nil {
		return nil, denied
	}
	return c.connect(said.bytes())
}

// connect makes the connection to the target and passes on what the client said.
func (c *connection) connect(said []byte) (*net.TCPConn, *denial) {
	ctx, cancel := context.WithTimeout(c.ctx, c.relay.config.Limits.Dial)
	defer cancel()
	upstream, err := c.relay.config.Dial(ctx, c.server, c.target)
	if err != nil {
		return nil, &denial{reason: Unreachable, err: err}
	}
	if err := begin(ctx, upstream, said); err != nil {
		reset(upstream)
		return nil, &denial{reason: Unreachable, err: err}
	}
	c.said = int64(len(said))
	return upstream, nil
}

// begin passes on what the client said.
func begin(ctx context.Context, upstream *net.TCPConn, said []byte) error {
	deadline, _ := ctx.Deadline()
	if err := upstream.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if _, err := upstream.Write(said); err != nil {
		return err
	}
	return upstream.SetWriteDeadline(time.Time{})
}

// carry passes on what both sides say until both are done.
func (c *connection) carry(upstream *net.TCPConn) {
	opened, e := time.Now(), c.event(Opened)
	c.relay.config.Observe(e)
	p := &pair{client: c.client, upstream: upstream, sent: c.said}
	e.Err = p.carry()
	e.Kind, e.Lasted = Closed, time.Since(opened)
	e.Sent, e.Received = p.sent, p.received
	if e.Err != nil {
		e.Reason = c.ended(Reset)
	}
	c.relay.config.Observe(e)
}

func (c *connection) event(kind EventKind) Event {
	return Event{Kind: kind, Server: c.server, Original: c.original, Target: c.target}
}

// denial is why a connection is not let through.
type denial struct {
	reason Reason
	asked  string
	err    error
}

func (c *connection) denied(why *denial) Event {
	e := c.event(Denied)
	e.Reason, e.Asked, e.Err = c.ended(why.reason), why.asked, why.err
	return e
}

// ended is the reason, unless the relay itself ended the connection.
func (c *connection) ended(reason Reason) Reason {
	switch cause := context.Cause(c.ctx); {
	case errors.Is(cause, errRevoked):
		return Revoked
	case cause != nil:
		return Shutdown
	}
	return reason
}

// mismatch is the reason where a client asks for another name.
func mismatch(kind hello.Kind) Reason {
	if kind == hello.TLS {
		return SNIMismatch
	}
	return HostMismatch
}
