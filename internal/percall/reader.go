package percall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Reader reads the networks of one owner on one host. It changes neither the store nor the kernel.
type Reader struct {
	core *core.Core
	docs documents
	log  *slog.Logger
}

// documents is what a reader needs of a store: that of a view, too.
type documents interface {
	Load() (store.Contents, error)
	RLock(context.Context) (unlock func(), err error)
	Identity() (string, error)
	Fact(name string) string
	HasResident() (bool, error)
}

// OpenReader opens the store to read, and connects to the kernel.
func OpenReader(ctx context.Context, c Config) (*Reader, error) {
	r := &Reader{}
	err := r.open(c, store.OpenView(c.StoreDir))
	if err == nil {
		_, err = r.useFeatures(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reader) open(c Config, from documents) error {
	r.docs, r.log = from, c.Log
	if r.log == nil {
		r.log = slog.Default()
	}
	identity, err := from.Identity()
	if err != nil {
		return err
	}
	r.core, err = core.Open(core.Config{NetNS: c.NetNS, Pins: c.Pins, Owner: c.Owner, Store: identity, Bus: c.Bus, Log: r.log,
		OnStep: c.OnStep, Features: c.Features, Inspection: c.Inspection})
	return err
}

// Close ends the connection to the kernel.
func (r *Reader) Close() error {
	if r.core == nil {
		return nil
	}
	return r.core.Close()
}

// featuresFact is the fact in the store that tells what the kernel offers, for the time since it started.
const featuresFact = "kernel"

// useFeatures finds out what the kernel offers, once for each boot: it takes a process. probed says that nobody had
// written it down.
func (r *Reader) useFeatures(ctx context.Context) (probed bool, err error) {
	for _, prefix := range []bool{true, false} {
		f := firewall.Features{DevicePrefix: prefix}
		if text := featuresText(f); bootID() != "" && r.docs.Fact(featuresFact) == text {
			r.core.Use(f)
			return false, nil
		}
	}
	features, err := r.core.Probe(ctx)
	if err != nil {
		return false, err
	}
	r.core.Use(features)
	return true, nil
}

func featuresText(f firewall.Features) string {
	return bootID() + " prefix=" + strconv.FormatBool(f.DevicePrefix)
}

// bootID names the time since the kernel started, or is "" where the kernel does not tell.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// state is everything that the store holds, read by one call.
type state struct {
	networks   map[string]*network
	unreadable []store.Ref
	problems   []*store.Problem
}

type network struct {
	store.Network
	endpoints []store.Endpoint
	// dead networks have no endpoint with a wire: all their containers ended without a word, or the host was restarted.
	// Nothing is done for them until one is attached again.
	dead bool
}

// load reads the store, and tells networks that have a wire from dead ones.
func (r *Reader) load() (*state, error) {
	contents, err := r.docs.Load()
	if err != nil {
		return nil, err
	}
	s := &state{networks: map[string]*network{}, unreadable: contents.Unreadable, problems: contents.Problems}
	for _, n := range contents.Networks {
		s.networks[n.ID] = &network{Network: n}
	}
	for _, e := range contents.Endpoints {
		if n, ok := s.networks[e.NetworkID]; ok {
			n.endpoints = append(n.endpoints, e)
		}
	}
	for _, n := range s.networks {
		slices.SortFunc(n.endpoints, func(a, b store.Endpoint) int { return a.IP.Compare(b.IP) })
		n.dead = r.isDead(n)
	}
	return s, nil
}

// isDead reports whether no endpoint of a network has a wire. One that cannot be looked at is not: whoever works on it
// tells why, and keeps nobody from the others.
func (r *Reader) isDead(n *network) bool {
	if n.Legacy {
		return false // its wires are on the host
	}
	for _, e := range n.endpoints {
		if _, lives, err := r.core.HasWire(n.Network.Network, e.Endpoint); lives || err != nil {
			return false
		}
	}
	return true
}

// plan is the core's view of a network.
func (s *state) plan(n *network) plan.Network {
	out := plan.Network{Network: n.Network.Network,
		Incomplete: slices.ContainsFunc(s.unreadable, func(r store.Ref) bool { return r.Network == n.ID })}
	for _, e := range n.endpoints {
		out.Endpoints = append(out.Endpoints, plan.Endpoint{Endpoint: e.Endpoint, Joined: e.Joined, Alone: true})
	}
	return out
}

// living are the networks that something is done for, in a fixed order.
func (s *state) living() (out []*network) {
	for _, n := range s.networks {
		if !n.dead {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *network) int { return strings.Compare(a.Bridge, b.Bridge) })
	return out
}

func (s *state) planned() (out []plan.Network) {
	for _, n := range s.living() {
		out = append(out, s.plan(n))
	}
	return out
}

// plain are the living networks without their endpoints.
func (s *state) plain() (out []topology.Network) {
	for _, n := range s.living() {
		out = append(out, n.Network.Network)
	}
	return out
}

// spares tells of what may be described by a document that cannot be read. A network that is only dead is collected
// when it is made again.
func (s *state) spares(network, id string) bool {
	if _, known := s.networks[network]; known && id == "" {
		return true
	}
	return slices.ContainsFunc(s.unreadable, func(r store.Ref) bool {
		return r.Network == network && (r.Endpoint == "" || r.Endpoint == id)
	})
}

func (s *state) endpoint(networkID, id string) (*network, store.Endpoint, error) {
	n, ok := s.networks[networkID]
	if !ok {
		return nil, store.Endpoint{}, fmt.Errorf("network %s: %w", short(networkID), ErrNoNetwork)
	}
	i := slices.IndexFunc(n.endpoints, func(e store.Endpoint) bool { return e.ID == id })
	if i < 0 {
		return nil, store.Endpoint{}, fmt.Errorf("network %s: endpoint %s: %w", n.DisplayName(), short(id), ErrNoEndpoint)
	}
	return n, n.endpoints[i], nil
}

func short(id string) string { return id[:min(12, len(id))] }

// view runs do, which changes nothing, beside others that do not hold the store alone.
func (r *Reader) view(ctx context.Context, do func(*state) error) error {
	return r.holding(ctx, r.docs.RLock, do)
}

func (r *Reader) holding(ctx context.Context, lock func(context.Context) (func(), error), do func(*state) error) error {
	unlock, err := lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := r.load()
	if err != nil {
		return err
	}
	return do(s)
}

// Networks gives the networks that something is done for.
func (r *Reader) Networks(ctx context.Context) (out []topology.Network, err error) {
	err = r.view(ctx, func(s *state) error {
		out = s.plain()
		return nil
	})
	return out, err
}

// Plan gives the steps that Reconcile and Collect would take now.
func (r *Reader) Plan(ctx context.Context) (steps []report.Step, err error) {
	err = r.view(ctx, func(s *state) error {
		steps, err = r.core.Plan(ctx, s.planned(), s.spares)
		return err
	})
	return steps, err
}

// Status reads what is in force.
func (r *Reader) Status(ctx context.Context) (out report.Status, err error) {
	err = r.view(ctx, func(s *state) error {
		watched, err := r.docs.HasResident()
		if err != nil {
			return err
		}
		out, err = r.core.Status(ctx, s.planned(), watched)
		for _, p := range s.problems {
			out.Findings = append(out.Findings, report.Unreadable(p.Path, p, p.Remedy))
		}
		out.Findings = append(out.Findings, r.evidence(s, watched)...)
		return err
	})
	for i := range out.Networks {
		for j := range out.Networks[i].Endpoints {
			if e := &out.Networks[i].Endpoints[j]; e.State == report.StateGone {
				e.State = report.StateEnded // no process would have been told
			}
		}
	}
	slices.SortFunc(out.Findings, report.Compare)
	return out, err
}

// Examined gives the endpoints whose networks want evidence about them, each with its network.
func (r *Reader) Examined(ctx context.Context) (out []core.Examined, err error) {
	err = r.view(ctx, func(s *state) error {
		for _, n := range s.planned() {
			out = append(out, core.ExaminedOf(n)...)
		}
		return nil
	})
	return out, err
}
