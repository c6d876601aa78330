package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/relay"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

var (
	serverAddr = netip.MustParseAddr("172.20.0.10")
	otherAddr  = netip.MustParseAddr("172.20.0.11")
	routerAddr = netip.MustParseAddr("172.20.0.1")

	// What a filter would answer for the two names, and where both are: one address, as on a CDN.
	apiAddr   = netip.MustParseAddr("198.18.0.1")
	dockAddr  = netip.MustParseAddr("198.18.0.2")
	nobodys   = netip.MustParseAddr("198.18.0.3")
	cloudAddr = netip.MustParseAddr("203.0.113.10")
)

const (
	api  = "api.example.com"
	dock = "dock.example.com"
)

// redirection is the rule that leads to the relay.
const redirection = `table ip relay {
	chain prerouting {
		type nat hook prerouting priority dstnat
		iifname "eth0" ip daddr 198.18.0.0/15 tcp dport { 80, 443, 8443 } redirect to :15001
	}
}
`

// world is a server (with two addresses, as if it were two) beside a router with a relay, and an internet of one
// machine.
//
//	server (172.20.0.10, .11) ── (172.20.0.1) router: redirect, relay ── cloud (203.0.113.10)
type world struct {
	t                     testing.TB
	server, router, cloud *testnet.NS
	relay                 *relay.Relay
	stop                  func() // ends the relay, and waits for it
	events                *recorder

	mu     sync.Mutex
	owners map[netip.Addr]string
}

// newWorld makes a world with a relay, whose configuration the test may change.
func newWorld(t testing.TB, change func(*relay.Config)) *world {
	t.Helper()
	w := &world{t: t, server: testnet.New(t, "server"), router: testnet.New(t, "router"), cloud: testnet.New(t, "cloud"),
		owners: map[netip.Addr]string{apiAddr: api, dockAddr: dock}, events: &recorder{}}
	servers := []string{serverAddr.String() + "/24", otherAddr.String() + "/24"}
	testnet.Connect(t, testnet.Port{NS: w.server, Name: "eth0", Addrs: servers},
		testnet.Port{NS: w.router, Name: "eth0", Addrs: []string{routerAddr.String() + "/24"}})
	testnet.Connect(t, testnet.Port{NS: w.router, Name: "eth1", Addrs: []string{"198.51.100.1/24"}},
		testnet.Port{NS: w.cloud, Name: "eth0", Addrs: []string{"198.51.100.2/24", cloudAddr.String() + "/32"}})
	w.server.AddRoute(netip.Prefix{}, routerAddr)
	w.router.AddRoute(netip.PrefixFrom(cloudAddr, 32), netip.MustParseAddr("198.51.100.2"))
	w.cloud.AddRoute(netip.Prefix{}, netip.MustParseAddr("198.51.100.1"))
	w.router.Sysctl("net.ipv4.ip_forward", "1")
	w.router.RunInput(redirection, "nft", "-f", "-")
	w.serve(change)
	return w
}

func (w *world) serve(change func(*relay.Config)) {
	w.t.Helper()
	config := relay.Config{Owner: w.owner, Dial: w.dial, Observe: w.events.observe}
	w.do(w.router, func() (err error) {
		config.Listener, err = relay.Listen(context.Background(), netip.MustParseAddrPort("0.0.0.0:15001"))
		return err
	})
	if change != nil {
		change(&config)
	}
	w.relay = relay.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.relay.Serve(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the relay ended: %v", err)
		}
	})
	w.t.Cleanup(w.stop)
}

func (w *world) owner(_ netip.Addr, original netip.AddrPort) (relay.Target, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, ok := w.owners[original.Addr()]
	return relay.Target{Name: name, Addr: netip.AddrPortFrom(cloudAddr, original.Port())}, ok
}

// dial connects from the router, where the process of a relay would live.
func (w *world) dial(ctx context.Context, _ netip.Addr, to relay.Target) (*net.TCPConn, error) {
	conn, err := w.router.Dial(ctx, "tcp4", to.Addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (w *world) do(n *testnet.NS, fn func() error) {
	w.t.Helper()
	if err := n.Do(fn); err != nil {
		w.t.Fatal(err)
	}
}

// listen accepts connections of the cloud, each in a goroutine.
func (w *world) listen(port uint16, serve func(*net.TCPConn)) {
	w.t.Helper()
	l, err := w.cloud.Listen(netip.AddrPortFrom(cloudAddr, port))
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
}

// connect connects as the server, or as the other one.
func (w *world) connect(from netip.Addr, to netip.AddrPort) *net.TCPConn {
	w.t.Helper()
	conn, err := w.dialFrom(from, to)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

func (w *world) dialFrom(from netip.Addr, to netip.AddrPort) (conn *net.TCPConn, err error) {
	err = w.server.Do(func() error {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 20 * time.Second}
		c, err := d.Dial("tcp4", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err == nil {
		w.t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func at(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// request is a request for a host.
func request(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }

// open is a connection that was let through to what listens on port 80, with the request passed on.
func (w *world) open() *net.TCPConn {
	w.t.Helper()
	conn := w.connect(serverAddr, at(apiAddr, 80))
	w.say(conn, request(api))
	return conn
}

func (w *world) say(conn net.Conn, text string) {
	w.t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		w.t.Fatal(err)
	}
}

// hear reads as many bytes as text has, and compares them.
func (w *world) hear(conn net.Conn, text string) {
	w.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	got := make([]byte, len(text))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		w.t.Fatalf("heard %q, %v, not %q", got[:n], err, text)
	}
}

// recorder keeps events.
type recorder struct {
	mu   sync.Mutex
	seen []relay.Event
}

func (r *recorder) observe(e relay.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e)
}

// wait waits for an event with one of the reasons, and takes it.
func (r *recorder) wait(t testing.TB, kind relay.EventKind, reasons ...relay.Reason) relay.Event {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if e, ok := r.take(kind, reasons); ok {
			return e
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Fatalf("no event %d with %q, only %s", kind, reasons, fmt.Sprint(r.seen))
	return relay.Event{}
}

func (r *recorder) take(kind relay.EventKind, reasons []relay.Reason) (relay.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.seen {
		if e.Kind == kind && slices.Contains(reasons, e.Reason) {
			r.seen = slices.Delete(r.seen, i, i+1)
			return e, true
		}
	}
	return relay.Event{}, false
}
