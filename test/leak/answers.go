package leak

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	// atOnce is the limit where the kernel answers by itself.
	atOnce = 200 * time.Millisecond
	// AnswerLimit is the longest that a denial may take (P11): ARP's own limit.
	AnswerLimit = 4 * time.Second
)

// The answers that are right. A server with one route to the gateway, as CNI
// makes it, has none to a neighbour.
var (
	noRoute = []syscall.Errno{syscall.ENETUNREACH}
	refused = []syscall.Errno{syscall.ECONNREFUSED}
	nobody  = []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH}
)

// Answer is how a denied connection failed (P11).
type Answer struct {
	ID    string        `json:"id"`
	Want  string        `json:"want"`
	Got   string        `json:"got"`
	Took  time.Duration `json:"took"`
	Limit time.Duration `json:"limit"`
	OK    bool          `json:"ok"`
}

// question is a connection that ought to fail.
type question struct {
	id      string
	network string
	to      netip.AddrPort
	want    []syscall.Errno // any of these
	limit   time.Duration
}

// questions are asked by a server that changed nothing in its namespace.
func (s Seat) questions() []question {
	at := func(ip netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(ip, port) }
	unused := lastOf(s.Subnet).Prev().Prev()
	return []question{
		{"off-network", "tcp", at(testnet.InternetHost, 443), noRoute, atOnce},
		{"off-network-udp", "udp", at(testnet.Resolver, 53), noRoute, atOnce},
		{"off-network-v6", "tcp", at(testnet.InternetHost6, 443), noRoute, atOnce},
		{"metadata", "tcp", at(testnet.Metadata, 80), noRoute, atOnce},
		{"host-uplink", "tcp", at(testnet.HostAddr, 22), noRoute, atOnce},
		{"gateway-closed-port", "tcp", at(s.Gateway.IP, 22), refused, atOnce},
		{"host-bridge", "tcp", at(s.BridgeIP, 22), nobody, AnswerLimit},
		{"neighbour", "tcp", at(s.Neighbour.IP, 22), nobody, AnswerLimit},
		{"nobody", "tcp", at(unused, 22), nobody, AnswerLimit},
	}
}

// answers asks all questions at the same time.
func (r *run) answers() []Answer {
	qs := r.seat.questions()
	out := make([]Answer, len(qs))
	var wait sync.WaitGroup
	for i, q := range qs {
		wait.Go(func() { out[i] = q.insist(r.seat.Attacker.NS) })
	}
	wait.Wait()
	return out
}

// insist asks again when the answer is wrong: a virtual machine that stands
// still for a second makes the kernel's timers late once, but not twice, and a
// new namespace's kernel swallows one error, but not two ([testnet.NS.SwallowedErrors]).
func (q question) insist(ns *testnet.NS) Answer {
	a := q.ask(ns)
	if !a.OK {
		a = q.ask(ns)
	}
	return a
}

func (q question) ask(ns *testnet.NS) Answer {
	a := Answer{ID: "P11/" + q.id, Want: q.want[0].Error(), Limit: q.limit}
	ctx, cancel := context.WithTimeout(context.Background(), q.limit+time.Second)
	defer cancel()
	// Sharing a thread with nothing, the measure is of the kernel alone.
	err := ns.Do(func() error {
		start := time.Now()
		defer func() { a.Took = time.Since(start) }()
		return dialHere(ctx, q.network, q.to)
	})
	a.Got = describe(err)
	a.OK = a.Took <= q.limit && slices.ContainsFunc(q.want, func(want syscall.Errno) bool { return errors.Is(err, want) })
	return a
}

// describe is the kernel's word for an error.
func describe(err error) string {
	if err == nil {
		return "connected"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// dialHere connects from the calling thread's namespace.
func dialHere(ctx context.Context, network string, to netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, to.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
