// Package filter is the name server of MCP servers. It answers the names that a policy allows to the client that asks,
// and no others. An answer is an address that the kernel holds already: it never overtakes the rule that makes it of
// use.
//
// It knows neither the policy nor the kernel. Names says what is allowed, Binder writes the kernel's mapping, Upstream
// opens sockets to resolvers. So it runs in a process without privilege.
package filter

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Rule is what lets a client ask for a name.
type Rule struct {
	// Zone is the zone of a wildcard ("slack.com" of "*.slack.com"). It is empty if the name itself is allowed.
	Zone string
	// Real has the client told the name's own addresses instead of the one that Bind returns.
	Real bool
	// Shared says that one mapping serves every client whose rule is shared: Bind is called once, for no client. Without
	// it each client has a mapping of its own, and what one has resolved opens nothing for another.
	Shared bool
	// Generation changes with whatever makes a mapping void: the policy, the client's endpoint, a kernel that lost its
	// elements. A mapping that another generation made is made again before it is answered.
	Generation uint64
}

// Names is the policy.
type Names interface {
	// Lookup says whether a client may ask for a name, which is in lower case without a dot at its end. It is called
	// for each question, by many goroutines, and must not wait. The zero Addr asks whether a mapping for all clients
	// still stands: such a mapping ends if the answer is no, or is not Shared.
	Lookup(client netip.Addr, name string) (Rule, bool)
}

// Binder writes mappings into the kernel.
type Binder interface {
	// Bind returns the synthetic address of a name once the kernel holds the mapping to the addresses. The client is the
	// zero Addr if the rule is shared. It is called again when the addresses change, and for a rule with Real after each
	// refresh. It is never called twice at once for a name. ttl is how soon the next refresh may come.
	Bind(ctx context.Context, client netip.Addr, name string, addrs []netip.Addr, ttl time.Duration) (netip.Addr, error)
}

// Upstream reaches resolvers.
type Upstream interface {
	// Open gives a new connected socket to a resolver, for one query. The network is "udp" or "tcp". It ends with the
	// context.
	Open(ctx context.Context, network string) (net.Conn, error)
}

// Config is what a filter needs. The first five fields are required.
type Config struct {
	Packet   net.PacketConn // UDP, bound to the address that questions are redirected to: answers come from there
	Listener net.Listener   // TCP
	Names    Names
	Binder   Binder
	Upstream Upstream

	// Network is the name of the network in messages.
	Network string
	// Pool is the pool of synthetic addresses: a resolver that names one of them lies.
	Pool netip.Prefix
	// Permitted opens an address that is private, shared, of a link or a metadata service. Nothing opens what is of this
	// host, multicast, reserved or of the pool. It may be nil.
	Permitted func(netip.Addr) bool
	// Forget is told of mappings that the filter no longer refreshes: the policy ended, the name exists no more, nobody
	// asks for it. The client is as in Bind. It may be nil.
	Forget func(client netip.Addr, name string)
	// Observe is told of each decision. It is called by many goroutines and must not wait. It may be nil.
	Observe func(Event)
	// Limits are DefaultLimits where they are zero.
	Limits Limits
}

// complete fills in what may be left out.
func (c Config) complete() Config {
	if c.Permitted == nil {
		c.Permitted = func(netip.Addr) bool { return false }
	}
	if c.Forget == nil {
		c.Forget = func(netip.Addr, string) {}
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	c.Limits = c.Limits.complete()
	return c
}
