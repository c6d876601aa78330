package filter

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// forgetClient is how long a client is remembered that asks nothing.
const forgetClient = 10 * time.Minute

// clients are those who ask, and what each of them uses.
type clients struct {
	limits Limits

	mu       sync.Mutex
	all      map[netip.Addr]*client
	inFlight int
	conns    int
	wild     map[string]int // names below wildcards, and how many clients hold each
}

// client is one of them. The lock of clients guards it.
type client struct {
	addr     netip.Addr
	rate     *rate.Limiter
	refusals *rate.Limiter // what is over the rate is told so at this rate, and then nothing
	inFlight int
	conns    int
	wild     map[string]*wildName
	seen     time.Time
}

func newClients(l Limits) *clients {
	return &clients{limits: l, all: map[netip.Addr]*client{}, wild: map[string]int{}}
}

// get is the client with an address. It is nil if there are too many.
func (cs *clients) get(addr netip.Addr, now time.Time) *client {
	c := cs.all[addr]
	if c == nil {
		if len(cs.all) >= cs.limits.Clients {
			return nil
		}
		limit := rate.Limit(cs.limits.Rate)
		c = &client{addr: addr, rate: rate.NewLimiter(limit, cs.limits.Burst),
			refusals: rate.NewLimiter(limit, cs.limits.Burst), wild: map[string]*wildName{}}
		cs.all[addr] = c
	}
	c.seen = now
	return c
}

// admit lets a question in, or says why not and whether the client is told. What is let in is released.
func (cs *clients) admit(addr netip.Addr, now time.Time) (c *client, reason Reason, tell bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c = cs.get(addr, now)
	switch {
	case c == nil:
		return nil, TooManyClients, false
	case !c.rate.AllowN(now, 1):
		reason = TooManyQuestions
	case c.inFlight >= cs.limits.InFlight, cs.inFlight >= cs.limits.InFlightAll:
		reason = TooManyAtOnce
	default:
		c.inFlight++
		cs.inFlight++
		return c, "", false
	}
	return nil, reason, c.refusals.AllowN(now, 1)
}

func (cs *clients) release(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.inFlight--
	cs.inFlight--
}

// connect counts a TCP connection, or reports that there are too many. What is counted is disconnected.
func (cs *clients) connect(addr netip.Addr, now time.Time) *client {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.get(addr, now)
	if c == nil || c.conns >= cs.limits.Connections || cs.conns >= cs.limits.ConnectionsAll {
		return nil
	}
	c.conns++
	cs.conns++
	return c
}

func (cs *clients) disconnect(c *client) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c.conns--
	cs.conns--
}

// sweep forgets names and clients that are not heard of any more.
func (cs *clients) sweep(now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for addr, c := range cs.all {
		cs.sweepNames(c, now)
		if c.inFlight == 0 && c.conns == 0 && len(c.wild) == 0 && now.Sub(c.seen) > forgetClient {
			delete(cs.all, addr)
		}
	}
}
