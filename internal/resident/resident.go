// Package resident keeps the networks of one store in memory, for a process that lives as long as they do: Docker's
// plugin. It takes the driver's calls, persists what should be, has the core make it so, and watches over it. No
// other process changes the store.
package resident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Config says where a front works.
type Config struct {
	// StoreDir holds what should be, over restarts.
	StoreDir string
	// NetNS is the path of the host's network namespace; empty is the process's own.
	NetNS string
	// Pins is where networks' namespaces are pinned.
	Pins ns.Pins
	// Owner is the surface whose networks these are.
	Owner topology.Owner
	// Bus is the address of the host's system bus, where its firewalld is; empty: there is none.
	Bus string
	Log *slog.Logger
	// OnStep, if set, is called before and after every step: a test ends the process there.
	OnStep func(plan.Step)
	// Features, if set, changes what was found of the kernel: a test works as on an older one.
	Features func(firewall.Features) firewall.Features
	// Names says how servers' names are answered.
	Names Names
	// Inspection, if set, is how often Watch compares everything without a reason: a test sees what a notification does.
	Inspection time.Duration
}

// Front holds the networks of one owner on one host.
type Front struct {
	core  *core.Core
	store *store.Store
	log   *slog.Logger
	lock  chan struct{} // holds one token; taken with a context, so that no call waits for ever
	names Names
	renew chan struct{} // asks for the watch over networks that came or went

	networks   map[string]*network
	removed    map[string]time.Time // when networks were removed, by id: see RebuildNetwork
	unreadable []store.Ref          // what documents that cannot be read may be about
	problems   []report.Finding     // what start found
	lacking    []report.Finding     // what evidence cannot be had
}

type network struct {
	topology.Network
	endpoints map[string]*endpoint
	// incomplete networks have documents of endpoints that cannot be read.
	incomplete bool
	// complete networks have no endpoint that the store has lost: Collect was called, or the network was made anew.
	complete bool
	// unheld are published ports that could not be taken, and why.
	unheld map[topology.Publication]error
	// names answers servers' names; nil where the policy has none, or where that failed.
	names       *nameRouter
	namesFailed error
	// failed is why the last attempt to put the network in force did not succeed.
	failed error
}

type endpoint struct {
	topology.Endpoint
	joined bool
	// alone says that the engine's list shows no other network of the container.
	alone bool
	// leaving endpoints are being removed without the lock: deleting a veth takes the kernel tens of milliseconds.
	leaving bool
}

// Open opens the store and connects to the kernel. Nothing in the kernel changes before Start.
func Open(ctx context.Context, c Config) (f *Front, err error) {
	f = &Front{log: c.Log, names: c.Names, lock: make(chan struct{}, 1), renew: make(chan struct{}, 1), networks: map[string]*network{}, removed: map[string]time.Time{}}
	if f.log == nil {
		f.log = slog.Default()
	}
	f.lock <- struct{}{}
	if err := f.open(ctx, c); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Front) open(ctx context.Context, c Config) (err error) {
	if f.store, err = store.Open(c.StoreDir); err != nil {
		return err
	}
	identity, err := f.store.Identity()
	if err != nil {
		return err
	}
	f.core, err = core.Open(core.Config{NetNS: c.NetNS, Pins: c.Pins, Owner: c.Owner, Store: identity, UniqueIDs: true, Bus: c.Bus,
		Log: f.log, OnStep: c.OnStep, Features: c.Features, Inspection: c.Inspection})
	if err != nil {
		return err
	}
	features, err := f.core.Probe(ctx)
	if err != nil {
		return err
	}
	f.core.Use(features)
	return f.load()
}

// load reads the store. A document without its network is left alone: the network is rebuilt from the engine's own
// list, and its endpoints with it.
func (f *Front) load() error {
	contents, err := f.store.Load()
	if err != nil {
		return err
	}
	f.unreadable = contents.Unreadable
	for _, p := range contents.Problems {
		f.log.Warn("document", "error", p)
		f.problems = append(f.problems, report.Unreadable(p.Path, p, p.Remedy))
	}
	for _, n := range contents.Networks {
		incomplete := slices.ContainsFunc(contents.Unreadable, func(r store.Ref) bool { return r.Network == n.ID })
		f.networks[n.ID] = &network{Network: n.Network, endpoints: map[string]*endpoint{}, incomplete: incomplete}
	}
	for _, stored := range contents.Endpoints {
		if n, ok := f.networks[stored.NetworkID]; ok {
			n.endpoints[stored.ID] = &endpoint{Endpoint: stored.Endpoint, joined: stored.Joined}
		}
	}
	return nil
}

// Close releases everything; namespaces, rules and links stay.
func (f *Front) Close() error {
	var failed []error
	for _, n := range f.networks {
		f.stopNames(n)
	}
	if f.core != nil {
		failed = append(failed, f.core.Close())
	}
	if f.store != nil {
		failed = append(failed, f.store.Close())
	}
	return errors.Join(failed...)
}

// locked runs do with the front's lock, or fails when the context ends first.
func (f *Front) locked(ctx context.Context, do func() error) error {
	select {
	case <-f.lock:
	case <-ctx.Done():
		return fmt.Errorf("another operation takes too long: %w", ctx.Err())
	}
	defer func() { f.lock <- struct{}{} }()
	return do()
}

// changed has the watch look at which networks there are.
func (f *Front) changed() {
	select {
	case f.renew <- struct{}{}:
	default:
	}
}

// plan is the core's view of a network, in a fixed order.
func (n *network) plan() plan.Network {
	out := plan.Network{Network: n.served(), Incomplete: n.incomplete || !n.complete}
	for _, p := range n.endpoints {
		if !p.leaving {
			out.Endpoints = append(out.Endpoints, plan.Endpoint{Endpoint: p.Endpoint, Joined: p.joined, Alone: p.alone})
		}
	}
	slices.SortFunc(out.Endpoints, func(a, b plan.Endpoint) int { return a.IP.Compare(b.IP) })
	return out
}

// sorted are the networks in a fixed order.
func (f *Front) sorted() (out []*network) {
	for _, n := range f.networks {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return out
}

// plain are all networks without their endpoints.
func (f *Front) plain() (out []topology.Network) {
	for _, n := range f.sorted() {
		out = append(out, n.served())
	}
	return out
}

// ErrNoNetwork and ErrNoEndpoint say that an id is not known.
var (
	ErrNoNetwork  = errors.New("no such mcpnet network")
	ErrNoEndpoint = errors.New("no such endpoint")
)

func (f *Front) network(id string) (*network, error) {
	n, ok := f.networks[id]
	if !ok {
		return nil, fmt.Errorf("network %s: %w", short(id), ErrNoNetwork)
	}
	return n, nil
}

func (f *Front) endpoint(networkID, id string) (*network, *endpoint, error) {
	n, err := f.network(networkID)
	if err != nil {
		return nil, nil, err
	}
	p, ok := n.endpoints[id]
	if !ok {
		return nil, nil, fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), ErrNoEndpoint)
	}
	return n, p, nil
}

// isUnknown reports whether an error says that an id is not known.
func isUnknown(err error) bool { return errors.Is(err, ErrNoEndpoint) || errors.Is(err, ErrNoNetwork) }

func short(id string) string { return id[:min(12, len(id))] }
