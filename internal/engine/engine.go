// Package engine joins the pure packages with the kernel and the store: lock, change what should be, persist it,
// observe, plan, apply. It is the only package that knows the edges.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Config says where an engine works.
type Config struct {
	// StoreDir holds what should be, over restarts.
	StoreDir string
	// NetNS is the path of the network namespace to work in; empty is the process's own.
	NetNS string
	// Owner is the surface whose networks these are.
	Owner topology.Owner
	// Shared stores are worked on by many processes: see shared.go.
	Shared bool
	// OnForget, if set, is told of each endpoint that is given up because its wire is gone: its address is free.
	OnForget func(topology.Endpoint)
	Log      *slog.Logger
	// OnStep, if set, is called before and after every step: a test ends the process there.
	OnStep func(plan.Step)
}

// Engine holds the networks of one owner in one network namespace.
type Engine struct {
	owner    topology.Owner
	shared   bool
	log      *slog.Logger
	lock     chan struct{} // holds one token; taken with a context, so that no call waits for ever
	onStep   func(plan.Step)
	onForget func(topology.Endpoint)

	ns       ns.Handle
	store    *store.Store
	links    *link.Links
	nft      *nft.Firewall
	iptables *iptables.Firewall // nil where the host has none, and before openIPTables
	looked   bool               // for iptables
	features firewall.Features

	networks map[string]*network
	removed  map[string]time.Time // when networks were removed, by id: see RebuildNetwork
	problems []string             // what status shows: layers that are weaker, documents that cannot be read
}

type network struct {
	topology.Network
	endpoints map[string]*endpoint
	// pending networks have rules of an older policy in the kernel.
	pending bool
	// dead networks of a shared store have no endpoint with a wire: all their containers ended without a word, or the host
	// was restarted. Nothing is done for them until one is attached again.
	dead bool
}

type endpoint struct {
	topology.Endpoint
	joined bool
	// leaving endpoints are being removed without the lock: deleting a veth takes the kernel tens of milliseconds.
	leaving bool
}

// Open opens the store and the kernel's interfaces. Nothing in the kernel changes before Start.
func Open(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{owner: c.Owner, shared: c.Shared, log: c.Log, lock: make(chan struct{}, 1), onStep: c.OnStep, onForget: c.OnForget, networks: map[string]*network{}, removed: map[string]time.Time{}}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.onForget == nil {
		e.onForget = func(topology.Endpoint) {}
	}
	e.lock <- struct{}{}
	if err := e.open(ctx, c); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context, c Config) (err error) {
	if e.ns, err = ns.Open(c.NetNS); err != nil {
		return err
	}
	if e.links, err = link.Open(e.ns); err != nil {
		return err
	}
	if e.nft, err = nft.Open(e.ns); err != nil {
		return err
	}
	if c.Shared {
		e.store, err = store.OpenShared(c.StoreDir)
	} else {
		e.store, err = store.Open(c.StoreDir)
	}
	if err != nil {
		return err
	}
	if err := e.links.DisablesIPv6(); err != nil {
		e.problem(fmt.Sprintf("IPv6 cannot be taken off wires (%v): while nftables' rules are gone, the host's stack takes IPv6 from servers", err))
	}
	if c.Shared {
		return e.knownFeatures(ctx)
	}
	if e.features, err = e.nft.Features(ctx); err != nil {
		return err
	}
	e.noteFeatures()
	e.openIPTables()
	return e.load()
}

func (e *Engine) noteFeatures() {
	if !e.features.Reset {
		e.problem("this kernel has no nft reject in netdev (CONFIG_NFT_REJECT_NETDEV): a closed port of a gateway is silent instead of refused")
	}
}

// openIPTables looks for iptables, once: it takes several processes.
func (e *Engine) openIPTables() {
	if e.looked {
		return
	}
	e.looked = true
	found, err := iptables.Open(e.ns)
	if err != nil {
		e.problem(fmt.Sprintf("%v: where another firewall drops forwarded packets, a gateway's egress does not pass", err))
		return
	}
	e.iptables = found
}

func (e *Engine) problem(text string) {
	e.problems = append(e.problems, text)
	e.log.Warn(text)
}

// load reads the store. A document without its network is dropped: the network is rebuilt from the engine's own list,
// and with it nothing that could be wrong.
func (e *Engine) load() error {
	contents, err := e.store.Load()
	if err != nil {
		return err
	}
	for _, p := range contents.Problems {
		e.problem(p.Error())
	}
	clear(e.networks)
	for _, n := range contents.Networks {
		e.networks[n.ID] = &network{Network: n.Network, endpoints: map[string]*endpoint{}, pending: n.Pending, dead: e.shared}
	}
	for _, stored := range contents.Endpoints {
		if n, ok := e.networks[stored.NetworkID]; ok {
			n.endpoints[stored.ID] = &endpoint{Endpoint: stored.Endpoint, joined: stored.Joined}
		}
	}
	if e.shared {
		return e.findLiving()
	}
	return nil
}

// findLiving tells the networks that have a wire from dead ones.
func (e *Engine) findLiving() error {
	links, err := e.links.List()
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	for _, l := range links {
		exists[l.Name] = true
	}
	for _, n := range e.networks {
		for _, p := range n.endpoints {
			if exists[p.Wire()] {
				n.dead = false
			}
		}
	}
	return nil
}

// Close releases everything; rules and links stay.
func (e *Engine) Close() error {
	var failed []error
	if e.nft != nil {
		failed = append(failed, e.nft.Close())
	}
	if e.links != nil {
		e.links.Close()
	}
	if e.store != nil {
		failed = append(failed, e.store.Close())
	}
	return errors.Join(append(failed, e.ns.Close())...)
}

// acquire takes the engine's lock, or fails when the context ends first.
func (e *Engine) acquire(ctx context.Context) error {
	select {
	case <-e.lock:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another operation takes too long: %w", ctx.Err())
	}
}

func (e *Engine) release() { e.lock <- struct{}{} }

// locked runs f with the engine's lock, and with a shared store alone.
func (e *Engine) locked(ctx context.Context, f func() error) error {
	return e.holding(ctx, (*store.Store).Lock, f)
}

// view runs f, which changes nothing, beside others that do not hold the store alone.
func (e *Engine) view(ctx context.Context, f func() error) error {
	return e.holding(ctx, (*store.Store).RLock, f)
}

func (e *Engine) holding(ctx context.Context, lock func(*store.Store, context.Context) (func(), error), f func() error) error {
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if !e.shared {
		return f()
	}
	unlock, err := lock(e.store, ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.load(); err != nil {
		return err
	}
	return f()
}

// desired is the plan's view of what should be, in a fixed order.
func (e *Engine) desired() plan.Desired {
	d := plan.Desired{Owner: e.owner, Features: e.features}
	for _, n := range e.networks {
		if !n.dead {
			d.Networks = append(d.Networks, n.plan())
		}
	}
	slices.SortFunc(d.Networks, func(a, b plan.Network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return d
}

func (n *network) plan() plan.Network {
	out := plan.Network{Network: n.Network}
	for _, p := range n.endpoints {
		if !p.leaving {
			out.Endpoints = append(out.Endpoints, plan.Endpoint{Endpoint: p.Endpoint, Joined: p.joined})
		}
	}
	slices.SortFunc(out.Endpoints, func(a, b plan.Endpoint) int { return a.IP.Compare(b.IP) })
	return out
}

// ErrNoNetwork and ErrNoEndpoint say that an id is not known.
var (
	ErrNoNetwork  = errors.New("no such mcpnet network")
	ErrNoEndpoint = errors.New("no such endpoint")
)

func (e *Engine) network(id string) (*network, error) {
	n, ok := e.networks[id]
	if !ok {
		return nil, fmt.Errorf("network %s: %w", short(id), ErrNoNetwork)
	}
	return n, nil
}

func (e *Engine) endpoint(networkID, id string) (*network, *endpoint, error) {
	n, err := e.network(networkID)
	if err != nil {
		return nil, nil, err
	}
	p, ok := n.endpoints[id]
	if !ok {
		return nil, nil, fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), ErrNoEndpoint)
	}
	return n, p, nil
}

func short(id string) string { return id[:min(12, len(id))] }
