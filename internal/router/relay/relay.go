// Package relay lets a connection through only if the name that its client asks for is the name that owns the address
// it was made to. It decrypts nothing: it reads the ClientHello or the request head, connects, passes on what it
// read, and lets the kernel carry the rest.
//
// What it cannot see is listed in package hello. Two connections never share a decision.
package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Config is what a relay needs. Its functions are called from many goroutines at once.
type Config struct {
	// Listener is where redirected connections of TCP arrive. See Listen.
	Listener net.Listener
	// Owner tells what a server means by an address. False is a connection that nobody permits.
	Owner func(server netip.Addr, original netip.AddrPort) (Target, bool)
	// Original tells where a client meant to connect to. The default is Redirected.
	Original func(*net.TCPConn) (netip.AddrPort, error)
	// Dial connects to a target's address for a server. The default is a plain connection by Dialer.
	Dial func(ctx context.Context, server netip.Addr, to Target) (*net.TCPConn, error)
	// Observe is told what becomes of each connection. It must not block. The default is nobody.
	Observe func(Event)
	// Limits that are zero have their defaults.
	Limits Limits
}

// Relay carries connections.
type Relay struct {
	config Config
	seats  seats

	mu        sync.Mutex
	live      map[*connection]struct{}
	revisions int // how often Revoke was called
}

// New makes a relay. Serve makes it work.
func New(config Config) *Relay {
	config.Limits = config.Limits.withDefaults()
	if config.Original == nil {
		config.Original = Redirected
	}
	if config.Dial == nil {
		config.Dial = dial
	}
	if config.Observe == nil {
		config.Observe = func(Event) {}
	}
	return &Relay{config: config, seats: newSeats(config.Limits), live: map[*connection]struct{}{}}
}

func dial(ctx context.Context, _ netip.Addr, to Target) (*net.TCPConn, error) {
	conn, err := Dialer().DialContext(ctx, "tcp", to.Addr.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// Serve accepts connections until the context ends or the listener fails. It closes the listener, resets the
// connections that are left, and returns when the last one is gone: nil where the context ended it.
func (r *Relay) Serve(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { r.config.Listener.Close() })
	defer stop()
	var all sync.WaitGroup
	err := r.accept(ctx, &all)
	if ctx.Err() != nil {
		err = nil
	}
	end(errShutdown)
	r.config.Listener.Close()
	all.Wait()
	return err
}

// acceptPause is how long the relay waits where the kernel has no descriptor or no memory for a connection.
const acceptPause = 20 * time.Millisecond

func (r *Relay) accept(ctx context.Context, all *sync.WaitGroup) error {
	for {
		conn, err := r.config.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(acceptPause):
			}
			continue
		}
		r.receive(ctx, conn.(*net.TCPConn), all)
	}
}

// receive gives a connection a seat, or resets it in the loop that accepts: a flood costs no goroutines.
func (r *Relay) receive(ctx context.Context, client *net.TCPConn, all *sync.WaitGroup) {
	server := remote(client)
	if reason := r.seats.enter(server); reason != "" {
		reset(client)
		r.config.Observe(Event{Kind: Denied, Server: server, Reason: reason})
		return
	}
	all.Go(func() {
		defer r.seats.leave(server)
		newConnection(ctx, r, client, server).run()
	})
}

// remote is the address of who connected.
func remote(conn *net.TCPConn) netip.Addr {
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
