// Package percall works on the networks of a store that many processes share: CNI and netavark start one for each
// attachment, many at once, and nothing needs to run beside them. A process that does, mcpnet's service, repairs what
// goes missing.
//
// Documents are the truth, and the store's lock orders who changes them. Attachments change objects of their own only
// and hold it together; whoever makes, changes or removes a network holds it alone.
package percall

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Config says where a front works.
type Config struct {
	// StoreDir holds what should be.
	StoreDir string
	// NetNS is the path of the host's network namespace; empty is the process's own.
	NetNS string
	// Pins is where networks' namespaces are pinned.
	Pins ns.Pins
	// Owner is the surface whose networks these are.
	Owner topology.Owner
	// Bus is the address of the host's system bus, where its firewalld is; empty: there is none.
	Bus string
	// OnForget, if set, is told of each endpoint that is given up because its wire is gone: its address is free.
	OnForget func(topology.Endpoint)
	Log      *slog.Logger
	// OnStep, if set, is called before and after every step: a test ends the process there.
	OnStep func(plan.Step)
	// Features, if set, changes what was found of the kernel: a test works as on an older one.
	Features func(firewall.Features) firewall.Features
	// Inspection, if set, is how often Watch compares everything without a reason: a test sees what a notification does.
	Inspection time.Duration
}

// Front works on the networks of one owner on one host.
type Front struct {
	Reader
	store    *store.Store
	onForget func(topology.Endpoint)
	left     sync.Map // ids of networks of an earlier version that this process cannot move
}

// Open opens the store and connects to the kernel. Nothing in the kernel changes.
func Open(ctx context.Context, c Config) (*Front, error) {
	f := &Front{onForget: c.OnForget}
	if f.onForget == nil {
		f.onForget = func(topology.Endpoint) {}
	}
	if err := f.open(ctx, c); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *Front) open(ctx context.Context, c Config) (err error) {
	if f.store, err = store.OpenShared(c.StoreDir); err != nil {
		return err
	}
	if err := f.Reader.open(c, f.store); err != nil {
		return err
	}
	probed, err := f.useFeatures(ctx)
	if err != nil || !probed {
		return err
	}
	return f.store.PutFact(featuresFact, featuresText(f.core.Features()))
}

// Close releases everything; namespaces, rules and links stay.
func (f *Front) Close() error {
	failed := []error{f.Reader.Close()}
	if f.store != nil {
		failed = append(failed, f.store.Close())
	}
	return errors.Join(failed...)
}

// Usable reports why nothing could be attached now, if so: CNI's STATUS.
func (f *Front) Usable(ctx context.Context) error {
	_, err := f.core.Probe(ctx)
	return err
}

// PortOf finds the host end of a container's interface that another plugin made.
func (f *Front) PortOf(sandbox, name string) (core.Port, error) { return f.core.PortOf(sandbox, name) }

// Outlets tells what leads out of a container's network namespace.
func (f *Front) Outlets(sandbox string) (core.Outlets, error) { return f.core.Outlets(sandbox) }

// Reside tells processes that share the store that somebody looks at the containers of endpoints that are held, until
// leave.
func (f *Front) Reside() (leave func(), err error) { return f.store.Reside() }

// IsBusy reports whether an error only says that others took too long; the same call may go through later.
func IsBusy(err error) bool { return errors.Is(err, store.ErrBusy) }

// IsTaken reports whether an error says that the container has this attachment, or an interface of its name, already.
func IsTaken(err error) bool {
	return errors.Is(err, ErrAttached) || errors.Is(err, core.ErrPeerExists)
}

var (
	// ErrAttached says that an attachment is there already.
	ErrAttached = errors.New("detach it first")
	// ErrNoNetwork and ErrNoEndpoint say that an id is not known.
	ErrNoNetwork  = errors.New("no such mcpnet network")
	ErrNoEndpoint = errors.New("no such endpoint")
)

// alone runs do with everything that the store holds, while no other process works on it.
func (f *Front) alone(ctx context.Context, do func(*state) error) error {
	return f.holding(ctx, f.store.Lock, do)
}
