// Package hostport holds the TCP ports of the host that lead to gateways: no other program takes one, and who takes one
// that is in use is told so. What reaches a port all the same is carried to the gateway: connections from the host
// itself, whose loopback addresses nftables does not translate, and everybody's while the rules are gone.
package hostport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// dialTime bounds how long a connection waits for the gateway.
	dialTime = 5 * time.Second
	// mostCarried is how many connections of one port are carried at a time.
	mostCarried = 1024
)

// Ports are the held ports of one host.
type Ports struct {
	ns   ns.Handle
	log  *slog.Logger
	mu   sync.Mutex // of held
	held map[topology.Publication]net.Listener
}

// New holds no port yet.
func New(host ns.Handle, log *slog.Logger) *Ports {
	return &Ports{ns: host, log: log, held: map[topology.Publication]net.Listener{}}
}

// ErrTaken says that another program, or another container, has the port.
var ErrTaken = errors.New("is in use on this host")

// Hold takes a port, or does nothing if it is held.
func (p *Ports) Hold(port topology.Publication) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.held[port]; ok {
		return nil
	}
	var l net.Listener
	err := p.ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", port.Host())
		return err
	})
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("port %s %w: choose another, or end what has it (ss -ltnp)", port.Host(), ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("port %s of the host: %w", port.Host(), err)
	}
	p.held[port] = l
	go p.serve(l, port)
	return nil
}

// Release gives a port up. One that is not held is no error.
func (p *Ports) Release(port topology.Publication) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.held[port]
	if !ok {
		return nil
	}
	delete(p.held, port)
	return l.Close()
}

// Close gives all ports up.
func (p *Ports) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed []error
	for port, l := range p.held {
		failed = append(failed, l.Close())
		delete(p.held, port)
	}
	return errors.Join(failed...)
}

func (p *Ports) serve(l net.Listener, port topology.Publication) {
	free := make(chan struct{}, mostCarried)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("published port", "port", port.String(), "error", err)
			time.Sleep(100 * time.Millisecond) // no descriptor is free
			continue
		}
		free <- struct{}{}
		go func() {
			defer func() { <-free }()
			p.carry(conn, port)
		}()
	}
}

// carry takes one connection to the gateway. It ends when both sides have said all.
func (p *Ports) carry(from net.Conn, port topology.Publication) {
	defer from.Close()
	to, err := p.dial(port)
	if err != nil {
		p.log.Debug("published port: the gateway does not answer", "port", port.String(), "error", err)
		return
	}
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(to, from)
	}()
	pass(from, to)
	<-done
}

func (p *Ports) dial(port topology.Publication) (conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	err = p.ns.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", port.To.String())
		return err
	})
	return conn, err
}

// pass copies one direction and tells the receiver its end.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // the end of either side ends it
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
