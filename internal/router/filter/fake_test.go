package filter_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

// Who asks, and for what.
var (
	alice = netip.MustParseAddr("172.20.0.10")
	bob   = netip.MustParseAddr("172.20.0.11")
)

const api = "api.example.com"

// rules are what clients may ask for. A rule of a client stands before that for all.
type rules struct {
	mu    sync.Mutex
	rules map[string]filter.Rule // "172.20.0.10 name" or "name" or "*.zone"
	hold  chan struct{}          // if it is there, questions about alice wait until it closes
}

func (p *rules) wait(client netip.Addr) {
	p.mu.Lock()
	hold := p.hold
	p.mu.Unlock()
	if hold != nil && client == alice {
		<-hold
	}
}

func (p *rules) Lookup(client netip.Addr, name string) (filter.Rule, bool) {
	p.wait(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range []string{client.String() + " " + name, name} {
		if r, ok := p.rules[key]; ok {
			return r, true
		}
	}
	for zone := name; strings.Contains(zone, "."); {
		_, zone, _ = strings.Cut(zone, ".")
		if r, ok := p.rules["*."+zone]; ok {
			r.Zone = zone
			return r, true
		}
	}
	return filter.Rule{}, false
}

func (p *rules) set(key string, r filter.Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[key] = r
}

func (p *rules) remove(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rules, key)
}

// kernel is where mappings stand.
type kernel struct {
	mu       sync.Mutex
	next     int
	given    map[string]netip.Addr
	mappings map[netip.Addr][]netip.Addr // synthetic address → real ones
	writes   []string                    // "client name addresses ttl"
	takes    time.Duration
	fails    error
	forgot   []string
}

func (k *kernel) Bind(ctx context.Context, client netip.Addr, name string, addrs []netip.Addr, ttl time.Duration) (netip.Addr, error) {
	k.mu.Lock()
	takes := k.takes
	k.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return netip.Addr{}, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writes = append(k.writes, fmt.Sprintf("%s %s %v %s", client, name, addrs, ttl))
	if k.fails != nil {
		return netip.Addr{}, k.fails
	}
	a, ok := k.given[name]
	if !ok {
		k.next++
		a = netip.AddrFrom4([4]byte{198, 18, byte(k.next >> 8), byte(k.next)})
		k.given[name] = a
	}
	k.mappings[a] = addrs
	return a, nil
}

func (k *kernel) forget(client netip.Addr, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgot = append(k.forgot, client.String()+" "+name)
}

func (k *kernel) set(takes time.Duration, fails error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.takes, k.fails = takes, fails
}

func (k *kernel) written() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.writes)
}

func (k *kernel) forgotten() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.forgot)
}

// addressOf is the synthetic address of a name.
func (k *kernel) addressOf(name string) netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.given[name]
}

// leadsTo is where a synthetic address leads.
func (k *kernel) leadsTo(a netip.Addr) []netip.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mappings[a]
}

// world is a filter with all that is around it.
type world struct {
	policy   *rules
	kernel   *kernel
	upstream *upstream
	udp      *packets
	tcp      *streams

	mu     sync.Mutex
	events []filter.Event
}

func (w *world) observe(e filter.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// count is how many events have a verdict and a reason.
func (w *world) count(v filter.Verdict, r filter.Reason) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Verdict == v && e.Reason == r {
			n++
		}
	}
	return n
}

// run has a filter serve while a test goes on, with a clock that advances when everybody waits.
func run(t *testing.T, change func(*filter.Config), test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- filter.Serve(ctx, w.config(change)) }()
		test(t, w)
		start := time.Now()
		stop()
		if err := <-done; err != nil || time.Since(start) > 0 {
			t.Errorf("Serve ended after %s: %v", time.Since(start), err)
		}
	})
}

func newWorld() *world {
	w := &world{
		policy:   &rules{rules: map[string]filter.Rule{api: {}, "*.slack.com": {}}},
		kernel:   &kernel{given: map[string]netip.Addr{}, mappings: map[netip.Addr][]netip.Addr{}},
		upstream: &upstream{},
		udp:      newPackets(), tcp: newStreams(),
	}
	w.upstream.set(says(60, "203.0.113.1"))
	return w
}

func (w *world) config(change func(*filter.Config)) filter.Config {
	cfg := filter.Config{Packet: w.udp, Listener: w.tcp, Names: w.policy, Binder: w.kernel, Upstream: w.upstream, Network: "mcp-secure",
		Pool: netip.MustParsePrefix("198.18.0.0/20"), Forget: w.kernel.forget, Observe: w.observe}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// says is a resolver that gives every name the same addresses.
func says(ttl uint32, addrs ...string) resolverFunc {
	return func(_ string, q dnsmessage.Message) [][]byte {
		var records []dnsmessage.Resource
		for _, a := range addrs {
			records = append(records, address(q.Questions[0].Name.String(), ttl, a))
		}
		return [][]byte{reply(q, records...)}
	}
}

func address(owner string, ttl uint32, addr string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET, TTL: ttl},
		Body: &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}
}

func alias(owner string, ttl uint32, target string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET, TTL: ttl},
		Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)}}
}

// reply answers a query.
func reply(q dnsmessage.Message, records ...dnsmessage.Resource) []byte {
	q.Response, q.RecursionAvailable, q.Answers, q.Additionals = true, true, records, nil
	msg, err := q.Pack()
	if err != nil {
		panic(err)
	}
	return msg
}

// fails is a resolver that has nothing but a code.
func fails(code dnsmessage.RCode) resolverFunc {
	return func(_ string, q dnsmessage.Message) [][]byte {
		q.RCode = code
		return [][]byte{reply(q)}
	}
}

// silent is a resolver that says nothing.
func silent(string, dnsmessage.Message) [][]byte { return nil }
