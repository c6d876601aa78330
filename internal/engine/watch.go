package engine

import (
	"context"
	"time"
)

const (
	// settle is how long a burst of changes may go on before it is repaired: a flush is one transaction, so short.
	settle = 2 * time.Millisecond
	// inspection is how often everything is compared without a reason: iptables-legacy tells nobody.
	inspection = 10 * time.Second
	// repairTime bounds one repair.
	repairTime = 20 * time.Second
)

// Watch repairs what goes missing, until the context ends.
func (e *Engine) Watch(ctx context.Context) {
	lost := make(chan struct{}, 1)
	changed := func() {
		select {
		case lost <- struct{}{}:
		default:
		}
	}
	go e.follow(ctx, e.nft.Watch, changed)
	go e.follow(ctx, e.links.Watch, changed)
	tick := time.NewTicker(inspection)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			time.Sleep(settle)
			e.repair(ctx)
		case <-tick.C:
			e.inspect(ctx)
		}
	}
}

// inspect repairs without a reason. In a shared store it looks first, beside attachments, and holds the store alone only
// when there is something to do; nobody else collects there what killed processes left.
func (e *Engine) inspect(ctx context.Context) {
	if !e.shared {
		e.repair(ctx)
		return
	}
	looking, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	if steps, err := e.Plan(looking); err == nil && len(steps) == 0 {
		return
	}
	e.repair(ctx)
	if err := e.Collect(looking); err != nil {
		e.log.Error("collect", "error", err)
	}
}

// follow keeps the kernel's notifications coming.
func (e *Engine) follow(ctx context.Context, watch func(context.Context, func()) error, changed func()) {
	for ctx.Err() == nil {
		if err := watch(ctx, changed); err != nil && ctx.Err() == nil {
			e.log.Warn("watch", "error", err)
			changed()
			time.Sleep(time.Second)
		}
	}
}

func (e *Engine) repair(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	if _, err := e.Reconcile(ctx); err != nil {
		e.log.Error("repair", "error", err)
	}
}
