package core

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// settle is how long a burst of changes may go on before it is repaired: a flush is one transaction, so short.
	settle = 2 * time.Millisecond
	// mounting is how long a new name may take to become a namespace.
	mounting = 20 * time.Millisecond
	// inspection is how often everything is compared without a reason: iptables-legacy tells nobody.
	inspection = 10 * time.Second
	// streamPause parts a stream of notifications that broke from the next one.
	streamPause = 100 * time.Millisecond
	// repairTime bounds one repair.
	repairTime = 20 * time.Second
)

// Repairer is who knows what should be, and repairs it.
type Repairer interface {
	// Networks gives the networks to watch.
	Networks(context.Context) ([]topology.Network, error)
	// RepairNetwork repairs one of them.
	RepairNetwork(ctx context.Context, id string) error
	// Inspect looks at everything, without a reason, and repairs it.
	Inspect(context.Context) error
}

// Watch has what goes missing repaired, until the context ends: in a network's namespace that network, on the host
// all of them. renew says that networks came or went.
func (c *Core) Watch(ctx context.Context, r Repairer, renew <-chan struct{}) {
	w := watch{core: c, repairer: r, watched: map[watchID]context.CancelFunc{}}
	defer w.wait.Wait()
	host, pins, zones := newWake(), newWake(), newWake()
	defer w.follow(ctx, c.host, host).Wait()
	w.wait.Go(func() { w.pins(ctx, pins) })
	w.wait.Go(func() { w.firewalldSignals(ctx, zones) })
	w.wait.Go(func() { w.firewalld(ctx, zones) })
	w.refresh(ctx)
	tick := time.NewTicker(cmp.Or(c.config.Inspection, inspection))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-host:
			time.Sleep(settle)
			w.bounded(ctx, "host", r.Inspect)
		case <-renew:
			zones.notify()
		case <-pins:
			time.Sleep(mounting)
			w.revive(ctx)
		case <-tick.C:
			w.bounded(ctx, "inspection", r.Inspect)
		}
		w.refresh(ctx)
	}
}

// pins tells of namespaces that come and go. Without it they are noticed at the next inspection.
func (w *watch) pins(ctx context.Context, changed wake) {
	for ctx.Err() == nil {
		if err := w.core.config.Pins.Watch(ctx, changed.notify); err != nil && ctx.Err() == nil {
			w.core.log.Debug("watch namespaces", "error", err)
			pause(ctx, inspection)
		}
	}
}

// wake asks for a look soon. Several requests before the look are one.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

// notify never waits.
func (w wake) notify() {
	select {
	case w <- struct{}{}:
	default:
	}
}

type watch struct {
	core     *Core
	repairer Repairer
	watched  map[watchID]context.CancelFunc
	wait     sync.WaitGroup
}

// revive repairs the networks whose namespace somebody unpinned.
func (w *watch) revive(ctx context.Context) {
	networks, err := w.repairer.Networks(ctx)
	if err != nil {
		return // refresh says so
	}
	for _, n := range networks {
		if _, err := ns.Inode(w.core.config.Pins.Path(n.Namespace())); err != nil {
			w.bounded(ctx, "network "+n.DisplayName(), func(ctx context.Context) error { return w.repairer.RepairNetwork(ctx, n.ID) })
		}
	}
}

// refresh watches the namespaces of networks that are new, and those that are gone no more.
func (w *watch) refresh(ctx context.Context) {
	networks, err := w.repairer.Networks(ctx)
	if err != nil {
		w.core.log.Warn("watch", "error", err)
		return
	}
	living := map[watchID]bool{}
	for _, n := range networks {
		inode, err := ns.Inode(w.core.config.Pins.Path(n.Namespace()))
		if err != nil {
			continue // the next repair makes it
		}
		key := watchID{n.ID, inode}
		living[key] = true
		if _, known := w.watched[key]; known {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		w.watched[key] = cancel
		w.wait.Go(func() { w.network(own, n) })
	}
	for key, cancel := range w.watched {
		if !living[key] {
			cancel()
			delete(w.watched, key)
		}
	}
}

// watchID tells a namespace that was made anew from the one before.
type watchID struct {
	id    string
	inode uint64
}

// network repairs one network whenever something of it goes missing. Its connections are its own: those of the core
// are closed with the network.
func (w *watch) network(ctx context.Context, n topology.Network) {
	h, err := w.core.config.Pins.Open(n.Namespace())
	if err != nil {
		return
	}
	where, err := space.Open(h, w.core.config.Store)
	if err != nil {
		w.core.log.Warn("watch", "network", n.DisplayName(), "error", errors.Join(err, h.Close()))
		return
	}
	changed := newWake()
	followed := w.follow(ctx, where, changed)
	changed.notify() // nobody tells what went missing before
	defer func() {
		w.core.forgetFlows(n.ID)
		followed.Wait()
		w.core.log.Debug("watch ended", "network", n.DisplayName(), "error", where.Close())
	}()
	remember := time.NewTimer(0)
	defer remember.Stop()
	if n.Policy.Connect.Off() {
		remember.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-remember.C:
			remember.Reset(w.core.rememberFlows(n, where))
		case <-changed:
			time.Sleep(settle)
			w.bounded(ctx, "network "+n.DisplayName(), func(ctx context.Context) error { return w.repairer.RepairNetwork(ctx, n.ID) })
		}
	}
}

// follow keeps the kernel's notifications of a namespace coming, until the context ends.
func (w *watch) follow(ctx context.Context, where *space.Space, changed wake) *sync.WaitGroup {
	var running sync.WaitGroup
	for _, stream := range []func(context.Context, func()) error{where.NFT.Watch, where.Links.Watch} {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := stream(ctx, changed.notify); err != nil && ctx.Err() == nil {
					w.core.log.Warn("watch", "error", err)
					pause(ctx, streamPause)
					changed.notify() // nobody told what went missing meanwhile
				}
			}
		})
	}
	return &running
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *watch) bounded(ctx context.Context, object string, repair func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	if err := repair(ctx); err != nil && ctx.Err() == nil {
		w.core.log.Error("repair", "object", object, "error", err)
	}
}
