package leak

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	// AnswerLimit is the longest that a denial may take (P11).
	AnswerLimit = 100 * time.Millisecond
	// patience is how long the suite waits for an answer that comes too late.
	patience = 4 * time.Second
)

// The answers that are right. A server with one route to the gateway, as CNI
// makes it, has none to a neighbour. UDP hears of a denial by an ICMP error.
var (
	noRoute    = []syscall.Errno{syscall.ENETUNREACH}
	refused    = []syscall.Errno{syscall.ECONNREFUSED}
	nobody     = []syscall.Errno{syscall.ECONNREFUSED, syscall.ENETUNREACH}
	refusedUDP = []syscall.Errno{syscall.EHOSTUNREACH, syscall.ECONNREFUSED, syscall.ENETUNREACH}
)

// Answer is how a denied connection failed (P11).
type Answer struct {
	ID    string        `json:"id"`
	Want  string        `json:"want"`
	Got   string        `json:"got"`
	Took  time.Duration `json:"took"`
	Limit time.Duration `json:"limit"`
	OK    bool          `json:"ok"`
	// late says that the answer is right but for the time that it took.
	late bool
}

// question is a connection that ought to fail.
type question struct {
	id      string
	network string
	to      netip.AddrPort
	want    []syscall.Errno // any of these
}

// questions are asked by a server that changed nothing in its namespace.
func (s Seat) questions() []question {
	at := func(ip netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(ip, port) }
	unused := lastOf(s.Subnet).Prev().Prev()
	return []question{
		{"off-network", "tcp", at(testnet.InternetHost, 443), noRoute},
		{"off-network-udp", "udp", at(testnet.Resolver, 53), noRoute},
		{"off-network-v6", "tcp", at(testnet.InternetHost6, 443), noRoute},
		{"metadata", "tcp", at(testnet.Metadata, 80), noRoute},
		{"host-uplink", "tcp", at(testnet.HostAddr, 22), noRoute},
		{"gateway-closed-port", "tcp", at(s.Gateway.IP, 22), refused},
		{"host-bridge", "tcp", at(s.BridgeIP, 22), nobody},
		{"neighbour", "tcp", at(s.Neighbour.IP, 22), nobody},
		{"nobody", "tcp", at(unused, 22), nobody},
		{"gateway-closed-port-udp", "udp", at(s.Gateway.IP, 53), refusedUDP},
		{"neighbour-udp", "udp", at(s.Neighbour.IP, 53), refusedUDP},
		{"host-bridge-udp", "udp", at(s.BridgeIP, 53), refusedUDP},
	}
}

// answers asks all questions at the same time.
func (r *run) answers() []Answer {
	qs := r.seat.questions()
	out := make([]Answer, len(qs))
	control := NewControl(r.t)
	var wait sync.WaitGroup
	for i, q := range qs {
		wait.Go(func() { out[i] = q.insist(r.seat.Attacker.NS, control) })
	}
	wait.Wait()
	return out
}

// insist asks again when the right answer is late: a virtual machine that
// stands still for a second makes the kernel's timers late once, but not twice.
// A connection that came about, and a wrong answer, are never forgiven.
func (q question) insist(ns *testnet.NS, control *Control) Answer {
	a := q.ask(ns, control)
	if !a.OK && a.late {
		a = q.ask(ns, control)
	}
	return a
}

func (q question) ask(ns *testnet.NS, control *Control) Answer {
	a := Answer{ID: "P11/" + q.id, Want: q.want[0].Error()}
	var err error
	a.Limit = control.Limit(func() { a.Took, err = measure(ns, q.network, q.to) })
	a.Got = describe(err)
	right := slices.ContainsFunc(q.want, func(want syscall.Errno) bool { return errors.Is(err, want) })
	a.OK, a.late = right && a.Took <= a.Limit, right && a.Took > a.Limit
	return a
}

// measure connects, and tells how long that took. Sharing a thread with nothing, the measure is of the kernel alone.
func measure(ns *testnet.NS, network string, to netip.AddrPort) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = ns.Do(func() error {
		start := time.Now()
		defer func() { took = time.Since(start) }()
		return dialHere(ctx, network, to)
	})
	return took, err
}

// describe is the kernel's word for an error.
func describe(err error) string {
	if err == nil {
		return "connected"
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// dialHere connects from the calling thread's namespace. A datagram is sent, and
// what comes of it is waited for.
func dialHere(ctx context.Context, network string, to netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if network != "udp" {
		return nil
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("?")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
