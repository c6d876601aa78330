// Package process is the process that reads what servers send: questions for names, and the beginnings of connections
// to names. It lives in a network's namespace and has no privilege. Whatever it wants of the kernel, a socket to a
// resolver, a mapping, a connection, it asks of the resident process, which does not believe it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/router/control"
	"github.com/mcpnet/mcpnet/internal/router/filter"
	"github.com/mcpnet/mcpnet/internal/router/relay"
	"github.com/mcpnet/mcpnet/internal/router/roster"
	"github.com/mcpnet/mcpnet/internal/router/sandbox"
)

// Argument is the first argument of a program that is to be this process.
const Argument = "mcpnet-router"

// Descriptors that the process is started with, from the first behind standard error.
const (
	fdControl = 3 + iota
	fdPacket
	fdStream
	fdRelay
)

// Main is the process. It ends when the resident process closes the control socket.
func Main() {
	if err := run(context.Background()); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "router:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sockets, err := inherited()
	if err != nil {
		return err
	}
	if err := sandbox.Enter(); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	p := &process{caller: control.NewCaller(sockets.control), names: map[netip.Addr]string{}}
	name, err := p.learn(sockets.control)
	if err != nil {
		return err
	}
	return p.serve(ctx, sockets, name)
}

// learn takes in what there is to know before the first question: an answer without it would deny what is allowed.
func (p *process) learn(c *control.Conn) (network string, err error) {
	first, err := c.Receive()
	if err != nil || first.List == nil {
		return "", fmt.Errorf("the network's list did not come: %w", err)
	}
	p.network = *first.List
	p.roster = roster.New(p.network)
	for {
		m, err := c.Receive()
		if err != nil || m.Kind == control.Ready {
			return first.Name, err
		}
		p.note(m)
	}
}

// note takes in one thing.
func (p *process) note(m control.Message) {
	switch m.Kind {
	case control.Server:
		p.roster.Set(m.Server, m.List)
	case control.Gone:
		p.roster.Drop(m.Server)
	case control.Bound:
		p.know(m.Addr, m.Name)
	}
}

type sockets struct {
	control *control.Conn
	packet  net.PacketConn
	stream  net.Listener
	relay   net.Listener
}

// inherited takes over the descriptors.
func inherited() (s sockets, err error) {
	if s.control, err = control.FromFile(os.NewFile(fdControl, "control")); err != nil {
		return s, err
	}
	packet, stream, redirected := os.NewFile(
		fdPacket,
		"dns",
	), os.NewFile(
		fdStream,
		"dns-tcp",
	), os.NewFile(
		fdRelay,
		"relay",
	)
	defer func() { err = errors.Join(err, packet.Close(), stream.Close(), redirected.Close()) }()
	if s.packet, err = net.FilePacketConn(packet); err != nil {
		return s, err
	}
	if s.stream, err = net.FileListener(stream); err != nil {
		return s, err
	}
	s.relay, err = net.FileListener(redirected)
	return s, err
}

type process struct {
	caller  *control.Caller
	network policy.Allow
	roster  *roster.Roster

	mu    sync.Mutex
	names map[netip.Addr]string // whose a synthetic address is
}

// serve works until one of its parts ends.
func (p *process) serve(ctx context.Context, s sockets, network string) error {
	carrier := relay.New(relay.Config{Listener: s.relay, Owner: p.owner, Dial: p.dial, Observe: p.connection})
	ended := make(chan error, 3)
	go func() { ended <- p.caller.Serve(func(m control.Message) { p.told(m, carrier) }) }()
	go func() {
		ended <- filter.Serve(ctx, filter.Config{Packet: s.packet, Listener: s.stream, Names: p, Binder: p, Upstream: p, Network: network,
			Pool: policy.NamePool, Permitted: p.network.Holds, Forget: p.forget, Observe: p.question})
	}()
	go func() { ended <- carrier.Serve(ctx) }()
	return <-ended
}

// told takes in what the resident process says. What is not permitted any more ends.
func (p *process) told(m control.Message, carrier *relay.Relay) {
	p.note(m)
	carrier.Revoke(func(server netip.Addr, to relay.Target) bool {
		_, ok := p.owner(server, to.Addr)
		return ok
	})
}

func (p *process) know(synthetic netip.Addr, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[synthetic] = name
}

// Lookup is the filter's question about a name.
func (p *process) Lookup(client netip.Addr, name string) (filter.Rule, bool) {
	g, ok := p.roster.Find(client, name)
	return filter.Rule{Zone: g.Zone, Generation: g.Generation}, ok
}

// Bind asks for the synthetic address of a name.
func (p *process) Bind(
	ctx context.Context,
	client netip.Addr,
	name string,
	addrs []netip.Addr,
	ttl time.Duration,
) (netip.Addr, error) {
	got, err := p.caller.Ask(
		ctx,
		control.Message{Kind: control.Bind, Server: client, Name: name, Addrs: addrs, TTL: ttl},
	)
	if err == nil {
		p.know(got.Addr, name)
	}
	return got.Addr, err
}

func (p *process) forget(client netip.Addr, name string) {
	_ = p.caller.Say(control.Message{Kind: control.Forget, Server: client, Name: name})
}

func connOf(f *os.File) (net.Conn, error) {
	if f == nil {
		return nil, errors.New("no socket came with the answer")
	}
	defer f.Close()
	return net.FileConn(f)
}

// owner tells what a server means by a synthetic address. Where that leads, the resident process knows.
func (p *process) owner(server netip.Addr, original netip.AddrPort) (relay.Target, bool) {
	p.mu.Lock()
	name, known := p.names[original.Addr()]
	p.mu.Unlock()
	if !known {
		return relay.Target{}, false
	}
	g, ok := p.roster.Find(server, name)
	return relay.Target{Name: name, Addr: original}, ok && g.Opens(original.Port())
}

func (p *process) dial(ctx context.Context, server netip.Addr, to relay.Target) (*net.TCPConn, error) {
	got, err := p.caller.Ask(
		ctx,
		control.Message{Kind: control.Dial, Server: server, Addr: to.Addr.Addr(), Port: to.Addr.Port()},
	)
	if err != nil {
		return nil, err
	}
	c, err := connOf(got.File)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("what came is no connection of TCP"), c.Close())
	}
	return tcp, nil
}

// question tells of what was not answered.
func (p *process) question(e filter.Event) {
	if e.Verdict != filter.Denied && e.Verdict != filter.Failed && e.Verdict != filter.Dropped {
		return
	}
	p.say(
		control.Message{
			Kind:    control.Event,
			Server:  e.Client,
			Name:    e.Name,
			Verdict: string(e.Verdict),
			Reason:  string(e.Reason),
		},
	)
}

// connection tells of what was not carried.
func (p *process) connection(e relay.Event) {
	if e.Kind != relay.Denied {
		return
	}
	p.say(
		control.Message{
			Kind:    control.Event,
			Server:  e.Server,
			Name:    e.Target.Name,
			Addr:    e.Original.Addr(),
			Port:    e.Original.Port(),
			Verdict: string(filter.Denied),
			Reason:  string(e.Reason),
		},
	)
}

func (p *process) say(m control.Message) { _ = p.caller.Say(m) }
