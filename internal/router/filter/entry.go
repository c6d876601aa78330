package filter

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// entry is what is known of a name: what resolvers said last, and the mappings that the kernel holds.
type entry struct {
	name string
	// work is taken, by a send, while the kernel is written, and while the first question about a name waits for
	// resolvers. So questions at the same time ask resolvers once and write once, and no answer overtakes a mapping.
	work chan struct{}

	mu         sync.Mutex // guards the rest; never held while something waits
	gone       bool       // no more in the cache, without bindings: to be looked up again
	refreshing bool
	asked      time.Time // by a client
	tried      time.Time // by us
	good       time.Time // answered by a resolver with addresses
	failures   int       // since then
	expires    time.Time // when resolvers are to be asked again
	outcome    outcome
	bindings   map[netip.Addr]*binding // by client; of the zero Addr for all
}

// outcome is what resolvers said: addresses that may be used, or why there are none.
type outcome struct {
	addrs  []netip.Addr
	ttl    time.Duration
	reason Reason
}

// binding is a mapping that the kernel holds.
type binding struct {
	rule  Rule
	addrs []netip.Addr // what it leads to, in order
	told  []netip.Addr // what clients are told
	asked time.Time    // by a client
}

// fits reports whether a mapping that was made for one rule serves another.
func (b binding) fits(r Rule) bool {
	return b.rule.Real == r.Real && b.rule.Generation == r.Generation
}

// leadsTo reports whether the mapping leads to just these addresses.
func (b binding) leadsTo(addrs []netip.Addr) bool { return slices.Equal(b.addrs, inOrder(addrs)) }

func inOrder(addrs []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare)
}

func newEntry(name string, now time.Time) *entry {
	return &entry{name: name, work: make(chan struct{}, 1), asked: now, expires: now, bindings: map[netip.Addr]*binding{}}
}

// keyOf is whose mapping a client uses.
func keyOf(client netip.Addr, r Rule) netip.Addr {
	if r.Shared {
		return netip.Addr{}
	}
	return client
}

// told is what the client is told by a mapping that stands already.
func (e *entry) told(client netip.Addr, r Rule, now time.Time) (addrs []netip.Addr, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = now
	b := e.bindings[keyOf(client, r)]
	if b == nil || !b.fits(r) {
		return nil, false
	}
	b.asked = now
	return b.told, true
}

// known is what resolvers said, if that holds still. Addresses hold until a refresh says otherwise.
func (e *entry) known(now time.Time) (o outcome, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.outcome, e.outcome.addrs != nil || (e.outcome.reason != "" && now.Before(e.expires))
}

// learn takes down what resolvers said.
func (e *entry) learn(o outcome, now time.Time, l Limits) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tried, e.outcome = now, o
	switch o.reason {
	case "":
		e.good, e.failures = now, 0
		e.expires = now.Add(min(max(o.ttl, l.MinTTL), l.MaxTTL))
	case UpstreamFailed:
		e.expires = now.Add(l.Failed)
	default:
		e.failures, e.expires = 0, now.Add(l.Negative)
	}
}

// stumble takes down that a refresh failed, and reports for how long no resolver has answered.
func (e *entry) stumble(now time.Time, l Limits) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tried, e.expires = now, now.Add(min(l.Failed<<min(e.failures, 10), time.Minute))
	e.failures++
	return now.Sub(e.good)
}

// due reports whether it is time to ask resolvers again. Whoever gets a yes does it, and says when it is done.
func (e *entry) due(now time.Time, l Limits) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	quiet := now.Sub(e.asked) > l.Quiet && now.Sub(e.tried) < l.Quiet && e.outcome.addrs != nil
	if e.gone || e.refreshing || e.tried.IsZero() || quiet || now.Before(e.expires) {
		return false
	}
	e.refreshing = true
	return true
}

func (e *entry) refreshed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refreshing = false
}

// isGone reports whether the entry has left the cache.
func (e *entry) isGone() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gone
}

// binding is a copy of a mapping, and whether there is one.
func (e *entry) binding(key netip.Addr) (binding, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b := e.bindings[key]; b != nil {
		return *b, true
	}
	return binding{}, false
}

// put takes down a mapping that the kernel holds, and reports whether there was none.
func (e *entry) put(key netip.Addr, b binding) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first = e.bindings[key] == nil
	e.bindings[key] = &b
	return first
}

// take forgets a mapping.
func (e *entry) take(key netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.bindings, key)
}

// keys are whose mappings there are.
func (e *entry) keys() []netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Keys(e.bindings), netip.Addr.Compare)
}

// takeWork waits until nobody else works on the name. It reports false when the context ends first.
func (e *entry) takeWork(ctx context.Context) bool {
	select {
	case e.work <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *entry) leaveWork() { <-e.work }
