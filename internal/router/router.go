// Package router keeps a process at work that reads what the servers of one network send: questions for names, and the
// beginnings of connections to names. It makes every socket and every mapping for that process, and judges each request
// by the policy itself: a process that is taken over reaches what its network's servers may reach, and nothing else.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/router/control"
)

// Config says what a router works on.
type Config struct {
	Network string    // its name, for messages
	NS      ns.Handle // its namespace
	Subnet  netip.Prefix
	Addr    netip.Addr   // of the router, where the process answers
	Allow   policy.Allow // the network's list
	Command []string     // the program that is to be the process, and what stands before process.Argument
	Host    ns.Handle    // from where resolvers are asked
	// Resolvers gives the host's resolvers, anew for each question.
	Resolvers func() ([]netip.AddrPort, error)
	// Put writes ways of names into the kernel, and takes others out. It returns when the kernel holds them.
	Put func(put, gone []firewall.Name) error
	// Clear takes all of a server's ways out of the kernel.
	Clear func(server netip.Addr) error
	// Observe is told of what was denied. It must not wait.
	Observe func(Event)
	Log     *slog.Logger
}

// Event is a question or a connection that was denied.
type Event struct {
	Server  netip.Addr
	Name    string
	To      netip.AddrPort // of a connection: the synthetic address
	Verdict string
	Reason  string
}

// Router is one network's. Close ends it.
type Router struct {
	config  Config
	sockets sockets
	factory *factory
	names   *names
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex // of what follows
	servers map[netip.Addr]*policy.Allow
	current *control.Caller // to the process that runs; nil between two
	failed  error           // why the last one ended
}

// Start makes the sockets in the network's namespace and starts the process.
func Start(c Config) (*Router, error) {
	s, err := listen(c.NS, c.Addr)
	if err != nil {
		return nil, fmt.Errorf("network %s: names: %w", c.Network, err)
	}
	f, err := newFactory(c.NS, c.Addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("network %s: names: %w", c.Network, err), s.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Router{
		config:  c,
		sockets: s,
		factory: f,
		names:   newNames(c),
		cancel:  cancel,
		done:    make(chan struct{}),
		servers: map[netip.Addr]*policy.Allow{},
	}
	go r.supervise(ctx)
	return r, nil
}

// Close ends the process. What the kernel holds of names stays.
func (r *Router) Close() error {
	r.cancel()
	<-r.done
	r.factory.close()
	return r.sockets.close()
}

// Failed tells why the process does not run; nil while it does.
func (r *Router) Failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		return nil
	}
	return r.failed
}

// SetServer says that a server is there, with its own list or, where that is nil, the network's.
func (r *Router) SetServer(server netip.Addr, own *policy.Allow) error {
	err := r.names.set(server, own)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[server] = own
	r.tell(control.Message{Kind: control.Server, Server: server, List: own})
	return err
}

// DropServer says that a server is gone. Nothing that it has resolved opens anything for the next one at its address.
func (r *Router) DropServer(server netip.Addr) error {
	err := r.names.forgetServer(server)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.servers, server)
	r.tell(control.Message{Kind: control.Gone, Server: server})
	return err
}

// tell says something to the process, if one runs: the next one is told everything. One that does not listen ends.
func (r *Router) tell(m control.Message) {
	if r.current != nil {
		_ = r.current.Say(m) // a failure ends the conversation
	}
}

// Pauses between two processes: a process that fails at once is not started in a loop.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	steady     = 10 * time.Second // a process that ran as long is not one that fails at once
)

func (r *Router) supervise(ctx context.Context) {
	defer close(r.done)
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := r.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		r.config.Log.Warn("names: the process ended and is started again", "network", r.config.Network, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// once runs one process until it ends.
func (r *Router) once(ctx context.Context) error {
	conn, cmd, err := r.start()
	if err != nil {
		r.note(nil, err)
		return err
	}
	caller := control.NewCaller(conn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err = r.introduce(caller); err == nil {
		busy := make(chan struct{}, maxQuestions)
		err = caller.Serve(func(m control.Message) { r.heard(ctx, conn, m, busy) })
	}
	r.note(nil, err)
	conn.Close()
	_ = cmd.Process.Kill()
	return errors.Join(err, cmd.Wait())
}

// introduce tells a new process everything.
func (r *Router) introduce(caller *control.Caller) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	messages := []control.Message{{Kind: control.Server, Name: r.config.Network, List: &r.config.Allow}}
	for server, own := range r.servers {
		messages = append(messages, control.Message{Kind: control.Server, Server: server, List: own})
	}
	for name, synthetic := range r.names.all() {
		messages = append(messages, control.Message{Kind: control.Bound, Name: name, Addr: synthetic})
	}
	for _, m := range append(messages, control.Message{Kind: control.Ready}) {
		if err := caller.Say(m); err != nil {
			return err
		}
	}
	r.current, r.failed = caller, nil
	return nil
}

func (r *Router) note(current *control.Caller, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.failed = current, err
}

// maxQuestions is how many questions of the process are answered at once.
const maxQuestions = 1024

// heard takes in what the process asks. Each question is answered by itself, since some wait.
func (r *Router) heard(ctx context.Context, conn *control.Conn, m control.Message, busy chan struct{}) {
	answer := func(do func() (control.Message, error)) {
		busy <- struct{}{}
		go func() {
			defer func() { <-busy }()
			r.answer(conn, m, do)
		}()
	}
	switch m.Kind {
	case control.Bind:
		answer(func() (control.Message, error) {
			synthetic, err := r.names.bind(m.Server, m.Name, m.Addrs)
			return control.Message{Addr: synthetic}, err
		})
	case control.Resolve:
		answer(func() (control.Message, error) {
			text, err := r.resolve(ctx, m.Network, m.Name)
			return control.Message{Text: text}, err
		})
	case control.Dial:
		answer(func() (control.Message, error) {
			addrs, err := r.names.leads(m.Server, netip.AddrPortFrom(m.Addr, m.Port))
			if err != nil {
				return control.Message{}, err
			}
			return passed(r.factory.dial(ctx, addrs, m.Port))
		})
	case control.Forget:
		if err := r.names.forget(m.Server, m.Name); err != nil {
			r.config.Log.Debug("names", "network", r.config.Network, "error", err)
		}
	case control.Event:
		r.config.Observe(Event{m.Server, m.Name, netip.AddrPortFrom(m.Addr, m.Port), m.Verdict, m.Reason})
	}
}

// answer answers a question of the process.
func (r *Router) answer(conn *control.Conn, question control.Message, do func() (control.Message, error)) {
	m, err := do()
	m.Kind, m.ID = control.Answer, question.ID
	if err != nil {
		m.Error = err.Error()
	}
	if err := conn.Send(m); err != nil {
		r.config.Log.Debug("names: answer", "network", r.config.Network, "error", err)
	}
	if m.File != nil {
		m.File.Close()
	}
}

func passed(f *os.File, err error) (control.Message, error) { return control.Message{File: f}, err }
