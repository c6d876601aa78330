package filter

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// refreshEvery is how often it is looked which names are due.
const refreshEvery = time.Second

// keep refreshes names in the background until the context ends.
func (c *cache) keep(ctx context.Context) {
	var running errgroup.Group
	running.SetLimit(c.cfg.Limits.Refresh)
	defer func() { _ = running.Wait() }() // They have no errors.
	every(ctx, refreshEvery, func(now time.Time) { c.refreshDue(ctx, &running, now) })
}

// refreshDue starts as many refreshes as may run at once. The others are due still at the next tick.
func (c *cache) refreshDue(ctx context.Context, running *errgroup.Group, now time.Time) {
	for _, e := range c.entries() {
		if !e.due(now, c.cfg.Limits) {
			continue
		}
		started := running.TryGo(func() error {
			defer e.refreshed()
			c.refresh(ctx, e)
			return nil
		})
		if !started {
			e.refreshed()
			return
		}
	}
}

func (c *cache) entries() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*entry, 0, len(c.names))
	for _, e := range c.names {
		list = append(list, e)
	}
	return list
}

// refresh asks resolvers again about a name that has mappings, and moves those. Questions are answered meanwhile from
// what stands.
func (c *cache) refresh(ctx context.Context, e *entry) {
	if !c.prune(ctx, e) {
		return
	}
	start := time.Now()
	o := c.lookup(ctx, e.name)
	if ctx.Err() != nil || !e.takeWork(ctx) {
		return
	}
	defer e.leaveWork()
	switch now := time.Now(); {
	case o.reason == UpstreamFailed:
		c.stumbled(e, start)
	case o.reason != "":
		e.learn(o, now, c.cfg.Limits)
		c.drop(e, o.reason)
	default:
		e.learn(o, now, c.cfg.Limits)
		c.move(ctx, e, o, start)
	}
}

// stumbled keeps the mappings of a name that no resolver answers for, but not for ever.
func (c *cache) stumbled(e *entry, start time.Time) {
	now := time.Now()
	if e.stumble(now, c.cfg.Limits) > c.cfg.Limits.Stale {
		e.learn(outcome{reason: UpstreamFailed}, now, c.cfg.Limits)
		c.drop(e, Stale)
		return
	}
	c.observe(netip.Addr{}, e.name, Kept, UpstreamFailed, now.Sub(start))
}

// move has each mapping of a name lead to new addresses. A kernel that stalls does not hold up new clients for long.
func (c *cache) move(ctx context.Context, e *entry, o outcome, start time.Time) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Limits.Resolve)
	defer cancel()
	verdict, reason := Refreshed, Reason("")
	for _, key := range e.keys() {
		if err := c.moveOne(ctx, e, key, o); err != nil {
			verdict, reason = Kept, BindFailed
		}
	}
	if reason != "" {
		e.stumble(time.Now(), c.cfg.Limits)
	}
	c.observe(netip.Addr{}, e.name, verdict, reason, time.Since(start))
}

// moveOne writes a mapping if it changes, or if the kernel would let go of it.
func (c *cache) moveOne(ctx context.Context, e *entry, key netip.Addr, o outcome) error {
	old, _ := e.binding(key)
	rule, ok := c.cfg.Names.Lookup(key, e.name)
	if !ok || rule.Shared == key.IsValid() {
		return nil // The next round prunes it.
	}
	if !rule.Real && old.fits(rule) && old.leadsTo(o.addrs) {
		return nil
	}
	b, err := c.write(ctx, e.name, key, o, binding{rule: rule, asked: old.asked})
	if err != nil {
		return err
	}
	e.put(key, b)
	return nil
}

// prune lets go of the mappings that the policy or nobody needs, and reports whether the name has others. One that has
// none leaves the cache.
func (c *cache) prune(ctx context.Context, e *entry) bool {
	if !e.takeWork(ctx) {
		return false
	}
	defer e.leaveWork()
	now := time.Now()
	for _, key := range e.keys() {
		b, _ := e.binding(key)
		rule, ok := c.cfg.Names.Lookup(key, e.name)
		switch {
		case !ok || rule.Shared == key.IsValid():
			c.forget(e, key, NotAllowed)
		case rule.Zone != "" && now.Sub(b.asked) > c.cfg.Limits.WildIdle:
			c.forget(e, key, Unused)
		}
	}
	if len(e.keys()) > 0 {
		return true
	}
	c.remove(e)
	return false
}

// drop lets go of all mappings of a name.
func (c *cache) drop(e *entry, reason Reason) {
	for _, key := range e.keys() {
		c.forget(e, key, reason)
	}
}

// forget lets go of one mapping.
func (c *cache) forget(e *entry, key netip.Addr, reason Reason) {
	e.take(key)
	c.bindings.Add(-1)
	c.cfg.Forget(key, e.name)
	c.observe(key, e.name, Forgotten, reason, 0)
}

// remove takes a name out of the cache. Whoever holds its entry looks again.
func (c *cache) remove(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	delete(c.names, e.name)
}
