package filter_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
	"github.com/mcpnet/mcpnet/internal/router/filter"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// unlimited is a filter that measures, not one that refuses.
func unlimited(c *filter.Config) {
	c.Observe = nil
	c.Limits = filter.Limits{Rate: 1e9, Burst: 1e9, WildNames: 1e9, WildNamesAll: 1e9, WildFresh: 1e9, Names: 1e9, Bindings: 1e9}
}

// served is a filter on loopback in a namespace whose resolvers are in memory, and a socket of a client to it.
func served(b *testing.B, takes time.Duration) (*world, net.Conn) {
	b.Helper()
	ns := testnet.New(b, "bench")
	ns.Up("lo")
	at := netip.MustParseAddrPort("127.0.0.1:53")
	udp, err := ns.ListenPacket(at)
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld()
	w.kernel.set(takes, nil)
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error)
	go func() {
		done <- filter.Serve(ctx, w.config(func(c *filter.Config) { unlimited(c); c.Packet = udp }))
	}()
	conn, err := ns.Dial(b.Context(), "udp", at)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close(); stop(); <-done })
	return w, conn
}

// exchange asks one question, and waits for its answer.
func exchange(b *testing.B, conn net.Conn, query, buf []byte) {
	if _, err := conn.Write(query); err != nil {
		b.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil || buf[7] != 1 {
		b.Fatalf("% x: %v", buf[:n], err)
	}
}

// measure asks until the benchmark has seen enough, and reports the distribution of what it took.
func measure(b *testing.B, conn net.Conn, next func(int) []byte) {
	buf := make([]byte, 4096)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		query := next(i)
		start := time.Now()
		exchange(b, conn, query, buf)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

// BenchmarkCached is an answer whose mapping stands.
func BenchmarkCached(b *testing.B) {
	_, conn := served(b, 0)
	query := question(b, api, dnsmessage.TypeA)
	measure(b, conn, func(int) []byte { return query })
}

// BenchmarkDenied is an answer to a name that is not allowed. Its code is read as one answer would be.
func BenchmarkDenied(b *testing.B) {
	_, conn := served(b, 0)
	query := question(b, "evil.example.com", dnsmessage.TypeA)
	buf := make([]byte, 4096)
	for b.Loop() {
		if _, err := conn.Write(query); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBind is a first answer, of a resolver in memory and a kernel that takes a millisecond.
func BenchmarkBind(b *testing.B) {
	_, conn := served(b, time.Millisecond)
	measure(b, conn, func(i int) []byte { return question(b, fmt.Sprintf("n%d.slack.com", i), dnsmessage.TypeA) })
}

// BenchmarkParseQuery reads a question and writes an answer.
func BenchmarkParseQuery(b *testing.B) {
	query := question(b, api, dnsmessage.TypeA)
	addr := netip.MustParseAddr("198.18.0.1")
	b.ReportAllocs()
	for b.Loop() {
		q, err := dnsmsg.ParseQuery(query)
		if err != nil {
			b.Fatal(err)
		}
		dnsmsg.Answer(q, 30, addr)
	}
}

// BenchmarkMemory is what a thousand clients and ten thousand names take, when no more mappings are remembered.
func BenchmarkMemory(b *testing.B) {
	w := newWorld()
	for i := range 10000 {
		w.policy.set(fmt.Sprintf("host%d.example.com", i), filter.Rule{})
	}
	for b.Loop() {
		ctx, stop := context.WithCancel(b.Context())
		before, done := heap(), make(chan error)
		go func() {
			done <- filter.Serve(ctx, w.config(func(c *filter.Config) { bounded(c); c.Packet, c.Listener = w.udp, w.tcp }))
		}()
		for i := range 70000 {
			w.udp.ask(b, clients[i%len(clients)], fmt.Sprintf("host%d.example.com", i/7), dnsmessage.TypeA)
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		stop()
		<-done
		w.udp, w.tcp = newPackets(), newStreams()
	}
}

var clients = crowd(1000)

// bounded is a filter that keeps to its bounds of memory, but not to those of time.
func bounded(c *filter.Config) {
	c.Observe, c.Binder = nil, firm{}
	c.Limits = filter.Limits{Rate: 1e9, Burst: 1e9}
}

// firm is a kernel that takes everything and remembers nothing.
type firm struct{}

func (firm) Bind(context.Context, netip.Addr, string, []netip.Addr, time.Duration) (netip.Addr, error) {
	return netip.AddrFrom4([4]byte{198, 18, 0, 1}), nil
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
