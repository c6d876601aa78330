package filter

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// cache holds the names that were asked for. What one client may ask for is not its business.
type cache struct {
	cfg      *Config
	resolver resolver
	bindings atomic.Int64

	mu    sync.Mutex
	names map[string]*entry
}

func newCache(cfg *Config) *cache {
	return &cache{cfg: cfg, resolver: resolver{cfg.Upstream, cfg.Limits}, names: map[string]*entry{}}
}

// get is the entry of a name. It is nil if there are too many.
func (c *cache) get(name string, now time.Time) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.names[name]
	if e == nil && len(c.names) < c.cfg.Limits.Names {
		e = newEntry(name, now)
		c.names[name] = e
	}
	return e
}

// addresses gives what a client is told about a name that it may ask for, or the reason why there is nothing to tell.
func (c *cache) addresses(ctx context.Context, client netip.Addr, name string, r Rule) ([]netip.Addr, Reason) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Limits.Resolve+c.cfg.Limits.Bind)
	defer cancel()
	for {
		e := c.get(name, time.Now())
		if e == nil {
			return nil, TooManyNames
		}
		if addrs, ok := e.told(client, r, time.Now()); ok {
			return addrs, ""
		}
		addrs, reason, gone := c.first(ctx, e, client, r)
		if !gone {
			return addrs, reason
		}
	}
}

// first answers a question that no mapping serves yet.
func (c *cache) first(ctx context.Context, e *entry, client netip.Addr, r Rule) (_ []netip.Addr, _ Reason, gone bool) {
	if !e.takeWork(ctx) {
		return nil, UpstreamFailed, false
	}
	defer e.leaveWork()
	if addrs, ok := e.told(client, r, time.Now()); ok {
		return addrs, "", false
	}
	if e.isGone() {
		return nil, "", true
	}
	o, ok := e.known(time.Now())
	if !ok {
		o = c.lookup(ctx, e.name)
		e.learn(o, time.Now(), c.cfg.Limits)
	}
	if o.reason != "" {
		return nil, o.reason, false
	}
	addrs, reason := c.bind(ctx, e, client, r, o)
	return addrs, reason, false
}

// lookup asks resolvers, and judges what they say.
func (c *cache) lookup(ctx context.Context, name string) outcome {
	reply, err := c.resolver.resolve(ctx, name)
	usable := c.cfg.sift(reply.Addrs)
	switch {
	case err != nil:
		return outcome{reason: UpstreamFailed}
	case reply.NoSuchName():
		return outcome{reason: NoSuchName}
	case len(reply.Addrs) == 0:
		return outcome{reason: NoAddress}
	case len(usable) == 0:
		return outcome{reason: PrivateAnswer}
	}
	if len(usable) < len(reply.Addrs) {
		c.observe(netip.Addr{}, name, Sifted, PrivateAnswer, 0)
	}
	return outcome{addrs: usable, ttl: time.Duration(reply.TTL) * time.Second}
}

// bind makes a mapping for a client that asks. The entry's work is taken.
func (c *cache) bind(ctx context.Context, e *entry, client netip.Addr, r Rule, o outcome) ([]netip.Addr, Reason) {
	key := keyOf(client, r)
	if _, ok := e.binding(key); !ok && c.bindings.Load() >= int64(c.cfg.Limits.Bindings) {
		return nil, TooManyNames
	}
	b, err := c.write(ctx, e.name, key, o, binding{rule: r, asked: time.Now()})
	if err != nil {
		return nil, BindFailed
	}
	if e.put(key, b) {
		c.bindings.Add(1)
	}
	return b.told, ""
}

var errNoAddress = errors.New("the binder gave no IPv4 address")

// write has the kernel hold a mapping, and fills in where it leads and what clients are told.
func (c *cache) write(ctx context.Context, name string, key netip.Addr, o outcome, b binding) (binding, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Limits.Bind)
	defer cancel()
	ttl := min(max(o.ttl, c.cfg.Limits.MinTTL), c.cfg.Limits.MaxTTL)
	synthetic, err := c.cfg.Binder.Bind(ctx, key, name, o.addrs, ttl)
	if err != nil {
		return binding{}, err
	}
	b.addrs, b.told = inOrder(o.addrs), []netip.Addr{synthetic}
	if b.rule.Real {
		b.told = o.addrs
	} else if !synthetic.Is4() {
		return binding{}, errNoAddress
	}
	return b, nil
}

// observe reports what became of a name that nobody asked about just now.
func (c *cache) observe(client netip.Addr, name string, v Verdict, r Reason, took time.Duration) {
	c.cfg.Observe(Event{Client: client, Name: name, Type: dnsmsg.TypeA, Verdict: v, Reason: r, Took: took})
}
